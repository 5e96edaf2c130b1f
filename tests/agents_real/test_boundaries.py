"""Each agent with each memory, stopped at each boundary in each way: its session goes on.

A test has a session at each boundary, stops them all in one way, and looks at the model's view in
each session's next turn.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.agents_real.remembering import (
    Remembering,
    check_view,
    events_of,
    remembering,
    say,
    start_turn,
    view_of,
)
from tests.support.reading import ReadingClient
from tests.support.remembering_app import AGENTS
from tests.support.upstream_script import Call, Script, Stall, Text, ToolCalls, scripted_message
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]

SECONDS: Final = 60
#: New workers load all frameworks again.
RESTART_SECONDS: Final = 180
ENDS: Final = ("cancel", "kill", "drain", "database restart")
CASES = [
    pytest.param(agent, end, id=f"{agent}-{end.replace(' ', '-')}")
    for agent in AGENTS
    for end in ENDS
    if end != "database restart" or "postgres" in agent
]


@pytest.fixture(scope="module")
def rig() -> Iterator[Remembering]:
    """Two workers, with Redis, Postgres and nginx."""
    with remembering() as running:
        yield running


@pytest.fixture(autouse=True)
def _before_processes(rig: Remembering) -> None:
    """Have the deployment there before a test looks for processes that it has left."""


def calls(tag: str, *tools: str) -> ToolCalls:
    """A step that calls these, each with what is its own."""
    return ToolCalls(
        tuple(Call(f"{tag}-{tool}", tool, f'{{"article": "{tag}-{tool}"}}') for tool in tools)
    )


def scripts_of(boundary: str, tag: str) -> tuple[Script, ...]:
    """What the provider answers on the way there."""
    half = Text((f"half-{tag} ", f"answer-{tag} "))
    return {
        "before the first byte": ((Stall(),),),
        "in mid-text": ((half, Stall()),),
        "in mid-text behind a tool": (
            (half, calls(tag, "stock")),
            (Text((f"more-{tag}",)), Stall()),
        ),
        "while a tool runs": ((half, calls(tag, "hang")),),
        "between parallel tools": ((calls(tag, "stock", "hang"),),),
        "while a question waits": ((calls(tag, "stock", "ask"),),),
        "a failing tool": ((calls(tag, "fail"),), (Stall(),)),
        "a failing tool beside another": ((calls(tag, "stock", "fail"),), (Stall(),)),
    }[boundary]


BOUNDARIES: Final = (
    "before the first byte",
    "in mid-text",
    "in mid-text behind a tool",
    "while a tool runs",
    "between parallel tools",
    "while a question waits",
    "a failing tool",
    "a failing tool beside another",
)


class Stopped:
    """A session whose turn is at a boundary. Used by one thread."""

    def __init__(self, rig: Remembering, client: ReadingClient, boundary: str) -> None:
        self._rig = rig
        self._client = client
        self.boundary = boundary
        self.tag = secrets.token_hex(4)
        self.session = f"s-{self.tag}"
        self.message = scripted_message(*scripts_of(boundary, self.tag), tag=f"1-{self.tag}")

    def requests(self) -> int:
        """How often the provider was asked."""
        told = [view_of(request.body).users for request in list(self._rig.upstream.requests)]
        return sum(bool(users) and f"1-{self.tag}" in users[-1] for users in told)

    def events(self) -> list[dict[str, Any]]:
        """What the user saw."""
        return events_of(self._client, self.session)

    def at_boundary(self) -> bool:  # noqa: PLR0911 - one for each boundary
        """Whether the turn is there, or has ended by itself."""
        if self.boundary == "before the first byte":
            return self.requests() == 1
        events = self.events()
        kinds = [event["type"] for event in events]
        texts = "".join(event["content"] for event in events if event["type"] == "token")
        ended = bool(kinds) and kinds[-1] in ("error", "done")
        if self.boundary == "in mid-text":
            return "answer" in texts
        if self.boundary == "in mid-text behind a tool":
            return "more" in texts
        if self.boundary == "while a tool runs":
            return "tool_call" in kinds
        if self.boundary == "between parallel tools":
            return "tool_result" in kinds
        if self.boundary == "while a question waits":
            return "input_request" in kinds and "tool_result" in kinds
        return ended or self.requests() == 2

    def check_next_turn(self) -> None:
        """The session goes on, and the model knows what the user saw."""
        self._client.wait_idle(self.session, SECONDS)
        seen = self.events()
        for number in (2, 3):
            word = f"Done-{number}-{self.tag}"
            answer = say(self._client, self.session, (Text((word,)),), tag=f"{number}-{self.tag}")
            assert (answer.status, answer.json.get("reply")) == (200, word), answer.body
            view = view_of(self._newest_body())
            check_view(view, seen, self.tag)
        assert view.said.count(f"Done-2-{self.tag}") == 1

    def _newest_body(self) -> dict[str, Any]:
        return next(
            request.body
            for request in reversed(self._rig.upstream.requests)
            if self.tag in view_of(request.body).users[-1]
        )


@pytest.mark.parametrize(("agent", "end"), CASES)
def test_a_session_goes_on_after_a_stop(rig: Remembering, agent: str, end: str) -> None:
    """No orphan call, no text or result missing, none twice, two turns later too."""
    client = rig.client(agent)
    refused = len(rig.upstream.refused)
    sessions = [Stopped(rig, client, boundary) for boundary in BOUNDARIES]
    for one in sessions:
        start_turn(client, one.session, one.message)
    for one in sessions:
        wait_for(one.at_boundary, one.boundary, SECONDS)
    stop(rig, client, sessions, end)
    for one in sessions:
        one.check_next_turn()
    assert rig.upstream.refused[refused:] == []


def stop(rig: Remembering, client: ReadingClient, sessions: list[Stopped], end: str) -> None:
    """Stop the turns, and wait until workers answer again."""
    before = rig.worker_pids()
    if end == "database restart":
        rig.database.crash()
    if end in ("cancel", "database restart"):
        for one in sessions:
            client.cancel(one.session)
        return
    if end == "kill":
        for pid in before:
            os.kill(pid, signal.SIGKILL)
    else:
        rig.service.hosts[0].signal(signal.SIGHUP)
    wait_for(
        lambda: len(rig.worker_pids() - before) == len(before) == len(rig.worker_pids()),
        "new workers",
        SECONDS,
    )
    wait_for(lambda: answers(client), "an answer", RESTART_SECONDS)


def answers(client: ReadingClient) -> bool:
    """Whether the host takes requests."""
    try:
        return client.call("GET", "/readyz").status == 200
    except OSError:
        return False
