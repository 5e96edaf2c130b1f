"""The shop's agent: answers what becomes of an order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from wsgi_app import OpenAIAgent, ToolCall, ToolResult, Turn

from .models import order_of

SYSTEM_PROMPT = (
    "You are the assistant of a small shop. Look orders up before you speak of them, say what you "
    "find in a sentence or two, and do not invent anything."
)


def find_order(turn: Turn, number: int) -> dict[str, Any]:
    """Look up one of the customer's own orders by its number."""
    # The tenant is the customer who is logged in: nobody else's order can be asked for.
    order = order_of(turn.tenant, number)
    if order is None:
        return {"found": False}
    return {"found": True, "item": order.item, "state": order.state, "due": order.due.isoformat()}


def answer_without_model(turn: Turn) -> Iterator[str | ToolCall | ToolResult]:
    """Find the order's number in the message and tell about it, word by word."""
    number = re.search(r"\d{1,9}", turn.message)
    if number is None:
        yield "Please tell me the number of your order, such as 1001."
        return
    call_id = f"call_{turn.turn_id}"
    yield ToolCall("find_order", call_id, {"number": int(number[0])})
    # In a call of its own, the database connection goes back to the pool when the tool returns,
    # not when the whole answer has been read.
    order = turn.call(lambda: find_order(turn, int(number[0])))
    yield ToolResult("find_order", call_id, order)
    yield from re.findall(r"\S+\s*", sentence(number[0], order))


def sentence(number: str, order: dict[str, Any]) -> str:
    """What there is to say about an order."""
    if not order["found"]:
        return f"You have no order {number}."
    return f"Order {number} ({order['item']}) is {order['state']}. It is due on {order['due']}."


def make_agent() -> Callable[[Turn], Any]:
    """The agent: a language model if one is configured, else a few lines of Python."""
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        return answer_without_model
    model = os.environ.get("AGENT_MODEL", "gpt-4.1-mini")
    return OpenAIAgent(model=model, tools=[find_order], system=SYSTEM_PROMPT)
