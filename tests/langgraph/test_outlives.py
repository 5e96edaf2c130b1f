"""A turn with which another worker goes on, as a reader of its thread sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.langgraph.thread import Event, Thread, is_end
from tests.support.client import new_session
from tests.support.resumed import REPLY, STALL, Rig, message, resuming
from tests.support.service import owner_pid
from tests.support.upstream_script import Text
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host of two workers whose agent resumes."""
    with resuming(tmp_path, workers=2, env={"AGENT_LEASE_SECONDS": "60"}) as running:
        yield running


def test_the_thread_goes_on(rig: Rig) -> None:
    """One run, one end, and the state holds what counts, once; the reader comes back behind it."""
    thread = Thread(rig.shared.hosts[0])
    text = message(new_session())
    rig.upstream.held[text, 2] = [Text(("Not ", "this. ")), STALL]
    thread.start(text=text)
    found: list[Event] = []
    killed = False
    while not (found and is_end(found[-1])):
        since = {"since": found[-1]["seq"]} if found else {}
        try:
            for event in thread.events(**since):
                found.append(event)
                if not killed and "this. " in str(event):
                    killed = True
                    os.kill(owner_pid(rig.shared.client, thread.id), signal.SIGKILL)
                if is_end(event):
                    break
        except httpx.HTTPError:
            continue
    ends = [event["params"]["data"]["event"] for event in found if is_end(event)]
    assert ends == ["completed"]
    names = [event["event_id"] for event in found]
    assert len(set(names)) == len(names)
    customs = [one["params"]["data"]["name"] for one in found if one["method"] == "custom"]
    assert "withdrawn" in customs
    wait_for(lambda: thread.state()["next"] == [], "the end is stored")
    values = [event["params"]["data"] for event in found if event["method"] == "values"][-1]
    assert values == thread.state()["values"]
    said = [one["content"] for one in values["messages"] if one["type"] == "ai"]
    assert "".join(said) == REPLY
    thread.close()
