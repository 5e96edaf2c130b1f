"""LangGraph checkpointers that know only sync calls, on an event loop."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from wsgi_app.agents.langgraph_steps import confirm_turn


def with_async_calls(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """A copy of a checkpointer, on the same storage, that runs in threads what it cannot await.

    As PostgresSaver and SqliteSaver, which a sync application has.
    """
    adapted = copy.copy(saver)
    adapted.__class__ = type(type(saver).__name__, (_InThreads, type(saver)), {})
    return adapted


class _InThreads(BaseCheckpointSaver[Any]):
    """Goes in front of a checkpointer's own class; the threads are the calling turn's."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        with suppress(NotImplementedError):
            return await super().aget_tuple(config)
        return await asyncio.to_thread(self.get_tuple, config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        await confirm_turn()
        with suppress(NotImplementedError):
            return await super().aput(config, checkpoint, metadata, new_versions)
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await confirm_turn()
        with suppress(NotImplementedError):
            return await super().aput_writes(config, writes, task_id, task_path)
        return await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        with suppress(NotImplementedError):
            return await super().adelete_thread(thread_id)
        return await asyncio.to_thread(self.delete_thread, thread_id)
