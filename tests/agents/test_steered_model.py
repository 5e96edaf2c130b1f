"""The built-in agent takes what its user says at its next step, and ends with nothing left."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.support.client import Answer, new_session
from tests.support.reading import ReadingClient
from tests.support.service import Service, owner_pid, service
from tests.support.sse import Stream, text_of
from tests.support.upstream import Request, Upstream
from tests.support.upstream_script import AnyStep, Call, Text, ToolCalls, Usage, scripted_message
from tests.support.waiting import wait_for

SLOW_KINDS = ["graph", "sdk"]
KINDS = ["chat", "responses", *(["pydantic"] if sys.version_info >= (3, 11) else [])]
APIS = pytest.mark.parametrize(
    "api",
    [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW_KINDS)],
    scope="module",
)
APP = "tests.support.steered_app:app()"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def models(upstream: Upstream) -> Iterator[Service]:
    """Two hosts of one worker, on one Redis; the other goes on with a dead one's turns."""
    with service(APP, hosts=2, workers=1, env=settings(upstream), frameworks=True) as running:
        yield running


@pytest.fixture(scope="module")
def frameworks(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same, with frameworks that take a while to load and remember in files."""
    env = {**settings(upstream), "MEMORY_FOLDER": str(tmp_path_factory.mktemp("memory"))}
    with service(APP, hosts=2, workers=1, env=env, frameworks=True) as running:
        yield running


def settings(upstream: Upstream) -> dict[str, str]:
    """What all workers are told."""
    return {**upstream.environment, "AGENT_MAX_ATTEMPTS": "2", "AGENT_LEASE_SECONDS": "3"}


@pytest.fixture(scope="module")
def hosts(api: str, request: pytest.FixtureRequest) -> Service:
    """The hosts that have this kind of agent."""
    found: Service = request.getfixturevalue("frameworks" if api in SLOW_KINDS else "models")
    return found


@pytest.fixture
def shared(hosts: Service, api: str) -> Service:
    """The same, once no worker is missing."""
    hosts.wait_loaded(f"site/{api}", len(hosts.hosts))
    return hosts


def client_of(shared: Service, api: str, place: int) -> ReadingClient:
    """One host's client of the agent that speaks an API."""
    return ReadingClient(shared.hosts[place], prefix=f"/{api}")


def waits(seconds: float) -> ToolCalls:
    """A call of the tool that waits."""
    arguments = json.dumps({"seconds": seconds})
    return ToolCalls((Call("call-1", "wait_a_moment", arguments),))


def steer(client: ReadingClient, session: str, *steps: AnyStep) -> Answer:
    """Say what the provider answers with these steps."""
    text = scripted_message(list(steps), tag=session)
    return client.call("POST", f"/chat/{session}/steer", {"message": text})


def asked(upstream: Upstream, session: str) -> list[list[Any]]:
    """The messages, or items, of each of a session's requests."""

    def said(request: Request) -> list[Any]:
        return list(request.body.get("messages") or request.body["input"])

    return [said(one) for one in upstream.requests if session in json.dumps(one.body)]


def kinds(messages: Sequence[Any]) -> list[str]:
    """Whose they are."""
    return [message.get("role") or message["type"] for message in messages]


def begin(client: ReadingClient, session: str, *steps: AnyStep) -> Stream:
    """Begin a turn that the provider answers with these steps first."""
    text = scripted_message(list(steps), tag=session)
    return client.stream("POST", f"/chat/{session}", {"message": text}, seconds=30)


@APIS
def test_the_next_step_has_it(shared: Service, upstream: Upstream, api: str) -> None:
    """Said while a tool runs, it stands behind the tool's result in the next request."""
    session = new_session()
    with begin(client_of(shared, api, 0), session, waits(0.5)) as stream:
        stream.until("tool_call")
        answer = steer(client_of(shared, api, 1), session, Text(("Left.",)), Usage(1, 1))
        assert answer.status == 200, answer.json
        frames = list(stream)
    assert text_of(frames) == "Left."
    first, second = asked(upstream, session)
    behind = kinds(second[len(first) :])
    expected = {"responses": ["function_call", "function_call_output", "user"]}
    assert behind == expected.get(api, ["assistant", "tool", "user"])
    seen = [f.data["type"] for f in frames if f.data["type"] in ("tool_result", "steered")]
    assert seen == ["steered", "tool_result", "steered"]


@APIS
def test_what_comes_with_the_last_words_is_answered_too(
    shared: Service, upstream: Upstream, api: str
) -> None:
    """Said while the model gives its answer, it is answered by one more step of the same turn."""
    session = new_session()
    words = Text(tuple("abcdefgh"), pace_seconds=0.1)
    with begin(client_of(shared, api, 0), session, words) as stream:
        stream.until("token")
        answer = steer(client_of(shared, api, 1), session, Text(("And that.",)))
        assert answer.status == 200, answer.json
        frames = list(stream)
    assert frames[-1].data["reply"] == "abcdefgh\n\nAnd that."
    first, second = asked(upstream, session)
    assert kinds(second[len(first) :]) == ["assistant", "user"]
    told = client_of(shared, api, 1).session(session)["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user", "assistant"]
    with begin(client_of(shared, api, 1), session, Text(("Next.",))) as stream:
        assert stream.until("done")
    before = asked(upstream, session)[-1]
    assert kinds(before) == ["user", "assistant", "user", "assistant", "user"]
    assert "steered" not in json.dumps(before)


@pytest.mark.parametrize("api", ["chat"], scope="module")
def test_the_last_step_takes_no_more(shared: Service, api: str) -> None:
    """Where no step is left to answer in, the sender is told so at once."""
    session = new_session()
    text = scripted_message(*[[waits(0)]] * 3, [Text(tuple("abcdefgh"), 0.1)], tag=session)
    client = client_of(shared, api, 0)
    with client.stream("POST", f"/chat/{session}", {"message": text}) as stream:
        stream.until("token")
        answer = steer(client_of(shared, api, 1), session, Text(("no",)))
        assert (answer.status, answer.json["code"]) == (409, "not_steerable")
        assert text_of(list(stream)) == "bcdefgh"


def check_answered(client: ReadingClient, session: str, reply: str) -> list[dict[str, Any]]:
    """The turn has ended well, with this reply; returns its events."""
    events = [frame.data for frame in client.replay(session, "0-0")]
    assert events[-1]["type"] == "done", events
    assert events[-1]["reply"] == reply
    return events


def check_told_once(last: list[dict[str, Any]], api: str, text: str) -> None:
    """The last request has what was said behind the call's result, and once."""
    expected = {"responses": ["user", "function_call", "function_call_output", "user"]}
    assert kinds(last) == expected.get(api, ["user", "assistant", "tool", "user"])
    assert [message.get("content") for message in last].count(text) == 1


@APIS
def test_another_worker_goes_on_with_what_was_said(
    shared: Service, upstream: Upstream, api: str
) -> None:
    """When the turn's worker is killed, the next one has it, and the model is told once."""
    session = new_session()
    client = client_of(shared, api, 1)
    with begin(client_of(shared, api, 0), session, waits(3)) as stream:
        stream.until("tool_call")
        text = scripted_message([Text(("Heard.",))], tag=session)
        answer = client.call("POST", f"/chat/{session}/steer", {"message": text})
        assert answer.status == 200, answer.json
        os.kill(
            owner_pid(ReadingClient(shared.hosts[1], prefix=f"/{api}"), session), signal.SIGKILL
        )
    wait_for(lambda: client.session(session)["state"] == "idle", "the turn has ended", 60)
    events = check_answered(client, session, "Heard.")
    check_told_once(asked(upstream, session)[-1], api, text)
    statuses = [event["status"] for event in events if event["type"] == "steered"]
    # Once more where the first time is withdrawn.
    assert statuses in (["waiting", "taken"], ["waiting", "waiting", "taken"])


@pytest.mark.slow
@APIS
def test_a_worker_dies_while_what_was_said_is_answered(
    shared: Service, upstream: Upstream, api: str
) -> None:
    """The next worker's model is told it once, in its place, and answers it whole."""
    session = new_session()
    client = client_of(shared, api, 1)
    words = Text(tuple("abcdefghijklmnop"), pace_seconds=0.2)
    text = scripted_message([words], tag=session)
    with begin(client_of(shared, api, 0), session, waits(0.5)) as stream:
        stream.until("tool_call")
        answer = client.call("POST", f"/chat/{session}/steer", {"message": text})
        assert answer.status == 200, answer.json
        stream.until("token")
        os.kill(
            owner_pid(ReadingClient(shared.hosts[1], prefix=f"/{api}"), session), signal.SIGKILL
        )
    wait_for(lambda: client.session(session)["state"] == "idle", "the turn has ended", 60)
    check_answered(client, session, "abcdefghijklmnop")
    check_told_once(asked(upstream, session)[-1], api, text)
    told = client.session(session)["messages"]
    assert [message["role"] for message in told] == ["user", "user", "assistant"]
