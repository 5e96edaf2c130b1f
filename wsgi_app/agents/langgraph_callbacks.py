"""What the models and tools of a turn's graph do, as LangChain calls back."""

from __future__ import annotations

import re
import threading
from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp

from wsgi_app.agents.answer_end import CUT_OFF, check_end
from wsgi_app.agents.langgraph_end import calls_of, end_of, has_content, reports_end
from wsgi_app.agents.langgraph_nested import NestedGraphs
from wsgi_app.agents.upstream_errors import (
    from_openai,
    incomplete_answer,
    is_lost_connection,
    is_openai_error,
    reported_error,
    status_error,
)
from wsgi_app.engine import Turn
from wsgi_app.errors import UpstreamError
from wsgi_app.events import Status, Usage

# Keys of the metadata that LangGraph streams with each message: the model's run, and whether it
# does not speak to the user.
RUN: Final = "wsgi_app_run"
QUIET: Final = "wsgi_app_quiet"
#: Where LangChain names the code of an error that came within an answer.
_REPORTED_CODE: Final = re.compile(r"code='?(\w+)|^(\w+): ")
#: What the HTTP clients of chat models raise of their own, by package.
_TRANSPORTS: Final = frozenset({"aiohttp", "anyio", "httpcore", "httpx", "httpx2"})

#: The tools that the calling code runs in, by their runs, ended ones among them.
_tools: ContextVar[tuple[UUID, ...]] = ContextVar("wsgi_app_tools", default=())


class ModelCallbacks(BaseCallbackHandler):
    """Counts what a turn's models use, and marks those that do not speak to the user.

    These are the models tagged ``nostream``, and those that tools ask. Called on the agents loop,
    and in the threads of sync nodes and tools; ``_lock`` guards the sets.
    """

    run_inline = True  # a mark must be there before the first token is
    raise_error = True

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._lock = threading.Lock()
        self._running_tools: set[UUID] = set()
        self._quiet_runs: set[UUID] = set()
        self._quiet_messages: set[str] = set()
        self._answering: set[UUID] = set()
        self._errors: list[tuple[BaseException, bool]] = []
        self._has_spoken = self._is_cut = False
        #: What graphs do within tools.
        self.nested = NestedGraphs(turn)

    def is_quiet(self, message: BaseMessage) -> bool:
        """Whether a model wrote this message that does not speak to the user."""
        return message.id in self._quiet_messages

    def as_upstream_error(self, error: BaseException) -> UpstreamError | None:
        """The error for one that a graph raised because its provider failed; None for others."""
        if isinstance(error, UpstreamError):
            return error
        known = [answering for one, answering in self._errors if one is error]
        if is_openai_error(error):
            is_lost = is_lost_connection(error) and any(known)
            return incomplete_answer() if is_lost else from_openai(error)
        return _of_model(error, answering=any(known)) if known else None

    def on_chat_model_start(
        self,
        *_: Any,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **__: Any,
    ) -> None:
        """Mark what this model says."""
        quiet = TAG_NOSTREAM in (tags or ()) or self._is_in_tool()
        if quiet:
            with self._lock:
                self._quiet_runs.add(run_id)
        if TAG_NOSTREAM not in (tags or ()):
            self.nested.begin_model(run_id, _tools.get(), metadata)
        if metadata is not None:
            metadata[RUN] = str(run_id)
            metadata[QUIET] = quiet

    def report_cut(self) -> None:
        """Report it to the user if the last answer of the graph was cut off."""
        if self._is_cut:
            self._turn.emit(Status(CUT_OFF))

    def on_llm_new_token(self, *_: Any, run_id: UUID, chunk: Any = None, **__: Any) -> None:
        """Stop a model in a thread at its next token once the turn has ended."""
        with self._lock:
            self._answering.add(run_id)
        self._turn.check()
        if run_id in self._quiet_runs and isinstance(chunk, ChatGenerationChunk):
            self.nested.say(run_id, chunk.message)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Count what the model has used."""
        for generations in response.generations:
            for message in [g.message for g in generations if isinstance(g, ChatGeneration)]:
                self._turn.add_usage(_usage(message))
                self.nested.end_model(run_id, message)
                self._check_end(message, run_id)
                if run_id in self._quiet_runs and message.id:
                    with self._lock:
                        self._quiet_messages.add(message.id)

    def _check_end(self, message: BaseMessage, run_id: UUID) -> None:
        """Check how a model's answer has ended, see `answer_end`; raises UpstreamError."""
        if not isinstance(message, AIMessage) or not reports_end(message):
            return
        quiet = run_id in self._quiet_runs
        has_text = has_content(message)
        self._has_spoken = self._has_spoken or (has_text and not quiet)
        statuses: list[Any] = []
        check_end(
            end_of(message),
            has_text=has_text,
            has_spoken=has_text or quiet or self._has_spoken,
            calls=calls_of(message),
            emit=statuses.append,
        )
        if not quiet:
            # Reported at the end of all: the graph's stream may be behind.
            self._is_cut = bool(statuses)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Remember that it was a model that failed, and whether in mid-answer."""
        with self._lock:
            self._errors.append((error, run_id in self._answering))

    def on_tool_start(
        self, *positional: Any, run_id: UUID, tool_call_id: str | None = None, **more: Any
    ) -> None:
        """Let what runs in the tool, however it is called, know that it does."""
        name = (positional[0] if positional and positional[0] else {}).get("name", "tool")
        within = _tools.get()
        self.nested.begin_tool(run_id, within, tool_call_id or "", name, more.get("metadata"))
        _tools.set((*within, run_id))
        with self._lock:
            self._running_tools.add(run_id)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """Take note of a tool's end; LangChain calls this in another context."""
        self.nested.end_tool(run_id, "" if output is None else output)
        with self._lock:
            self._running_tools.discard(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Take note of a tool's failure."""
        waits = isinstance(error, GraphBubbleUp)
        self.nested.end_tool(run_id, None if waits else "", failed=True)
        with self._lock:
            self._running_tools.discard(run_id)

    def on_chain_start(
        self,
        *_: Any,
        metadata: dict[str, Any] | None = None,
        parent_run_id: UUID | None = None,
        **more: Any,
    ) -> None:
        """Mark what a graph inside of a tool says."""
        if metadata is not None and self._is_in_tool():
            metadata[QUIET] = True
            self.nested.name_graph(parent_run_id, str(more.get("name") or ""))

    def _is_in_tool(self) -> bool:
        return any(run_id in self._running_tools for run_id in _tools.get())


def _of_model(error: BaseException, *, answering: bool) -> UpstreamError | None:
    """The error for one that a model raised, which is not the openai package's."""
    if isinstance(error, ValueError) and answering:
        found = _REPORTED_CODE.search(str(error))  # so LangChain repeats what a response says
        return reported_error({"code": (found[1] or found[2]) if found else None})
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status_error(status, getattr(error, "body", None) or str(error))
    retryable = getattr(error, "is_retryable", None)
    if retryable is not None:
        return UpstreamError(
            "The request to the model provider failed.", retryable=retryable is True
        )
    package = type(error).__module__.partition(".")[0]
    lost = isinstance(error, OSError) or package in _TRANSPORTS
    return incomplete_answer() if lost else None


def _usage(message: BaseMessage) -> Usage:
    counts = getattr(message, "usage_metadata", None)
    if counts is None:
        return Usage()
    return Usage(counts["input_tokens"], counts["output_tokens"], counts["total_tokens"])
