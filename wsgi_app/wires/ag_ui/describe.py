"""The route for AG-UI clients, and the events of its stream."""

from __future__ import annotations

from typing import Any, Final, Literal, Union

from msgspec import UNSET, Struct, UnsetType

from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    Events,
    Operation,
    Reply,
)
from wsgi_app.web.parse import BatchMilliseconds
from wsgi_app.wires.ag_ui.request import RunBody
from wsgi_app.wires.shared.describe import union


class Interrupt(Struct):
    """A question, which the client's next run answers."""

    id: str
    reason: Literal["approval", "input"]
    message: str
    toolCallId: Union[str, UnsetType] = UNSET  # noqa: N815 - the protocol's name
    responseSchema: Union[dict[str, Any], UnsetType] = UNSET  # noqa: N815 - as above


class InterruptOutcome(Struct, tag="interrupt", tag_field="type"):
    """The run ends at a question."""

    interrupts: list[Interrupt]


class CancelledOutcome(Struct, tag="cancelled", tag_field="type"):
    """The run was ended from outside."""


class SuspendedOutcome(Struct, tag="suspended", tag_field="type"):
    """The run ends at a question, behind which the sub-agent goes on."""

    interruptIds: list[str]  # noqa: N815 - the protocol's name


class RunUsage(Struct):
    """Token counts."""

    inputTokens: int  # noqa: N815 - the protocol's name
    outputTokens: int  # noqa: N815 - as above
    totalTokens: int  # noqa: N815 - as above


_RUN: Final = {"threadId": str, "runId": str}
_MESSAGE: Final = {"messageId": str}
_CALL: Final = {"toolCallId": str}
_REASONING: Final = {**_MESSAGE, "role": Literal["reasoning"]}
#: The fields of each type of event.
EVENTS: Final[dict[str, dict[str, Any]]] = {
    "RUN_STARTED": {**_RUN, "protocolVersion": Union[str, UnsetType]},
    "RUN_FINISHED": {
        **_RUN,
        "outcome": Union[InterruptOutcome, CancelledOutcome, UnsetType],
        "usage": Union[list[RunUsage], UnsetType],
    },
    "RUN_ERROR": {"message": str, "code": str},
    "TEXT_MESSAGE_START": {**_MESSAGE, "role": Literal["assistant"]},
    "TEXT_MESSAGE_CONTENT": {**_MESSAGE, "delta": str},
    "TEXT_MESSAGE_END": _MESSAGE,
    "REASONING_START": _MESSAGE,
    "REASONING_MESSAGE_START": _REASONING,
    "REASONING_MESSAGE_CONTENT": {**_MESSAGE, "delta": str},
    "REASONING_MESSAGE_END": _MESSAGE,
    "REASONING_END": _MESSAGE,
    "TOOL_CALL_START": {**_CALL, "toolCallName": str, "parentMessageId": Union[str, UnsetType]},
    "TOOL_CALL_ARGS": {**_CALL, "delta": str},
    "TOOL_CALL_END": _CALL,
    "TOOL_CALL_RESULT": {**_MESSAGE, **_CALL, "content": str},
    "CUSTOM": {"name": Literal["status", "gap"], "value": dict[str, str]},
    "SUBAGENT_STARTED": {
        "name": str,
        "parentToolCallId": Union[str, UnsetType],
        "parentSubagentRunId": Union[str, UnsetType],
    },
    "SUBAGENT_FINISHED": {"outcome": Union[SuspendedOutcome, UnsetType]},
    "SUBAGENT_ERROR": {"message": str},
}
for _kind, _fields in EVENTS.items():
    if not _kind.startswith("RUN"):
        is_own = not _kind.startswith("SUBAGENT")
        EVENTS[_kind] = {**_fields, "subagentRunId": Union[str, UnsetType] if is_own else str}
RUN_EVENTS: Final = Events(data=(union("AgUi", EVENTS),))

RUN: Final = Operation(
    group="AG-UI",
    body=RunBody,
    query={"batch_ms": BatchMilliseconds},
    replies={200: Reply("The run's events.", (RUN_EVENTS,), ("X-Session-Id", "X-Turn-Id"))},
    codes=(*BODY_CODES, *BEGIN_CODES, "no_pending_input"),
)
