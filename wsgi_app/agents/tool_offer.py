"""Which of an agent's tools a model is shown, when it has more than providers take."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

from wsgi_app.agents.tool_call import CallRefused, CallRequest, PreparedCall
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.agents.tools import AnyTool
from wsgi_app.compat.python import zip_strict
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.valid_messages import parse_object

#: OpenAI's APIs and those like them refuse a request with more.
MAX_TOOLS: Final = 128
#: Some tools, the search, and what it finds.
MIN_TOOLS: Final = 4
#: How many tools that were found are shown beside the others: those found last.
MAX_FOUND: Final = 16
MAX_FOUND_AT_ONCE: Final = 8
MAX_DESCRIPTION_CHARS: Final = 300
#: Names that a search which finds nothing gives.
MAX_NAMES: Final = 100
_WORD: Final = re.compile(r"[a-z0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: The start of a word stands for it, if it is long enough.
_MIN_STEM_CHARS: Final = 3
_NAME_WEIGHT: Final = 3


class Offer:
    """The tools of one turn: those shown to its model, and the others, which a search finds.

    ``called`` are the names of tools that the conversation has called: these are shown first.
    ``shown`` is changed between the model's steps alone; ``_lock`` guards the found ones, since
    searches of one step run in threads of their own.
    """

    def __init__(self, max_tools: int, called: Collection[str] = ()) -> None:
        self._max_tools = max_tools
        self._called = called
        self._lock = threading.Lock()
        self._found: list[AnyTool] = []
        self._always: list[AnyTool] = []
        #: What the model is shown; the same list through all of the turn.
        self.shown: list[AnyTool] = []
        #: What it is not shown, unless it looks for it.
        self.left_out: list[AnyTool] = []

    def update(self, tools: Sequence[AnyTool]) -> Toolbox:
        """Take the agent's tools as they are now; gives the box in which all of them are."""
        if len(tools) <= self._max_tools:
            self._always, self._found, self.left_out = list(tools), [], []
            self.shown[:] = tools
            return Toolbox(tools)
        room = self._max_tools - 1 - self._max_found
        ranked = sorted(tools, key=lambda tool: tool.name not in self._called)
        kept = {tool.name for tool in ranked[:room]}
        self.left_out = [tool for tool in tools if tool.name not in kept]
        finder = FindTool(self, _unused_name({tool.name for tool in tools}))
        self._always = [*(tool for tool in tools if tool.name in kept), finder]
        still = {tool.name for tool in self._found}
        self._found = [tool for tool in self.left_out if tool.name in still]
        self._show()
        return Toolbox([*tools, finder])

    def find(self, query: str) -> list[AnyTool]:
        """Look for tools that are left out, and show those found from the next step on."""
        found = _best(self.left_out, query)[: min(MAX_FOUND_AT_ONCE, self._max_found)]
        with self._lock:
            names = {tool.name for tool in found}
            older = [tool for tool in self._found if tool.name not in names]
            self._found = [*older, *found][-self._max_found :]
            self._show()
        return found

    @property
    def _max_found(self) -> int:
        return max(1, min(MAX_FOUND, self._max_tools // 4))

    def _show(self) -> None:
        self.shown[:] = [*self._always, *self._found]


class FindTool:
    """A tool that looks for others; used by any thread of its turn."""

    on_crash = "retry"

    def __init__(self, offer: Offer, name: str) -> None:
        self._offer = offer
        self.name = name
        sources = Counter(getattr(tool, "source", None) or "others" for tool in offer.left_out)
        counts = ", ".join(f"{source} ({count})" for source, count in sources.items())
        self.description = (
            f"Find a tool by what it does. {len(offer.left_out)} tools are not listed: {counts}."
            " Those that are found can be called in the next step."
        )
        self.parameters: dict[str, Any] = {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "Words for what the tool should do."}
            },
            "required": ["query"],
        }

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """See `AnyTool.prepare`."""
        del turn
        arguments = parse_object(call.arguments) or {}
        query = arguments.get("query")
        if not isinstance(query, str):
            raise CallRefused("bad arguments: query: a text is required")
        return PreparedCall({"query": query}, lambda: self._run(query))

    def _run(self, query: str) -> dict[str, Any]:
        found = self._offer.find(query)
        if not found:
            names = [tool.name for tool in self._offer.left_out[:MAX_NAMES]]
            return {"tools": [], "note": f"Nothing fits. Tools that are not listed: {names}"}
        described = [
            {"name": tool.name, "description": tool.description[:MAX_DESCRIPTION_CHARS]}
            for tool in found
        ]
        return {"tools": described, "note": "They are listed from now on, and can be called."}


def called_in(history: Sequence[Any]) -> set[str]:
    """The names of the tools that a conversation has called."""
    return {
        call["function"]["name"]
        for message in history
        for call in message.get("tool_calls") or ()
        if isinstance(call.get("function"), dict)
    }


def _unused_name(names: Collection[str]) -> str:
    name = "find_tool"
    while name in names:
        name += "_"
    return name


def _best(tools: Sequence[AnyTool], query: str) -> list[AnyTool]:
    """The tools that a query fits, the best first: a word counts the more the fewer have it."""
    named = [(_words(tool.name), _words(tool.description)) for tool in tools]
    scores = [0.0] * len(tools)
    for word in _words(query):
        fits = [
            _NAME_WEIGHT * _is_among(word, name) + _is_among(word, description)
            for name, description in named
        ]
        share = 1 / max(1, sum(map(bool, fits)))
        scores = [score + fit * share for score, fit in zip_strict(scores, fits)]
    order = sorted(range(len(tools)), key=lambda at: -scores[at])
    return [tools[at] for at in order if scores[at]]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_CAMEL.sub(" ", text).lower()))


def _is_among(word: str, words: Collection[str]) -> bool:
    """Whether a word is there, in another form too."""
    return word in words or any(_is_form(word, one) for one in words)


def _is_form(one: str, other: str) -> bool:
    shorter = min(len(one), len(other))
    return shorter >= _MIN_STEM_CHARS and one[:shorter] == other[:shorter]
