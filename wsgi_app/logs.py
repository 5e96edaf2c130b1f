"""Lines of the log that machines read: one for each turn's end, and the stand-alone app's format.

A site's own set-up of logging is left alone: the host only writes to its loggers.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO, Union

from wsgi_app.compat.python import TextHandler

LogFormat = Literal["text", "json"]
Fields = Mapping[str, Union[str, int, float]]

#: One line for each turn's end, at the level INFO; WARNING for a dead worker's.
turns_log: Final = logging.getLogger("wsgi_app.turns")

#: Where a record keeps the fields of its line, for a site's own formatter.
FIELDS_ATTRIBUTE: Final = "agent_turn"
_TURN_ENDED: Final = "turn ended"
#: Nothing that ends a line, a field or a JSON string; as long as any tracing system's.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}", re.ASCII)
#: A URL; the groups are shown: scheme, host and port. Keys stand in paths, too.
_URL: Final = re.compile(r"(\b[a-z]+://)(?:[^/@?#\s]*@)?([^/?#\s]*)\S*", re.ASCII)
_HTTP_CLIENTS: Final = (
    *("httpx", "httpx2", "httpcore", "httpcore2"),
    *("mcp.client.streamable_http", "mcp.client.sse"),
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~:@-]+", re.ASCII)


def request_id(sent: str | None) -> str:
    """The id that a request came with, if it is sane, else a new one."""
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent
    return secrets.token_hex(16)


def log_turn(fields: Fields, log_format: LogFormat, level: int = logging.INFO) -> None:
    """Write the line of a turn's end."""
    if turns_log.isEnabledFor(level):
        line = _as_json({"message": _TURN_ENDED, **fields})
        if log_format == "text":
            words = (f"{name}={_as_word(value)}" for name, value in fields.items())
            line = " ".join((_TURN_ENDED, *words))
        turns_log.log(level, "%s", line, extra={FIELDS_ATTRIBUTE: dict(fields)})


def set_up(log_format: LogFormat) -> None:
    """Show the host's own lines on stderr, unless somebody has said where lines go.

    For an application that is nobody else's: the stand-alone one.
    """
    logger = logging.getLogger("wsgi_app")
    if logger.hasHandlers():
        return
    handler = _StderrHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else _TextFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class UrlFilter(logging.Filter):
    """Leaves of the URLs that clients of HTTP log the scheme, the host and the port."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record's arguments; every record passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_secrets, record.args))
        return True


def hide_urls_secrets() -> None:
    """Remove the keys of URLs from the HTTP clients' lines, for all handlers; once is enough."""
    for name in _HTTP_CLIENTS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, UrlFilter) for known in logger.filters):
            logger.addFilter(UrlFilter())


def _without_secrets(value: object) -> object:
    text = str(value) if type(value).__name__ == "URL" else value
    if not isinstance(text, str) or "://" not in text:
        return value
    return _URL.sub(r"\1\2/…", text)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (RFC 3339), level, logger and message; a turn's fields; an exception's traceback."""
        fields = getattr(record, FIELDS_ATTRIBUTE, None)
        line: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if fields is None else _TURN_ENDED,
            **(fields or {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _as_json(line)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        return _rfc3339(record.created)


class _StderrHandler(TextHandler):
    """Writes to what is stderr at the time, as logging's last resort does."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override] # looked up, not kept
        return sys.stderr


def _as_word(value: str | float) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _as_json(line: Mapping[str, Any]) -> str:
    # In ASCII: U+2028 and the like end a line for some readers.
    return json.dumps(line, default=str)


def _rfc3339(epoch_seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_seconds))
    return f"{whole}.{int(epoch_seconds % 1 * 1000):03d}Z"
