"""Microsoft's AGUIChatClient: an Agent whose chat client speaks AG-UI with the host."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from agent_framework import Agent
from agent_framework_ag_ui import AGUIChatClient
from saying import AsyncSay, run_async


def begin(url: str, key: str) -> AsyncSay:
    """An agent with one thread, whose messages the host keeps."""
    http = httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30)
    client = AGUIChatClient(endpoint=f"{url}/agents/ag-ui", http_client=http)
    agent = Agent(client=client)
    # By itself the client names a new thread for each run, which the host knows nothing of.
    thread: dict[str, Any] = {"metadata": {"thread_id": secrets.token_hex(8)}}

    async def say(message: str) -> AsyncGenerator[str]:
        async for update in agent.run(message, options=thread, stream=True):
            if failed := [part for part in update.contents if part.type == "error"]:
                raise RuntimeError(failed[0].message)
            yield update.text or ""

    return say


run_async(begin)
