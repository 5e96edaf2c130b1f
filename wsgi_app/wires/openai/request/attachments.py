"""Images and files among the parts of a request's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsgi_app.attachments import MAX_ATTACHMENTS, Attachment, read_url
from wsgi_app.wires.openai.request.messages import Message, bad_request


def take_attachments(messages: Sequence[Message], field: str) -> tuple[Attachment, ...]:
    """Take those of the user's newest message, and leave the text; raises RequestError.

    Earlier ones become a note in their message: an agent gets what is new alone.
    """
    users = [at for at, one in enumerate(messages) if one.get("role") == "user"]
    found: tuple[Attachment, ...] = ()
    for index in users:
        content = messages[index].get("content")
        if isinstance(content, list):
            read = _read_all(content, f"{field}.{index}.content")
            taken = [one for one in read if isinstance(one, Attachment)]
            if len(taken) > MAX_ATTACHMENTS:
                raise bad_request(f"{field}.{index}.content", f"Expected {MAX_ATTACHMENTS} at most")
            is_newest = index == users[-1]
            found = tuple(taken) if is_newest else found
            messages[index]["content"] = _texts(read, notes=not is_newest)
    return found


def _read_all(content: list[Any], field: str) -> list[Any]:
    return [_read(part, f"{field}.{index}") for index, part in enumerate(content)]


def _read(part: Any, field: str) -> Any:
    """The attachment that a part is, or the part itself."""
    kind = part.get("type") if isinstance(part, dict) else None
    inner = part.get(kind) if kind in ("image_url", "file") else part
    if kind == "image_url" and isinstance(inner, dict):
        url, name = inner.get("url"), ""
    elif kind == "input_image":
        url, name = part.get("image_url"), ""
    elif kind in ("file", "input_file") and isinstance(inner, dict):
        url, name = inner.get("file_data"), str(inner.get("filename") or "")
    else:
        return part
    if not isinstance(url, str):
        raise bad_request(field, "Expected the content itself, as a data URL")
    try:
        read = read_url(url, name)
    except ValueError as error:
        raise bad_request(field, str(error)) from None
    if "image" in str(kind) and not read.is_image:
        raise bad_request(field, "Expected an image")
    if "image" not in str(kind) and read.url:
        raise bad_request(field, "Expected the content itself, as a data URL")
    return read


def _texts(read: list[Any], *, notes: bool) -> list[Any]:
    others = [one for one in read if not isinstance(one, Attachment)]
    if notes or not others:
        others += [_note(one) for one in read if isinstance(one, Attachment)]
    return others


def _note(attachment: Attachment) -> dict[str, str]:
    named = f" {attachment.name}" if attachment.name else ""
    return {"type": "text", "text": f"(attached:{named} {attachment.media_type})"}
