"""Questions, and calls of the client's tools, that a request answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Union

import msgspec

from wsgi_app.delivery.feed import Feed
from wsgi_app.events import EventId, InputRequest, ToolRequest
from wsgi_app.web.current import session_key
from wsgi_app.web.mount import Mount
from wsgi_app.wires.openai.ids import ResponseRef, call_name
from wsgi_app.wires.openai.request.messages import bad_request
from wsgi_app.wires.openai.routes.read import CATCH_UP_SECONDS, read_until


class Asked(NamedTuple):
    """A question of the agent, and its place in the turn."""

    seq: int
    event: InputRequest


class _NotAnswered:
    """Stands for no answer, since any value is one."""


NOT_ANSWERED: Final = _NotAnswered()
Answer = Union[Any, _NotAnswered]


def find_question(mount: Mount, ref: ResponseRef, *, waits: bool) -> Asked | None:
    """The first question behind a response's beginning.

    Its asker may have seen it before this worker can: a worker's own readers are ahead of the
    journal. Who is sure that there is one ``waits``.
    """
    key = session_key(ref.session_id)
    with mount.permit(key) as may_wait:
        wait_seconds = CATCH_UP_SECONDS if waits and may_wait else 0.0
        feed = Feed(mount.runner, key, EventId(ref.turn, ref.after_seq), ref.turn)
        try:
            for numbered in read_until(feed, wait_seconds):
                if isinstance(numbered.event, InputRequest):
                    return Asked(numbered.id.seq, numbered.event)
        finally:
            feed.close()
    return None


def answer_to(question: InputRequest, answers: Mapping[str, str]) -> Answer:
    """The answer among what calls gave, by their names; `NOT_ANSWERED` if none is to it.

    Raises RequestError where the results of some of its calls are missing.
    """
    if isinstance(question, ToolRequest):
        return _results(question, answers)
    text = answers.get(question.request_id)
    return NOT_ANSWERED if text is None else answer_value(question, text)


def answer_value(question: InputRequest, text: str) -> Any:
    """The answer that a call's output gives: what its JSON says, if the agent gave a schema."""
    if not isinstance(question.schema, dict):
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def _results(question: ToolRequest, answers: Mapping[str, str]) -> Answer:
    names = [call_name(question.request_id, index) for index in range(len(question.calls))]
    given = [answers.get(name) for name in names]
    if all(text is None for text in given):
        return NOT_ANSWERED
    if any(text is None for text in given):
        raise bad_request("input", "Expected the output of each open call")
    return [{"call_id": call.call_id, "output": text} for call, text in zip(question.calls, given)]
