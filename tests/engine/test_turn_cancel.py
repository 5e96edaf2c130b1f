"""A cancel ends a turn at once, whatever its agent does; and what agent code runs in."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.support.client import chat_body, new_session
from tests.support.frames import check_turn, run_turn, types_of
from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.servers import gunicorn
from tests.support.shared_servers import SharedServers
from tests.support.waiting import wait_for

KINDS = ["generator", "async"]


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker of a site with a state for each request."""
    return ReadingClient(servers.get("tests.support.apps:minding_app()"))


def cancel_in_mid_turn(
    client: ReadingClient, session: str, *steps: dict[str, Any], kind: str = "generator"
) -> list[str]:
    """Cancel a turn that has sent a token and got no further; returns its events' types."""
    with client.chat(session, {"text": "begun "}, *steps, {"text": "late"}, kind=kind) as stream:
        frames = stream.until("token")
        # A question comes before its wait, the other waits tell nothing.
        if "ask" in steps[0]:
            frames += stream.until("input_request")
        started = time.monotonic()
        answer = client.cancel(session)
        assert answer == {"ok": True, "cancelled": True, "turn_id": "1"}
        frames += list(stream)
        assert time.monotonic() - started < 1
        assert stream.ended == "clean"
    check_turn(frames)
    assert frames[-1].data == {"type": "cancelled", "reason": "user"}
    return types_of(frames)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [{"hold": True}, {"ask": "Really?"}])
def test_a_cancel_wakes_a_blocked_turn(
    client: ReadingClient, kind: str, step: dict[str, Any]
) -> None:
    """A turn that waits ends at once with `cancelled`, and its agent's `finally` runs."""
    session = new_session()
    types = cancel_in_mid_turn(client, session, step, kind=kind)
    assert types == ["token", *(["input_request"] if "ask" in step else []), "cancelled"]
    wait_observed(client.server, "closed", session, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_does_not_wait_for_a_deaf_agent(client: ReadingClient, kind: str) -> None:
    """A turn whose agent hears nothing ends at once all the same; its thread goes on alone."""
    session = new_session()
    assert cancel_in_mid_turn(client, session, {"sleep": 2}, kind=kind) == ["token", "cancelled"]
    assert not observed(client.server, "closed", session)
    wait_observed(client.server, "closed", session)


def test_what_comes_after_a_cancel_is_dropped(client: ReadingClient) -> None:
    """An agent that goes on after a cancel is told so each time, and nothing of it is read."""
    session = new_session()
    cancel_in_mid_turn(client, session, {"ignore_cancel": 3})
    wait_observed(client.server, "went_on", session)
    assert len(observed(client.server, "refused", "TurnCancelled")) == 3
    kept = client.poll(session, "0-0", 0)["events"]
    assert [event["type"] for event in kept] == ["token", "cancelled"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_that_will_not_close_ends_all_the_same(
    client: ReadingClient, kind: str
) -> None:
    """A generator that yields while it is closed has its one terminal event too."""
    session = new_session()
    with client.chat(session, {"stubborn": 200}, kind=kind) as stream:
        frames = stream.until("token")
        client.cancel(session)
        frames += list(stream)
    assert types_of(frames).count("cancelled") == 1
    assert types_of(frames)[-1] == "cancelled"


def test_the_next_turn_may_start_at_once(client: ReadingClient) -> None:
    """Once a cancel is answered the session is idle, and knows what was said so far."""
    session = new_session()
    for number in range(1, 6):
        with client.chat(session, {"text": f"part {number}"}, {"sleep": 0.2}) as stream:
            stream.until("token")
            assert client.cancel(session)["turn_id"] == str(number)
    history = json.loads(client.chat_json(session, {"tell": "history"}).json["reply"])
    told = [message["content"] for message in history if message["role"] == "assistant"]
    assert [content.partition("\n\n")[0] for content in told] == [
        f"part {number}" for number in range(1, 6)
    ]
    assert all("stopped" in content for content in told)


@pytest.mark.parametrize(
    "step", [{"text": "x"}, {"raise": "ValueError"}, {"exit": 1}, {"rubbish": "number"}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_agents_finally_runs(client: ReadingClient, kind: str, step: dict[str, Any]) -> None:
    """However a turn ends, its generator is closed, so that its `finally` runs."""
    session = new_session()
    run_turn(client, step, kind=kind, session=session)
    wait_observed(client.server, "closed", session)


@pytest.mark.parametrize("kind", ["generator", "async", "list", "emitter"])
def test_agent_code_runs_in_an_app_context_of_its_own(client: ReadingClient, kind: str) -> None:
    """`current_app` works; the request and its `g` are not there; its contextvars are."""
    answer = client.chat_json(new_session(), {"context": 1}, kind=kind, headers={"X-Name": "cats"})
    facts = json.loads(answer.json["reply"])
    assert facts == {"app": "site", "request": False, "g": False, "name": "cats"}


def test_the_app_context_ends_with_the_turn(client: ReadingClient) -> None:
    """`teardown_appcontext` runs in the turn's thread when the turn ends, not before."""

    def count(name: str) -> int:
        return len(re.findall(rf"^observed {name} [0-9.]+", client.server.log(), re.MULTILINE))

    def torn_down() -> int:
        return len(observed(client.server, "torn_down", "wsgi_app-turn"))

    session = new_session()
    wait_for(lambda: torn_down() == count("started"), "all earlier turns' contexts have ended")
    with client.chat(session, {"text": "x"}, {"hold": True}) as stream:
        stream.until("token")
        assert torn_down() == count("started") - 1
        client.cancel(session)
        wait_for(lambda: torn_down() == count("started"), "this turn's context has ended", 2)


def test_a_turn_knows_where_it_belongs(client: ReadingClient) -> None:
    """The agent sees message, tenant, session, turn, metadata and the history before it."""
    session = new_session()
    client.chat_json(session, {"text": "first answer"})
    expected = {
        "message": "hi",
        "tenant": "demo-tenant",
        "session_id": session,
        "turn_id": "2",
        "history": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "first answer"},
        ],
    }
    body = chat_body(*[{"tell": name} for name in expected])
    answer = client.call("POST", f"/chat/{session}", body, headers={"Accept": "application/json"})
    assert answer.json["reply"] == "".join(json.dumps(value) for value in expected.values())


@pytest.mark.slow
def test_threads_that_do_not_end_make_the_worker_not_ready() -> None:
    """Agent threads that outlive their turn are counted in warnings; too many are 503."""
    env = {"AGENT_TURN_TIMEOUT_SECONDS": "0.3"}
    with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
        client = ReadingClient(server)

        def readiness() -> tuple[int, str]:
            answer = client.call("GET", "/readyz")
            return answer.status, " ".join(answer.json["warnings"])

        run_turn(client, {"sleep": 12})
        assert readiness() == (200, "")
        what = "one thread counted"
        wait_for(lambda: readiness()[1].startswith("1 agent threads"), what)
        streams = [client.chat(new_session(), {"sleep": 7}) for _ in range(16)]
        for stream in streams:
            assert types_of(list(stream)) == ["error"]
            stream.close()
        assert readiness()[0] == 200
        wait_for(lambda: readiness()[0] == 503, "the worker is not ready")
        refused = client.call("GET", "/readyz")
        assert refused.json["code"] == "at_capacity"
        assert refused.json["warnings"][0].startswith("17 agent threads")
        assert int(refused.headers["Retry-After"]) > 0
        assert client.call("GET", "/healthz").status == 200
        wait_for(lambda: readiness() == (200, ""), "the worker is ready again")
