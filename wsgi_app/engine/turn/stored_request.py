"""A turn's request as another worker gets it: through the store."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context
from importlib import import_module
from typing import Any, Final, Literal, Optional

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from wsgi_app.attachments import Attachment
from wsgi_app.config import Settings
from wsgi_app.engine.turn.request import TurnRequest
from wsgi_app.events import ClientTool, encode_json
from wsgi_app.store.base import BeginTurn, Message

log = logging.getLogger("wsgi_app")

#: What is larger is not kept for another worker: a client's own history may be megabytes.
MAX_REQUEST_BYTES: Final = 262_144


class StoredAttachment(Struct, frozen=True, kw_only=True):
    """A file that is kept, or that is elsewhere: its bytes are not for the store."""

    media_type: str
    name: str
    url: str
    file_id: str
    stored_bytes: int


class StoredRequest(Struct, frozen=True, kw_only=True):
    """The part of a `TurnRequest` that goes to the other worker."""

    message: str
    metadata: dict[str, Any]
    on_disconnect: Literal["cancel", "continue"]
    history: Optional[list[Message]]
    regenerates: bool
    passing: bool
    request_id: str
    orphan_seconds: Optional[float]
    client_tools: tuple[ClientTool, ...] = ()
    ephemeral: bool = False
    attachments: tuple[StoredAttachment, ...] = ()
    #: Of the code that has begun it, see `Settings.code_version`.
    code: str = ""


def code_of(settings: Settings) -> str:
    """What workers must have in common to continue each other's turns."""
    return f"{import_module('wsgi_app').__version__} {settings.code_version}"


def encode_request(request: TurnRequest, code: str = "") -> bytes:
    """Write a request for another worker."""
    own = ("code", "attachments")
    names = [name for name in StoredRequest.__struct_fields__ if name not in own]
    attachments = tuple(
        StoredAttachment(
            media_type=one.media_type,
            name=one.name,
            url=one.url,
            file_id=one.file_id,
            stored_bytes=one.stored_bytes,
        )
        for one in request.attachments
    )
    fields = {name: getattr(request, name) for name in names}
    return encode_json(StoredRequest(code=code, attachments=attachments, **fields))


def decode_request(
    json: bytes, app_context: Callable[[], AbstractContextManager[Any]]
) -> tuple[TurnRequest, str]:
    """Read a request of another worker, and the version of its code.

    Its files are to be opened by `GivenFiles.bound`.
    """
    stored = msgspec.json.decode(json, type=StoredRequest)
    fields = msgspec.structs.asdict(stored)
    code = fields.pop("code")
    kept = fields.pop("attachments")
    fields["attachments"] = tuple(Attachment(**msgspec.structs.asdict(one)) for one in kept)
    request = TurnRequest(**fields, app_context=app_context, context=Context(), adopted=True)
    return request, code


def may_be_kept(request: TurnRequest) -> bool:
    """Whether another worker could continue a turn.

    The bytes of what came inside the request are not for the store: its turn is its worker's
    alone, as is one with an agent of its own.
    """
    is_elsewhere = all(one.file_id or one.url for one in request.attachments)
    return is_elsewhere and request.agent is None


@functools.lru_cache(maxsize=1)
def _warn_of_attachments() -> None:
    """Say once why such turns are lost with their worker."""
    log.warning(
        "turns whose files came inside the request end with their worker: files that are sent by"
        " POST /files are there for the next one"
    )


def keep_for_others(
    request: TurnRequest, claim: BeginTurn, code: str
) -> tuple[TurnRequest, BeginTurn]:
    """Have the store keep what another worker continues from, where possible."""
    if not may_be_kept(request):
        if request.attachments:
            _warn_of_attachments()
        return request, claim
    json = encode_request(request, code)
    if len(json) > MAX_REQUEST_BYTES:
        return request, claim
    return replace(request, resumes=True), replace(claim, resume=json)
