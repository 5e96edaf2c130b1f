"""How an answer of LangChain's models for OpenAI's APIs has ended."""

from __future__ import annotations

from typing import Final

from langchain_core.messages import AIMessage

from wsgi_app.agents.answer_end import CONTENT_FILTER, LENGTH, STOP, TOOL_CALLS, end_reason
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.events import encode_json

_REASONS: Final = (STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER)


def reports_end(message: AIMessage) -> bool:
    """Whether the message is of a model that says how its answers end; others have other words."""
    return message.response_metadata.get("model_provider") == "openai"


def end_of(message: AIMessage) -> str | None:
    """Why the answer ended, in the words of the chat API; None if it broke off.

    Raises UpstreamError for a reason that reports a failure.
    """
    metadata = message.response_metadata
    if "finish_reason" in metadata:
        word = str(metadata["finish_reason"] or "")
        # LangChain joins the reasons of a server that reports one in each chunk.
        repeated = (reason for reason in _REASONS if word and not word.replace(reason, ""))
        return end_reason(next(repeated, word))
    status, details = metadata.get("status"), metadata.get("incomplete_details")
    if status == "completed":
        return STOP
    if status == "incomplete" and isinstance(details, dict):
        return end_reason(details.get("reason"))
    return None


def has_content(message: AIMessage) -> bool:
    """Whether the message says anything but thoughts."""
    if isinstance(message.content, str):
        return bool(message.content)
    kinds = {block.get("type") for block in message.content if isinstance(block, dict)}
    return bool(message.text) or bool(kinds - {"text", "reasoning", "function_call"})


def calls_of(message: AIMessage) -> list[CallRequest]:
    """The message's calls, those among them whose arguments are no JSON."""
    calls = [
        CallRequest(call["id"] or "", call["name"], encode_json(call["args"]).decode())
        for call in message.tool_calls
    ]
    return calls + [
        CallRequest(call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
