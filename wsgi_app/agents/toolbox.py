"""The tools of one agent, and the run of a step's calls, at the same time."""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Union

from wsgi_app.agents.shown_call import shown_call
from wsgi_app.agents.tool_call import CallRefused, CallRequest
from wsgi_app.agents.tools import AnyTool, Tool, describe_error, lane_of, on_crash_of
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.call import Call, inside_call
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.errors import TurnError
from wsgi_app.events import ToolCall, ToolResult

log = logging.getLogger("wsgi_app")

#: A step's further calls wait until those before them are done.
MAX_CALLS_AT_ONCE: Final = 16

#: What the model hears of a call in flight when its worker died.
OUTCOME_UNKNOWN: Final = (
    "the process that ran this call is gone: whether it was done is unknown. "
    "Find out before you call it again."
)
INTERRUPTED: Final = "A call was interrupted, and may have been done or not."
AGAIN_SCHEMA: Final[dict[str, Any]] = {"type": "boolean"}

#: Calls with their places in their step.
_Lane = list[tuple[int, CallRequest]]
#: Results with the calls' places, and the ends of the threads that made them.
_Finished = queue.SimpleQueue[Union[tuple[int, ToolResult], Future[None]]]


class Toolbox:
    """Tools by their names; read by any thread.

    Raises ValueError when two tools have the same name.
    """

    def __init__(self, tools: Sequence[AnyTool | Callable[..., Any]]) -> None:
        #: All tools, in the order given.
        self.tools: list[AnyTool] = [_as_tool(tool) for tool in tools]
        self._by_name = {tool.name: tool for tool in self.tools}
        if len(self._by_name) < len(self.tools):
            names = sorted(tool.name for tool in self.tools)
            raise ValueError(f"two tools have the same name: {names}")

    def run(
        self,
        turn: Turn,
        calls: Sequence[CallRequest],
        begun: Callable[[], None] = lambda: None,
    ) -> Generator[ToolCall | ToolResult, None, list[ToolResult]]:
        """Yield the calls' events, run them, yield each result when it is there; answer all.

        One call runs in the turn's thread, several in threads of their own, but for those that
        share a lane, see `lane_of`. Whatever is wrong with a call, and every exception of a tool
        but a TurnError, becomes a result of status ``error`` that the model can correct. The answer
        is in the order of ``calls``. ``begun`` is called before any of them runs.
        """
        for call in calls:
            yield ToolCall(call.tool, call.call_id, parse_object(call.arguments) or {})
        begun()
        return (yield from self._run(turn, calls))

    def go_on(
        self, turn: Turn, calls: Sequence[CallRequest], known: Mapping[str, ToolResult]
    ) -> Generator[ToolResult, None, list[ToolResult]]:
        """Run those calls of a step again that have no result and may; yield their results.

        Another worker has begun them. What happens to each is its tool's ``on_crash``. Returns the
        results of all, in the order of ``calls``.
        """
        results = dict(known)
        again = []
        for call in calls:
            if call.call_id in known:
                continue
            if self._may_run_again(turn, call):
                again.append(call)
            else:
                results[call.call_id] = _unknown(call)
                yield results[call.call_id]
        for result in (yield from self._run(turn, again)):
            results[result.call_id] = result
        return [results[call.call_id] for call in calls]

    def _may_run_again(self, turn: Turn, call: CallRequest) -> bool:
        tool = self._by_name.get(call.tool)
        if tool is None:
            return True  # it only learns that there is none
        if getattr(tool, "asks_first", False) and turn.records.is_asked_by(call.call_id):
            return True  # it has not begun
        on_crash = on_crash_of(tool)
        if on_crash == "ask":
            shown = shown_call(tool.name, parse_object(call.arguments) or {})
            answer = turn.ask(f"{INTERRUPTED} Run {shown} again?", AGAIN_SCHEMA)
            return may_again(answer)
        return on_crash == "retry"

    def _run(
        self, turn: Turn, calls: Sequence[CallRequest]
    ) -> Generator[ToolResult, None, list[ToolResult]]:
        results: dict[int, ToolResult] = {}
        for index, result in self._results(turn, calls):
            results[index] = result
            yield result
        return [results[index] for index in range(len(calls))]

    def _results(
        self, turn: Turn, calls: Sequence[CallRequest]
    ) -> Iterator[tuple[int, ToolResult]]:
        if len(calls) == 1:
            yield 0, self._result(turn, calls[0])
            return
        for start in range(0, len(calls), MAX_CALLS_AT_ONCE):
            batch = calls[start : start + MAX_CALLS_AT_ONCE]
            for index, result in self._run_at_once(turn, batch):
                yield start + index, result

    def _run_at_once(
        self, turn: Turn, calls: Sequence[CallRequest]
    ) -> Iterator[tuple[int, ToolResult]]:
        finished: _Finished = queue.SimpleQueue()
        for lane in self._lanes(calls):
            future = turn.start_thread(partial(self._run_lane, turn, lane, finished))
            future.add_done_callback(finished.put)
        for _ in calls:
            done = finished.get()
            while isinstance(done, Future):  # a lane's end, which may be the turn's
                turn.check()
                done.result()
                done = finished.get()
            turn.check()
            yield done

    def _lanes(self, calls: Sequence[CallRequest]) -> list[_Lane]:
        """The calls by what runs them: each one by itself, or several one after the other."""
        lanes: list[_Lane] = []
        shared: dict[int, _Lane] = {}
        for numbered in enumerate(calls):
            key = lane_of(self._by_name.get(numbered[1].tool))
            if key is not None and id(key) in shared:
                shared[id(key)].append(numbered)
                continue
            lanes.append([numbered])
            if key is not None:
                shared[id(key)] = lanes[-1]
        return lanes

    def _run_lane(self, turn: Turn, lane: _Lane, finished: _Finished) -> None:
        for index, call in lane:
            finished.put((index, self._result(turn, call)))

    def _result(self, turn: Turn, call: CallRequest) -> ToolResult:
        try:
            context = Call(call.key, call.call_id, call.tool, turn.attempt)
            with turn.inside_tool(call.call_id), inside_call(context):
                turn.records.confirm()
                output = self._find(call.tool).prepare(turn, call).run()
        except TurnError:
            raise  # the tool ends the turn on purpose
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if not isinstance(error, CallRefused):
                where = (call.tool, turn.turn_id, turn.session_id)
                log.warning("tool %s failed in turn %s of %s", *where, exc_info=True)
            output = {"error": describe_error(error)}
            return ToolResult(call.tool, call.call_id, output, status="error")
        return ToolResult(call.tool, call.call_id, output)

    def _find(self, name: str) -> AnyTool:
        tool = self._by_name.get(name)
        if tool is None:
            known = ", ".join(self._by_name) or "none"
            raise CallRefused(f"there is no tool {name!r}; the tools are: {known}")
        return tool


def may_again(answer: Any) -> bool:
    """Whether the user's answer lets an interrupted call run again."""
    return answer is True or str(answer).strip().lower() in ("yes", "y", "true", "ok")


def _unknown(call: CallRequest) -> ToolResult:
    return ToolResult(call.tool, call.call_id, {"error": OUTCOME_UNKNOWN}, status="error")


def _as_tool(tool: AnyTool | Callable[..., Any]) -> AnyTool:
    return tool if isinstance(tool, AnyTool) else Tool(tool)
