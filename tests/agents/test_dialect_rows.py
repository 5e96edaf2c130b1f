"""What the streams of providers do that the APIs' references do not say, one row each.

The golden files in `dialects` are whole answers of servers; its rows are what was seen to go wrong,
and what stands beside it.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.agents.dialects.chat_rows import CHAT
from tests.agents.dialects.responses_rows import RESPONSES
from tests.agents.dialects.row import A1, Fails, Says
from tests.support.answers import ReadAnswer
from tests.support.dialect_frames import (
    DONE,
    c,
    end,
    ends,
    t,
)
from wsgi_app.agents.answer_end import CUT_OFF
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.model_api import ModelStep
from wsgi_app.errors import UpstreamError
from wsgi_app.events import Status

ROWS: Final = [
    pytest.param(api, frames, said, id=f"{api}: {name}")
    for api, rows in (("chat", CHAT), ("responses", RESPONSES))
    for name, (frames, said) in rows.items()
]


@pytest.mark.parametrize(("api", "frames", "said"), ROWS)
def test_a_row_is_read_as_the_table_says(api: str, frames: list[str], said: Says | Fails) -> None:
    """Whole or cut into single bytes."""
    raw = "".join(frames).encode()
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        if isinstance(said, Fails):
            with pytest.raises(UpstreamError) as caught:
                ReadAnswer(api, pieces)
            assert said.text in caught.value.message
            assert caught.value.details.get("finish_reason") == said.reason
            assert caught.value.retryable == said.retryable
            continue
        answer = ReadAnswer(api, pieces)
        assert answer.text == said.text
        assert tuple(answer.calls) == said.calls
        assert answer.thinking == said.thinking
        assert answer.step.usage == said.usage
        assert (Status(CUT_OFF) in answer.emitted) == said.is_cut


def read_later(api: str, *frames: str) -> ModelStep:
    """Read an answer of a turn that has spoken before."""
    return ReadAnswer(api, ["".join(frames).encode()], has_spoken=True).step


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_turn_that_has_spoken_may_end_without_a_word(api: str) -> None:
    """After its tools a model may have nothing to add to what it said before them."""
    frames = {"chat": [end("stop"), DONE], "responses": [ends()]}
    assert read_later(api, *frames[api]).text == ""


def test_signed_reasoning_is_put_together_for_the_next_request() -> None:
    """Its texts come in fragments, all else of it as it is."""
    details = [
        {"type": "reasoning.text", "text": "I ", "index": 0, "signature": None},
        {"type": "reasoning.text", "text": "add.", "index": 0, "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "c2ln", "id": "a", "index": 0},
    ]
    frames = [c({"reasoning_details": [one]}) for one in details]
    blocks = [c({"thinking_blocks": [{"type": "thinking", "thinking": word}]}) for word in "ab"]
    step = read_later("chat", *frames, *blocks, t(0, "a", *A1), end("tool_calls"))
    assert isinstance(step, ChatStep)
    whole: dict[str, Any] = {"type": "reasoning.text", "text": "I add.", "index": 0}
    assert step.reasoning_details == {
        "reasoning_details": [{**whole, "signature": "sig"}, details[2]],
        "thinking_blocks": [{"type": "thinking", "thinking": "ab"}],
    }
