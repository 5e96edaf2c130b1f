"""A question as an interrupt, and its answer as the agent gets it."""

from __future__ import annotations

from typing import Any

from wsgi_app.events import InputRequest, ToolRequest
from wsgi_app.wires.shared.asked import asks_for_approval


def interrupt_value(question: InputRequest) -> dict[str, Any]:
    """What the client is asked.

    One for yes or no has the form of LangChain's human in the loop too, which chat front ends show
    with buttons, and a single call that of its headless tools, which pages run by themselves.
    """
    value: dict[str, Any] = {"prompt": question.prompt}
    if isinstance(question.schema, dict):
        value["schema"] = question.schema
    if isinstance(question, ToolRequest):
        calls = [
            {"id": call.call_id, "name": call.tool, "args": call.input} for call in question.calls
        ]
        value["calls"] = calls
        if len(calls) == 1:
            value |= {"type": "tool", "toolCall": calls[0], "tool_call": calls[0]}
    if asks_for_approval(question):
        request = {"name": "approve", "args": {}, "description": question.prompt}
        decisions = {"action_name": "approve", "allowed_decisions": ["approve", "reject"]}
        value |= {"action_requests": [request], "review_configs": [decisions]}
    return value


def answer_value(question: InputRequest, response: Any) -> Any:
    """What the agent gets of a client's answer."""
    if isinstance(question, ToolRequest):
        return _results([call.call_id for call in question.calls], response)
    return _approval(response) if asks_for_approval(question) else response


def _results(calls: list[str], response: Any) -> Any:
    """Read results by their calls' ids, that of a single call alone, or a list as it is."""
    if isinstance(response, list) and all(isinstance(one, dict) for one in response) and response:
        return response
    if not isinstance(response, dict) or not response or not response.keys() <= set(calls):
        response = {calls[0]: response} if len(calls) == 1 else {}
    return [{"call_id": call, **_result(response[call])} for call in calls if call in response]


def _result(value: Any) -> dict[str, Any]:
    """What a headless tool gave, or why it failed, as LangChain's SDKs report it."""
    if isinstance(value, dict) and value.keys() == {"error"}:
        return {"output": value["error"], "is_error": True}
    return {"output": value}


def _approval(response: Any) -> Any:
    """Read yes or no in the forms that front ends send it in."""
    if isinstance(response, list) and len(response) == 1:
        response = response[0]
    if not isinstance(response, dict):
        return response
    decisions = response.get("decisions")
    if isinstance(decisions, list) and decisions and isinstance(decisions[0], dict):
        response = decisions[0]
    kind = response.get("type")
    if kind in ("approve", "accept") or response.get("approved") is True:
        return True
    if kind in ("reject", "ignore") or response.get("approved") is False:
        reason = response.get("message") or response.get("reason")
        # A no with its reason, which must not be taken for a yes by what it says.
        return f"No: {reason}" if isinstance(reason, str) and reason.strip() else False
    return response
