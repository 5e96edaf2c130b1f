"""A small MCP server of the version 2025-11-25 whose tools run as tasks, over standard streams.

By hand, since the tests' own SDK has no tasks. Environment: ``NOTES``, a file to which it writes
what happens to its tasks; ``NO_TASKS``, to say nothing of tasks in what it can do; ``SILENT``, to
leave requests unanswered that it does not know.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SCHEMA = {"type": "object", "properties": {"topic": {"type": "string"}}}
STEPS = ["looking", "reading"]

#: How often each task was asked for, and what it is about.
_looks: dict[str, int] = {}
_topics: dict[str, str] = {}


def note(line: str) -> None:
    """Write down what happens."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{line}\n")


def task(task_id: str) -> dict[str, Any]:
    """How far a task is: it takes three looks, but for one that never ends."""
    at = _looks[task_id]
    is_over = at >= len(STEPS) and _topics[task_id] != "for ever"
    return {
        "taskId": task_id,
        "status": ("failed" if _topics[task_id] == "fail" else "completed")
        if is_over
        else "working",
        **({} if is_over else {"statusMessage": STEPS[at % len(STEPS)]}),
        "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z",
        "ttl": None,
        "pollInterval": 600,
    }


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        tasks: dict[str, Any] = {"cancel": {}, "requests": {"tools": {"call": {}}}}
        capabilities = {"tools": {}, **({} if "NO_TASKS" in os.environ else {"tasks": tasks})}
        server = {"name": "tasks", "version": "1"}
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "serverInfo": server,
        }
    if method == "tools/list":
        study = {
            "name": "study",
            "inputSchema": SCHEMA,
            "execution": {"taskSupport": "required"},
        }
        return {"tools": [study, {"name": "plain", "inputSchema": SCHEMA}]}
    if method == "tools/call" and "task" not in params:
        return {"content": [{"type": "text", "text": "plain"}]}
    if method == "tools/call":
        task_id = f"task-{len(_looks)}"
        _looks[task_id], _topics[task_id] = 0, params["arguments"].get("topic", "")
        note(f"started {task_id}")
        return {"task": task(task_id)}
    return answer_task(method, params["taskId"])


def answer_task(method: str, task_id: str) -> dict[str, Any]:
    """The result of a request about a task."""
    if method == "tasks/cancel":
        note(f"cancelled {task_id}")
        return {**task(task_id), "status": "cancelled"}
    if method == "tasks/get":
        _looks[task_id] += 1
        return task(task_id)
    failed = _topics[task_id] == "fail"
    text = f"about {_topics[task_id]}"
    return {"content": [{"type": "text", "text": text}], "isError": failed}


KNOWN = {"initialize", "tools/list", "tools/call", "tasks/get", "tasks/result", "tasks/cancel"}


def main() -> None:
    """Answer one request after the other."""
    for line in sys.stdin:
        message = json.loads(line)
        is_known = message["method"] in KNOWN
        if "id" not in message or ("SILENT" in os.environ and not is_known):
            continue
        made: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if is_known:
            made["result"] = answer(message["method"], message.get("params") or {})
        else:
            made["error"] = {"code": -32601, "message": "Method not found"}
        print(json.dumps(made), flush=True)  # noqa: T201 - it is what it speaks


if __name__ == "__main__":
    main()
