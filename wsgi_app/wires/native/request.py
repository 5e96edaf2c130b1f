"""What clients of the native routes post, and what their queries may name."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.events import ClientTool
from wsgi_app.web.ids import MESSAGE_CHARS, RequestId, SessionId, TurnId

#: What ``?wire=`` may name.
NativeWire = Literal["native", "agentflow"]
PollWaitSeconds = Annotated[float, Meta(ge=0, le=55)]
PageSize = Annotated[int, Meta(ge=1, le=200)]
#: More would make an id longer than some proxies let a header be.
MAX_SESSIONS_PER_STREAM: Final = 100


FileId = Annotated[str, Meta(min_length=1, max_length=128)]


class PageTool(Struct, forbid_unknown_fields=True, kw_only=True):
    """A tool that the client runs, for the agent's model to call."""

    name: str
    description: str = ""
    #: The JSON schema of its arguments.
    parameters: dict[str, Any] = {}

    def as_client_tool(self) -> ClientTool:
        """The same for the agent."""
        return ClientTool(name=self.name, description=self.description, parameters=self.parameters)


class ChatBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of ``POST /chat/<session_id>``."""

    message: Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": MESSAGE_CHARS})]
    metadata: dict[str, Any] = {}
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    if_busy: Literal["reject", "enqueue", "interrupt", "steer"] = "reject"
    tools: list[PageTool] = []
    #: What `POST /files` has answered.
    files: list[FileId] = []

    def digest(self) -> str:
        """The same for a request and its retry, whatever the order of their fields."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class SteerBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST …/steer``."""

    message: Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": MESSAGE_CHARS})]


class NewChatBody(ChatBody, forbid_unknown_fields=True, kw_only=True):
    """The body of ``POST /chat``."""

    session_id: Union[SessionId, UnsetType] = UNSET


class CancelBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST …/cancel``, which may be missing."""

    turn_id: Union[TurnId, UnsetType] = UNSET


class InputBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST …/input``."""

    request_id: RequestId
    value: Any


class CallResult(Struct, forbid_unknown_fields=True, kw_only=True):
    """What came of a call; ``is_error`` says that the output says why there is no other."""

    call_id: str
    output: Any = None
    is_error: bool = False


class ToolResultBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST …/tool_result``."""

    request_id: RequestId
    results: Annotated[list[CallResult], Meta(min_length=1, max_length=128)]


class ProbeBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of ``POST /probe``."""

    frames: Annotated[int, Meta(ge=1, le=100)] = 10
    interval_ms: Annotated[int, Meta(ge=0, le=1000)] = 100
    silence_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0


# -- what a WebSocket's client sends


class MessageFrame(Struct, tag="message", tag_field="type", forbid_unknown_fields=True):
    """Starts a turn."""

    content: Annotated[str, Meta(min_length=1)]
    metadata: dict[str, Any] = {}
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    if_busy: Literal["reject", "enqueue", "interrupt", "steer"] = "reject"
    tools: list[PageTool] = []
    files: list[FileId] = []


class SteerFrame(Struct, tag="steer", tag_field="type", forbid_unknown_fields=True):
    """Says something to the turn that runs."""

    content: Annotated[str, Meta(min_length=1)]


class CancelFrame(Struct, tag="cancel", tag_field="type", forbid_unknown_fields=True):
    """Cancels what runs and waits, or the named turn."""

    turn_id: Union[TurnId, UnsetType] = UNSET


class InputFrame(Struct, tag="input", tag_field="type", forbid_unknown_fields=True):
    """Answers a question."""

    request_id: RequestId
    value: Any


class ToolResultFrame(Struct, tag="tool_result", tag_field="type", forbid_unknown_fields=True):
    """Gives what the client's tools came to."""

    request_id: RequestId
    results: Annotated[list[CallResult], Meta(min_length=1, max_length=128)]


class ResumeFrame(Struct, tag="resume", tag_field="type", forbid_unknown_fields=True):
    """Reads on after an event, or without one the running turn."""

    last_event_id: Union[str, UnsetType] = UNSET


Frame = Union[MessageFrame, SteerFrame, CancelFrame, InputFrame, ToolResultFrame, ResumeFrame]
