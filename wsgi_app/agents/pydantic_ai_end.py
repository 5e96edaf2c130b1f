"""How an answer of Pydantic AI's models for OpenAI's APIs has ended."""

from __future__ import annotations

import sys
from typing import Any

from pydantic_ai import ModelResponse, ToolCallPart

from wsgi_app.agents.answer_end import STOP, end_reason
from wsgi_app.agents.tool_call import CallRequest


def reports_end(model: Any) -> bool:
    """Whether a model says how its answers end; those of other providers have other words."""
    module = sys.modules.get("pydantic_ai.models.openai")
    return module is not None and isinstance(
        getattr(model, "wrapped", model), (module.OpenAIChatModel, module.OpenAIResponsesModel)
    )


def end_of(response: ModelResponse) -> str | None:
    """Why the answer ended, in the words of the chat API; None if it broke off.

    The provider's own word is looked at: without one Pydantic AI says that the answer is whole.
    Raises UpstreamError for a reason that reports a failure.
    """
    reason = (response.provider_details or {}).get("finish_reason")
    return STOP if reason == "completed" else end_reason(reason)


def calls_of(response: ModelResponse) -> list[CallRequest]:
    """The answer's calls."""
    return [
        CallRequest(part.tool_call_id, part.tool_name, part.args_as_json_str())
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
