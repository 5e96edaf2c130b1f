"""What an MCP client gets: results, and the frames of a call's stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Optional

from msgspec import structs

from wsgi_app.errors import AgentHostError
from wsgi_app.events import (
    AnyEvent,
    Cancelled,
    Done,
    Error,
    InputRequest,
    MarkedEvent,
    NumberedEvent,
    Status,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.web.ids import SESSION_ID_PATTERN
from wsgi_app.wires.mcp.forms import form_of
from wsgi_app.wires.mcp.request import SERVER_KEY, TOOL, QuestionName, StreamPosition
from wsgi_app.wires.shared.asked import AskedQuestion

JsonObject = dict[str, Any]

#: How soon a client comes back.
RETRY_MILLISECONDS: Final = 1000
#: The name of the one question among the requests of a result.
QUESTION_KEY: Final = "question"
_TEXT: Final = {"type": "string"}
#: What the tool returns.
STRUCTURE: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "session": {**_TEXT, "description": "Names the conversation."},
        "turn_id": _TEXT,
        "status": {"enum": ["done", "input_required", "error", "cancelled"]},
        "reply": _TEXT,
        "question": {
            "type": "object",
            "properties": {"prompt": _TEXT, "schema": {"type": "object"}},
            "required": ["prompt"],
        },
        "usage": {"type": "object"},
        "error": {"type": "object"},
    },
    "required": ["status"],
}


def tool_document(max_message_chars: int) -> JsonObject:
    """The tool as `tools/list` shows it."""
    description = (
        "Ask the agent of this site, which has tools and a memory of its own. It answers in text,"
        " or asks something back."
    )
    return {
        "name": TOOL,
        "title": "Ask the agent",
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "message": {
                    **_TEXT,
                    "minLength": 1,
                    "maxLength": max_message_chars,
                    "description": "What to ask, or the answer to what the agent has asked back.",
                },
                "session": {
                    **_TEXT,
                    "pattern": SESSION_ID_PATTERN.replace(r"\Z", "$"),
                    "description": "The conversation to continue; a new one without it.",
                },
            },
            "required": ["message"],
        },
        "outputSchema": STRUCTURE,
    }


def response(request_id: Any, result: JsonObject) -> JsonObject:
    """A request's answer."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def error_response(request_id: Any, code: int, message: str, data: Any = None) -> JsonObject:
    """A request's refusal."""
    error = {"code": code, "message": message, **({} if data is None else {"data": data})}
    # Left out where it is not known: unlike JSON-RPC, MCP's schema has no null there.
    named = {} if request_id is None else {"id": request_id}
    return {"jsonrpc": "2.0", **named, "error": error}


def complete(result: JsonObject, server: JsonObject, *, stateless: bool) -> JsonObject:
    """A result as its version has it."""
    if not stateless:
        return result
    return {"resultType": "complete", **result, "_meta": {SERVER_KEY: server}}


def refusal_result(error: AgentHostError) -> JsonObject:
    """The result of a call that began nothing."""
    fault = {"code": error.code, "message": error.message, "details": error.details}
    reason = error.details.get("reason")
    text = error.message if reason is None else f"{error.message} {reason}"
    return _result([text], {"status": "error", "error": fault}, is_error=True)


def _result(texts: list[str], structure: JsonObject, *, is_error: bool = False) -> JsonObject:
    content = [{"type": "text", "text": text} for text in texts]
    marked = {"isError": True} if is_error else {}
    return {"content": content, "structuredContent": structure, **marked}


class CallEncoder:
    """Encodes a turn for one call of the tool, from a position in it on; used by one thread.

    ``seal`` signs what the client brings back with its answer.
    """

    def __init__(
        self, position: StreamPosition, server: JsonObject, seal: Callable[[str], str]
    ) -> None:
        #: The question that the last event asked, or that still waits.
        self.question: Optional[AskedQuestion] = None
        #: The answer to the call, once there is one.
        self.answer: Optional[JsonObject] = None
        self._position = position
        self._server = server
        self._seal = seal
        self._calls: set[str] = set()
        self._texts: list[str] = []
        self._asked = InputRequest("", "")

    def opening(self, *, primes: bool) -> bytes:
        """What stands before all events: the position to come back to, if the client knows it."""
        position = str(self._position)
        return (
            frame(b"", event_id=position, retry_milliseconds=RETRY_MILLISECONDS) if primes else b""
        )

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        event = numbered.event
        mark = numbered.mark if isinstance(numbered, MarkedEvent) else self._position.mark
        self._position = self._position._replace(seq=numbered.id.seq, mark=mark)
        if self.question is not None and self.question.closed_by(event):
            self.question = None
        if isinstance(event, (Token, Status)):
            if isinstance(event, Token):
                self._texts.append(event.content)
            return self._progress(event.content)
        if isinstance(event, InputRequest):
            return self._ask(event)
        if isinstance(event, (Done, Error, Cancelled)):
            return self._end(event)
        self._note(event)
        return b""

    def end_for_answer(self) -> bytes:
        """The frames of the result that asks."""
        if self._position.asks == "result":
            return self._answer(self._input_required())
        question: JsonObject = {"prompt": self._asked.prompt}
        if isinstance(self._asked.schema, dict):
            question["schema"] = self._asked.schema
        reply = "".join(self._texts)
        how = (
            f"The agent asks this. To answer, call `{TOOL}` with the answer as `message` and"
            f" {self._position.session_id!r} as `session`."
        )
        structure = self._structure("input_required", reply=reply, question=question)
        texts = [*([reply] if reply else []), self._asked.prompt, how]
        return self._answer(self._complete(_result(texts, structure)))

    def _note(self, event: AnyEvent) -> None:
        if isinstance(event, ToolCall):
            self._calls.add(event.call_id)
        elif isinstance(event, ToolResult):
            self._calls.discard(event.call_id)
        elif isinstance(event, Withdrawn):
            self._texts.clear()

    def _progress(self, text: str) -> bytes:
        position = self._position
        if position.token is None or not text:
            return b""
        params = {"progressToken": position.token, "progress": position.seq, "message": text}
        return self._frame("notifications/progress", params)

    # -- questions

    def _ask(self, event: InputRequest) -> bytes:
        self.question, self._asked = AskedQuestion(event.request_id, self._calls), event
        if self._position.asks != "stream":
            return b""  # the stream ends here, unless the question has its answer
        return self._frame("elicitation/create", self._form(), id=str(self._name()))

    def _name(self) -> QuestionName:
        kind = form_of(self._asked).kind
        return QuestionName(kind, self._asked.request_id, self._position.session_id)

    def _form(self) -> JsonObject:
        form = {"message": self._asked.prompt, "requestedSchema": form_of(self._asked).schema}
        return {"mode": "form", **form} if self._position.stateless else form

    def _input_required(self) -> JsonObject:
        asked = {"method": "elicitation/create", "params": self._form()}
        state = self._seal(f"{self._position.turn}.{self._position.seq}.{self._name()}")
        return {
            "resultType": "input_required",
            "inputRequests": {QUESTION_KEY: asked},
            "requestState": state,
            "_meta": {SERVER_KEY: self._server},
        }

    # -- the end

    def _end(self, event: Done | Error | Cancelled) -> bytes:
        if isinstance(event, Done):
            usage = {} if event.usage == Usage() else {"usage": structs.asdict(event.usage)}
            structure = self._structure("done", reply=event.reply, **usage)
            named = f"The conversation's `session` is {self._position.session_id!r}."
            return self._answer(self._complete(_result([event.reply, named], structure)))
        if isinstance(event, Cancelled):
            structure = self._structure("cancelled")
            text = "The turn was cancelled."
        else:
            fault = {"code": event.code, "message": event.message, "details": event.details}
            structure = self._structure("error", error={**fault, "retryable": event.retryable})
            text = event.message
        return self._answer(self._complete(_result([text], structure, is_error=True)))

    def _structure(self, status: str, **more: Any) -> JsonObject:
        position = self._position
        named = {"session": position.session_id, "turn_id": str(position.turn)}
        return {**named, "status": status, **more}

    def _complete(self, result: JsonObject) -> JsonObject:
        return complete(result, self._server, stateless=self._position.stateless)

    def _answer(self, result: JsonObject) -> bytes:
        self.answer = response(self._position.request_id, result)
        return self._sse(self.answer)

    def _frame(self, method: str, params: JsonObject, **more: Any) -> bytes:
        return self._sse({"jsonrpc": "2.0", **more, "method": method, "params": params})

    def _sse(self, message: JsonObject) -> bytes:
        return frame(encode_json(message), event_id=str(self._position), event="message")
