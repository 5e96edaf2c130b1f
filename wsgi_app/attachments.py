"""Images and files that come with a user's message."""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import re
from collections.abc import Callable
from typing import BinaryIO, Final, Optional

from msgspec import Struct

_DATA_URL: Final = re.compile(
    r"data:([a-z0-9.+/-]{1,100})(?:;[a-z0-9=.+-]{1,100}){0,4};base64,", re.IGNORECASE
)
_HTTP_URL: Final = re.compile(r"https?://[\x21-\x7e]{1,2000}\Z", re.ASCII)
#: How the content of each type begins.
_BEGINNINGS: Final[dict[str, Callable[[bytes], bool]]] = {
    "image/png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "image/gif": lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    "image/webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
    "application/pdf": lambda data: data.startswith(b"%PDF-"),
}
_TEXT_TYPE: Final = re.compile(r"text/[a-z0-9.+-]{1,60}\Z", re.ASCII)
#: What clients say that do not know.
_UNSAID: Final = ("", "application/octet-stream", "application/x-www-form-urlencoded")
KNOWN: Final = frozenset(_BEGINNINGS)
KNOWN_TYPES: Final = ", ".join([*_BEGINNINGS, "text/*"])
#: So much of a file shows what it is.
HEAD_BYTES: Final = 16
#: So many come with one message at most.
MAX_ATTACHMENTS: Final = 10


class Attachment(Struct, frozen=True, kw_only=True):
    """An image or a file: its bytes, or where it is, which the host never fetches itself."""

    media_type: str
    name: str = ""
    #: Its bytes, where they came with the message; those of a stored file are behind `open`.
    data: bytes = b""
    #: Where it is, for the model's provider to fetch; '' for one that came whole.
    url: str = ""
    #: The stored file's id, '' for one that is none.
    file_id: str = ""
    stored_bytes: int = 0
    #: Opens the stored file.
    opener: Optional[Callable[[], BinaryIO]] = None

    @property
    def size(self) -> int:
        """How many bytes it has; 0 for one that is elsewhere."""
        return self.stored_bytes or len(self.data)

    @property
    def is_image(self) -> bool:
        """Whether it is an image."""
        return self.media_type.startswith("image/")

    def open(self) -> BinaryIO:
        """Its bytes, to read; raises OSError where a stored file cannot be read."""
        return io.BytesIO(self.data) if self.opener is None else self.opener()

    def read(self) -> bytes:
        """All of its bytes."""
        with self.open() as file:
            return file.read()

    def as_url(self) -> str:
        """Where it is, or all of it as a data URL."""
        return self.url or f"data:{self.media_type};base64,{base64.b64encode(self.read()).decode()}"


class ContentCheck:
    """Looks whether content is of its type while it comes; used by one thread.

    Images and PDF are known by how they begin, text by being UTF-8 without a zero byte.
    """

    def __init__(self, declared: str) -> None:
        """``declared``: what it is said to be; nothing and octets are whatever is found.

        Raises ValueError for a type that is not taken.
        """
        self._declared = declared.partition(";")[0].strip().lower()
        if self._declared in _UNSAID:
            self._declared = ""
        elif self._declared not in _BEGINNINGS and _TEXT_TYPE.match(self._declared) is None:
            raise ValueError(f"Expected one of {KNOWN_TYPES}")
        self._head = b""
        self._found = ""
        self._is_no_text = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """Look at the next piece; raises ValueError."""
        if not self._found:
            self._head += data[: HEAD_BYTES - len(self._head)]
            if len(self._head) >= HEAD_BYTES:
                self._decide()
        if not self._found or self._found.startswith("text/"):
            self._look_at_text(data)

    def finish(self) -> str:
        """The type that it has; raises ValueError."""
        if not self._head:
            raise ValueError("Expected content")
        if not self._found:
            self._decide()
        if self._found.startswith("text/"):
            self._look_at_text(b"", final=True)
        return self._found

    def _decide(self) -> None:
        known = [name for name, fits in _BEGINNINGS.items() if fits(self._head)]
        self._found = known[0] if known else "text/plain"
        if self._declared.startswith("text/") and not known:
            self._found = self._declared
        if self._declared not in ("", self._found):
            raise ValueError(f"Expected content that is {self._declared}")
        if self._found.startswith("text/") and self._is_no_text:
            raise self._no_text()

    def _look_at_text(self, data: bytes, *, final: bool = False) -> None:
        try:
            is_text = "\0" not in self._decoder.decode(data, final)
        except UnicodeDecodeError:
            is_text = False
        self._is_no_text = self._is_no_text or not is_text
        if self._found and self._is_no_text:
            raise self._no_text()

    def _no_text(self) -> ValueError:
        return ValueError(f"Expected content that is {self._declared or 'one of ' + KNOWN_TYPES}")


def read_url(text: str, name: str = "") -> Attachment:
    """Read a data URL, or note where an image is.

    Raises ValueError for what is neither, or is not what it says.
    """
    if _HTTP_URL.match(text):
        return Attachment(media_type="image/*", name=name, url=text)
    match = _DATA_URL.match(text)
    if match is None:
        raise ValueError("Expected a data URL in base64, or one of http")
    return read_base64(text[match.end() :], match[1].lower(), name)


def read_base64(text: str, media_type: str, name: str = "") -> Attachment:
    """Read content in base64; raises ValueError for what is not of its type."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("Expected base64") from None
    is_fitting = _BEGINNINGS.get(media_type, _is_text if media_type.startswith("text/") else None)
    if is_fitting is None:
        raise ValueError(f"Expected one of {KNOWN_TYPES}")
    if not is_fitting(data):
        raise ValueError(f"Expected content that is {media_type}")
    return Attachment(media_type=media_type, name=name[:255], data=data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
