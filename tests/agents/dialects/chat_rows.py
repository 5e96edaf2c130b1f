"""What streams of the chat API do that its reference does not say."""

from __future__ import annotations

from typing import Final

from tests.agents.dialects.row import A1, A2, BROKE_OFF, MALFORMED, NOW, Fails, Row, Says
from tests.support.dialect_frames import (
    DONE,
    c,
    data,
    end,
    t,
    usage,
)
from wsgi_app.events import Usage

CALL_IDENTITY: Final[dict[str, Row]] = {
    "an id that changes with each fragment": (
        [t(0, "a1", "add", ""), t(0, "b2", None, '{"a": 1,'), t(0, "b2", None, ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "an id that changes, and the name comes each time": (
        [t(0, "a", "add", ""), t(0, "b", "add", '{"a": 1,'), t(0, "c", "add", ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "an id in the last fragment alone": (
        [t(0, None, "add", '{"a": 1,'), t(0, "b", None, ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "an index that grows with each fragment": (
        [t(0, "a", "add", ""), t(1, None, None, '{"a": 1,'), t(2, "a", None, ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "ids and no index, taking turns": (
        [
            t(None, "a", "add", ""),
            t(None, "b", "add", '{"a": 3,'),
            t(None, "a", None, A1[1]),
            t(None, "b", None, ' "b": 4}'),
        ],
        Says(calls=(A1, A2)),
    ),
    "all calls at index 0": (
        [t(0, "a", "add", A1[1]), t(0, "b", "add", A2[1])],
        Says(calls=(A1, A2)),
    ),
    "all calls at index 0, in fragments": (
        [
            t(0, "a", "add", ""),
            t(0, None, None, '{"a": 1,'),
            t(0, None, None, ' "b": 2}'),
            t(0, "b", "add", ""),
            t(0, None, None, A2[1]),
        ],
        Says(calls=(A1, A2)),
    ),
    "calls without arguments at index 0": (
        [t(0, "a", "now", ""), t(0, "b", "now", "")],
        Says(calls=(NOW, NOW)),
    ),
    "the name in each fragment": (
        [t(0, "a", "add", '{"a": 1,'), t(0, "a", "add", ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "the name in each fragment, the id in the first": (
        [t(0, "a", "add", '{"a": 1,'), t(0, None, "add", ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "the name after the id": (
        [t(0, "a", None, ""), t(1, "b", None, ""), t(1, None, "add", A2[1]), t(0, None, *A1)],
        Says(calls=(A1, A2)),
    ),
    "an index and an id of another type": (
        [t("0", 7, "add", '{"a": 1,'), t("0", 7, None, ' "b": 2}')],
        Says(calls=(A1,)),
    ),
    "two calls of the same id": (
        [t(0, "a", *A1), t(1, "a", *A2)],
        Says(calls=(A1, A2)),
    ),
    "a fragment that no call can be for": ([t(0, "a", None, "{}")], Fails(text=MALFORMED)),
}

ARGUMENTS: Final[dict[str, Row]] = {
    "each piece is all there is so far": (
        [t(0, "a", "add", '{"a"'), t(0, "a", None, '{"a": 1,'), t(0, "a", None, A1[1])],
        Says(calls=(A1,)),
    ),
    "fragments, and then the whole": (
        [
            t(0, "a", "add", ""),
            t(0, None, None, '{"a": 1,'),
            t(0, None, None, ' "b": 2}'),
            t(0, "a", None, A1[1]),
        ],
        Says(calls=(A1,)),
    ),
    "fragments, then the whole, with the name and written otherwise": (
        [t(0, "a", "add", '{"a":1,'), t(0, None, None, '"b":2}'), t(0, "a", *A1)],
        Says(calls=(("add", '{"a":1,"b":2}'),)),
    ),
    "an empty object first": (
        [t(0, "a", "add", "{}"), t(0, None, None, '{"a":1,'), t(0, None, None, '"b":2}')],
        Says(calls=(("add", '{"a":1,"b":2}'),)),
    ),
    "objects that grow": (
        [t(0, "a", "add", {}), t(0, None, None, {"a": 1}), t(0, None, None, {"a": 1, "b": 2})],
        Says(calls=(("add", '{"a":1,"b":2}'),)),
    ),
    "an honest piece that repeats the one before": (
        [t(0, "a", "add", '{"a":'), t(0, None, None, '{"a":1}'), t(0, None, None, "}")],
        Says(calls=(("add", '{"a":{"a":1}}'),)),
    ),
    "two objects of which none holds the other stay for the tool to refuse": (
        [t(0, "a", "add", '{"a":1}'), t(0, None, None, '{"b":2}')],
        Says(calls=(("add", '{"a":1}{"b":2}'),)),
    ),
}

WHOLE: Final = {"role": "assistant", "content": "Hello"}

REPEATS: Final[dict[str, Row]] = {
    "the last frame holds the whole message": (
        [
            c({"content": "Hel"}),
            c({"content": "lo"}),
            data({"choices": [{"index": 0, "message": WHOLE, "finish_reason": "stop"}]}),
        ],
        Says("Hello"),
    ),
    "the last frame holds more than came": (
        [
            c({"content": "Hel"}),
            data({"choices": [{"index": 0, "message": WHOLE, "finish_reason": "stop"}]}),
        ],
        Says("Hello"),
    ),
    "the whole message beside each delta": (
        [
            data({"choices": [{"delta": {"content": "Hel"}, "message": {"content": "Hel"}}]}),
            data({"choices": [{"delta": {"content": "lo"}, "message": {"content": "Hello"}}]}),
            end("stop"),
        ],
        Says("Hello"),
    ),
    "the whole message repeats thoughts and calls": (
        [
            c({"reasoning": "Hm."}),
            t(0, "a", *A1),
            data(
                {
                    "choices": [
                        {
                            "message": {
                                "reasoning_content": "Hm.",
                                "tool_calls": [
                                    {"id": "a", "function": {"name": "add", "arguments": A1[1]}}
                                ],
                            },
                            "finish_reason": "tool_calls",
                        }
                    ]
                }
            ),
        ],
        Says(calls=(A1,), thinking="Hm."),
    ),
    "honest pieces that are the same": (
        [c({"content": "ha"}), c({"content": "ha"}), c({"content": "haha"}), end("stop")],
        Says("hahahaha"),
    ),
}

REASONS: Final[dict[str, Row]] = {
    **{
        f"{name} is an end": ([c({"content": "Hi"}), end(name), DONE], Says("Hi"))
        for name in ("stop", "STOP", "end_turn", "eos", "COMPLETE")
    },
    **{
        f"{name} is the length limit": (
            [c({"content": "Hi"}), end(name), DONE],
            Says("Hi", is_cut=True),
        )
        for name in ("length", "MAX_TOKENS", "model_length", "max_output_tokens")
    },
    **{
        f"{name} is a filter": (
            [c({"content": "Hi"}), end(name), DONE],
            Fails("content_filter", retryable=False),
        )
        for name in ("content_filter", "SAFETY", "RECITATION", "sensitive", "PROHIBITED_CONTENT")
    },
    **{
        f"{name} is a failure": (
            [c({"role": "assistant", "content": ""}), end(name), DONE],
            Fails(name.lower()),
        )
        for name in (
            *("MALFORMED_FUNCTION_CALL", "insufficient_system_resource", "network_error"),
            *("error", "abort", "OTHER", "unexpected_tool_call"),
        )
    },
    "a failure after a text": ([c({"content": "Hi"}), end("error"), DONE], Fails("error")),
    "a text as a reason is not told": ([end("sk-secret: no"), DONE], Fails("unknown")),
    "a reason that is no word": ([end({"a": 1}), DONE], Fails("unknown")),
    "reasons that are none yet": (
        [
            *(
                data({"choices": [{"delta": {"content": "Hi"}, "finish_reason": word}]})
                for word in ("", "null", None)
            ),
            end("stop"),
        ],
        Says("HiHiHi"),
    ),
    "a reason in each chunk": (
        [
            *(
                data({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]})
                for text in ("Hel", "lo")
            )
        ],
        Says("Hello"),
    ),
    "calls that end with stop": ([t(0, "a", *A1), end("stop"), DONE], Says(calls=(A1,))),
    "tool_calls without a call": ([end("tool_calls"), DONE], Fails("tool_calls", text=MALFORMED)),
    "tool_calls without a call behind a text": (
        [c({"content": "Hi"}), end("tool_calls"), DONE],
        Fails("tool_calls", text=MALFORMED),
    ),
    "thoughts alone": (
        [c({"reasoning_content": "The answer is 4."}), end("stop"), DONE],
        Fails("stop", text="no answer"),
    ),
    "nothing at all": ([c({"content": ""}), end("stop"), DONE], Fails("stop", text="no answer")),
    "[DONE] without a reason, where there are reasons": (
        [c({"content": "Hel"}), DONE],
        Fails(text=BROKE_OFF),
    ),
    "[DONE] without a reason, where there are none": (
        [data({"choices": [{"index": 0, "delta": {"content": "Hello"}}]}), DONE],
        Says("Hello"),
    ),
    "a reason and no [DONE]": (
        [c({"content": "Hi"}), end("stop"), usage()],
        Says("Hi", usage=Usage(3, 2, 5)),
    ),
    "a count cut in the middle": (
        [c({"content": "Hi"}), end("stop"), usage()[:30]],
        Says("Hi"),
    ),
}

HALF: Final = "data: " + r'{"choices":[{"delta":{"content":"Hi \ud83d"}}]}' + "\n\n"

OTHER: Final = "data: " + r'{"choices":[{"delta":{"content":"\ude00!"}}]}' + "\n\n"

LENIENT: Final[dict[str, Row]] = {
    "halves of a character that meet": ([HALF, OTHER, end("stop")], Says("Hi 😀!")),
    "a half that stays alone": ([HALF, end("stop")], Says("Hi \ufffd")),
    "a half that another text follows": (
        [HALF, c({"content": " there"}), end("stop")],
        Says("Hi \ufffd there"),
    ),
    "a second half alone": ([OTHER, end("stop")], Says("\ufffd!")),
    "halves in thoughts": (
        [
            HALF.replace("content", "reasoning"),
            OTHER.replace("content", "reasoning"),
            c({"content": "Hi"}),
            end("stop"),
        ],
        Says("Hi", thinking="Hi 😀!"),
    ),
    "halves in arguments": (
        [
            t(0, "a", "say", '{"a": "'),
            t(0, None, None, "X").replace('"X"', r'"\ud83d"'),
            t(0, None, None, "X").replace('"X"', r'"\ude00\"}"'),
            end("tool_calls"),
        ],
        Says(calls=(("say", '{"a": "😀"}'),)),
    ),
    "a half in a field that nobody reads": (
        [HALF.replace("content", "role"), c({"content": "Hi"}), end("stop")],
        Says("Hi"),
    ),
    "counts of other types": (
        [c({"content": "Hi"}), end("stop"), usage(3.0, "2", None)],
        Says("Hi", usage=Usage(3, 2, 5)),
    ),
    "counts that are none": (
        [c({"content": "Hi"}), end("stop"), usage(-3, [], "many"), data({"usage": "free"})],
        Says("Hi"),
    ),
    "other types in fields that do not matter": (
        [
            data(
                {
                    "id": 7,
                    "object": 7,
                    "code": {},
                    "choices": [{"index": "", "delta": {"content": "Hi", "refusal": False}}],
                }
            ),
            c({"content": "", "reasoning": {"effort": 1}, "reasoning_details": "none"}),
            end("stop"),
        ],
        Says("Hi"),
    ),
    "a text of another type is malformed": (
        [c({"content": 7}), end("stop")],
        Fails(text=MALFORMED),
    ),
    "a call of another type is malformed": (
        [c({"tool_calls": "add"}), end("stop")],
        Fails(text=MALFORMED),
    ),
}


def _with_end(rows: dict[str, Row], reason: str) -> dict[str, Row]:
    return {name: ([*frames, end(reason), DONE], said) for name, (frames, said) in rows.items()}


CHAT: Final[dict[str, Row]] = {
    **_with_end(CALL_IDENTITY, "tool_calls"),
    **_with_end(ARGUMENTS, "tool_calls"),
    **REPEATS,
    **REASONS,
    **LENIENT,
}
