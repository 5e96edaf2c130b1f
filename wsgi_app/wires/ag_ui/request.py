"""What an AG-UI client posts: a message to answer, or the answer to an interrupt."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal, NamedTuple, Optional

from msgspec import Meta, Struct

from wsgi_app.attachments import read_base64
from wsgi_app.web.ids import SessionId
from wsgi_app.wires.shared.media import Media, read_media

#: So many answers are looked at; there is one question at a time.
MAX_ANSWERS: Final = 16
_TAG_DIGITS: Final = 12
_INTERRUPT: Final = re.compile(
    r"(approval|input)-([1-9][0-9]{0,9})-([0-9a-f]{12})-([\x21-\x7e]{1,128})\Z", re.ASCII
)
_INDEX: Final = re.compile(r"[0-9]{1,4}\Z", re.ASCII)
_VERSION: Final = re.compile(r"([0-9]{1,3})\.[0-9]{1,3}\Z", re.ASCII)

RunId = Annotated[str, Meta(min_length=1, max_length=256)]


class RunMessage(Struct, rename={"tool_call_id": "toolCallId"}):
    """A message of the client's thread."""

    role: str = ""
    content: Any = None
    tool_call_id: Any = None
    error: Any = None


class ResumeEntry(Struct, rename={"interrupt_id": "interruptId"}):
    """The client's word on one interrupt."""

    interrupt_id: str
    status: Literal["resolved", "cancelled"] = "resolved"
    payload: Any = None


class RunBody(
    Struct,
    rename={
        "thread_id": "threadId",
        "run_id": "runId",
        "protocol_version": "protocolVersion",
        "forwarded_props": "forwardedProps",
    },
):
    """The body of ``POST /ag-ui``."""

    thread_id: SessionId
    run_id: RunId
    messages: list[RunMessage]
    protocol_version: Optional[str] = None
    state: Any = None
    context: Optional[list[Any]] = None
    forwarded_props: Any = None
    resume: Optional[list[ResumeEntry]] = None
    tools: Any = None

    @property
    def speaks_1(self) -> bool:
        """Whether the client knows what came with version 1.0."""
        match = _VERSION.match(self.protocol_version or "")
        return match is not None and int(match[1]) >= 1

    def newest_message(self) -> str:
        """The text of the user's newest message; '' if it has none."""
        asked = [message for message in self.messages if message.role == "user"]
        return _text(asked[-1].content) if asked else ""

    def newest_media(self) -> list[Media]:
        """What came with it; raises ValueError for what cannot be taken."""
        asked = [message for message in self.messages if message.role == "user"]
        parts = asked[-1].content if asked else None
        found = map(_media, parts if isinstance(parts, list) else ())
        return [one for one in found if one is not None]

    def tool_answers(self) -> list[RunAnswer]:
        """What the page's tools gave, at the end of the messages: the answer to one request."""
        results: list[dict[str, Any]] = []
        interrupt: InterruptId | None = None
        for message in reversed(self.messages):
            found = ToolCallId.parse(message.tool_call_id) if message.role == "tool" else None
            if found is None or (interrupt is not None and found.interrupt != interrupt):
                break
            interrupt = found.interrupt
            output = message.error if isinstance(message.error, str) else message.content
            is_error = isinstance(message.error, str)
            results.append({"index": found.number, "output": output, "is_error": is_error})
        return [] if interrupt is None else [RunAnswer(interrupt, results)]

    def count_user_messages(self) -> int:
        """How many messages of the user the client shows."""
        return sum(message.role == "user" for message in self.messages)

    def metadata(self) -> dict[str, Any]:
        """What the agent gets: the forwarded properties, and the page's state and context."""
        page = {name: value for name in ("state", "context") if (value := getattr(self, name))}
        return page | (self.forwarded_props if isinstance(self.forwarded_props, dict) else {})


def in_camel_case(body: dict[str, Any]) -> dict[str, Any]:
    """The same body with the protocol's names, for one that has Python's.

    Microsoft's AGUIChatClient 1.7 sends ``thread_id`` and ``run_id``.
    """
    named = {_camel(name): value for name, value in body.items()}
    entries = named.get("resume")
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        named["resume"] = [{_camel(name): entry[name] for name in entry} for entry in entries]
    return named


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


class InterruptId(NamedTuple):
    """A question's name for the client, which says where to look."""

    kind: str
    turn: int
    #: Of the run that began the turn.
    tag: str
    request_id: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.turn}-{self.tag}-{self.request_id}"

    @classmethod
    def parse(cls, text: str) -> InterruptId:
        """Read an id; raises ValueError for anybody else's."""
        match = _INTERRUPT.match(text)
        if match is None:
            raise ValueError("not an interrupt's id")
        return cls(match[1], int(match[2]), match[3], match[4])


class ToolCallId(NamedTuple):
    """A call of the page's tools, by its name for the client."""

    interrupt: InterruptId
    number: int

    def __str__(self) -> str:
        return f"{self.interrupt}.{self.number}"

    @classmethod
    def parse(cls, text: Any) -> ToolCallId | None:
        """Read an id; None for anybody else's."""
        interrupt, _, index = str(text).rpartition(".")
        if _INDEX.match(index) is None:
            return None
        try:
            return cls(InterruptId.parse(interrupt), int(index))
        except ValueError:
            return None


class RunAnswer(NamedTuple):
    """The answer to a question of this session."""

    interrupt: InterruptId
    value: Any


def read_answers(entries: list[ResumeEntry]) -> list[RunAnswer]:
    """The answers among the client's words; other ids are left out."""
    found = []
    for entry in entries[:MAX_ANSWERS]:
        try:
            interrupt = InterruptId.parse(entry.interrupt_id)
        except ValueError:
            continue
        found.append(RunAnswer(interrupt, _answer_value(interrupt, entry)))
    return found


def run_tag(run_id: str) -> str:
    """What distinguishes this run's messages from those of all other runs in the client's thread.

    A session that was forgotten counts its turns from 1 again, while the client keeps its messages.
    """
    return hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:_TAG_DIGITS]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _media(part: Any) -> Media | None:
    """What a part holds; None for one of text. Raises ValueError."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "binary":  # of clients before 1.0
        return _binary(part)
    if kind in (None, "text"):
        return None
    source = part.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        raise ValueError("Expected parts of text, images and documents")
    value, media_type = str(source.get("value")), str(source.get("mimeType") or "")
    if source.get("type") == "data":
        return read_base64(value, media_type.lower())
    if source.get("type") == "file":
        return value
    return read_media(value, "", is_image=kind == "image")


def _binary(part: dict[str, Any]) -> Media:
    media_type, name = str(part.get("mimeType") or "").lower(), str(part.get("filename") or "")
    if isinstance(part.get("data"), str):
        return read_base64(part["data"], media_type, name)
    if isinstance(part.get("id"), str):
        return str(part["id"])
    return read_media(str(part.get("url")), name, is_image=media_type.startswith("image/"))


def _answer_value(interrupt: InterruptId, entry: ResumeEntry) -> Any:
    if interrupt.kind == "approval":
        return entry.status == "resolved" and _approval(entry.payload)
    return entry.payload if entry.status == "resolved" else None


def _approval(payload: Any) -> bool | str:
    if not isinstance(payload, dict):
        return payload if isinstance(payload, (bool, str)) else False
    if payload.get("approved") is True:
        return True
    # A no with its reason, which must not be taken for a yes by what it says.
    reason = payload.get("reason")
    return f"No: {reason}" if isinstance(reason, str) and reason.strip() else False
