"""The demo agent, for a machine without a model: real tools, real streaming, canned words."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator
from datetime import datetime, timezone
from typing import Any, Final

from wsgi_app.agents.approvals import approve
from wsgi_app.agents.arithmetic import Number, evaluate, find_expression
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.engine import Turn
from wsgi_app.events import AnyEvent, Thinking, ToolResult, encode_json

#: Pauses between words: reading pace, and one that leaves time to press stop or to reload.
WORD_SECONDS: Final = 0.03
SLOW_WORD_SECONDS: Final = 0.1
MAX_COUNT: Final = 1000

INTRODUCTION: Final = "I am the demo agent: there is no language model behind me. "
HELP: Final = (
    "I can calculate (“what is 12*34?”), tell the time (“what time is it?”), ask you before I do "
    "something (“delete the nut”), and talk for long, so that you can press stop or reload the "
    "page in mid-answer (“count to 200”, “tell me a long story”). To talk to a model, set "
    "OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own."
)
STORY: Final = """Here is a long story.

Once there was a small harbour with a single pier. Every evening the ferry brought the mail, and \
every evening the same clerk carried it up the hill, one letter after the other, because the path \
was too narrow for a cart. The people on the hill were patient. They liked to read the first lines \
while the last ones were still on their way.

One winter the fog came and stayed. Letters were dropped on the path, and nobody could say which \
were missing, or whether a letter had come twice. So the clerk began to number them. Whoever had \
number seventeen in hand could call down the hill: "I have seventeen, go on from there!" And the \
clerk continued with eighteen, and never again did a letter get lost, nor was one read twice.

Then the clerk fell ill, and another took over. The new one did not know the hill, but found the \
book in which every number was written, and carried on in the middle of a sentence. On the hill \
they hardly noticed. Only one old woman, who had counted along, nodded in the dark and said: \
"That was well handed over."

Sometimes a reader had enough and rang a bell. Then the clerk stopped on the spot, put down the \
bag, and wrote under the last number: ended here, by wish. For an end that is written down is \
worth more than a path that simply falls silent, and nobody stands at the window waiting for what \
will not come.

In spring the fog lifted. The numbers stayed, out of habit at first, and then because everyone had \
forgotten how it was without them. The ferry still comes every evening. If you have read this far \
without pressing stop, you may do it now, or reload the page: the story goes on where you left it.
"""

_COUNT = re.compile(r"\bcount\s{1,9}(?:up\s{1,9})?to\s{1,9}(\d{1,9})\b", re.IGNORECASE | re.ASCII)
_STORY = re.compile(r"\b(?:story|tale|essay|long)\b", re.IGNORECASE)
_DELETE = re.compile(r"\bdelete\s{1,9}(?:the\s{1,9}|a\s{1,9})?(\w{1,40})", re.IGNORECASE)
_TIME = re.compile(r"\b(?:time|date|day|today|clock)\b", re.IGNORECASE)


def demo_agent(turn: Turn) -> Iterator[str | AnyEvent]:
    """Answer by a few patterns in the message, and say that this is a demo.

    A calculation or a question about the time runs a tool, “delete the nut” asks for approval;
    “count to 200” and stories are slow.
    """
    message = turn.message
    if expression := find_expression(message):
        yield Thinking("This asks for a calculation. I use the calculator. ")
        result = yield from _use(turn, "calculator", {"expression": expression})
        yield from _say(turn, INTRODUCTION + _calculated(expression, result))
    elif count := _COUNT.search(message):
        yield Thinking("This asks for a long count. I take my time. ")
        yield from _say(turn, INTRODUCTION + _counted(int(count[1])), SLOW_WORD_SECONDS)
    elif _STORY.search(message):
        yield Thinking("This asks for something long. I take my time. ")
        yield from _say(turn, INTRODUCTION + STORY, SLOW_WORD_SECONDS)
    elif _TIME.search(message):
        yield Thinking("This asks for the time. I look at the clock. ")
        result = yield from _use(turn, "clock", {})
        yield from _say(turn, f"{INTRODUCTION}It is {result.output}.")
    elif article := _DELETE.search(message):
        yield Thinking("This asks for something that cannot be taken back. I ask first. ")
        result = yield from _use(turn, "delete_article", {"article": article[1]})
        yield from _say(turn, INTRODUCTION + _deleted(result))
    else:
        yield Thinking("There is nothing here that I have a tool for. ")
        yield from _say(turn, INTRODUCTION + HELP)


#: What the start warns of, where it is hosted.
demo_agent.lack = (  # type: ignore[attr-defined] # a function may have attributes
    "no model answers, but the demo agent: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of"
    " your own, and AGENT_MODEL"
)


def calculator(expression: str) -> Number:
    """Evaluate an arithmetic expression, such as 12*34, (1+2)/3 or 2**10."""
    return evaluate(expression)


def clock() -> str:
    """Tell the date and time in UTC."""
    return datetime.now(timezone.utc).strftime("%A, %d %B %Y, %H:%M:%S UTC")


def delete_article(article: str) -> str:
    """Delete an article from the shop of the demo, which has none: nothing happens."""
    return f"{article} is deleted"


_toolbox = Toolbox([calculator, clock, approve(delete_article)])


def _use(turn: Turn, tool: str, arguments: dict[str, Any]) -> Generator[AnyEvent, None, ToolResult]:
    call = CallRequest(f"call_{turn.turn_id}", tool, encode_json(arguments).decode())
    (result,) = yield from _toolbox.run(turn, [call])
    return result


def _say(turn: Turn, text: str, pause_seconds: float = WORD_SECONDS) -> Iterator[str]:
    ended = threading.Event()
    turn.on_cancel(ended.set)
    for word in re.findall(r"\S+\s*", text):
        yield word
        ended.wait(pause_seconds)
        turn.check()


def _calculated(expression: str, result: ToolResult) -> str:
    if result.status == "error":
        return f"The calculator refused {expression}: {result.output['error']}."
    return f"{expression} = {result.output}"


def _deleted(result: ToolResult) -> str:
    if result.status == "error":
        return "You have not allowed it, so I have left it alone."
    return f"{result.output}, or it would be if I had a shop."


def _counted(last: int) -> str:
    if last > MAX_COUNT:
        return f"I count to {MAX_COUNT} at most."
    return " ".join(["I count:", *map(str, range(1, last + 1)), "and that is all."])
