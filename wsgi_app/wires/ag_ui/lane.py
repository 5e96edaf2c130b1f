"""What one agent says and calls: a run's own, or a sub-agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsgi_app.events import Thinking, Token, encode_json

#: Sends a frame of this kind.
Put = Callable[..., None]
#: The name of what begins with the event of this seq.
Name = Callable[[str, int], str]


class Lane:
    """An agent's messages and calls, in order; used by one thread."""

    def __init__(self, put: Put, name: Name) -> None:
        self._put = put
        self._name = name
        self._text: type[Token | Thinking] | None = None
        self._text_seq = 0
        self._is_open = False  # whether the client knows of the text
        self._parent: str | None = None  # the message that the next call belongs to

    def add_text(self, event: Token | Thinking, seq: int) -> None:
        """Say or think more."""
        if self._text is not type(event):
            self.close_text()
            self._text, self._text_seq = type(event), seq
        if not event.content:
            return
        if not self._is_open:
            self._open_text()
        kind = "TEXT_MESSAGE" if isinstance(event, Token) else "REASONING_MESSAGE"
        self._put(f"{kind}_CONTENT", messageId=self._text_id(), delta=event.content)

    def _open_text(self) -> None:
        self._is_open = True
        message = self._text_id()
        if self._text is Token:
            self._parent = message
            self._put("TEXT_MESSAGE_START", messageId=message, role="assistant")
        else:
            self._put("REASONING_START", messageId=message)
            self._put("REASONING_MESSAGE_START", messageId=message, role="reasoning")

    def _text_id(self) -> str:
        return self._name("msg" if self._text is Token else "think", self._text_seq)

    def close_text(self) -> None:
        """End the message that is open, if one is."""
        if self._is_open:
            message = self._text_id()
            if self._text is Token:
                self._put("TEXT_MESSAGE_END", messageId=message)
            else:
                self._put("REASONING_MESSAGE_END", messageId=message)
                self._put("REASONING_END", messageId=message)
        self._text, self._is_open = None, False

    def add_call(self, call_id: str, tool: str, value: dict[str, Any]) -> None:
        """Call a tool."""
        self.close_text()
        parent = {} if self._parent is None else {"parentMessageId": self._parent}
        self._put("TOOL_CALL_START", toolCallId=call_id, toolCallName=tool, **parent)
        self._put("TOOL_CALL_ARGS", toolCallId=call_id, delta=encode_json(value).decode())
        self._put("TOOL_CALL_END", toolCallId=call_id)
        # Without a message of its own the client names one after the call.
        self._parent = self._parent or call_id

    def add_result(self, call_id: str, output: Any) -> None:
        """Have a tool's result; what is said next is another message."""
        self.leave_message()
        content = output if isinstance(output, str) else encode_json(output).decode()
        message = call_id.replace("call", "result", 1)
        self._put("TOOL_CALL_RESULT", messageId=message, toolCallId=call_id, content=content)

    def leave_message(self) -> None:
        """Have the next call belong to none of the messages so far."""
        self.close_text()
        self._parent = None
