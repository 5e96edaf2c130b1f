"""Agents that send, count and wait for what they must not harm neither readers nor other turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import WANTS_JSON, new_session
from tests.support.frames import check_turn, types_of
from tests.support.odd_agents import BLOCKING, COUNTS, OUTPUTS
from tests.support.reading import ReadingClient, wait_observed
from tests.support.shared_servers import EXPIRING, SharedServers
from tests.support.sse import Frame, text_of


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker."""
    return ReadingClient(servers.get("tests.support.odd_agents:odd_app()", env=EXPIRING))


@pytest.fixture(autouse=True)
def _goes_on(client: ReadingClient) -> Iterator[None]:
    """Whatever an agent did, the same worker's next turn is stored and ends."""
    yield
    body = {"message": "fine"}
    answer = client.call("POST", f"/chat/{new_session()}", body, headers=WANTS_JSON, seconds=5)
    assert answer.json["reply"] == "fine"


def run_odd(client: ReadingClient, session: str, name: str) -> list[Frame]:
    """Run an odd agent's turn to its end."""
    with client.stream("POST", f"/chat/{session}", {"message": name}, seconds=5) as stream:
        frames = list(stream)
    check_turn(frames)
    return frames


@pytest.mark.parametrize("name", COUNTS)
def test_usage_counts_whole_numbers_only(client: ReadingClient, name: str) -> None:
    """Usage that is no whole number from 0 ends the turn with `agent_error`, and can be read."""
    session = new_session()
    frames = run_odd(client, session, name)
    assert types_of(frames) == ["token", "error"]
    assert frames[-1].data["code"] == "agent_error"
    assert [frame.text for frame in client.replay(session, "0-0")] == [f.text for f in frames]


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_not_refused_can_be_replayed(client: ReadingClient, name: str) -> None:
    """An event or a question of a wrong shape is `agent_error`, and leaves a readable journal."""
    session = new_session()
    frames = run_odd(client, session, name)
    assert types_of(frames) == ["error"]
    assert frames[-1].data["code"] == "agent_error"
    assert [frame.text for frame in client.replay(session, "0-0")] == [f.text for f in frames]
    assert client.poll(session, "0-0", 0)["events"][-1]["type"] == "error"


@pytest.mark.parametrize("name", BLOCKING)
def test_an_async_agent_may_not_block_its_loop(client: ReadingClient, name: str) -> None:
    """`turn.ask` and `turn.run_async` in an async agent fail its own turn at once."""
    frames = run_odd(client, new_session(), name)
    assert frames[-1].data["code"] == "agent_error"
    with client.stream("POST", f"/chat/{new_session()}", {"message": "give up"}) as other:
        assert types_of(list(other))[-1] == "done"


def test_a_safe_string_is_text(client: ReadingClient) -> None:
    """A token of markupsafe is sent, stored and joined as the text that it is."""
    session = new_session()
    frames = run_odd(client, session, "markup")
    assert types_of(frames) == [*4 * ["token"], "done"]
    assert text_of(frames) == frames[-1].data["reply"] == "<b>&<i>&"
    assert client.session(session)["messages"][-1]["content"] == "<b>&<i>&"


def test_tool_events_take_what_a_tool_may_return(client: ReadingClient) -> None:
    """Subclasses of text and numbers in an agent's own tool events are these, models their data."""
    session = new_session()
    frames = run_odd(client, session, "rich data")
    assert types_of(frames) == ["tool_call", "tool_result", "done"]
    call, result = (frame.data for frame in frames[:2])
    assert (call["tool"], call["input"]) == ("look_up", {"at": "<b>", "row": {"id": 7, "of": "x"}})
    assert result["output"] == ["<b>", 7, {"id": 8, "of": "\ufffd"}, 0.5]
    assert [frame.text for frame in client.replay(session, "0-0")] == [f.text for f in frames]


def test_every_cancel_callback_runs(client: ReadingClient) -> None:
    """A callback that raises TurnCancelled, as `turn.check` does, does not stop the others."""
    session = new_session()
    body = {"message": "failing callback"}
    with client.stream("POST", f"/chat/{session}", body) as stream:
        stream.until("token")
        client.cancel(session)
        wait_observed(client.server, "called_back", session)
        assert types_of(list(stream)) == ["cancelled"]
