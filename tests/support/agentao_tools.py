"""Plain functions as tools of Agentao."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from agentao.tools.base import Tool


class FunctionTool(Tool):
    """A plain function as a tool of Agentao."""

    def __init__(self, function: Callable[..., Any], *, asks: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the package's own
        self._function = function
        self._asks = asks

    @property
    def name(self) -> str:
        """The function's name."""
        return self._function.__name__

    @property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self._function) or ""

    @property
    def parameters(self) -> dict[str, Any]:
        """A schema that takes anything."""
        return {"type": "object", "properties": {}}

    @property
    def requires_confirmation(self) -> bool:
        """Whether the user must allow each call."""
        return self._asks

    @property
    def is_read_only(self) -> bool:
        """So that the calls of a step run at the same time."""
        return True

    def execute(self, **arguments: Any) -> str:
        """Call the function."""
        return str(self._function(**arguments))
