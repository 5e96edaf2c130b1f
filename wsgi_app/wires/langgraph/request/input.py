"""A run's input: the user's newest message, and what the agent gets beside it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsgi_app.attachments import MAX_ATTACHMENTS, Attachment, read_base64, read_url
from wsgi_app.events import encode_json

MAX_MESSAGE_ID_CHARS: Final = 128
_USERS: Final = ("human", "user")
_MEDIA: Final = ("image", "audio", "video", "file")


class RunInput(NamedTuple):
    """What a run answers."""

    message: str
    #: The client's name for it; '' if it gave none.
    message_id: str
    attachments: tuple[Attachment, ...]
    #: What else is in the input.
    values: dict[str, Any]


def read_input(value: Any, *, takes_attachments: bool) -> RunInput:
    """Read a run's input, a state or messages alone; raises ValueError.

    An input without messages is for a graph of another state: it is the message, as JSON.
    """
    if isinstance(value, str):
        value = [{"type": "human", "content": value}]
    if isinstance(value, list):
        value = {"messages": value}
    if not isinstance(value, dict) or not value:
        raise ValueError("Expected a state, or messages")
    messages = value.get("messages")
    if isinstance(messages, (str, dict)):
        messages = [messages]
    if not isinstance(messages, list):
        return RunInput(encode_json(value).decode(), "", (), value)
    found = next((one for one in map(_as_message, reversed(messages)) if one is not None), None)
    if found is None:
        raise ValueError("Expected a user's message")
    text, attachments = _read_content(found.get("content"), takes_attachments=takes_attachments)
    if not text.strip():
        raise ValueError("Expected a user's message with text")
    message_id = found.get("id")
    named = isinstance(message_id, str) and 0 < len(message_id) <= MAX_MESSAGE_ID_CHARS
    others = {name: value[name] for name in value if name != "messages"}
    return RunInput(text, str(message_id) if named else "", attachments, others)


def _as_message(message: Any) -> dict[str, Any] | None:
    """A user's message in any of the forms that LangChain takes; None for another's."""
    if isinstance(message, str):
        return {"content": message}
    if isinstance(message, list) and len(message) == 2:  # noqa: PLR2004 - role and content
        message = {"role": message[0], "content": message[1]}
    if not isinstance(message, dict):
        return None
    # What langchain-core's dumps makes has its fields one level below.
    fields = message.get("kwargs") if message.get("type") == "constructor" else message
    if not isinstance(fields, dict):
        return None
    kind = fields.get("type") or fields.get("role")
    return fields if kind in _USERS else None


def _read_content(content: Any, *, takes_attachments: bool) -> tuple[str, tuple[Attachment, ...]]:
    if isinstance(content, str):
        return content, ()
    texts: list[str] = []
    attachments: list[Attachment] = []
    for block in content if isinstance(content, list) else []:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, dict) and block.get("type") == "text":
            texts.append(str(block.get("text") or ""))
        elif isinstance(block, dict):
            attachments.append(_read_attachment(block, takes_attachments=takes_attachments))
    if len(attachments) > MAX_ATTACHMENTS:
        raise ValueError(f"Expected {MAX_ATTACHMENTS} attachments at most")
    return "\n".join(texts), tuple(attachments)


def _read_attachment(block: dict[str, Any], *, takes_attachments: bool) -> Attachment:
    kind = block.get("type")
    if kind == "image_url":
        inner = block.get("image_url")
        block = {"url": inner.get("url") if isinstance(inner, dict) else inner}
    elif kind not in _MEDIA:
        raise ValueError(f"Expected text, images or files, not {str(kind)[:40]}")
    if not takes_attachments:
        raise ValueError("The agent accepts text alone")
    metadata = block.get("metadata") if isinstance(block.get("metadata"), dict) else {}
    name = str((metadata or {}).get("filename") or (metadata or {}).get("name") or "")
    data, url = block.get("base64") or block.get("data"), block.get("url")
    if isinstance(data, str):
        return read_base64(data, str(block.get("mime_type", "")).lower(), name)
    if isinstance(url, str):
        return read_url(url, name)
    raise ValueError("Expected the content itself, or a URL")
