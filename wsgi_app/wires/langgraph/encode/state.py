"""A thread's state, and its runs and the thread itself, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

from wsgi_app.wires.langgraph.encode.nodes import GRAPH
from wsgi_app.wires.langgraph.ids import CheckpointRef, RunRef

#: The graph's node that the agent is.
TASK: Final = "agent"


def time_text(milliseconds: int) -> str:
    """A moment as the protocol writes it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def checkpoint(thread_id: str, ref: CheckpointRef) -> dict[str, Any]:
    """Where a state is."""
    return {
        "thread_id": thread_id,
        "checkpoint_ns": "",
        "checkpoint_id": ref.id,
        "checkpoint_map": None,
    }


def thread_state(  # noqa: PLR0913 - the parts of a state, by name
    thread_id: str,
    ref: CheckpointRef,
    messages: Sequence[dict[str, Any]],
    *,
    created_at: int,
    runs: bool,
    interrupts: Sequence[dict[str, Any]],
    metadata: dict[str, Any],
) -> dict[str, Any]:
    """The state that a client begins with."""
    tasks = []
    if runs:
        task = {"id": RunRef(ref.turn, 0, ref.mark).id, "name": TASK, "path": ["__pregel_pull"]}
        empty = {"error": None, "checkpoint": None, "state": None, "result": None}
        tasks = [{**task, **empty, "interrupts": list(interrupts)}]
    return {
        "values": {"messages": list(messages)},
        "next": [TASK] if runs else [],
        "tasks": tasks,
        "interrupts": list(interrupts),
        "checkpoint": checkpoint(thread_id, ref),
        "parent_checkpoint": checkpoint(thread_id, ref.before()),
        "metadata": {
            **metadata,
            "step": ref.number,
            "source": "loop",
            "thread_id": thread_id,
            "graph_id": GRAPH,
        },
        "created_at": time_text(created_at),
    }


def run_document(  # noqa: PLR0913 - the parts of a run, by name
    ref: RunRef,
    thread_id: str,
    assistant_id: str,
    status: str,
    created_at: int,
    *,
    metadata: dict[str, Any],
    strategy: str,
) -> dict[str, Any]:
    """A run."""
    moment = time_text(created_at)
    return {
        "run_id": ref.id,
        "thread_id": thread_id,
        "assistant_id": assistant_id,
        "created_at": moment,
        "updated_at": moment,
        "status": status,
        "metadata": metadata,
        "multitask_strategy": strategy,
        "kwargs": {},
    }


def thread_document(  # noqa: PLR0913 - the parts of a thread, by name
    thread_id: str,
    *,
    metadata: dict[str, Any],
    created_at: int,
    updated_at: int,
    status: str,
    values: dict[str, Any] | None,
    interrupts: dict[str, Any],
) -> dict[str, Any]:
    """A thread."""
    return {
        "thread_id": thread_id,
        "created_at": time_text(created_at),
        "updated_at": time_text(updated_at),
        "state_updated_at": time_text(updated_at),
        "metadata": metadata,
        "status": status,
        "config": {},
        "values": values,
        "interrupts": interrupts,
    }
