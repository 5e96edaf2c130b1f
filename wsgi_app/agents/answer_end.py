"""How a model's answer has ended: whole, cut, filtered, broken off; the same for every agent.

Only the provider's reason ends an answer. Reasons are compared in lower case; those of the APIs and
their known synonyms mean what the chat API says, every other one is a failure: a word that nobody
here knows is no success. An answer without a reason broke off. Of one that has its reason:

- ``length``: whole calls run, a text is followed by a status that says it is cut off, and anything
  else is no answer;
- ``content_filter``: an error, whatever came before;
- ``tool_calls`` without a call: malformed;
- ``stop``: calls run even so, since some servers say nothing else. Without a call and without text,
  in this answer and in those before it in the turn, there is no answer, whatever the model thought.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.upstream_errors import (
    UnusableAnswerError,
    cut_answer,
    filtered_answer,
    incomplete_answer,
    malformed_answer,
    missing_answer,
    missing_calls,
)
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.events import AnyEvent, Status

#: Why an answer ended, in the words of the chat API.
STOP: Final = "stop"
LENGTH: Final = "length"
TOOL_CALLS: Final = "tool_calls"
CONTENT_FILTER: Final = "content_filter"

CUT_OFF: Final = "The answer is cut off: it reached the model's length limit."

_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    STOP: (
        *("stop", "eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "end"),
        *("complete", "completed", "finish", "finished", "done", "pause_turn"),
    ),
    TOOL_CALLS: ("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"),
    LENGTH: (
        *("length", "max_tokens", "max_length", "max_output_tokens", "max_completion_tokens"),
        *("model_length", "model_context_window_exceeded", "context_length_exceeded"),
    ),
    CONTENT_FILTER: (
        *("content_filter", "content_filtered", "safety", "image_safety", "recitation", "language"),
        *("blocklist", "prohibited_content", "image_prohibited_content", "spii", "sensitive"),
        *("guardrail_intervened", "refusal", "error_toxic", "model_armor"),
    ),
}
_REASONS: Final = {name: reason for reason, names in _SYNONYMS.items() for name in names}
#: What some servers write where others write null.
_NOT_YET: Final = frozenset({"", "null", "none"})
#: What a reason must look like to be shown to the client: a word, and not a text.
_WORD: Final = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)


def end_reason(given: Any) -> str | None:
    """The reason for an answer's end in the words of the chat API; None for none yet.

    Raises UpstreamError for one that reports a failure, which is any that is not known.
    """
    word = given.strip().lower() if isinstance(given, str) else str(given or "")
    if word in _NOT_YET:
        return None
    reason = _REASONS.get(word)
    if reason is None:
        is_plain_word = _WORD.fullmatch(word)
        raise UnusableAnswerError(
            "The model gave up its answer.", {"finish_reason": word if is_plain_word else "unknown"}
        )
    return reason


def check_end(
    reason: str | None,
    *,
    has_text: bool,
    has_spoken: bool,
    calls: Sequence[CallRequest],
    emit: Callable[[str | AnyEvent], None],
) -> None:
    """Check an answer at its end, and tell the user if its text is cut off.

    ``has_text``: whether the answer has any; ``has_spoken``: whether it or one before it in the
    turn has. Raises UpstreamError if the answer is not whole, or is none.
    """
    if reason is None:
        raise incomplete_answer()
    if reason == CONTENT_FILTER:
        raise filtered_answer()
    if reason == LENGTH:
        if any(parse_object(call.arguments) is None for call in calls):
            raise cut_answer()
        if not calls and not has_text:
            raise cut_answer()
        if not calls:
            emit(Status(CUT_OFF))
    if any(not call.tool for call in calls):
        raise malformed_answer()
    if reason == TOOL_CALLS and not calls:
        raise missing_calls()
    if not calls and not has_spoken:
        raise missing_answer()
