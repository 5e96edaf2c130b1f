"""The Lua scripts: one for each verb, behind the files that it shares with others."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final, NamedTuple, Union

#: The files that stand before those of the verbs.
_SHARED: Final = {
    ("session",): {
        *("claim_turn", "append", "follow", "read", "request_cancel", "heartbeat"),
        *("offer_turn", "take_turn", "record_step"),
        *("open_input", "post_input", "take_input", "close_input"),
        *("settle_session", "state_of", "history", "delete_session", "turn_note"),
        "note_session",
    },
    ("session", "resume"): {"look_at_lost", "resume_turn"},
    ("session", "idempotency"): {"begin_turn", "note_key"},
    ("session", "steers"): {
        *("post_steer", "has_steer", "withdraw_steer", "take_steers", "refuse_steer"),
    },
    ("session", "steers", "ending"): {"finish", "mark_lost"},
    ("tenant", "starts"): {"admit_turn"},
    ("starts",): {"uncount_start"},
    ("tenant",): {
        *(
            "renew_turns",
            "release_turns",
            "release_ended",
            "move_turn",
            "list_sessions",
            "admit_session",
            "recent_sessions",
        ),
    },
    (): {"secret", "probe", "name_turn", "named_turn"},
    ("workers",): {
        *("beat", "leave", "list_workers", "lost_workers"),
        *("own_turn", "disown_turn", "list_turns", "owned_turns"),
        *("declare_lost", "gone_workers"),
    },
}

Argument = Union[str, bytes, int]


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
    folder = resources.files("wsgi_app.store.redis") / "lua"
    shared = next(files for files, verbs in _SHARED.items() if verb in verbs)
    texts = [(folder / f"{part}.lua").read_text("utf-8") for part in (*shared, verb)]
    text = "\n".join(texts)
    # The digest that Redis itself names scripts by; it protects nothing.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
