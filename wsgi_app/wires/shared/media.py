"""Images and files among a front end's parts of a message."""

from __future__ import annotations

import re
from typing import Final, Union

from wsgi_app.attachments import Attachment, read_url

#: Content, or the id of a file that the host keeps.
Media = Union[Attachment, str]
#: Where `POST /files` has put it, as pages name it: the host's own path.
_STORED: Final = re.compile(r"(?:[^:?#]*/)?files/([A-Za-z0-9_-]{1,128})\Z", re.ASCII)


def read_media(url: str, name: str, *, is_image: bool) -> Media:
    """What a URL holds or names; raises ValueError for what cannot be taken."""
    stored = _STORED.match(url)
    if stored is not None:
        return stored[1]
    read = read_url(url, name)
    if read.url and not is_image:
        raise ValueError("Expected the content itself, as a data URL")
    return read


def named(attachments: tuple[Attachment, ...]) -> str:
    """What stands for a message that says nothing beside what is attached."""
    return "\n".join(f"(attached: {one.name} {one.media_type})" for one in attachments)
