"""Foreign text made fit for a terminal."""

from __future__ import annotations

import json
import re
from typing import Any, Final, TextIO

#: Control characters but LF and TAB (a terminal obeys them), half characters (it cannot show them),
#: and what turns the direction of text (it makes a line read as another).
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
LINE_CHARS: Final = 160


def harmless(text: str) -> str:
    r"""Write what a terminal would obey as an escape, such as ``\x1b``; CR is left out."""
    return _UNSAFE.sub(_escaped, text)


def one_line(value: Any, max_chars: int = LINE_CHARS) -> str:
    """Write any JSON value as one harmless line of bounded length; a string stands as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Cut twice: before the work, since the text may be of megabytes, and behind it.
    line = harmless(" ".join(text[: 4 * max_chars].split()))
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits there; a closed stream is None."""
    return stream is not None and stream.isatty()


def _escaped(match: re.Match[str]) -> str:
    return "" if match[0] == "\r" else match[0].encode("unicode_escape").decode()
