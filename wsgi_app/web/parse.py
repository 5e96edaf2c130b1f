"""Parses requests to typed values; everything else is refused with a code."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Annotated, Any, Final, TypeVar

import msgspec
from flask import Request
from msgspec import Meta

from wsgi_app.errors import RequestError
from wsgi_app.events import Cursor
from wsgi_app.web.body import read_body
from wsgi_app.web.ids import SESSION_ID_PATTERN

T = TypeVar("T")

_SESSION_ID = re.compile(SESSION_ID_PATTERN, re.ASCII)
IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}\Z"
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)
#: msgspec's words: "Expected `str`, got `int` - at `$.message`", "… field `message`".
_AT_PATH = re.compile(r"(?s)(.*) - at `(?:key in )?\$\.?([^`]*)`\Z")
_NAMED_FIELD = re.compile(r"(?s).* field `([^`]*)`")

MAX_BATCH_MILLISECONDS = 1000
MAX_ECHO_CHARS = 100
BatchMilliseconds = Annotated[float, Meta(ge=0, le=MAX_BATCH_MILLISECONDS)]


def parse_body(request: Request, kind: type[T], max_bytes: int, *, optional: bool = False) -> T:
    """Read the JSON body as ``kind``; an ``optional`` one that is missing is an empty object."""
    body = read_body(request, max_bytes)
    if not body:
        if not optional:
            raise RequestError("invalid_json", "The body is empty; send a JSON object.")
        body = b"{}"
    elif not request.is_json:
        raise RequestError("unsupported_media_type", "Send Content-Type: application/json.")
    found: T = decode_json(body, kind)
    return found


def decode_json(body: bytes | str, kind: Any) -> Any:
    """Read JSON as ``kind``; raises RequestError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        reason = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_json() from None
    try:
        msgspec.json.decode(body)  # the rest was not read, and may be no JSON at all
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_json() from None
    raise _explain(reason)


def _no_json() -> RequestError:
    return RequestError("invalid_json", "The body is not valid JSON.")


def _explain(text: str) -> RequestError:
    at_path = _AT_PATH.fullmatch(text)
    reason, field = (at_path[1], at_path[2]) if at_path else (text, "")
    named = _NAMED_FIELD.match(reason)
    if named is not None:
        field = f"{field}.{named[1]}" if field else named[1]
    return invalid(field or "body", reason)


def invalid(field: str, reason: str) -> RequestError:
    """The refusal of a request with a bad field."""
    field = field[:MAX_ECHO_CHARS]
    details = {"field": field, "reason": reason[: 2 * MAX_ECHO_CHARS]}
    return RequestError("invalid_request", f"The request is not valid: {field}.", details)


def check_session_id(session_id: str) -> str:
    """Refuse what is not a session id."""
    if _SESSION_ID.match(session_id) is None:
        raise invalid(
            "session_id", "Expected 1 to 128 of A-Z a-z 0-9 . _ ~ -, and not . or .. alone"
        )
    return session_id


def message_too_long(max_chars: int) -> RequestError:
    """The refusal of a message with more characters."""
    return invalid("message", f"Expected at most {max_chars} characters")


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and _IDEMPOTENCY_KEY.match(key) is None:
        raise invalid("Idempotency-Key", "Expected 1 to 255 printable ASCII characters")
    return key


def new_session_id(tenant: str, key: str | None) -> str:
    """Name a new session.

    With an idempotency key the name follows from it, so that a retry finds the session without a
    look-up, on any worker.
    """
    if key is None:
        return secrets.token_urlsafe(16)
    return hashlib.sha256(f"{len(tenant)}:{tenant}:{key}".encode()).hexdigest()[:32]


def last_event_id(request: Request) -> Cursor | None:
    """The reader's cursor: the Last-Event-ID header beats the query."""
    text = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    return parse_cursor(text, "last_event_id") if text else None


def parse_cursor(text: str | None, field: str) -> Cursor | None:
    """Read a cursor, which may be missing."""
    if not text:
        return None
    try:
        return Cursor.parse(text)
    except ValueError:
        raise invalid(field, "Expected an event id, <turn>-<seq>") from None


def query_value(request: Request, name: str, kind: Any, default: T) -> T:
    """A value in the query as ``kind``, which is a number, or one of some words."""
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value: T = msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(name, str(error)) from None
    return value


def batch_seconds(request: Request) -> float:
    """How long a stream may collect text before it sends it."""
    return query_value(request, "batch_ms", BatchMilliseconds, 0.0) / 1000
