"""Warnings about what the site's own code answers or does in the host's place."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from flask import Response, current_app, request

from wsgi_app.web.current import current_mount
from wsgi_app.web.mount import Mount

log = logging.getLogger("wsgi_app")

_REDIRECTS: Final = range(300, 400)
#: What iterates every response.
_RESPONSES: Final = ("wsgi_app", "werkzeug.wsgi", "werkzeug.wrappers")


def warn_of_foreign_answer(response: Response) -> None:
    """Warn once of what keeps a client of the host from its answer.

    When one of the site's before_request functions answers, neither the host's own nor its view
    run, but its after_request functions do. Clients of the host expect JSON: with a login page
    instead, the host looks broken. To be called where the host's guard has not run.
    """
    if response.status_code in _REDIRECTS or response.mimetype == "text/html":
        current_mount().warn_once(
            "guard",
            f"the site answers {request.method} {request.url_rule} itself, with status"
            f" {response.status_code} and {response.mimetype}, before the host can:"
            f" {_names(current_app.before_request_funcs.get(None, []))} must let requests pass for"
            " which wsgi_app.is_agent_request() is true: the host has a login of its own",
        )


def warn_of_collector(mount: Mount) -> None:
    """Warn once of the code that wants the whole body of a stream: this code's caller."""
    mount.warn_once(
        "collector",
        f"{_caller()} asks for the body of a stream of events, which is not there yet; it got an"
        " empty one, and the stream continues if it is left in place. Let it skip responses whose"
        " is_streamed is true, or whose mimetype is text/event-stream",
    )


def warn_of_joiner(mount: Mount) -> None:
    """Warn once of what fetches the chunks of a stream and passes none on."""
    mount.warn_once(
        "joiner",
        f"{_caller(_RESPONSES)} collects the chunks of responses: no stream of events reaches its"
        " client before its end, and cancels are not noticed; leave that middleware out in"
        " production, or let it pass responses of type text/event-stream",
    )


def _caller(passed: tuple[str, ...] = ("wsgi_app", "werkzeug", "flask")) -> str:
    """The nearest function on the stack that is of none of these packages or modules."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the interpreter's documented way to the stack
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not f"{module}.".startswith(tuple(f"{name}." for name in passed)):
            code = frame.f_code
            return f"{module}.{code.co_name} ({code.co_filename}:{frame.f_lineno})"
        frame = frame.f_back
    return "something around the host"


def _names(functions: list[Callable[..., Any]]) -> str:
    named = " or ".join(name_of(function) for function in functions)
    return f"its before_request function {named}" if named else "what wraps its views"


def name_of(function: Callable[..., Any]) -> str:
    """A function's name and the module it is from."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module else str(name)
