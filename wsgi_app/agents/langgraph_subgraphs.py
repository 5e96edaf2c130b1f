"""Graphs that are nodes of a graph, shown as sub-agents of the turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from wsgi_app.agents.langgraph_callbacks import QUIET, ModelCallbacks
from wsgi_app.agents.langgraph_memory import SUBGRAPH_CALL, messages_of
from wsgi_app.agents.langgraph_stream import TASK, GraphStream
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.child import MAX_RESULT_CHARS
from wsgi_app.errors import TurnError
from wsgi_app.events import ToolCall, ToolResult

TaskPath = tuple[str, ...]


class NestedStream(GraphStream):
    """Sends what each subgraph streams as the turn of a sub-agent that has its node's name.

    The turn shows a call for each run of such a node, whose result is what the subgraph said. The
    node's messages are not sent again when the outer graph has them. Where nothing but a
    sub-agent has spoken at the end, its last message is the answer.

    Used by the task that streams. Threads in which tools run call `turn_of`, so ``_lock`` guards
    the lanes; events are sent under it, which waits for nothing.
    """

    nests = True

    def __init__(self, turn: Turn, callbacks: ModelCallbacks) -> None:
        super().__init__(turn, callbacks)
        self._lock = threading.RLock()
        self._lanes: dict[TaskPath, _Lane] = {}
        #: The messages that sub-agents have said, and which of them would be the answer.
        self._known: set[str] = set()
        self._last: _Lane | None = None
        callbacks.nested.turn_of = self.turn_of

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all that are at work: they have failed if the block has."""
        for path in sorted(self._lanes, key=len, reverse=True):
            self._close(path, failed=error is not None)

    def take(self, mode: str, data: Any, namespace: Sequence[str] = ()) -> None:
        """Take the next part of the stream, which is a subgraph's in its namespace."""
        path = _path_of(namespace)
        if mode == "tasks":
            self._take_task(path, data)
        elif mode == "messages":
            self._take_message_at(path, *data)
        elif mode == "custom" and path and not self._callbacks.nested.knows_space(path):
            self._lane(path).take(mode, data)
        elif mode == "custom" or not path:
            super().take(mode, data)
        if mode == "updates" and not path:
            self._end_calls(data)

    def turn_of(self, namespace: Sequence[str]) -> Turn | None:
        """The turn of what runs in a namespace; None where there are too many sub-agents."""
        path = _path_of(namespace)
        return self._lane(path).turn if path else self._turn

    def emit_answer(self) -> None:
        """Say a sub-agent's last message as the turn's own if nothing was said behind it."""
        last, self._last = self._last, None
        if last is not None and last.answer:
            self._turn.emit(last.answer)

    def _take_task(self, path: TaskPath, task: dict[str, Any]) -> None:
        if "interrupts" in task and not task["interrupts"]:  # it has ended, and waits for nobody
            self._close((*path, f"{task['name']}:{task['id']}"), failed=bool(task["error"]))

    def _take_message_at(
        self, path: TaskPath, message: BaseMessage, metadata: dict[str, Any]
    ) -> None:
        if metadata.get(QUIET) or not isinstance(message, (AIMessage, ToolMessage)):
            return
        if path:
            self._known.add(message.id or "")
            self._last = self._lane(path)
            self._last.take("messages", (message, metadata))
        elif not self._is_repeated(message, metadata):
            if isinstance(message, AIMessage) and str(message.text).strip():
                self._last = None
            super().take("messages", (message, metadata))

    def _is_repeated(self, message: BaseMessage, metadata: dict[str, Any]) -> bool:
        """Whether a node passes on what the user has from its subgraph, or a copy of it."""
        lane = self._lanes.get((str(metadata.get(TASK)),))
        is_copy = lane is not None and str(message.text) in lane.texts
        return is_copy or message.id in self._known

    def _end_calls(self, update: dict[str, Any]) -> None:
        """Give calls that hand over to another node their results, which only the state gets."""
        for values in update.values():
            for one in values if isinstance(values, list) else [values]:
                results = [m for m in messages_of(one) if isinstance(m, ToolMessage)]
                for lane in self._lanes.values():
                    lane.end_calls(results)

    def _lane(self, path: TaskPath) -> _Lane:
        with self._lock:
            if path not in self._lanes:
                above = self.turn_of(path[:-1])
                stream = partial(_LaneStream, callbacks=self._callbacks, clients=self.clients)
                self._lanes[path] = _Lane(above, stream, path[-1], self._tools)
            return self._lanes[path]

    def _close(self, path: TaskPath, *, failed: bool) -> None:
        with self._lock:
            lane = self._lanes.pop(path, None)
            if lane is not None:
                lane.close(failed=failed)


class _Lane:
    """One run of a node that is a graph."""

    def __init__(
        self,
        above: Turn | None,
        stream: Callable[[Turn], _LaneStream],
        task: str,
        known_calls: Collection[str],
    ) -> None:
        """``known_calls``: ids of the calls that the user has seen from another worker."""
        self._name, _, task_id = task.rpartition(":")
        # The task's id is the same behind a question, and on another worker; providers take few
        # characters.
        self._call_id = SUBGRAPH_CALL + task_id.replace("-", "")
        self._above = above
        self._stack = ExitStack()
        self._stream: _LaneStream | None = None
        self.turn: Turn | None = None
        if above is None:
            return
        try:
            child = above.child(self._name, self._call_id, current=False)
            self.turn = self._stack.enter_context(child)
        except TurnError:
            return  # there are too many
        self._stream = stream(self.turn)
        if self._call_id not in known_calls:
            above.emit(ToolCall(self._name, self._call_id, {}))

    @property
    def texts(self) -> list[str]:
        """The texts of its messages so far."""
        return self._stream.texts if self._stream is not None else []

    @property
    def answer(self) -> str:
        """The text of its last message, if that has no calls."""
        return self._stream.answer if self._stream is not None else ""

    def take(self, mode: str, data: Any) -> None:
        """Send a part of what it streams."""
        if self._stream is not None:
            self._stream.take(mode, data)

    def end_calls(self, results: Sequence[ToolMessage]) -> None:
        """Send the results that its calls do not have yet."""
        for result in results:
            if self._stream is not None and self._stream.waits_for(result.tool_call_id):
                self._stream.take("messages", (result, {}))

    def close(self, *, failed: bool) -> None:
        """It has come to its end: send the result of its call."""
        self._stack.close()
        if self._above is None or self.turn is None or self._above.cancelled:
            return
        text = "\n\n".join(self.texts)[:MAX_RESULT_CHARS]
        output = {"error": "The sub-agent failed."} if failed else text
        status = "error" if failed else "complete"
        self._above.emit(ToolResult(self._name, self._call_id, output, status))  # type: ignore[arg-type] # one of the two


class _LaneStream(GraphStream):
    """Remembers what it has said."""

    def __init__(self, turn: Turn, callbacks: ModelCallbacks, clients: Collection[str]) -> None:
        super().__init__(turn, callbacks)
        self.clients = clients
        self.texts: list[str] = []
        self.answer = ""

    def end_message(self, text: str, *, calls: bool) -> None:
        """Keep the message's text."""
        if text:
            self.texts.append(text)
        self.answer = "" if calls else text

    def waits_for(self, call_id: str) -> bool:
        """Whether a call has no result yet."""
        return call_id in self._tools and call_id not in self._finished


def _path_of(namespace: Sequence[str]) -> TaskPath:
    """The tasks of a namespace; its numbers count the graphs that one task runs."""
    return tuple(one for one in namespace if not one.isdecimal())
