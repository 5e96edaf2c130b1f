"""No leniency changes an honest stream: what a model says comes out exactly, however it is cut."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.answers import ReadAnswer
from tests.support.dialect_frames import DONE, adds, begins, c, end, ends, r, says, t
from wsgi_app.compat.python import zip_strict

#: Signs that a leniency might trip over: repeats, brackets, quotes, digits, halves of characters.
SIGNS = st.text(st.sampled_from('{}[]",:\\ a1é😀\u2028'), max_size=12) | st.sampled_from(
    ["ha", "haha", "{}", '{"a":', '{"a":1}', "11", "[[", "]]", "null", "\ud83d", "😀😀"]
).map(lambda text: text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
VALUES: Any = st.recursive(
    st.integers(0, 111) | SIGNS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SIGNS, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(SIGNS, VALUES, max_size=4)
NAMES = st.sampled_from(["add", "get", "now"])
quickly = settings(max_examples=150, deadline=None)


def halves(text: str) -> list[str]:
    """A text's UTF-16 units, so that a character can be cut in the middle."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(raw), 2)]


def pieces(draw: Any, text: str) -> list[str]:
    """A text, cut at random places, also within a character; empty pieces among them."""
    units = halves(text)
    places = sorted(draw(st.lists(st.integers(0, len(units)), max_size=6)))
    bounds = zip_strict([0, *places], [*places, len(units)])
    return ["".join(units[start:stop]) for start, stop in bounds]


def written(draw: Any, arguments: dict[str, Any]) -> str:
    """Arguments as some model writes them."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")]))
    return json.dumps(arguments, ensure_ascii=draw(st.booleans()), separators=separators)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Reasoning, text and calls, at least one of the last two."""
    calls = draw(st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3))
    said = draw(st.lists(SIGNS, min_size=0 if calls else 1, max_size=3).map("".join))
    return {
        "thinking": "".join(draw(st.lists(SIGNS, max_size=2))),
        "text": said if said or calls else "a",
        "calls": [(name, written(draw, arguments)) for name, arguments in calls],
    }


def check(api: str, frames: list[str], answer: dict[str, Any]) -> None:
    """Read the frames; nothing may be added, lost or changed."""
    read = ReadAnswer(api, ["".join(frames).encode()])
    assert (read.thinking, read.text) == (answer["thinking"], answer["text"])
    assert read.calls == answer["calls"]


@quickly
@given(answers(), st.data())
def test_an_honest_chat_stream_comes_out_exactly(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    """With an index for each call, whose fragments may take turns; with names and ids repeated."""
    draw = data.draw
    frames = [c({"reasoning": piece}) for piece in pieces(draw, answer["thinking"])]
    frames += [c({"content": piece}) for piece in pieces(draw, answer["text"])]
    repeats = draw(st.booleans())
    queues = []
    for index, (name, arguments) in enumerate(answer["calls"]):
        cut = pieces(draw, arguments)
        again = (f"id{index}", name) if repeats else (None, None)
        queues.append(
            [
                t(index, f"id{index}", name, cut[0]),
                *(t(index, again[0], again[1], one) for one in cut[1:]),
            ]
        )
    for queue in queues:
        frames.append(queue.pop(0))
    order = draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    frames += [queues[index].pop(0) for index in order]
    check("chat", [*frames, end("tool_calls" if queues else "stop"), DONE], answer)


@quickly
@given(answers(), st.data())
def test_honest_whole_calls_at_one_index_come_out_exactly(
    answer: dict[str, Any], data: st.DataObject
) -> None:
    """As Ollama and Gemini send them: each whole, with an id of its own, or without any index."""
    frames = [c({"content": piece}) for piece in pieces(data.draw, answer["text"])]
    index = data.draw(st.sampled_from([0, None]))
    for number, (name, arguments) in enumerate(answer["calls"]):
        frames.append(t(index, f"id{number}", name, arguments))
    check("chat", [*frames, end("stop"), DONE], {**answer, "thinking": ""})


@quickly
@given(answers(), st.data())
def test_an_honest_response_comes_out_exactly(answer: dict[str, Any], data: st.DataObject) -> None:
    """Its items' deltas alone, without their last events."""
    draw = data.draw
    thinking = pieces(draw, answer["thinking"])
    frames = [r("reasoning_text.delta", delta=piece) for piece in thinking]
    frames += [says(piece) for piece in pieces(draw, answer["text"])]
    for index, (name, arguments) in enumerate(answer["calls"]):
        frames.append(begins(index, f"id{index}", name))
        frames += [adds(index, piece) for piece in pieces(draw, arguments)]
    check("responses", [*frames, ends()], answer)
