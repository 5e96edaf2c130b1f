"""Agentao's events as the turn's own, and its questions as the turn's questions."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Union

from agentao.cancellation import CancellationToken
from agentao.transport import AgentEvent, EventType, NullTransport
from agentao.transport.confirmation import gate_note

from wsgi_app.agents.approvals import approval_prompt, approval_schema, is_approval
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnCancelled, TurnError
from wsgi_app.events import AnyEvent, Status, Thinking, ToolCall, ToolResult, Usage

_Translation = Callable[[dict[str, Any]], Union[str, AnyEvent, None]]
_TEXTS: Final[dict[EventType, _Translation]] = {
    EventType.LLM_TEXT: lambda data: data["chunk"],
    EventType.THINKING: lambda data: Thinking(data["text"]),
    EventType.LLM_RETRY: lambda data: Status(
        f"The model provider fails, and is asked again in {data['delay_s']:g} s."
    ),
    EventType.COMPACTION_STARTED: lambda _: Status("The conversation is being summarized."),
    EventType.AGENT_START: lambda data: Status(f"{data['agent']} starts: {data['task']}"),
    EventType.AGENT_END: lambda data: Status(f"{data['agent']} has ended: {data['state']}"),
}

#: What the agent's log calls the cancel of a turn.
CANCEL_REASON: Final = "the turn has ended"


class TurnEvents:
    """One turn's side of the transport.

    Called from the turn's thread and from those of tools and sub-agents; ``_lock`` guards which
    calls are announced. The rest is written by the turn's thread, or once.
    """

    def __init__(self, turn: Turn, token: CancellationToken) -> None:
        self._turn = turn
        self._token = token
        self._lock = threading.Lock()
        self._announced: set[str] = set()
        self._asks = threading.local()
        self._translations: dict[EventType, _Translation] = {
            **_TEXTS,
            EventType.TOOL_CONFIRMATION: self._confirmation,
            EventType.TOOL_START: self._call,
            EventType.TOOL_COMPLETE: self._completion,
            EventType.TOOL_RESULT: self._result,
            EventType.LLM_CALL_COMPLETED: self._model_answer,
        }
        #: Why the turn must end, whatever the agent makes of it.
        self.failure: TurnError | None = None
        #: What the model's provider did wrong in the last request.
        self.model_error: BaseException | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the turn has ended before the agent's answer has."""
        return self._token.is_cancelled

    def send(self, event: AgentEvent) -> None:
        """Send what an event of the agent means to the turn, if anything."""
        translate = self._translations.get(event.type)
        item = None if translate is None else translate(event.data)
        if item is None:
            return
        try:
            self._turn.emit(item)
        except TurnError as error:
            self._fail(error)
        except TurnCancelled:
            self._token.cancel(CANCEL_REASON)

    def ask(self, prompt: str, schema: dict[str, Any] | None) -> Any:
        """Ask the user; None also when no answer comes, and the turn is about to end."""
        try:
            return self._turn.ask(prompt, schema)
        except TurnError as error:
            self._fail(error)
        except TurnCancelled:
            # The agent itself does not survive it, but stops by its token in good order.
            self._token.cancel(CANCEL_REASON)
        return None

    def confirm(self, tool: str, arguments: dict[str, Any], note: str | None) -> bool:
        """Ask whether a tool may run."""
        prompt = approval_prompt(tool, arguments)
        call_id = getattr(self._asks, "call_id", "")
        answer = self.ask(f"{note}\n{prompt}" if note else prompt, approval_schema(call_id))
        return is_approval(answer)

    def _fail(self, error: TurnError) -> None:
        self.failure = self.failure or error
        self._token.cancel(CANCEL_REASON)

    # -- what each event means

    def _confirmation(self, data: dict[str, Any]) -> ToolCall | None:
        self._asks.call_id = data["call_id"]
        return self._call(data)

    def _call(self, data: dict[str, Any]) -> ToolCall | None:
        call_id = data["call_id"]
        with self._lock:
            if call_id in self._announced:
                return None  # its confirmation came first
            self._announced.add(call_id)
        return ToolCall(data["tool"], call_id, data["args"])

    def _result(self, data: dict[str, Any]) -> ToolResult:
        output = bounded_json(data.get("content"))
        if data["status"] == "ok":
            return ToolResult(data["tool"], data["call_id"], output)
        output = {"error": output or data.get("error") or data["status"]}
        return ToolResult(data["tool"], data["call_id"], output, status="error")

    def _completion(self, data: dict[str, Any]) -> ToolResult | None:
        # A sub-agent's tool reports no result; that of the others follows.
        return self._result(data) if "child_task_id" in data else None

    def _model_answer(self, data: dict[str, Any]) -> None:
        if data["status"] != "ok":
            # The event has the error's text alone, but is sent while the error is handled.
            self.model_error = sys.exc_info()[1]
            return
        given, taken = data["prompt_tokens"] or 0, data["completion_tokens"] or 0
        self._turn.add_usage(Usage(given, taken, given + taken))


class SessionTransport(NullTransport):
    """The transport of one session's agent: the present turn's; silent between turns.

    Called from any of the agent's threads; ``events`` is set by the turn's thread alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: TurnEvents | None = None

    def emit(self, event: AgentEvent) -> None:
        """Take one of the agent's events."""
        if self.events is not None:
            self.events.send(event)
        super().emit(event)

    def confirm_tool(self, tool_name: str, description: str, args: dict[str, Any]) -> bool:
        """Ask the user whether a tool may run; nobody allows what runs between turns."""
        del description  # the tool's own, for the model; a gate's is the note
        return self.events is not None and self.events.confirm(tool_name, args, gate_note())

    def ask_user(
        self,
        question: str,
        *,
        header: str | None = None,
        options: list[str] | None = None,
        multiple: bool = False,
        allow_custom: bool = True,
    ) -> str:
        """Ask the user what the model wants to know."""
        del header
        if self.events is None:
            return "[nobody can be asked now]"
        prompt = f"{question}\n({' / '.join(options)})" if options else question
        schema = _answer_schema(options or (), multiple=multiple, allow_custom=allow_custom)
        answer = self.events.ask(prompt, schema)
        if isinstance(answer, list):
            return ", ".join(map(str, answer))
        return "" if answer is None else str(answer)


def _answer_schema(options: Sequence[str], *, multiple: bool, allow_custom: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if options:
        schema["examples" if allow_custom else "enum"] = list(options)
    return {"type": "array", "items": schema} if multiple else schema
