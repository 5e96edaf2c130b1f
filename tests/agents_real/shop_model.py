"""A provider whose model does what the newest question of a conversation wishes.

A question is ``Q<number>-<wish>``, wherever in the request a framework puts it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tests.support.upstream import Request, Upstream
from tests.support.upstream_chat import ChatShape
from tests.support.upstream_script import (
    DEFAULT_SCRIPT,
    AnyStep,
    Body,
    Call,
    EndOfFile,
    Script,
    Stall,
    Text,
    ToolCalls,
    Usage,
)

_QUESTION: Final = re.compile(r"Q(\d+)-([a-z]+)")
_COUNTS: Final = Usage(5, 2)
#: Long enough that a framework which holds a few words back shows some.
HALF: Final = ("Hel", "lo", *(f" word{n}" for n in range(30)))


class DatedChat(ChatShape):
    """With what every real provider sends, and the Agent Framework insists on."""

    fields: Mapping[str, Any] = MappingProxyType({"created": 1, "model": "gpt-4.1-mini"})


class ShopModel(Upstream):
    """Its wishes: ``tool``, ``half``, ``silent``, ``behind``, ``inside``, ``broken``, ``crowd``.

    All but ``silent``, ``half``, ``broken`` and ``crowd`` use the tool first; ``inside`` asks for
    an article whose count never comes. ``crowd`` takes its time.
    """

    chat_shape = DatedChat

    def __init__(self) -> None:
        super().__init__()
        #: The requests, by the number of their question. Written by the server's thread.
        self.asked: dict[int, list[Request]] = {}
        #: The request that waits for ever, the tool's too.
        self.waiting: dict[int, Request] = {}
        #: How many requests were answered at the same time.
        self.most_at_once = 0

    def take_script(self, request: Request) -> Script:
        """Find out what is wished."""
        if request.path.endswith("/warehouse"):
            self.waiting[int(request.body["article"].rpartition("-")[2])] = request
            return (Stall(),)
        body = json.dumps(request.body)
        found = _QUESTION.findall(body)
        if not found:
            return DEFAULT_SCRIPT  # such as a title for the conversation
        self.most_at_once = max(self.most_at_once, self.busy + 1)
        number, wish = int(found[-1][0]), found[-1][1]
        self.asked.setdefault(number, []).append(request)
        speaks = next(kind for kind in _SPEAKERS if kind.knows(body))
        script = speaks(request.body, body).script(number, wish)
        if isinstance(script[-1], Stall):
            self.waiting[number] = request
            return script
        return script if request.body.get("stream") else _whole(script)


class _Speaker:
    """How a model calls tools and answers: as OpenAI's and Anthropic's do."""

    def __init__(self, body: dict[str, Any], text: str) -> None:
        self._body = body
        self._text = text

    @staticmethod
    def knows(text: str) -> bool:
        """Whether this request is asked this way."""
        return bool(text)

    def script(self, number: int, wish: str) -> Script:
        """What it says."""
        if wish == "silent":
            return (Stall(),)
        article = f"{'slow' if wish == 'inside' else 'tea'}-{number}"
        if wish in ("tool", "behind", "inside") and f"of {article}" not in self._text:
            return (*self._call(article), _COUNTS)
        if wish == "behind":
            return (Stall(),)
        return self._answer(number, wish)

    def _answer(self, number: int, wish: str) -> Script:
        said: tuple[AnyStep, ...] = (*self._before(), *self._said(number, wish))
        return (*said, Stall()) if wish == "half" else (*said, *self._after(wish))

    def _said(self, number: int, wish: str) -> Script:
        if wish in ("half", "broken"):
            return (Text(HALF),)
        pace = 1.0 if wish == "crowd" else 0.0
        return (Text(("Answer", f" {number}"), pace_seconds=pace),)

    def _before(self) -> Script:
        return ()

    def _after(self, wish: str) -> Script:
        return (EndOfFile(),) if wish == "broken" else (_COUNTS,)

    def _call(self, article: str) -> Script:
        tools = [tool.get("function", tool)["name"] for tool in self._body["tools"]]
        (name,) = [tool for tool in tools if tool.endswith("stock")]
        call = Call(f"call_{article}", name, json.dumps({"article": article}))
        return (ToolCalls((call,)),)


class _FinalTool(_Speaker):
    """smolagents: its answer is the argument of a tool."""

    @staticmethod
    def knows(text: str) -> bool:
        return '"final_answer"' in text

    def _said(self, number: int, wish: str) -> Script:
        said = "".join(HALF) if wish in ("half", "broken") else f"Answer {number}"
        arguments = json.dumps({"answer": said})
        if wish in ("half", "broken"):
            arguments = arguments[:-10]
        return (ToolCalls((Call("call_9", "final_answer", arguments),)),)


class _Fields(_Speaker):
    """DSPy: whatever it says is the text of named fields."""

    @staticmethod
    def knows(text: str) -> bool:
        return "[[ ## " in text

    def _call(self, article: str) -> Script:
        return self._step("stock", {"article": article})

    def _answer(self, number: int, wish: str) -> Script:
        if "next_tool_name" in self._body["messages"][0]["content"]:
            return (*self._step("finish", {}), _COUNTS)
        return super()._answer(number, wish)

    def _before(self) -> Script:
        return (Text(("[[ ## reasoning ## ]]\nIt is plain.\n\n[[ ## answer ## ]]\n",)),)

    def _after(self, wish: str) -> Script:
        end = () if wish == "broken" else (Text(("\n\n[[ ## completed ## ]]\n",)),)
        return (*end, *super()._after(wish))

    @staticmethod
    def _step(tool: str, arguments: dict[str, str]) -> Script:
        fields = {"next_thought": "Well.", "next_tool_name": tool}
        fields["next_tool_args"] = json.dumps(arguments)
        text = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in fields.items())
        return (Text((f"{text}[[ ## completed ## ]]\n",)),)


def _whole(script: Script) -> Script:
    """The same for a request that wants no stream, of what DSPy asks so."""
    said = "".join("".join(step.tokens) for step in script if isinstance(step, Text))
    message = {"role": "assistant", "content": said}
    usage: Any = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    answer: Any = {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "usage": usage}
    answer |= {"created": 1, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return (Body(json.dumps(answer)),)


_SPEAKERS: Final = (_FinalTool, _Fields, _Speaker)
