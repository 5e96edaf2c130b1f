"""What the AI SDK's transport posts: a message, a repeated one, or the answer to a question."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NamedTuple, Optional, Union

from msgspec import Meta, Struct

from wsgi_app.web.ids import SessionId
from wsgi_app.wires.shared.asked import ASK_TOOL
from wsgi_app.wires.shared.media import Media, read_media

#: A call of the page's own tools: the request for it, and its place there.
_CALL: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,4})\Z", re.ASCII)
#: So many of a message's answers are looked at, the newest first.
MAX_ANSWERS: Final = 16


#: What a client calls a request of its own.
RequestName = Annotated[str, Meta(min_length=1, max_length=128)]


class UIMessage(Struct):
    """A message as the front end holds it."""

    id: str = ""
    role: str = ""
    parts: list[dict[str, Any]] = []


class AiSdkChatBody(Struct, rename={"message_id": "messageId"}):
    """The body of ``POST /ai-sdk/chat``; ``message`` alone may stand for ``messages``."""

    id: SessionId
    messages: list[UIMessage] = []
    message: Optional[UIMessage] = None
    trigger: Optional[str] = None
    message_id: Optional[str] = None
    #: What the page runs: by their names, or a list.
    tools: Any = None
    #: For the agent.
    metadata: Optional[dict[str, Any]] = None


class SendFrame(
    Struct,
    tag="send",
    tag_field="type",
    kw_only=True,
    rename={"request_id": "requestId", "message_id": "messageId"},
):
    """A message, or the answer to a question, over a WebSocket."""

    request_id: RequestName
    id: SessionId
    messages: list[UIMessage] = []
    trigger: Optional[str] = None
    message_id: Optional[str] = None
    body: dict[str, Any] = {}
    metadata: Any = None


class ResumeFrame(
    Struct, tag="resume", tag_field="type", kw_only=True, rename={"request_id": "requestId"}
):
    """Asks for the running turn, from its start."""

    request_id: RequestName
    id: SessionId


class AbortFrame(
    Struct, tag="abort", tag_field="type", kw_only=True, rename={"request_id": "requestId"}
):
    """Ends the turn of a request."""

    request_id: RequestName


Frame = Union[SendFrame, ResumeFrame, AbortFrame]


class Submission(NamedTuple):
    """A user's message to answer, for the first time or again."""

    text: str
    message_id: str
    #: Whether it takes the place of a message that was answered, or stays and is answered again.
    kind: str
    #: How many user's messages the client shows, up to this one; None if it does not tell.
    user_messages: int | None
    #: What came with it.
    media: list[Media]


class Answer(NamedTuple):
    """The answer to a question."""

    request_id: str
    value: Any


class Continuation(NamedTuple):
    """An assistant message to continue; ``answers`` are those in it, the newest first."""

    message_id: str
    answers: list[Answer]


def read_request(body: AiSdkChatBody) -> Submission | Continuation:
    """What the client wants; raises ValueError when there is no message."""
    messages = [body.message] if body.message is not None else body.messages
    if not messages:
        raise ValueError("there is no message")
    named = [m for m in messages if body.message_id and m.id == body.message_id]
    target = named[-1] if named and body.trigger != "regenerate-message" else messages[-1]
    if target.role == "assistant":
        return Continuation(target.id, _answers(target))
    if target.role != "user":
        raise ValueError("the last message is not the user's")
    kind = "new"
    if body.trigger == "regenerate-message":
        kind = "regenerate"
    elif named:
        kind = "edit"
    shown = messages[: messages.index(target) + 1]
    users = sum(message.role == "user" for message in shown)
    shown_users = None if body.message else users
    return Submission(_text(target), target.id, kind, shown_users, _media(target))


def _text(message: UIMessage) -> str:
    texts = [part.get("text") for part in message.parts if part.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _media(message: UIMessage) -> list[Media]:
    """The files of a message; raises ValueError."""
    found: list[Media] = []
    for part in message.parts:
        if part.get("type") == "file":
            url, name = part.get("url"), part.get("filename")
            is_image = str(part.get("mediaType")).startswith("image/")
            named = name if isinstance(name, str) else ""
            found.append(read_media(str(url), named, is_image=is_image))
    return found


def _answers(message: UIMessage) -> list[Answer]:
    found = [answer for part in reversed(message.parts) if (answer := _answer(part)) is not None]
    return [*_results(message), *found][:MAX_ANSWERS]


def _results(message: UIMessage) -> list[Answer]:
    """What the page's tools gave, by the requests for them, the newest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in message.parts:
        match = _CALL.match(str(part.get("toolCallId")))
        if match is None or part.get("state") not in ("output-available", "output-error"):
            continue
        is_error = part["state"] == "output-error"
        output = part.get("errorText") if is_error else part.get("output")
        result = {"index": int(match[2]), "output": output, "is_error": is_error}
        found.setdefault(match[1], []).append(result)
    return [Answer(request_id, results) for request_id, results in reversed(found.items())]


def _answer(part: dict[str, Any]) -> Answer | None:
    if part.get("state") == "approval-responded":
        return _approval(part.get("approval"))
    is_question = part.get("type") == f"tool-{ASK_TOOL}" or (
        part.get("type") == "dynamic-tool" and part.get("toolName") == ASK_TOOL
    )
    call_id = part.get("toolCallId")
    if not is_question or not isinstance(call_id, str):
        return None
    if part.get("state") == "output-available":
        return Answer(call_id, part.get("output"))
    if part.get("state") == "output-error":
        return Answer(call_id, _refusal(part.get("errorText")))
    return None


def _approval(approval: Any) -> Answer | None:
    if not isinstance(approval, dict) or not isinstance(approval.get("id"), str):
        return None
    approved = approval.get("approved") is True
    return Answer(approval["id"], approved or _refusal(approval.get("reason")))


def _refusal(reason: Any) -> bool | str:
    """A no; with its reason, which must not be taken for a yes by what it says."""
    return f"No: {reason}" if isinstance(reason, str) and reason.strip() else False
