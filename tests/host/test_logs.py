"""The log: one line for each turn's end, that machines read and nobody can forge."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.agents import scripted
from tests.support.client import Client, new_session
from tests.support.reading import ReadingClient
from tests.support.servers import Server, gunicorn, redis_server
from tests.support.service import CONFIG, OPERATOR, owner_pid
from tests.support.sse import StreamCutError
from tests.support.waiting import wait_for
from wsgi_app import AgentHost
from wsgi_app.logs import JsonFormatter, log_turn, request_id

SITE = "tests.support.apps:logging_site()"
STANDALONE = {"AGENT_FACTORY": "tests.support.agents:scripted"}
EVIL = 'a b="c"\r\n2026-01-01 forged\x00\x1b[31m\u2028\u2029}\ud800'


@pytest.fixture(scope="module")
def site() -> Iterator[Server]:
    """A site with a logging set-up of its own, which writes ``SITE <logger> <message>``."""
    with gunicorn(SITE) as server:
        yield server


def lines_of(server: Server, session: str, start: str = "") -> list[str]:
    """The lines of the turns' ends of a session, once there is one."""
    ends = re.compile(rf"^{start}.*turn ended.*{session}.*$", re.MULTILINE)
    return wait_for(lambda: ends.findall(server.log()), f"the line of {session}")


def words(line: str) -> dict[str, str]:
    """The fields of a line of text."""
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
    return {name: json.loads(value) if value[0] == '"' else value for name, value in pairs}


def test_each_turn_has_one_line(site: Server) -> None:
    """A turn's end is one line with its ids, outcome, times and tokens, in the site's own form."""
    client, session = Client(site), new_session()
    steps = ({"tokens": 3}, {"usage": 7})
    answer = client.chat_json(session, *steps, headers={"X-Request-Id": "req-1/a=b"})
    assert answer.headers["X-Request-Id"] == "req-1/a=b"
    (line,) = lines_of(site, session)
    assert line.startswith("SITE wsgi_app.turns turn ended outcome=done ")
    told = words(line)
    assert told.pop("request_id") == "req-1/a=b"
    times = [float(told.pop(name)) for name in list(told) if name.endswith("seconds")]
    assert len(times) == 3
    assert all(0 <= seconds < 60 for seconds in times)
    assert told == {
        "outcome": "done",
        "reason": "",
        "tenant": "demo-tenant",
        "session_id": session,
        "turn_id": "1",
        "input_tokens": "7",
        "output_tokens": "7",
        "events": "4",
    }


def test_failed_and_cancelled_turns_log_why(site: Server) -> None:
    """An error's code and a cancel's reason stand in the line; an exception's text does not."""
    client, failed, cancelled = ReadingClient(site), new_session(), new_session()
    client.chat_json(failed, {"raise": "ValueError"})
    with client.chat(cancelled, {"text": "a"}, {"hold": True}) as stream:
        stream.until("token")
        client.cancel(cancelled)
    found = [words(lines_of(site, session, "SITE")[0]) for session in (failed, cancelled)]
    assert [(one["outcome"], one["reason"]) for one in found] == [
        ("error", "agent_error"),
        ("cancelled", "user"),
    ]


def test_insane_request_ids_are_replaced(site: Server) -> None:
    """An id that could forge a line is not taken over; each request has one all the same."""
    client = Client(site)
    for sent in ("a b", 'a"b', "a\tb", "x" * 129, "é", ""):
        answer = client.call(
            "GET", "/healthz", headers={"X-Request-Id": sent.encode().decode("latin-1")}
        )
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"]), sent
    assert "X-Request-Id" not in client.call("GET", "/healthz").headers
    started = client.chat_json(new_session(), {"text": "x"})
    assert re.fullmatch(r"[0-9a-f]{32}", started.headers["X-Request-Id"])
    assert request_id("x" * 128) == "x" * 128
    assert request_id(None) != request_id(None)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_value_forges_a_line(log_format: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a tenant's name holds, there is one line of printable ASCII, and it reads back."""
    caplog.set_level(logging.INFO)
    log_turn({"tenant": EVIL, "reason": "", "seconds": 1.5}, log_format)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isascii()
    assert message.isprintable()
    told = words(message) if log_format == "text" else json.loads(message)
    assert (told["tenant"], float(told["seconds"])) == (EVIL, 1.5)
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["tenant"] == EVIL


def test_site_may_have_the_fields_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """A site's own formatter finds them in the record, with their types."""
    caplog.set_level(logging.INFO)
    log_turn({"tenant": "acme", "seconds": 1.5}, "text")
    (record,) = caplog.records
    assert record.agent_turn == {"tenant": "acme", "seconds": 1.5}  # type: ignore[attr-defined] # as documented


def test_sites_logging_is_left_alone() -> None:
    """Mounting a host adds no handler and changes no level."""

    def state() -> list[Any]:
        names = ("", "wsgi_app", "wsgi_app.turns", "gunicorn", "werkzeug")
        loggers = [logging.getLogger(name) for name in names]
        return [(one.level, list(one.handlers), one.propagate, one.disabled) for one in loggers]

    before = state()
    AgentHost(scripted, log_format="json").init_app(Flask("site"), url_prefix="/agents")
    assert state() == before


def test_json_in_a_sites_own_lines() -> None:
    """With AGENT_LOG_FORMAT=json the message is an object, whatever the site puts around it."""
    with gunicorn(SITE, env={"AGENT_LOG_FORMAT": "json"}) as server:
        session = new_session()
        Client(server).chat_json(session)
        (line,) = lines_of(server, session)
        told = json.loads(line.removeprefix("SITE wsgi_app.turns "))
        assert (told["message"], told["session_id"]) == ("turn ended", session)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_standalone_app_sets_its_own_up(log_format: str) -> None:
    """The stand-alone app's lines come on stderr, as text or each a JSON object."""
    env = {**STANDALONE, "AGENT_LOG_FORMAT": log_format}
    with gunicorn("wsgi_app:app", env=env) as server:
        client, session = Client(server, prefix=""), new_session()
        client.chat_json(session, {"raise": "ValueError"})
        (line,) = lines_of(server, session)
        if log_format == "json":
            told = json.loads(line)
            assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
            assert (told["level"], told["logger"]) == ("INFO", "wsgi_app.turns")
            failed = next(one for one in server.log().splitlines() if "an agent failed" in one)
            assert "ValueError" in json.loads(failed)["exception"]
        else:
            told = words(line)
            assert re.match(r"\S+Z INFO wsgi_app.turns: turn ended outcome=error ", line)
        assert (told["outcome"], told["reason"]) == ("error", "agent_error")


@pytest.mark.slow
def test_turns_of_a_killed_worker_have_their_line() -> None:
    """The worker that ends a dead one's turns logs each of them, in the host's format."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_LOG_FORMAT": "json", "AGENT_TOKENS": OPERATOR}
        with gunicorn(SITE, config=CONFIG, env=env) as server:
            client, session = ReadingClient(server), new_session()
            with client.chat(session, {"text": "a"}, {"hold": True}) as stream:
                stream.until("token")
                os.kill(owner_pid(client, session), signal.SIGKILL)
                with pytest.raises(StreamCutError):
                    list(stream)
            (line,) = lines_of(server, session)
            told = json.loads(line[line.index("{") :])
            assert (told["outcome"], told["reason"]) == ("error", "worker_lost")
