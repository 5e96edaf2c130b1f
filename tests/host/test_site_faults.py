"""What a site does wrong around a host: told where it can be, and never the host's end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.support.agents import SECRET, scripted
from tests.support.client import WANTS_JSON, Client, chat_body, new_session
from tests.support.frames import run_turn, types_of
from tests.support.reading import ReadingClient, wait_observed
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.shared_servers import SharedServers
from wsgi_app import AgentHost, OpenAIAgent
from wsgi_app.errors import ConfigError

SLOTS = 3
TRIES = 100
STEPS: list[dict[str, Any]] = [{"text": "a"}, {"hold": True}]


@pytest.fixture(scope="module")
def meddling() -> Iterator[ReadingClient]:
    """A client of a site whose after_request meddles; a turn without readers ends at once."""
    env = {
        "AGENT_STREAM_SLOTS": str(SLOTS),
        "AGENT_ORPHAN_SECONDS": "0.2",
        "AGENT_MAX_TURNS_PER_TENANT": "1000",
        "AGENT_RATE_LIMIT": "1000/second",
    }
    with gunicorn("tests.support.sites:meddling_site()", threads=12, env=env) as server:
        yield ReadingClient(server)


@pytest.fixture(scope="module")
def mistaken() -> Iterator[Client]:
    """A client of a site that makes mistakes."""
    with gunicorn("tests.support.sites:mistaken_site()") as server:
        yield Client(server, prefix="")


@pytest.mark.parametrize(
    ("meddle", "status"), [("raise", 500), ("replace", 418), ("teardown", 500)]
)
def test_a_stream_that_the_site_drops_leaves_nothing(
    meddling: ReadingClient, meddle: str, status: int
) -> None:
    """An after_request or teardown that raises, or answers something else, leaves no slot taken."""
    sessions = [new_session() for _ in range(4 * SLOTS)]
    for session in sessions:
        headers = {"X-Meddle": meddle}
        answer = meddling.call("POST", f"/chat/{session}", chat_body(*STEPS), headers=headers)
        assert answer.status == status
        assert SECRET.encode() not in answer.body
        meddling.call("GET", f"/chat/{session}/events", headers=headers)
    for session in sessions:
        meddling.wait_idle(session)
    streams = [meddling.chat(new_session(), {"text": "fine"}) for _ in range(SLOTS)]
    for stream in streams:
        assert types_of(list(stream)) == ["token", "done"]
        stream.close()


@pytest.mark.parametrize("delivery", ["thread", "parked"])
def test_a_site_with_its_own_response_class_streams(delivery: str) -> None:
    """Streams are responses of the site's own class, and stay streams."""
    site = "tests.support.sites:own_response_site()"
    with gunicorn(site, delivery=delivery) as server:
        client = ReadingClient(server)
        with client.chat(new_session(), {"text": "a"}, {"wait": 0.3}, {"text": "b"}) as stream:
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.headers["set-cookie"].startswith("own-seen=1")
            frames = stream.until("done")
        tokens = [frame for frame in frames if frame.data["type"] == "token"]
        assert [token.data["content"] for token in tokens] == ["a", "b"]
        assert tokens[1].at - tokens[0].at > 0.2


def test_hang_ups_are_noticed_after_the_site_dropped_streams(meddling: ReadingClient) -> None:
    """Clients of dropped streams that vanish stop nobody from noticing the next one that does."""
    for number in range(TRIES):
        headers = {"X-Meddle": "raise" if number % 2 else "replace"}
        body = chat_body({"text": "a"})
        stream = meddling.stream("POST", f"/chat/{new_session()}", body, headers)
        stream.abort()
    session = new_session()
    stream = meddling.chat(session, *STEPS)
    stream.until("token")
    stream.abort()
    wait_observed(meddling.server, "cancelled", session, 5)
    meddling.wait_idle(session)


@pytest.fixture(scope="module")
def collecting() -> Iterator[ReadingClient]:
    """A client of a site whose after_request wants whole bodies."""
    with gunicorn("tests.support.sites:collecting_site()") as server:
        yield ReadingClient(server)


@pytest.mark.parametrize("wanted", ["length", "data", "text", "json", "etag", "freeze", "sequence"])
def test_streams_come_though_the_site_wants_them_whole(
    collecting: ReadingClient, wanted: str
) -> None:
    """An after_request that asks for a body's length, tag or bytes makes no stream wait."""
    session, headers = new_session(), {"X-Collect": wanted}
    body = chat_body({"text": "a"}, {"hold": True})
    with collecting.stream("POST", f"/chat/{session}", body, headers) as stream:
        assert stream.until("token")
        collecting.cancel(session)
        assert stream.until("cancelled")
    page = collecting.call("GET", "/healthz", headers=headers)
    assert (page.status, page.headers["Content-Length"]) == (200, str(len(page.body)))


def test_what_wants_a_whole_stream_is_named() -> None:
    """The log names the function and its file, once; one that takes the chunks itself fails."""
    with gunicorn("tests.support.sites:collecting_site()") as server:
        client = ReadingClient(server)
        for _ in range(2):
            headers = {"X-Collect": "data"}
            with client.stream("POST", f"/chat/{new_session()}", chat_body(), headers) as stream:
                assert stream.until("done")
        told = "tests.support.sites._count_length ("
        assert server.log().count(told) == 1
        assert told in " ".join(client.call("GET", "/readyz").json["warnings"])
        answer = client.call("POST", "/chat/x", chat_body(), headers={"X-Collect": "join"})
        assert answer.status == 500
        assert "this response is a stream" in server.log()
        client.wait_idle("x")


def test_a_login_that_answers_nonsense_is_named_in_the_log(mistaken: Client) -> None:
    """`authenticate` that returns 42 is 500 `internal_error`, and the log tells what is wrong."""
    for method, path in (("GET", "/login/sessions"), ("POST", "/login/chat/x")):
        check_refusal(mistaken.call(method, path, chat_body()), 500, "internal_error")
    told = "authenticate must return a str, a Principal or None, not int"
    assert told in mistaken.server.log()


def test_a_failing_before_stream_breaks_no_answer(mistaken: Client) -> None:
    """A `before_stream` that raises is logged; streams, JSON answers and polls go on."""
    client = ReadingClient(mistaken.server, prefix="/stream")
    session = new_session()
    assert types_of(run_turn(client, {"text": "a"}, session=session)) == ["token", "done"]
    assert client.chat_json(session, {"text": "b"}).json["reply"] == "b"
    assert client.poll(session, "2-0", 1)["events"][-1]["type"] == "done"
    assert f"ValueError: {SECRET}" in mistaken.server.log()


def test_a_broken_origin_is_forbidden(servers: SharedServers) -> None:
    """An Origin that is no URL is another site's: 403, not an internal error."""
    client = Client(servers.get("tests.support.sites:login_site()"), token=None)
    for origin in ("http://[", "http://[::1", "://", "http://127.0.0.1:x"):
        headers = {"X-User": "anna", "Origin": origin}
        refused = client.call("POST", "/chat/x", chat_body(), headers=headers)
        check_refusal(refused, 403, "forbidden")


def test_prefixes_that_are_alike_are_different_hosts() -> None:
    """Hosts at `/a-b`, `/a_b` and `/a.b` fit together, and a slash at a prefix's end is none."""
    with gunicorn("tests.support.sites:prefixed_site()") as server:
        session = new_session()
        for prefix in ("/agents", "/a-b", "/a_b", "/a.b"):
            client = Client(server, prefix=prefix)
            answer = client.chat_json(session, {"text": prefix})
            assert (answer.json["reply"], answer.json["turn_id"]) == (prefix, "1")
            for path in ("/nothing", "/chat/x/y/z", "/"):
                check_refusal(client.call("GET", path), 404, "not_found")
            check_refusal(client.call("PUT", "/chat/x"), 405, "method_not_allowed")


@pytest.mark.parametrize("prefix", ["agents", "/<org>/agents", "/a/<int:n>", "//agents", "a/"])
def test_a_prefix_that_is_no_path_stops_the_start(prefix: str) -> None:
    """A prefix with a variable part, or without its slash, raises ConfigError that quotes it."""
    with pytest.raises(ConfigError, match="url_prefix"):
        AgentHost(scripted).init_app(Flask("site"), url_prefix=prefix)


@pytest.mark.parametrize(("first", "second"), [("/a", "/a"), ("/a", "/a/"), (None, None)])
def test_two_hosts_on_one_prefix_stop_the_start(first: str | None, second: str | None) -> None:
    """A prefix that is taken raises ConfigError."""
    app = Flask("site")
    AgentHost(scripted).init_app(app, url_prefix=first)
    with pytest.raises(ConfigError, match="another host"):
        AgentHost(scripted).init_app(app, url_prefix=second)


def test_a_class_that_needs_arguments_is_no_agent() -> None:
    """`AgentHost(OpenAIAgent)`, without the object's parentheses, raises ConfigError."""
    with pytest.raises(ConfigError, match="OpenAIAgent"):
        AgentHost(OpenAIAgent).init_app(Flask("site"))  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("threads", [1, 3, 4])
def test_too_few_threads_are_reported(threads: int) -> None:
    """A worker with fewer than four threads is ready, and warns of it."""
    with gunicorn("tests.support.apps:scripted_app()", threads=threads) as server:
        answer = Client(server).call("GET", "/readyz", headers=WANTS_JSON)
        assert answer.status == 200
        told = [one for one in answer.json["warnings"] if "too few threads" in one]
        assert len(told) == (1 if threads < 4 else 0)
        assert ("too few threads" in server.log()) == (threads < 4)
