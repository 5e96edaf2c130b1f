"""The browser's client, run by Node against two workers that share a Redis."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cli.cutting import cutting_proxy
from tests.clients.holding import holding_proxy
from tests.support.documentation import block
from tests.support.node import CLIENTS, node_program, run_node
from tests.support.processes import clean_environment, free_port
from tests.support.reading import ReadingClient, observed
from tests.support.servers import Gunicorn, gunicorn, redis_server

#: On a busy machine even a first byte may take its time.
PATIENT = {"firstByteSeconds": 30}
STREAM_STEPS = [{"tokens": 60, "pause": 0.02}]
#: Of compressed bytes; the first connection carries what is asked beside the socket.
SOCKET_CUTS = (10**9, 600, 500)
WORDS = "".join(f"w{number} " for number in range(1, 61))


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The scripted agent below /agents."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": "dev=demo-tenant"}
        app = "tests.support.apps:scripted_app()"
        with gunicorn(app, workers=2, threads=16, env=env) as server:
            yield server


def run(scenario: str, server: Gunicorn, at: str | None = None, **given: Any) -> list[Any]:
    """Run a scenario in a session of its own, through the proxy at ``at`` if there is one."""
    url = f"{at or server.url}/agents"
    other = f"{server.url}/agents/"
    given = {"session": secrets.token_hex(8), "options": PATIENT, **given}
    return run_node("agent_client.mjs", scenario=scenario, url=url, other=other, **given)


def node(*command: str) -> subprocess.CompletedProcess[str]:
    """Run the locked node to its end."""
    return subprocess.run(
        [str(node_program()), *command],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def text_of(told: dict[str, Any]) -> str:
    """The tokens of what was told, whose events came in order and each once."""
    ids = [tuple(map(int, event["id"].split("-"))) for event in told["events"]]
    assert ids == sorted(set(ids))
    return "".join(event["content"] for event in told["events"] if event["type"] == "token")


def test_chat(server: Gunicorn) -> None:
    """A turn's events come as they are, with their ids, and the stream knows its turn."""
    steps = [{"events": ["thinking"]}, {"tool": {"name": "add", "output": 5}}, {"text": "five"}]
    (told,) = run("read", server, steps=steps)
    kinds = ["thinking", "tool_call", "tool_result", "token", "done"]
    assert [event["type"] for event in told["events"]] == kinds
    assert told["events"][2]["output"] == 5
    assert (told["turn"], told["last"], told["states"]) == (1, "1-5", ["open stream"])


def test_goes_on_after_cuts(server: Gunicorn) -> None:
    """Cut off in mid-answer, twice, it goes on by itself without a lost or doubled token."""
    with cutting_proxy(server.port, 1500, 900) as proxy:
        (told,) = run("read", server, proxy.url, steps=STREAM_STEPS)
    assert text_of(told) == WORDS
    assert told["events"][-1]["reply"] == WORDS
    assert told["states"].count("waiting stream") == 2


def test_lost_answer_to_the_post(server: Gunicorn) -> None:
    """A POST that gets no answer is repeated, and there is one turn."""
    session = secrets.token_hex(8)
    with cutting_proxy(server.port, 0, 0) as proxy:
        (told,) = run("read", server, proxy.url, session=session, steps=[{"text": "once"}])
    assert text_of(told) == "once"
    assert len(observed(server, "started", session)) == 1
    assert ReadingClient(server).session(session)["turn_id"] == "1"


def test_answers_and_cancels(server: Gunicorn) -> None:
    """A question is answered, and a turn cancelled, from another connection."""
    answered, told = run("answer", server)
    assert answered == {"ok": True}
    assert text_of(told) == "blue"
    cancelled, told = run("cancel", server)
    assert cancelled == {"ok": True, "cancelled": True, "turn_id": "1"}
    assert told["events"][-1]["reason"] == "user"
    assert len(told["events"]) < 100


def test_attaches(server: Gunicorn) -> None:
    """Who comes in mid-turn gets it whole; too late there is nothing; a cursor gives the rest."""
    second, late, rest = run("attach", server)
    assert text_of(second) == "".join(f"w{number} " for number in range(1, 31))
    assert second["events"][-1]["type"] == "done"
    assert late["events"] == []
    assert [event["id"] for event in rest["events"]] == ["1-29", "1-30", "1-31"]


@pytest.mark.parametrize("headers", [False, True])
def test_polls_behind_a_proxy_that_holds_back(server: Gunicorn, *, headers: bool) -> None:
    """Where a stream's body, or even its headers, come when it is over, the turn is polled."""
    with holding_proxy(server.port, headers=headers) as url:
        patience = {"firstByteSeconds": 0.3}
        (told,) = run("read", server, url, steps=STREAM_STEPS, options=patience)
    assert (text_of(told), told["polls"]) == (WORDS, True)
    assert told["states"] == ["open poll"]


def test_polls_when_keep_alives_are_missing(server: Gunicorn) -> None:
    """A stream without a sign of life for 2.5 keep-alives is not waited for any longer."""
    steps = [{"text": "before "}, {"wait": 2}, {"text": "after"}]
    (told,) = run("read", server, steps=steps, options={**PATIENT, "keepAliveSeconds": 0.4})
    assert text_of(told) == "before after"
    assert told["states"] == ["open stream", "open poll"]


def test_socket_goes_on_after_cuts(server: Gunicorn) -> None:
    """Over a WebSocket that is cut off nothing is lost or doubled; it answers and cancels too."""
    session = secrets.token_hex(8)
    with cutting_proxy(server.port, *SOCKET_CUTS) as proxy:
        first, refused, second = run(
            "socket", server, proxy.url, session=session, steps=STREAM_STEPS
        )
    assert text_of(first) == WORDS
    assert first["states"].count("open") >= 2
    assert refused == "session_busy"
    assert [event["type"] for event in second["events"] if "id" in event] == [
        *("input_request", "token", "cancelled")
    ]
    assert second["fault"] is None
    assert len(observed(server, "started", session)) == 2


def test_knows_a_session_that_began_again(server: Gunicorn) -> None:
    """A cursor of a deleted session's turn 1 is none of the next turn 1: a gap, then all of it.

    A WebSocket that outlives the deletion shows the next turn whole, though its numbers are lower.
    """
    live, *read = run("reborn", server)
    assert re.fullmatch(r"1-7\.[0-9a-f]{12}", live["cursor"])
    assert live["lastEventId"] == "1-7"
    whole = [f"1-{seq}" for seq in range(1, 10)]
    assert [event["id"] for event in live["events"]] == [*whole[:7], *whole]
    for told in read:
        assert [event["id"] for event in told["events"]] == ["1-0", *whole]
        assert told["events"][0]["type"] == "gap"


def test_sessions(server: Gunicorn) -> None:
    """Sessions are named, listed, shown, opened by ticket and forgotten."""
    unknown, listed, messages, seconds, removed, forgotten = run("sessions", server)
    assert unknown is None
    assert listed is True
    assert [message["content"] for message in messages] == ["hello", "hi"]
    assert seconds == 60
    assert removed == {"ok": True, "deleted": True}
    assert forgotten is None


def test_refusals(server: Gunicorn) -> None:
    """Refusals are errors with the host's words; a 401 asks for a token; a signal ends reading."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    empty, wrong, renewed, gone, aborted = run("refusals", server, nowhere=nowhere)
    assert (empty["name"], empty["code"], empty["status"]) == ("HostError", "invalid_request", 422)
    assert wrong["code"] == "unauthorized"
    assert renewed == {"asked": [None, "wrong"], "last": "done"}
    assert gone["name"] == "ConnectionFault"
    assert aborted["name"] == "TimeoutError"


@pytest.mark.parametrize(("guard", "status"), [("rude", 302), ("page", 200)])
def test_pages_of_the_site_are_refusals(guard: str, status: int) -> None:
    """A redirect, or a page, in the host's place ends a request at once, and is sent for once."""
    with gunicorn(f"tests.support.sites:guarded_site({guard!r})") as site:
        found = run("guarded", site)
        refusal = {"name": "HostError", "code": "foreign_answer", "status": status}
        assert found == [refusal] * 4
        assert len(observed(site, "guarded", "POST")) == 2  # with the cancel
        assert len(observed(site, "guarded", "GET")) == 2


def test_the_example_of_the_page(server: Gunicorn, tmp_path: Path) -> None:
    """The page's example runs as it stands, beside the module that the host serves to all."""
    snippet = block("js", "agent-client.mjs", "docs/client.md")
    module = requests.get(f"{server.url}/agents/agent-client.js", timeout=10)
    (tmp_path / "agent-client.mjs").write_bytes(module.content)
    script = tmp_path / "hello.mjs"
    script.write_text(snippet.replace("http://127.0.0.1:8000/", f"{server.url}/agents/"))
    done = node(str(script))
    assert (done.returncode, done.stdout) == (0, "what is 12*34?\n"), done.stderr


def test_is_served_to_all(server: Gunicorn) -> None:
    """Module and types need no login, have their types, and are not sent again unchanged."""
    types = {"js": "text/javascript", "d.ts": "application/typescript"}
    for suffix, mime_type in types.items():
        url = f"{server.url}/agents/agent-client.{suffix}"
        answer = requests.get(url, timeout=10)
        assert answer.headers["Content-Type"] == f"{mime_type}; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-cache"
        known = {"If-None-Match": answer.headers["ETag"]}
        assert requests.get(url, headers=known, timeout=10).status_code == 304


def test_types() -> None:
    """The types describe the module: right uses pass TypeScript, wrong ones do not."""
    done = node(str(CLIENTS / "node_modules/typescript/bin/tsc"), "--project", str(CLIENTS))
    assert done.returncode == 0, done.stdout
