"""What streams of the Responses API do that its reference does not say."""

from __future__ import annotations

from typing import Final

from tests.agents.dialects.row import A1, BROKE_OFF, MALFORMED, Fails, Row, Says
from tests.support.dialect_frames import (
    DONE,
    adds,
    begins,
    ends,
    r,
    says,
)
from wsgi_app.events import Usage

PIECE: Final = "data: " + r'{"type":"response.output_text.delta","delta":"Hi \ud83d"}' + "\n\n"

PIECE_2: Final = "data: " + r'{"type":"response.output_text.delta","delta":"\ude00!"}' + "\n\n"

RESPONSES: Final[dict[str, Row]] = {
    "each piece is all there is so far": (
        [begins(0, "a"), adds(0, '{"a"'), adds(0, '{"a": 1,'), adds(0, A1[1]), ends()],
        Says(calls=(A1,)),
    ),
    "fragments, and then the whole": (
        [begins(0, "a"), adds(0, '{"a": 1,'), adds(0, ' "b": 2}'), adds(0, A1[1]), ends()],
        Says(calls=(A1,)),
    ),
    "completed without a text": ([ends()], Fails("stop", text="no answer")),
    "completed with thoughts alone": (
        [r("reasoning_text.delta", delta="Hm."), ends()],
        Fails("stop", text="no answer"),
    ),
    **{
        f"incomplete for {name}": ([says("Hi"), ends("incomplete", name)], Says("Hi", is_cut=True))
        for name in ("max_output_tokens", "length", "max_tokens")
    },
    "incomplete for a filter": (
        [says("Hi"), ends("incomplete", "content_filter")],
        Fails("content_filter", retryable=False),
    ),
    "incomplete for a reason that is not known": (
        [says("Hi"), ends("incomplete", "network_error")],
        Fails("network_error"),
    ),
    "incomplete for no reason": ([says("Hi"), ends("incomplete")], Fails(text=BROKE_OFF)),
    "completed by its name, incomplete by its status": (
        [
            says("Hi"),
            r(
                "completed",
                response={
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                },
            ),
        ],
        Says("Hi", is_cut=True),
    ),
    "[DONE] in place of an end": ([says("Hi"), DONE], Fails(text=BROKE_OFF)),
    "halves of a character that meet": ([PIECE, PIECE_2, ends()], Says("Hi 😀!")),
    "a half in the response's end": (
        [says("Hi"), ends(instructions="X").replace('"X"', r'"\ud83d"')],
        Says("Hi"),
    ),
    "a half in an item": (
        [
            r(
                "output_item.done",
                item={
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hi X"}],
                },
            ).replace("Hi X", r"Hi \ud83d"),
            ends(),
        ],
        Says("Hi \ufffd"),
    ),
    "counts and places of other types": (
        [
            r("output_text.delta", delta="Hi", output_index="0", sequence_number="1"),
            ends(usage={"input_tokens": 3.0, "output_tokens": "2", "total_tokens": {}}),
        ],
        Says("Hi", usage=Usage(3, 2, 5)),
    ),
    "a text of another type is malformed": (
        [r("output_text.delta", delta=7), ends()],
        Fails(text=MALFORMED),
    ),
}
