"""The tools that a request names for its client to run: checked, or left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from wsgi_app.errors import RequestError
from wsgi_app.events import ClientTool, encode_json
from wsgi_app.web.mount import Mount

MAX_TOOLS: Final = 128
MAX_SCHEMA_BYTES: Final = 65_536
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: Makes the refusal of a field, with a reason.
Refuse = Callable[[str, str], RequestError]


def named_tools(mount: Mount, tools: Any, refuse: Refuse) -> tuple[ClientTool, ...]:
    """Read a front end's tools, a list or an object of them by name; none if the agent calls none.

    Raises the error that ``refuse`` makes.
    """
    if not tools or not takes_tools(mount):
        return ()
    if isinstance(tools, dict):
        tools = [
            {**tool, "name": n} if isinstance(tool, dict) else tool for n, tool in tools.items()
        ]
    if not isinstance(tools, list):
        raise refuse("tools", "Expected a list")
    read = [_read(tool, f"tools.{index}", refuse) for index, tool in enumerate(tools)]
    return checked_tools(mount, read, refuse)


def _read(tool: Any, field: str, refuse: Refuse) -> ClientTool:
    found = tool if isinstance(tool, dict) else {}
    name, description = found.get("name"), found.get("description") or ""
    parameters = found.get("parameters") or found.get("inputSchema") or {}
    if not (
        isinstance(name, str) and isinstance(description, str) and isinstance(parameters, dict)
    ):
        raise refuse(field, "Expected a tool with name, description and parameters")
    return ClientTool(name=str(name), description=description, parameters=parameters)


def takes_tools(mount: Mount) -> bool:
    """Whether the agent calls its client's tools; True for one that is not made yet."""
    agent = mount.runner.agent
    return agent is None or bool(getattr(agent, "takes_client_tools", False))


def takes_attachments(mount: Mount) -> bool:
    """Whether the agent reads images and files; True for one that is not made yet."""
    agent = mount.runner.agent
    return agent is None or bool(getattr(agent, "takes_attachments", False))


def takes_steering(mount: Mount) -> bool:
    """Whether the agent reads steers of its turns; True for one that is not made yet."""
    agent = mount.runner.agent
    return agent is None or bool(getattr(agent, "takes_steering", False))


def checked_tools(
    mount: Mount, tools: Sequence[ClientTool], refuse: Refuse
) -> tuple[ClientTool, ...]:
    """The same tools if the agent's model can be offered them; else raises ``refuse``'s error."""
    if len(tools) > MAX_TOOLS:
        raise refuse("tools", f"Expected {MAX_TOOLS} tools at most")
    own = set(getattr(mount.runner.agent, "tool_names", ()))
    names: set[str] = set()
    for index, tool in enumerate(tools):
        field = f"tools.{index}"
        if _NAME.fullmatch(tool.name) is None:
            raise refuse(f"{field}.name", "Expected 1 to 64 letters, digits, _ or -")
        if tool.name in names:
            raise refuse(f"{field}.name", f"There are two tools of the name {tool.name}")
        if tool.name in own:
            raise refuse(f"{field}.name", f"The agent has a tool of the name {tool.name}")
        if len(encode_json(tool.parameters)) > MAX_SCHEMA_BYTES:
            raise refuse(f"{field}.parameters", f"Expected {MAX_SCHEMA_BYTES} bytes at most")
        names.add(tool.name)
    return tuple(tools)
