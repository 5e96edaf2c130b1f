"""The Lua scripts: one for each verb, behind the files that it shares with others."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final, NamedTuple

_SHARED: Final = {
    **dict.fromkeys(
        (
            "begin_turn claim_turn append follow read request_cancel open_input post_input "
            "take_input close_input heartbeat settle_session describe_session delete_session"
        ).split(),
        ("session",),
    ),
    **dict.fromkeys(("finish", "mark_lost"), ("session", "ending")),
    **dict.fromkeys(
        ("admit_turn", "renew_turns", "release_turns", "list_sessions"),
        ("tenant",),
    ),
    **dict.fromkeys(
        "beat own_turn disown_turn owned_turns list_turns lost_workers leave".split(), ("workers",)
    ),
}

Argument = str | bytes | int


class Script(NamedTuple):
    """A script's text, and the name under which the server keeps it."""

    text: str
    sha: str


class Call(NamedTuple):
    """A script to run; all its keys are in one slot."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


@functools.cache
def script(verb: str) -> Script:
    """Load the script of a verb, once per process."""
    folder = resources.files("wsgi_app.store") / "lua"
    parts = (*_SHARED[verb], verb)
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    # The digest that Redis itself names scripts by; it protects nothing.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
