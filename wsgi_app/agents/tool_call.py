"""A call of a tool, from the model's text to what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class CallRefused(ValueError):  # noqa: N818 - a refusal is no fault
    """A call is refused, with a text for the model, before the tool itself has done anything."""


class CallRequest(NamedTuple):
    """A tool call as the model wrote it; ``arguments`` should be a JSON object."""

    call_id: str
    tool: str
    arguments: str
    #: See `Call.key`.
    key: str = ""


class PreparedCall(NamedTuple):
    """A call whose arguments are in order."""

    #: What the tool will get.
    arguments: dict[str, Any]
    #: Runs the call and answers a JSON value; may block, and raise anything.
    run: Callable[[], Any]
