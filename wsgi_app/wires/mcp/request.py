"""What an MCP client posts: one JSON-RPC message, and the names in it that say where to look."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import Annotated, Any, Final, Literal, NamedTuple, Optional, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from wsgi_app.events import encode_json
from wsgi_app.web.ids import SESSION_ID_PATTERN, SessionId

#: Versions whose clients begin with `initialize`, oldest first.
HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
#: From it on a stream's first event is its position, with empty data.
PRIMING_VERSION: Final = "2025-11-25"
#: The version whose every request says by itself what its client can.
STATELESS_VERSION: Final = "2026-07-28"
#: The one tool.
TOOL: Final = "ask"

_META: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = f"{_META}protocolVersion"
CAPABILITIES_KEY: Final = f"{_META}clientCapabilities"
SERVER_KEY: Final = f"{_META}serverInfo"

MAX_POSITION_CHARS: Final = 4096
_SESSION: Final = re.compile(r"[ep]-[A-Za-z0-9_-]{22}\Z", re.ASCII)
_POSITION: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_POSITION_CHARS}}}\Z", re.ASCII)
_QUESTION: Final = re.compile(r"([bvjo])\.([\x21-\x2d\x2f-\x7e]{1,128})\.(.{1,128})\Z", re.ASCII)
_SENTINEL: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=\Z", re.ASCII)

#: The name of a request, or of a stream of progress; nothing else is read from it.
Name = Union[int, Annotated[str, Meta(max_length=256)]]


class Message(Struct):
    """A request, a notification (without an id), or a response to one of the server's requests."""

    jsonrpc: Literal["2.0"]
    id: Union[Name, UnsetType] = UNSET
    method: Union[Annotated[str, Meta(max_length=256)], UnsetType] = UNSET
    params: Optional[dict[str, Any]] = None
    result: Any = UNSET
    error: Any = UNSET

    @property
    def meta(self) -> dict[str, Any]:
        """What stands beside the parameters."""
        found = (self.params or {}).get("_meta")
        return found if isinstance(found, dict) else {}

    @property
    def progress_token(self) -> Optional[Name]:
        """The name under which the client wants to hear of progress."""
        token = self.meta.get("progressToken")
        is_short = not isinstance(token, str) or len(token) <= 256  # noqa: PLR2004 - as of `Name`
        return token if type(token) in (int, str) and is_short else None


class AskArguments(Struct):
    """The arguments of the tool."""

    message: Annotated[str, Meta(min_length=1)]
    session: Optional[SessionId] = None


def read_arguments(params: dict[str, Any]) -> AskArguments:
    """Read a call's arguments; raises ValueError with what is wrong."""
    try:
        return msgspec.convert(params.get("arguments") or {}, AskArguments)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)[:200]) from None


def elicits(capabilities: Any) -> bool:
    """Whether a client can show its user a form."""
    found = capabilities.get("elicitation") if isinstance(capabilities, dict) else None
    return isinstance(found, dict) and (not found or "form" in found)


# -- names


class ClientSession(NamedTuple):
    """A client's name for its connection, which says what it can: any worker knows it."""

    elicits: bool
    text: str

    @classmethod
    def new(cls, *, elicits: bool) -> ClientSession:
        """Make one."""
        return cls(elicits, f"{'e' if elicits else 'p'}-{secrets.token_urlsafe(16)}")

    @classmethod
    def parse(cls, text: str) -> ClientSession:
        """Read one; raises ValueError for anybody else's."""
        if _SESSION.match(text) is None:
            raise ValueError("not a session of this server")
        return cls(text[0] == "e", text)

    def call_name(self, request_id: Name) -> str:
        """A request's name among all of its tenant's."""
        digest = hashlib.sha256(encode_json([self.text, request_id])).hexdigest()
        return f"mcp:{digest}"


#: How a client is asked: in the stream, by a result that its next request answers, or in text.
Asks = Literal["stream", "result", "text"]


class StreamPosition(NamedTuple):
    """Where a reader of a call's stream stands: all that is needed to continue, on any worker."""

    session_id: str
    turn: int
    seq: int
    #: Of the run, see `wsgi_app.events.Cursor`.
    mark: str
    request_id: Name
    token: Optional[Name]
    asks: Asks
    stateless: bool

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(encode_json(self)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> StreamPosition:
        """Read one; raises ValueError for what is none."""
        if _POSITION.match(text) is None:
            raise ValueError("not an event's id of this server")
        try:
            json = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            found = msgspec.json.decode(json, type=cls)
        except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
            raise ValueError("not an event's id of this server") from None
        if (
            found.turn < 1
            or found.seq < 0
            or re.match(SESSION_ID_PATTERN, found.session_id) is None
        ):
            raise ValueError("not an event's id of this server")
        return found


class QuestionName(NamedTuple):
    """A question's name for the client, which says how its answer is to be read."""

    #: Of `Form`.
    kind: str
    request_id: str
    session_id: str

    def __str__(self) -> str:
        return ".".join(self)

    @classmethod
    def parse(cls, text: Any) -> QuestionName:
        """Read one; raises ValueError for anybody else's."""
        match = _QUESTION.match(text) if isinstance(text, str) else None
        if match is None or re.match(SESSION_ID_PATTERN, match[3]) is None:
            raise ValueError("not a question of this server")
        return cls(match[1], match[2], match[3])


def header_value(text: Optional[str]) -> Optional[str]:
    """A header's value, which may be in base64; None for what cannot be read."""
    match = _SENTINEL.match(text or "")
    if match is None:
        return text
    try:
        return base64.b64decode(match[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
