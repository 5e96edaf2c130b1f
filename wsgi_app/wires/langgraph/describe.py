"""The routes of LangGraph's thread protocol, and what they answer."""

from __future__ import annotations

from typing import Any, Final, Literal, Optional, Union

from msgspec import UNSET, Struct, UnsetType

from wsgi_app.web.operation import (
    BEGIN_CODES,
    BODY_CODES,
    JSON,
    READ_CODES,
    STORE_CODES,
    TURN_CODES,
    Content,
    Events,
    Header,
    Operation,
    Reply,
    answers,
)
from wsgi_app.wires.langgraph.request.commands import CommandBody
from wsgi_app.wires.langgraph.request.events import EventsBody
from wsgi_app.wires.langgraph.request.runs import ThreadRunBody
from wsgi_app.wires.langgraph.request.state import HistoryBody
from wsgi_app.wires.langgraph.request.threads import (
    AssistantBody,
    AssistantSearchBody,
    CheckpointBody,
    SearchBody,
    StateBody,
    ThreadBody,
    ThreadChangeBody,
    VersionsBody,
)

GROUP: Final = "LangGraph"


class Refusal(Struct):
    """Why a request was refused."""

    error: str
    code: str
    message: str
    detail: str
    details: dict[str, Any]
    id: None = None
    type: Literal["error"] = "error"


class CommandMeta(Struct):
    """What a command's answer says of the stream: nothing."""

    applied_through_seq: int


class CommandDone(Struct, tag="success", tag_field="type"):
    """The command was performed."""

    id: int
    result: dict[str, Any]
    meta: CommandMeta


class CommandRefused(Struct, tag="error", tag_field="type"):
    """The command was not."""

    id: int
    error: Literal[
        "invalid_argument",
        "unknown_command",
        "no_such_interrupt",
        "no_such_run",
        "no_such_checkpoint",
        "not_supported",
        "unknown_error",
    ]
    message: str


class EventParams(Struct):
    """Where and when, and what of the channel."""

    namespace: list[str]
    timestamp: int
    data: Any
    node: Union[str, UnsetType] = UNSET


class ThreadEvent(Struct, tag="event", tag_field="type"):
    """An event of a channel."""

    event_id: str
    seq: int
    method: Literal[
        "values",
        "updates",
        "messages",
        "tools",
        "lifecycle",
        "input.requested",
        "input.answered",
        "checkpoints",
        "custom",
    ]
    params: EventParams


class Checkpoint(Struct):
    """Which state of the thread it is."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    checkpoint_map: Optional[dict[str, Any]]


class ThreadState(Struct):
    """A thread's state."""

    values: dict[str, Any]
    next: list[str]
    tasks: list[dict[str, Any]]
    interrupts: list[dict[str, Any]]
    checkpoint: Checkpoint
    parent_checkpoint: Checkpoint
    metadata: dict[str, Any]
    created_at: str


class Run(Struct):
    """A run."""

    run_id: str
    thread_id: str
    assistant_id: str
    created_at: str
    updated_at: str
    status: Literal["pending", "running", "success", "error", "interrupted"]
    metadata: dict[str, Any]
    multitask_strategy: str
    kwargs: dict[str, Any]


COMMANDS: Final = Operation(
    group=GROUP,
    body=CommandBody,
    replies=answers(Union[CommandDone, CommandRefused]),
    codes=(*BODY_CODES, *BEGIN_CODES),
)
EVENTS: Final = Operation(
    group=GROUP,
    body=EventsBody,
    replies={200: Reply("The thread's events.", (Events(data=(ThreadEvent,), numbered=True),))},
    codes=(*BODY_CODES, *READ_CODES),
)
STATE: Final = Operation(
    group=GROUP,
    replies=answers(ThreadState),
    codes=("invalid_request", "not_found", "at_capacity", *STORE_CODES),
)
STATE_POST: Final = Operation(
    group=GROUP,
    body=StateBody,
    body_optional=True,
    replies=answers(ThreadState),
    codes=(*BODY_CODES, "not_found", "at_capacity", *STORE_CODES),
)
HISTORY: Final = Operation(
    group=GROUP,
    body=HistoryBody,
    body_optional=True,
    replies=answers(list[ThreadState]),
    codes=(*BODY_CODES, "not_found", "at_capacity", *STORE_CODES),
)
RUNS: Final = Operation(
    group=GROUP,
    query={"limit": int, "offset": int, "status": str},
    replies=answers(list[Run]),
    codes=("invalid_request", "not_found", *STORE_CODES),
)
RUN: Final = Operation(
    group=GROUP,
    replies=answers(Run),
    codes=("invalid_request", "not_found", *STORE_CODES),
)
CANCEL: Final = Operation(
    group=GROUP,
    replies=answers(Run, "The run, which was ended, or had ended."),
    codes=("invalid_request", "not_found", *STORE_CODES),
)


class Assistant(Struct):
    """The hosted agent."""

    assistant_id: str
    graph_id: str
    name: str
    description: Optional[str]
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    version: int
    created_at: str
    updated_at: str


class ThreadDocument(Struct):
    """A thread."""

    thread_id: str
    created_at: str
    updated_at: str
    state_updated_at: str
    metadata: dict[str, Any]
    status: Literal["idle", "busy", "interrupted", "error"]
    config: dict[str, Any]
    values: Optional[dict[str, Any]]
    interrupts: dict[str, Any]


_HISTORY_CODES: Final = ("at_capacity", *STORE_CODES)
_TEXT: Final = {"type": "string"}
_RUN_URL: Final = Header("Content-Location", "The run, below the client's own base.", _TEXT)
_STREAM_URL: Final = Header("Location", "Its stream, to continue.", _TEXT)
_URLS: Final = (_RUN_URL, _STREAM_URL)
_STREAM: Final = {200: Reply("The run's events.", (Events(data=(Any,), numbered=True),), _URLS)}
_VALUES: Final = {200: Reply("The state.", (Content(JSON, dict[str, Any]),), _URLS)}
_BEGINS: Final = (*BODY_CODES, *BEGIN_CODES, "no_pending_input", "not_found")

ASSISTANTS: Final = Operation(
    group=GROUP, body=AssistantBody, replies=answers(Assistant), codes=BODY_CODES
)
ASSISTANTS_SEARCH: Final = Operation(
    group=GROUP,
    body=AssistantSearchBody,
    body_optional=True,
    replies=answers(list[Assistant]),
    codes=BODY_CODES,
)
ASSISTANTS_COUNT: Final = Operation(
    group=GROUP,
    body=AssistantSearchBody,
    body_optional=True,
    replies=answers(int),
    codes=BODY_CODES,
)
VERSIONS: Final = Operation(
    group=GROUP,
    body=VersionsBody,
    body_optional=True,
    replies=answers(list[Assistant]),
    codes=BODY_CODES,
)
ASSISTANT_CHANGE: Final = Operation(group=GROUP, replies={}, codes=("method_not_allowed",))
ASSISTANT: Final = Operation(group=GROUP, replies=answers(Assistant))
ASSISTANT_PART: Final = Operation(group=GROUP, replies=answers(dict[str, Any]))
THREADS: Final = Operation(
    group=GROUP,
    body=ThreadBody,
    body_optional=True,
    replies=answers(ThreadDocument),
    codes=(*BODY_CODES, "session_busy", "too_many_sessions", "not_found", *_HISTORY_CODES),
)
THREAD_CHANGE: Final = Operation(
    group=GROUP,
    body=ThreadChangeBody,
    replies=answers(ThreadDocument),
    codes=(*BODY_CODES, "session_busy", "not_found", *_HISTORY_CODES),
)
THREAD_COPY: Final = Operation(
    group=GROUP,
    replies=answers(ThreadDocument, "The copy."),
    codes=("invalid_request", "too_many_sessions", "not_found", *_HISTORY_CODES),
)
THREAD: Final = Operation(
    group=GROUP,
    replies=answers(ThreadDocument),
    codes=("invalid_request", "not_found", "at_capacity", *STORE_CODES),
)
THREAD_DELETE: Final = Operation(
    group=GROUP,
    replies={204: Reply("It is forgotten.")},
    codes=("invalid_request", *STORE_CODES),
)
THREADS_SEARCH: Final = Operation(
    group=GROUP,
    body=SearchBody,
    body_optional=True,
    replies=answers(list[ThreadDocument]),
    codes=(*BODY_CODES, "at_capacity", *STORE_CODES),
)
THREADS_COUNT: Final = Operation(
    group=GROUP,
    body=SearchBody,
    body_optional=True,
    replies=answers(int),
    codes=(*BODY_CODES, *STORE_CODES),
)
STATE_AT: Final = Operation(
    group=GROUP,
    body=CheckpointBody,
    replies=answers(ThreadState),
    codes=(*BODY_CODES, "not_found", "at_capacity", *STORE_CODES),
)
RUN_STREAM: Final = Operation(group=GROUP, body=ThreadRunBody, replies=_STREAM, codes=_BEGINS)
RUN_WAIT: Final = Operation(
    group=GROUP, body=ThreadRunBody, replies=_VALUES, codes=(*_BEGINS, *TURN_CODES)
)
RUN_BEGIN: Final = Operation(
    group=GROUP,
    body=ThreadRunBody,
    replies={200: Reply("The run.", (Content(JSON, Run),), (_RUN_URL,))},
    codes=_BEGINS,
)
RUN_JOIN: Final = Operation(
    group=GROUP,
    replies=_VALUES,
    codes=("invalid_request", "not_found", *READ_CODES, *TURN_CODES),
)
RUN_REJOIN: Final = Operation(
    group=GROUP,
    query={"stream_mode": str},
    headers=("Last-Event-ID",),
    replies=_STREAM,
    codes=("invalid_request", "not_found", *READ_CODES),
)
