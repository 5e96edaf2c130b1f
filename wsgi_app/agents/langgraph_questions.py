"""What a LangGraph graph asks while it waits, as questions of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.types import Interrupt

from wsgi_app.agents.approvals import (
    APPROVAL_SCHEMA,
    approval_prompt,
    is_approval,
    refusal_reason,
)
from wsgi_app.agents.langgraph_client import GraphClient
from wsgi_app.agents.tool_values import bounded_json
from wsgi_app.engine import Turn
from wsgi_app.engine.turn.history import as_text


async def ask_interrupts(
    turn: Turn, client: GraphClient, interrupts: Sequence[Interrupt]
) -> dict[str, Any]:
    """Ask what each ``interrupt()`` asks; gives what they should return, by their ids."""
    answers = await client.answers(interrupts)
    for one in interrupts:
        if one.id not in answers:
            answers[one.id] = await _ask_interrupt(turn, one)
    return answers


async def _ask_interrupt(turn: Turn, interrupt: Interrupt) -> Any:
    value = interrupt.value
    if isinstance(value, dict) and isinstance(value.get("action_requests"), list):
        return {"decisions": [await _decide(turn, call) for call in value["action_requests"]]}
    schema = interrupt.response_schema
    prompt = as_text(bounded_json(value))
    return await turn.ask_async(prompt, schema if isinstance(schema, dict) else None)


async def ask_breakpoint(turn: Turn, nodes: tuple[str, ...]) -> bool:
    """Ask whether the graph may run these nodes."""
    return is_approval(await turn.ask_async(breakpoint_prompt(nodes), APPROVAL_SCHEMA))


def breakpoint_prompt(nodes: tuple[str, ...]) -> str:
    """The question whether the graph may run these nodes."""
    return f"Go on with {', '.join(nodes)}?"


async def _decide(turn: Turn, call: dict[str, Any]) -> dict[str, Any]:
    """Ask for one of the calls that LangChain's HumanInTheLoopMiddleware holds back.

    A client that knows its decisions may send one, such as an edit, in place of yes or no.
    """
    prompt = approval_prompt(str(call.get("name")), call.get("args", {}))
    answer = await turn.ask_async(prompt, APPROVAL_SCHEMA)
    if isinstance(answer, dict) and "type" in answer:
        return answer
    if is_approval(answer):
        return {"type": "approve"}
    reason = refusal_reason(answer)
    return {"type": "reject", **({"message": reason} if reason else {})}
