"""The functions that a request lets the model call, for its client to run."""

from __future__ import annotations

from typing import Any, Final

from wsgi_app.events import ClientTool
from wsgi_app.wires.openai.request.messages import bad_request

#: A function of this name answers the agent's questions, and is none of the model's.
ASK_USER: Final = "ask_user"


def function_tools(tools: Any) -> list[ClientTool]:
    """Read them, in the form of either API; tools of other types are meant for other models.

    Raises RequestError.
    """
    found = []
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") == "function":
            inner = tool.get("function")
            read = _read(inner if isinstance(inner, dict) else tool, f"tools.{index}")
            found += [read] if read.name != ASK_USER else []
    return found


def _read(function: dict[str, Any], field: str) -> ClientTool:
    name, description = function.get("name"), function.get("description") or ""
    parameters = function.get("parameters") or {}
    if not isinstance(name, str):
        raise bad_request(f"{field}.name", "Expected a text")
    if not isinstance(description, str):
        raise bad_request(f"{field}.description", "Expected a text")
    if not isinstance(parameters, dict):
        raise bad_request(f"{field}.parameters", "Expected a JSON schema")
    return ClientTool(name=name, description=description, parameters=parameters)
