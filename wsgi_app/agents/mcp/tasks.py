"""A call that its server runs as a task: started, asked for until it is over, then fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import anyio
from mcp import Client, MCPError
from mcp_types import (
    CallToolResult,
    CancelTaskRequest,
    CancelTaskRequestParams,
    CancelTaskResult,
    CreateTaskResult,
    GetTaskPayloadRequest,
    GetTaskPayloadRequestParams,
    GetTaskRequest,
    GetTaskRequestParams,
    GetTaskResult,
    Tool,
)

#: Between two looks at a task, unless the server says how long.
POLL_SECONDS: Final = 1.0
MIN_POLL_SECONDS: Final = 0.05
MAX_POLL_SECONDS: Final = 10.0
#: For telling the server that its task is no longer wanted.
CANCEL_SECONDS: Final = 2.0
#: How long the server keeps a task; above what any turn takes.
KEPT_MILLISECONDS: Final = 3_600_000

#: Waits for a request, no longer than a call may take.
Limited = Callable[[Awaitable[Any]], Awaitable[Any]]


def needs_task(tool: Tool) -> bool:
    """Whether a tool runs as a task alone."""
    return tool.execution is not None and tool.execution.task_support == "required"


def has_tasks(client: Client) -> bool:
    """Whether a server runs calls of tools as tasks."""
    tasks = client.server_capabilities.tasks
    requests = None if tasks is None else tasks.requests
    return requests is not None and requests.tools is not None and requests.tools.call is not None


async def call_as_task(
    client: Client,
    tool: str,
    arguments: dict[str, Any],
    limited: Limited,
    show: Callable[[str], None],
) -> CallToolResult:
    """Run a call as a task; ``show`` gets what the server says of it.

    Raises what `Client.call_tool` does. When the caller is cancelled, so is the task.
    """
    created = CreateTaskResult.model_validate(await limited(_start(client, tool, arguments)))
    task_id, task, shown = created.task.task_id, created.task, None
    try:
        while task.status == "working":
            if task.status_message and task.status_message != shown:
                shown = task.status_message
                show(shown)
            await anyio.sleep(_seconds(task.poll_interval))
            asked = GetTaskRequest(params=GetTaskRequestParams(task_id=task_id))
            task = await limited(client.session.send_request(asked, GetTaskResult))
        # Also what the task needs of the user comes while its result is waited for.
        wanted = GetTaskPayloadRequest(params=GetTaskPayloadRequestParams(task_id=task_id))
        result: CallToolResult = await limited(client.session.send_request(wanted, CallToolResult))
    except (asyncio.CancelledError, TimeoutError):
        await _cancel(client, task_id)
        raise
    return result


async def _start(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments, "task": {"ttl": KEPT_MILLISECONDS}}
    # Not send_request, which takes an answer without content, as a task's is, for none.
    dispatcher = client.session._dispatcher  # noqa: SLF001 - see above
    return await dispatcher.send_raw_request("tools/call", params)


async def _cancel(client: Client, task_id: str) -> None:
    request = CancelTaskRequest(params=CancelTaskRequestParams(task_id=task_id))
    with anyio.move_on_after(CANCEL_SECONDS, shield=True), suppress(MCPError):
        await client.session.send_request(request, CancelTaskResult)


def _seconds(poll_interval: int | None) -> float:
    if poll_interval is None:
        return POLL_SECONDS
    return min(max(poll_interval / 1000, MIN_POLL_SECONDS), MAX_POLL_SECONDS)
