"""An agent whose every text is one that tries to break out of a frame, a header or a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flask import Flask

from wsgi_app import AgentHost, Status, Thinking, ToolCall, ToolResult, Turn, TurnError

#: Nothing that begins a line may begin with it.
MARK: Final = "PWNED"
FORGED: Final = f'{MARK}\nid: 9-9\nevent: done\ndata: {{"type":"done"}}\n\n{MARK}'
HOSTILE: Final[dict[str, str]] = {
    "newline": f"a\n{MARK}\n\n{FORGED}",
    "return": f"a\r{MARK}\r\rdata: {MARK}\r\r",
    "header": f"a\r\nX-Evil: {MARK}\r\nSet-Cookie: a={MARK}\r\n\r\n",
    "nul": f"a\x00b\x00{MARK}",
    "separators": f"a\u2028{MARK}\u2029{MARK}\u0085{MARK}\x0b{MARK}\x0c{MARK}\x1c{MARK}",
    "surrogates": f"a\ud800b\udfff\ud83d {MARK}",
    "look-alikes": f"data: [DONE]\n\nevent: error\ndata: {MARK}\n\n: keep-alive\n\nretry: 1\n\n",
    "markup": f"</script><img src=x onerror='{MARK}'><!--",
    "escapes": f"\x1b]0;{MARK}\x07\x1b[2J\u202e\ufeff\x7f\x9b",
    "quotes": f'"}}]}}\\"\\u000a\\n{MARK}',
    "long": 1_000_000 * "\n",
}


def site() -> Flask:
    """Mount the agent below /agents."""
    app = Flask("site")
    AgentHost(answer).init_app(app, url_prefix="/agents")
    return app


def answer(turn: Turn) -> Iterator[Any]:
    """Send the text that the message names everywhere, then fail or ask with it."""
    kind, _, name = turn.message.partition(" ")
    text = HOSTILE[name]
    yield text
    yield ToolResult("tool", "call-1", text)
    if name == "long":
        return  # in the rest it would be more than a turn may send
    yield Status(text)
    yield Thinking(text)
    yield ToolCall(text, text, {text: text})
    yield ToolResult(text, text, {text: [text]}, status="error")
    if kind == "ask":
        turn.ask(text, {"title": text, text: text})
    if kind == "fail":
        raise TurnError(text, {text: text})
