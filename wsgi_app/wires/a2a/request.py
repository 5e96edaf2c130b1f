"""What an A2A client sends: messages, and what it asks of its tasks."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, NamedTuple, Optional, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.attachments import MAX_ATTACHMENTS, Attachment, read_base64, read_url
from wsgi_app.events import encode_json
from wsgi_app.web.ids import SESSION_ID_PATTERN

#: The version of the protocol that the host speaks.
PROTOCOL_VERSION: Final = "1.0"
MAX_PAGE_SIZE: Final = 100
#: What is kept of a message to show it in its task.
MAX_NOTE_BYTES: Final = 65_536
_TASK: Final = re.compile(r"(.{1,128})\.([1-9][0-9]{0,9})\Z", re.ASCII)
_VERSION: Final = re.compile(r"1\.0(\.[0-9]{1,9})?\Z", re.ASCII)

TaskState = Literal[
    "TASK_STATE_SUBMITTED",
    "TASK_STATE_WORKING",
    "TASK_STATE_INPUT_REQUIRED",
    "TASK_STATE_COMPLETED",
    "TASK_STATE_FAILED",
    "TASK_STATE_CANCELED",
]
#: States that no task of a host's is ever in.
OtherState = Literal["TASK_STATE_UNSPECIFIED", "TASK_STATE_REJECTED", "TASK_STATE_AUTH_REQUIRED"]
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Length = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Part(Struct, rename="camel"):
    """A piece of a message: one of text, bytes in base64, a URL, or any JSON value."""

    text: Optional[str] = None
    raw: Optional[str] = None
    url: Optional[str] = None
    data: Any = UNSET
    filename: Optional[str] = None
    media_type: Optional[str] = None


class Message(Struct, rename="camel"):
    """What a user says."""

    message_id: Id
    role: Literal["ROLE_USER"]
    parts: Annotated[list[Part], Meta(min_length=1, max_length=100)]
    context_id: Optional[str] = None
    task_id: Optional[str] = None
    metadata: Optional[dict[str, Any]] = None


class SendConfiguration(Struct, rename="camel"):
    """How it is to be answered."""

    return_immediately: bool = False
    history_length: Optional[Length] = None
    task_push_notification_config: Any = None


class SendRequest(Struct, rename="camel"):
    """A message, and how it is to be answered."""

    message: Message
    configuration: Optional[SendConfiguration] = None
    metadata: Optional[dict[str, Any]] = None

    @property
    def settings(self) -> SendConfiguration:
        """Its configuration."""
        return self.configuration or SendConfiguration()

    def agent_metadata(self) -> dict[str, Any]:
        """What the agent gets beside the text."""
        return {**(self.metadata or {}), **(self.message.metadata or {})}


class TaskRequest(Struct, rename="camel"):
    """A task, and how much of its history is wanted."""

    id: Id
    history_length: Optional[Length] = None


class ListRequest(Struct, rename="camel"):
    """Which tasks are wanted."""

    context_id: Optional[str] = None
    status: Optional[Union[TaskState, OtherState]] = None
    page_size: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 50
    page_token: str = ""
    history_length: Optional[Length] = None
    status_timestamp_after: Optional[str] = None
    include_artifacts: bool = False


class Rpc(Struct):
    """A request of JSON-RPC."""

    jsonrpc: Literal["2.0"]
    method: Annotated[str, Meta(max_length=256)]
    id: Union[int, Annotated[str, Meta(max_length=256)], None] = None
    params: Union[dict[str, Any], UnsetType] = UNSET


class TaskRef(NamedTuple):
    """A task's name, which says where to look: a turn of a session."""

    session_id: str
    turn: int

    def __str__(self) -> str:
        return f"{self.session_id}.{self.turn}"

    @classmethod
    def parse(cls, text: str) -> TaskRef:
        """Read one; raises ValueError for what is none."""
        match = _TASK.match(text)
        if match is None or re.match(SESSION_ID_PATTERN, match[1]) is None:
            raise ValueError("not a task's id")
        return cls(match[1], int(match[2]))


class NotSupportedError(ValueError):
    """A part that the agent does not take; the text says why."""


def speaks(version: str) -> bool:
    """Whether the host speaks this version; patches do not count."""
    return _VERSION.match(version) is not None


def read_text(parts: list[Part]) -> str:
    """The text of a message; data is its JSON, and what is attached is named if it is all."""
    texts = [
        part.text if part.text is not None else encode_json(part.data).decode()
        for part in parts
        if part.text is not None or part.data is not UNSET
    ]
    files = [part for part in parts if part.raw is not None or part.url is not None]
    return "\n".join(texts) or "\n".join(map(_name_of, files))


def _name_of(part: Part) -> str:
    named = f" {part.filename}" if part.filename else ""
    return f"(attached:{named} {part.media_type or 'file'})"


def read_files(parts: list[Part]) -> tuple[Attachment, ...]:
    """The files of a message; raises NotSupportedError."""
    found = []
    for part in parts:
        try:
            if part.raw is not None:
                media_type = (part.media_type or "").partition(";")[0].strip().lower()
                found.append(read_base64(part.raw, media_type, part.filename or ""))
            elif part.url is not None:
                found.append(read_url(part.url, part.filename or ""))
        except ValueError as error:
            raise NotSupportedError(str(error)) from None
    if len(found) > MAX_ATTACHMENTS:
        raise NotSupportedError(f"Expected {MAX_ATTACHMENTS} files at most")
    return tuple(found)


def note_of(message: Message) -> bytes:
    """What is kept of a message, to show it in its task: all but bytes."""
    parts = [Part(text=_name_of(part)) if part.raw is not None else part for part in message.parts]
    kept = {"messageId": message.message_id, "parts": [_shown(part) for part in parts]}
    note = encode_json(kept if message.metadata is None else {**kept, "metadata": message.metadata})
    return note if len(note) <= MAX_NOTE_BYTES else b""


def _shown(part: Part) -> dict[str, Any]:
    fields = {
        "text": part.text,
        "url": part.url,
        "filename": part.filename,
        "mediaType": part.media_type,
    }
    shown = {name: value for name, value in fields.items() if value is not None}
    return shown if part.data is UNSET else {**shown, "data": part.data}


def read_note(note: bytes, ref: TaskRef) -> list[dict[str, Any]]:
    """The history of a task, out of what was kept; empty where nothing was."""
    if not note:
        return []
    try:
        kept = msgspec.json.decode(note, type=dict[str, Any])
    except msgspec.DecodeError:
        return []  # of another wire
    if "messageId" not in kept or "parts" not in kept:
        return []
    ids = {"contextId": ref.session_id, "taskId": str(ref), "role": "ROLE_USER"}
    return [{**kept, **ids}]
