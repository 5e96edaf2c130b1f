"""A user's message with what is attached to it, as the two APIs of OpenAI take it."""

from __future__ import annotations

from typing import Any

from wsgi_app.attachments import Attachment
from wsgi_app.engine import Turn


def chat_content(turn: Turn) -> Any:
    """The content of a chat completion's message."""
    if not turn.attachments:
        return turn.message
    parts = [_chat_part(one) for one in turn.attachments]
    return [{"type": "text", "text": turn.message}, *parts]


def responses_content(turn: Turn) -> Any:
    """The content of a message item."""
    if not turn.attachments:
        return turn.message
    parts = [_responses_part(one) for one in turn.attachments]
    return [{"type": "input_text", "text": turn.message}, *parts]


def _chat_part(attachment: Attachment) -> dict[str, Any]:
    url = attachment.as_url()
    if attachment.is_image:
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": _name(attachment), "file_data": url}}


def _responses_part(attachment: Attachment) -> dict[str, Any]:
    url = attachment.as_url()
    if attachment.is_image:
        return {"type": "input_image", "image_url": url}
    return {"type": "input_file", "filename": _name(attachment), "file_data": url}


def _name(attachment: Attachment) -> str:
    """Its name; providers want one."""
    return attachment.name or f"file.{attachment.media_type.rpartition('/')[2]}"
