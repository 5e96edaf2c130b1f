"""Files that the agent gives, as text that people read and annotations that programs do.

Every client shows the link in the text. The ``url_citation`` of it is the one annotation that both
APIs have and strict clients take (Open Responses knows no other).
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from wsgi_app.events import FileGiven

_MARKUP: Final = re.compile(r"([\\\[\]`*_<>])")


class FileLink(NamedTuple):
    """A link to a file, in Markdown."""

    text: str
    url: str
    title: str

    def citation(self, start: int) -> dict[str, Any]:
        """What points to it; ``start`` is where it stands in the message's text."""
        end = start + len(self.text)
        return {"url": self.url, "title": self.title, "start_index": start, "end_index": end}


def link_to(file: FileGiven, files_url: str) -> FileLink:
    """The link to a file, which ``files_url`` has under its id."""
    url = f"{files_url}/{file.file_id}"
    name = file.name or "file"
    shown = _MARKUP.sub(r"\\\1", name)
    return FileLink(f"[{shown}]({url})", url, name)


def paragraph_of(link: FileLink, *, behind_text: bool) -> tuple[str, int]:
    """What is added to a message's text, and where in that the link stands."""
    lead = "\n\n" if behind_text else ""
    return f"{lead}{link.text}\n\n", len(lead)
