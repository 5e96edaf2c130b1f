"""dspy: a streamed Predict whose LM is the host."""

from __future__ import annotations

from collections.abc import Generator

import dspy
from saying import Say, run


class Answer(dspy.Signature):  # type: ignore[misc] # dspy is not there for mypy
    """Answer."""

    question: str = dspy.InputField()
    history: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField()


def begin(url: str, key: str) -> Say:
    """A history that this script keeps."""
    dspy.configure(
        lm=dspy.LM("openai/agent", api_base=f"{url}/agents/v1", api_key=key, cache=False)
    )
    listener = dspy.streaming.StreamListener("answer", allow_reuse=True)
    program = dspy.streamify(
        dspy.Predict(Answer), stream_listeners=[listener], async_streaming=False
    )
    told: list[dict[str, str]] = []

    def say(message: str) -> Generator[str]:
        for part in program(question=message, history=dspy.History(messages=told)):
            if isinstance(part, dspy.Prediction):
                told.append({"question": message, "answer": part.answer})
            elif isinstance(part, dspy.streaming.StreamResponse):
                yield part.chunk

    return say


run(begin)
