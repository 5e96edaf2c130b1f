"""What a response repeats of its request, and what it says where the request said nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Where the host's own tools run, as clients see it.
SERVER_LABEL: Final = "host"
#: What a request may say, and what its response says where it did not: strict clients read all of
#: it. The agent's own model may run with other values; nobody but its author knows them.
DEFAULTS: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
_NUMBERS: Final = ("presence_penalty", "frequency_penalty", "temperature", "top_p")
_COUNTS: Final = ("max_output_tokens", "max_tool_calls", "top_logprobs")
_TEXTS: Final = ("instructions", "previous_response_id", "prompt_cache_key", "safety_identifier")
_FLAGS: Final = ("parallel_tool_calls", "store")
_CHOICES: Final = {
    "truncation": ("auto", "disabled"),
    "service_tier": ("default", "flex", "priority", "scale"),
}


def echo_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a response repeats of its request: the values that are of their field's kind."""
    echoed = {name: request[name] for name in DEFAULTS if _is_fitting(name, request.get(name))}
    for name in ("text", "reasoning"):
        if isinstance(request.get(name), dict):
            echoed[name] = request[name]
    metadata = request.get("metadata")
    if isinstance(metadata, dict):
        echoed["metadata"] = {
            name: value for name, value in metadata.items() if isinstance(value, str)
        }
    if isinstance(request.get("tools"), list):
        echoed["tools"] = [_whole_tool(tool) for tool in request["tools"]]
    return echoed


def asks_for_mcp(tools: Any) -> bool:
    """Whether a request's tools ask for the host's own calls as ``mcp_call`` items."""
    return isinstance(tools, list) and any(
        isinstance(tool, dict)
        and tool.get("type") == "mcp"
        and tool.get("server_label") == SERVER_LABEL
        for tool in tools
    )


def _is_fitting(name: str, value: Any) -> bool:
    if name in _CHOICES:
        return value in _CHOICES[name]
    if name in _FLAGS:
        return isinstance(value, bool)
    if name in _TEXTS:
        return isinstance(value, str)
    if name in _NUMBERS:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _COUNTS:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, (str, dict))  # tool_choice


def _whole_tool(tool: Any) -> Any:
    """A function with all the fields that responses have of one; other tools as they came."""
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}
