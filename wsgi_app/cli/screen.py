"""What a conversation looks like: in a terminal, or as lines of JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

import click

from wsgi_app.cli.faults import HostError
from wsgi_app.cli.text import harmless, is_terminal, one_line
from wsgi_app.cli.turn import Numbered

SHOWN_MESSAGES: Final = 6
MAX_MESSAGE_CHARS: Final = 1000


class Screen(Protocol):
    """Where a conversation is shown. Used by one thread."""

    def event(self, event: Numbered) -> None:
        """Show an event of a turn."""

    def fault(self, fault: HostError) -> None:
        """Show why something did not happen."""

    def cancelled(self) -> None:
        """Show that a turn was called off before it began."""

    def notice(self, text: str) -> None:
        """Report something beside the conversation."""

    def messages(self, messages: list[dict[str, Any]]) -> None:
        """Show what was said before."""


class JsonScreen:
    """Each event as one line of JSON on stdout; notices on stderr."""

    def event(self, event: Numbered) -> None:
        """Print the event as it came, with its id."""
        self._print({"id": str(event.id), **event.body})

    def fault(self, fault: HostError) -> None:
        """Print an error event without an id."""
        body = {"type": "error", "code": fault.code, "message": fault.message}
        self._print({**body, "details": fault.details, "retryable": fault.retryable})

    def cancelled(self) -> None:
        """Print a cancelled event without an id."""
        self._print({"type": "cancelled", "reason": "user"})

    def notice(self, text: str) -> None:
        """Print to stderr."""
        click.echo(one_line(text), err=True)

    def messages(self, messages: list[dict[str, Any]]) -> None:
        """Print nothing: they are no events."""

    def _print(self, body: dict[str, Any]) -> None:
        click.echo(json.dumps(body, separators=(",", ":")))


class TextScreen:
    """The answer's text on stdout, everything else on stderr, harmless and mostly in one line."""

    def __init__(self) -> None:
        self._shared = is_terminal(sys.stdout) and is_terminal(sys.stderr)
        self._colour = "NO_COLOR" not in os.environ
        # Whether the last line on it still has no end.
        self._answer_open = False
        self._thinking_open = False
        self._shows: dict[str, Callable[[dict[str, Any]], None]] = {
            "token": self._token,
            "thinking": self._thinking,
            "status": lambda body: self._line(one_line(body.get("content"))),
            "tool_call": self._tool_call,
            "tool_result": self._tool_result,
            "input_request": lambda body: self._line(f"? {harmless(str(body.get('prompt')))}"),
            "gap": lambda _: self._line("[a part of the answer is no longer kept]"),
            "done": lambda _: self._end(),
            "error": self._error,
            "cancelled": self._cancelled,
        }

    def event(self, event: Numbered) -> None:
        """Show an event in its type's way; one of an unknown type is left out."""
        show = self._shows.get(event.kind)
        if event.body.get("parent"):
            self._nested(event)
        elif show is not None:
            show(event.body)

    def _nested(self, event: Numbered) -> None:
        """Show what a sub-agent does, in a line; its text is in the result of its call."""
        show = {"status": "status", "tool_call": "->", "tool_result": "<-"}.get(event.kind)
        if show is not None:
            about = event.body.get("content" if show == "status" else "tool")
            sign = "" if show == "status" else f"{show} "
            self._line(f"{one_line(event.body.get('agent'))}: {sign}{one_line(about)}")

    def fault(self, fault: HostError) -> None:
        """Show code, message and details."""
        self._error({"code": fault.code, "message": fault.message, "details": fault.details})
        if fault.retry_after_seconds:
            self._line(f"Try again in {fault.retry_after_seconds:g} s.")

    def cancelled(self) -> None:
        """Show the word alone."""
        self._cancelled({})

    def notice(self, text: str) -> None:
        """Show a dimmed line."""
        self._line(one_line(text), dim=True)

    def messages(self, messages: list[dict[str, Any]]) -> None:
        """Show the last few, dimmed and each cut to a bounded length."""
        for message in messages[-SHOWN_MESSAGES:]:
            content = harmless(str(message.get("content")))
            cut = (
                content if len(content) <= MAX_MESSAGE_CHARS else content[:MAX_MESSAGE_CHARS] + "…"
            )
            self._line(f"{one_line(message.get('role'))}: {cut}", dim=True)

    def _token(self, body: dict[str, Any]) -> None:
        text = harmless(str(body.get("content")))
        if not text:
            return
        self._end_thinking()
        click.echo(text, nl=False)
        self._answer_open = not text.endswith("\n")

    def _thinking(self, body: dict[str, Any]) -> None:
        text = harmless(str(body.get("content")))
        if not text:
            return
        self._end_shared_line()
        click.echo(self._dim(text), nl=False, err=True)
        self._thinking_open = not text.endswith("\n")

    def _tool_call(self, body: dict[str, Any]) -> None:
        shown = body.get("input") or ""
        self._line(f"-> {one_line(body.get('tool'))} {one_line(shown)}".rstrip())

    def _tool_result(self, body: dict[str, Any]) -> None:
        failed = " failed:" if body.get("status") == "error" else ""
        self._line(f"<- {one_line(body.get('tool'))}{failed} {one_line(body.get('output'))}")

    def _error(self, body: dict[str, Any]) -> None:
        self._end()
        details = body.get("details")
        shown = f" {one_line(details)}" if details else ""
        self._line(
            f"error {one_line(body.get('code'))}: {harmless(str(body.get('message')))}{shown}"
        )

    def _cancelled(self, body: dict[str, Any]) -> None:
        self._end()
        reason = body.get("reason", "user")
        self._line("cancelled" if reason == "user" else f"cancelled ({one_line(reason)})")

    def _line(self, text: str, *, dim: bool = False) -> None:
        self._end_thinking()
        self._end_shared_line()
        click.echo(self._dim(text) if dim else text, err=True)

    def _end(self) -> None:
        """End the answer's last line, also where stdout goes to a file."""
        self._end_thinking()
        if self._answer_open:
            click.echo()
            self._answer_open = False

    def _end_thinking(self) -> None:
        if self._thinking_open:
            click.echo(err=True)
            self._thinking_open = False

    def _end_shared_line(self) -> None:
        """What goes to stderr must not continue the answer's line on the same terminal."""
        if self._shared and self._answer_open:
            click.echo(err=True)
            self._answer_open = False

    def _dim(self, text: str) -> str:
        return click.style(text, dim=True) if self._colour else text
