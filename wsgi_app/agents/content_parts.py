"""A user's message with what is attached to it, as OpenAI's two APIs and LangChain take it."""

from __future__ import annotations

import base64
from typing import Any

from wsgi_app.attachments import Attachment
from wsgi_app.engine import Turn


def chat_content(turn: Turn) -> Any:
    """The content of a chat completion's message."""
    if not turn.attachments:
        return turn.message
    parts = [_chat_part(one) for one in turn.attachments]
    return [{"type": "text", "text": turn.message}, *parts]


def responses_content(turn: Turn, message: str | None = None) -> Any:
    """The content of a message item; ``message``: what is said instead of the turn's."""
    text = turn.message if message is None else message
    if not turn.attachments:
        return text
    parts = [_responses_part(one) for one in turn.attachments]
    return [{"type": "input_text", "text": text}, *parts]


def langchain_content(turn: Turn, message: str) -> Any:
    """The content of a message of LangChain's, in its own standard blocks."""
    if not turn.attachments:
        return message
    return [{"type": "text", "text": message}, *map(_langchain_part, turn.attachments)]


def _langchain_part(attachment: Attachment) -> dict[str, Any]:
    if attachment.url:
        return {"type": "image", "url": attachment.url}
    content = base64.b64encode(attachment.read()).decode()
    part = {"base64": content, "mime_type": attachment.media_type}
    if attachment.is_image:
        return {"type": "image", **part}
    return {"type": "file", **part, "filename": _name(attachment)}


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
