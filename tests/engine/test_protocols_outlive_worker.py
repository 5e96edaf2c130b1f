"""A turn outlives its worker for clients of MCP and A2A too."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.a2a.client import COMPLETED, A2aClient, Shown, say
from tests.mcp.client import McpClient, ask, result_of, texts
from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.resumed import REPLY, STALL, Rig, message, resuming
from tests.support.service import owner_pid
from tests.support.sse import Frame, Stream, StreamCutError
from tests.support.upstream_script import Text

#: What is read before the worker dies, in the middle of its second step.
BEFORE = "Let me see. And no"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One host of three workers, whose lease no test waits for."""
    folder = tmp_path_factory.mktemp("resumed")
    with resuming(folder, workers=3, env={"AGENT_LEASE_SECONDS": "60"}) as running:
        yield running


def begin(rig: Rig, session: str) -> str:
    """Have the model stand still in the middle of its second step; returns the message."""
    text = message(session)
    rig.upstream.held[text, 1] = [Text(("And ", "no")), STALL]
    return text


def kill_under(rig: Rig, session: str) -> None:
    """Kill the worker that runs the session's turn."""
    os.kill(owner_pid(ReadingClient(rig.shared.hosts[0]), session), signal.SIGKILL)


def rest_of(stream: Stream) -> list[Frame]:
    """What comes before the stream ends, or is cut."""
    frames: list[Frame] = []
    with suppress(StreamCutError):
        frames.extend(iter(stream.next, None))
    return frames


def test_an_a2a_task_goes_on_with_another_worker(rig: Rig) -> None:
    """What was not finished is replaced, and the artifact is the whole reply, exactly."""
    client, session, shown = A2aClient(rig.shared.hosts[0]), new_session(), Shown()
    with client.open(say(begin(rig, session), contextId=session)) as stream:
        while shown.texts.get("reply") != BEFORE:
            frame = stream.next()
            assert frame
            shown.take(frame)
        kill_under(rig, session)
        for frame in rest_of(stream):
            shown.take(frame)
    while shown.states[-1] != COMPLETED:
        with client.subscribe(shown.task["id"], shown.last_id) as stream:
            for frame in rest_of(stream):
                shown.take(frame)
    assert shown.texts == {"reply": REPLY}
    assert rig.names(session) == ["a", "b"], "each tool ran once"


def test_an_mcp_call_goes_on_with_another_worker(rig: Rig) -> None:
    """Its stream goes on behind what was read, and the result is the whole reply."""
    client, session = McpClient(rig.shared.hosts[0]), new_session()
    call = ask(begin(rig, session), session=session, progressToken="p")
    frames: list[Frame] = []
    with client.open(call, client.initialize()) as stream:
        while "".join(texts(frames)) != BEFORE:
            frame = stream.next()
            assert frame
            frames.append(frame)
        kill_under(rig, session)
        frames += rest_of(stream)
    while "result" not in frames[-1].data:
        assert frames[-1].id
        with client.resume(frames[-1].id) as stream:
            frames += rest_of(stream)
    assert result_of(frames)["structuredContent"]["reply"] == REPLY
    assert "".join(texts(frames)).endswith("And now. All done.")
    assert rig.names(session) == ["a", "b"], "each tool ran once"
