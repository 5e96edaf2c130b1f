"""The routes for A2A clients, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Union

from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    Content,
    Events,
    Header,
    Operation,
    Reply,
    answers,
)
from wsgi_app.wires.a2a.request import (
    MAX_PAGE_SIZE,
    Length,
    OtherState,
    Rpc,
    SendRequest,
    TaskState,
)


class ErrorDetail(Struct, rename={"kind": "@type", "field_violations": "fieldViolations"}):
    """More of an error, as google.rpc has it."""

    kind: str
    reason: Union[str, UnsetType] = UNSET
    domain: Union[str, UnsetType] = UNSET
    metadata: Union[dict[str, str], UnsetType] = UNSET
    field_violations: Union[list[dict[str, str]], UnsetType] = UNSET


class RpcErrorObject(Struct):
    """Why."""

    code: int
    message: str
    data: list[ErrorDetail]


class RpcRefusal(Struct):
    """A request of JSON-RPC was refused."""

    jsonrpc: Literal["2.0"]
    id: Any
    error: RpcErrorObject


class HttpErrorObject(Struct):
    """Why, as google.rpc.Status has it."""

    code: int
    status: str
    message: str
    details: list[ErrorDetail]


class HttpRefusal(Struct):
    """A request was refused."""

    error: HttpErrorObject


class TaskStatus(Struct):
    """What a task does."""

    state: TaskState
    timestamp: str
    message: Union[dict[str, Any], UnsetType] = UNSET


class Task(Struct, rename="camel"):
    """A turn of a session."""

    id: str
    context_id: str
    status: TaskStatus
    artifacts: Union[list[dict[str, Any]], UnsetType] = UNSET
    history: Union[list[dict[str, Any]], UnsetType] = UNSET
    metadata: Union[dict[str, Any], UnsetType] = UNSET


class Sent(Struct):
    """The task of a message."""

    task: Task


class TaskPage(Struct, rename="camel"):
    """Tasks, newest first."""

    tasks: list[Task]
    next_page_token: str
    page_size: int
    total_size: int


class StreamEvent(Struct, rename="camel"):
    """A task at first, then what becomes of it."""

    task: Union[Task, UnsetType] = UNSET
    status_update: Union[dict[str, Any], UnsetType] = UNSET
    artifact_update: Union[dict[str, Any], UnsetType] = UNSET


class RpcAnswer(Struct):
    """What a request of JSON-RPC came to."""

    jsonrpc: Literal["2.0"]
    id: Any
    result: Union[dict[str, Any], UnsetType] = UNSET
    error: Union[RpcErrorObject, UnsetType] = UNSET


class AgentCard(Struct, rename="camel"):
    """Where the agent is, and what it takes."""

    name: str
    description: str
    version: str
    supported_interfaces: list[dict[str, Any]]
    capabilities: dict[str, Any]
    security_schemes: dict[str, Any]
    security_requirements: list[dict[str, Any]]
    default_input_modes: list[str]
    default_output_modes: list[str]
    skills: list[dict[str, Any]]


_GROUP: Final = "A2A"
_VERSION: Final = Header("A2A-Version", "1.0, or a patch of it.", {"type": "string"})
_STREAM_HEADERS: Final = ("X-Session-Id", "X-Turn-Id")
_REFUSED: Final = (*STORE_CODES, "not_found", "invalid_request")
#: Refused by the protocol's own names.
_REFUSAL: Final = {400: Reply("It is refused by its name.", (Content(JSON, HttpRefusal),))}


def _streamed(kind: Any) -> dict[int, Reply]:
    return {200: Reply("The task's events.", (Events(data=(kind,)),), _STREAM_HEADERS)}


CARD: Final = Operation(group=_GROUP, replies={**answers(AgentCard), 304: Reply("As it was.")})
RPC: Final = Operation(
    group=_GROUP,
    body=Rpc,
    headers=(_VERSION, "Last-Event-ID"),
    replies={
        200: Reply(
            "The answer, or a task's events.",
            (Content(JSON, RpcAnswer), Events(data=(RpcAnswer,))),
        )
    },
    codes=(*BODY_CODES, *BEGIN_CODES),
)
SEND: Final = Operation(
    group=_GROUP,
    body=SendRequest,
    headers=(_VERSION,),
    replies={**answers(Sent), **_REFUSAL},
    codes=(*BODY_CODES, *BEGIN_CODES, "not_found"),
)
STREAM: Final = Operation(
    group=_GROUP,
    body=SendRequest,
    headers=(_VERSION,),
    replies={**_streamed(StreamEvent), **_REFUSAL},
    codes=(*BODY_CODES, *BEGIN_CODES, "not_found"),
)
TASK: Final = Operation(
    group=_GROUP,
    query={"historyLength": Length},
    headers=(_VERSION,),
    replies={**answers(Task), **_REFUSAL},
    codes=_REFUSED,
)
LIST: Final = Operation(
    group=_GROUP,
    query={
        "contextId": str,
        "status": Union[TaskState, OtherState],
        "pageSize": Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)],
        "pageToken": str,
        "historyLength": Length,
        "statusTimestampAfter": str,
        "includeArtifacts": bool,
    },
    headers=(_VERSION,),
    replies={**answers(TaskPage), **_REFUSAL},
    codes=_REFUSED,
)
CANCEL: Final = Operation(
    group=_GROUP, headers=(_VERSION,), replies={**answers(Task), **_REFUSAL}, codes=_REFUSED
)
SUBSCRIBE: Final = Operation(
    group=_GROUP,
    headers=(_VERSION, "Last-Event-ID"),
    replies={**_streamed(StreamEvent), **_REFUSAL},
    codes=(*READ_CODES, *_REFUSED),
)
PUSH: Final = Operation(group=_GROUP, headers=(_VERSION,), replies=_REFUSAL)
EXTENDED: Final = Operation(group=_GROUP, headers=(_VERSION,), replies=_REFUSAL)
