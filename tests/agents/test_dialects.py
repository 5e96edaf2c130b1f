"""The streams of the servers that people run, in what they write unlike each other.

The files are short answers put together after the servers' documentation and bug reports; none was
recorded from a running one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.support.answers import ReadAnswer
from wsgi_app.agents.chat_stream import ChatStep
from wsgi_app.agents.responses_stream import ResponsesStep
from wsgi_app.events import Usage

FOLDER = Path(__file__).parent / "dialects"
ADD_2_3 = ("add", '{"a": 2, "b": 3}')
ADD_4_5 = ("add", '{"a":4,"b":5}')


class Said(Struct, frozen=True):
    """What an answer says."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    usage: Usage = Usage()
    reason: str = "stop"


#: By API and server; the answers are in files of the same names.
SAID: dict[str, dict[str, Said]] = {
    "chat": {
        "openai": Said(text="Hello", usage=Usage(9, 2, 11)),
        "openai-two-choices": Said(text="Hello"),
        "azure": Said(text="Hello"),
        "vllm": Said(
            thinking="I add.", calls=(ADD_2_3,), usage=Usage(9, 5, 14), reason="tool_calls"
        ),
        "sglang": Said(text="Hello"),
        "ollama": Said(
            thinking="I add.",
            calls=(ADD_2_3, ADD_4_5),
            usage=Usage(20, 8, 28),
        ),
        "llama.cpp": Said(text="Hello", thinking="Hm.", usage=Usage(6, 4, 10)),
        "llama-cpp-python": Said(text="Hello"),
        "litellm": Said(calls=(ADD_2_3,), usage=Usage(7, 3, 10), reason="tool_calls"),
        "openrouter": Said(text="Hello", thinking="Hm.", usage=Usage(4, 2, 6)),
        "gemini": Said(
            calls=(ADD_2_3, ADD_4_5),
            usage=Usage(5, 6, 32),
        ),
        "gateway-without-ids": Said(calls=(ADD_4_5, ADD_4_5)),
        "mistral": Said(text="Hello", thinking="Hm.", usage=Usage(13, 2, 15), reason="length"),
        "deepseek": Said(text="Hello", thinking="Hm.", usage=Usage(6, 4, 10)),
        "proxy-without-stream": Said(
            text="I add.",
            thinking="Hm.",
            calls=(ADD_2_3, ADD_4_5),
            usage=Usage(3, 2, 5),
            reason="tool_calls",
        ),
        "proxy-with-one-event": Said(text="Hello"),
        "anthropic": Said(
            text="I add.", calls=(ADD_2_3,), usage=Usage(20, 8, 28), reason="tool_calls"
        ),
        "kimi": Said(
            thinking="I add.", calls=(ADD_2_3,), usage=Usage(9, 5, 14), reason="tool_calls"
        ),
        "glm": Said(text="Hello", thinking="Hm.", usage=Usage(6, 4, 10), reason="length"),
        "minimax": Said(text="Hello", thinking="Hm.", usage=Usage(4, 2, 6)),
        "groq": Said(thinking="Hm.", calls=(ADD_4_5,), usage=Usage(9, 2, 11), reason="tool_calls"),
        "lm-studio": Said(calls=(ADD_2_3,), reason="tool_calls"),
        "lightllm": Said(text="Hello"),
    },
    "responses": {
        "openai": Said(thinking="Hm.\n\nI add.", calls=(ADD_2_3,), usage=Usage(36, 87, 123)),
        "vllm": Said(calls=(ADD_2_3,), usage=Usage(3, 2, 5)),
        "lemonade": Said(text="Hello", thinking="Hm.", calls=(ADD_2_3,)),
        "litellm": Said(
            text="I add.",
            calls=(ADD_2_3, ADD_4_5),
        ),
        "gateway-without-item-ends": Said(
            text="I add.",
            calls=(ADD_2_3, ADD_4_5),
        ),
        "gateway-with-one-event": Said(text="I add. No.", thinking="Hm.", calls=(ADD_4_5,)),
        "proxy-without-stream": Said(text="Hello", usage=Usage(3, 2, 5), reason="length"),
    },
}
#: The servers that end lines with CR and LF, which the files do not show.
WITH_CRLF = ("llama-cpp-python",)


def read_raw(api: str, server: str) -> bytes:
    """An answer as a server writes it."""
    raw = (FOLDER / api / f"{server}.txt").read_bytes()
    return raw.replace(b"\n", b"\r\n") if server in WITH_CRLF else raw


@pytest.mark.parametrize(
    ("api", "server"), [(api, server) for api, servers in SAID.items() for server in servers]
)
def test_a_server_is_understood(api: str, server: str) -> None:
    """What it says comes out the same, wherever its bytes are cut."""
    raw, said = read_raw(api, server), SAID[api][server]
    for size in (len(raw), 1, 7):
        answer = ReadAnswer(api, (raw[i : i + size] for i in range(0, len(raw), size)))
        assert answer.text == said.text
        assert answer.thinking == said.thinking
        assert tuple(answer.calls) == said.calls
        assert answer.step.usage == said.usage
        assert answer.step.finish_reason == said.reason


def test_every_file_is_read() -> None:
    """The table names all answers that there are."""
    files = {(path.parent.name, path.stem) for path in FOLDER.glob("*/*.txt")}
    assert files == {(api, server) for api, servers in SAID.items() for server in servers}


def test_what_a_provider_wants_back_is_kept() -> None:
    """Gemini's signature of a call, and DeepSeek's reasoning, for the next request."""
    gemini = ReadAnswer("chat", [read_raw("chat", "gemini")]).step
    assert isinstance(gemini, ChatStep)
    assert gemini.extra_contents == [{"google": {"thought_signature": "QUJD"}}, None]
    deepseek = ReadAnswer("chat", [read_raw("chat", "deepseek")]).step
    assert isinstance(deepseek, ChatStep)
    assert deepseek.reasoning_content == "Hm."


def test_items_are_repeated_whatever_is_missing() -> None:
    """Calls without an id get one, a message that never ended is its text."""
    step = ReadAnswer("responses", [read_raw("responses", "gateway-without-item-ends")])
    assert isinstance(step.step, ResponsesStep)
    message, first, second = step.step.output
    content = {"type": "output_text", "text": "I add.", "annotations": []}
    assert message == {"type": "message", "role": "assistant", "content": [content]}
    called: dict[str, Any] = {"type": "function_call", "name": "add"}
    assert first == {**called, "call_id": "c1", "arguments": '{"a": 2, "b": 3}'}
    assert second == {**called, "call_id": step.step.calls[1].call_id, "arguments": '{"a":4,"b":5}'}
