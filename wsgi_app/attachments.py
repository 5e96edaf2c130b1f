"""Images and files that come with a user's message."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable
from typing import BinaryIO, Final

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
#: So many come with one message at most.
MAX_ATTACHMENTS: Final = 10


class Attachment(Struct, frozen=True, kw_only=True):
    """An image or a file: its bytes, or where it is, which the host never fetches itself."""

    media_type: str
    name: str = ""
    data: bytes = b""
    #: Where it is, for the model's provider to fetch; '' for one that came whole.
    url: str = ""

    @property
    def size(self) -> int:
        """How many bytes it has; 0 for one that is elsewhere."""
        return len(self.data)

    @property
    def is_image(self) -> bool:
        """Whether it is an image."""
        return self.media_type.startswith("image/")

    def open(self) -> BinaryIO:
        """Its bytes, to read."""
        return io.BytesIO(self.data)

    def as_url(self) -> str:
        """Where it is, or all of it as a data URL."""
        return self.url or f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


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
        known = ", ".join([*_BEGINNINGS, "text/*"])
        raise ValueError(f"Expected one of {known}")
    if not is_fitting(data):
        raise ValueError(f"Expected content that is {media_type}")
    return Attachment(media_type=media_type, name=name[:255], data=data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
