"""Turns that wait long for what their client's tools give."""

from __future__ import annotations

from typing import Any, Final

from tests.support.client import WANTS_JSON, new_session
from tests.support.processes import threads_of
from tests.support.reading import ReadingClient
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from tests.support.waiting import wait_for

#: A turn rests behind three seconds.
REST_SECONDS: Final = 15
#: What the page runs, and its events.
PAINT: Final = {
    "name": "paint",
    "parameters": {"type": "object", "properties": {"wall": {"type": "integer"}}},
}
CALL: Final = Call("c1", "paint", '{"wall":1}')
KINDS: Final = ["tool_request", "tool_result", "token", "done"]


def ask(client: ReadingClient, upstream: Upstream, session: str, *calls: Call) -> str:
    """Begin a turn whose model calls the page's tool; the request's name."""
    upstream.script(ToolCalls(calls or (CALL,)))
    body = {"message": "paint", "tools": [PAINT], "on_disconnect": "continue"}
    answer = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON)
    assert answer.json["code"] == "input_required", answer.json
    return str(answer.json["details"]["request_id"])


def give(client: ReadingClient, session: str, request_id: str, *calls: str) -> Any:
    """Give the results of calls, each with its name."""
    results = [{"call_id": call, "output": f"wet {call}"} for call in calls or ("c1",)]
    given = {"request_id": request_id, "results": results}
    return client.call("POST", f"/chat/{session}/tool_result", given)


def wait_rest(client: ReadingClient, session: str, busy: int | None = None) -> int:
    """Wait until the turn's worker has fewer threads than now, or than ``busy``; its process."""
    pid = owner_pid(client, session)
    busy = threads_of(pid) if busy is None else busy
    wait_for(lambda: threads_of(pid) < busy, "the turn rests", REST_SECONDS)
    return pid


def kinds_of(client: ReadingClient, session: str) -> list[str]:
    """The types of a first turn's events, whose ids have no hole."""
    polled = client.call("GET", f"/chat/{session}/poll?after=0-0").json["events"]
    assert [event["id"] for event in polled] == [f"1-{n}" for n in range(1, len(polled) + 1)]
    return [event["type"] for event in polled]


def rests_and_goes_on(client: ReadingClient, upstream: Upstream) -> None:
    """A turn that waits for its client's tool rests, and goes on with its result."""
    session = new_session()
    before = len(upstream.requests)
    request_id = ask(client, upstream, session)
    wait_rest(client, session)
    upstream.script(Text(("Painted.",)))
    assert give(client, session, request_id).status == 200
    client.wait_idle(session, 20)
    kinds = kinds_of(client, session)
    assert kinds == KINDS, kinds
    assert len(upstream.requests) == before + 2
    assert "wet" in str(upstream.requests[-1].body)
