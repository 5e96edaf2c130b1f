"""What the user says: lines that are typed, or that come through a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

import click

from wsgi_app.cli.text import is_terminal, one_line

_BOOLEANS: Final = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


class Lines:
    """Reads stdin line by line, with a prompt and a history in a terminal. Used by one thread."""

    def __init__(self) -> None:
        self.interactive = is_terminal(sys.stdin) and is_terminal(sys.stdout)
        if self.interactive:
            with suppress(ImportError):  # not every Python has it
                import_module("readline")  # from now on input() edits lines and keeps a history

    def read(self, prompt: str) -> str:
        """Read the next line; raises EOFError when there is none."""
        if self.interactive:
            try:
                return input(prompt)
            except (EOFError, KeyboardInterrupt):
                click.echo(err=True)  # the prompt's line has no end yet
                raise
        line = "" if sys.stdin is None else sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def read_value(self, schema: dict[str, Any], show: Callable[[str], None]) -> Any:
        """Read an answer that fits a question's JSON schema; ``show`` says what is expected.

        Raises EOFError when there are no more lines.
        """
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            for number, choice in enumerate(choices, 1):
                show(f"{number}. {one_line(choice)}")
            return self._read_fitting(
                lambda line: _choose(line, choices), f"a number from 1 to {len(choices)}", show
            )
        if schema.get("type") == "boolean":
            return self._read_fitting(lambda line: _BOOLEANS[line.lower()], "y or n", show)
        line = self.read("answer: ")
        return line if schema.get("type") == "string" else _json_or_text(line)

    def _read_fitting(
        self, read: Callable[[str], Any], expected: str, show: Callable[[str], None]
    ) -> Any:
        while True:
            line = self.read(f"{expected}: ").strip()
            try:
                return read(line)
            except LookupError:
                show(f"Answer with {expected}.")


def _choose(line: str, choices: list[Any]) -> Any:
    """Find a choice by its text, else by its number; raises LookupError."""
    for choice in choices:
        if line == (choice if isinstance(choice, str) else json.dumps(choice)):
            return choice
    if not line.isdecimal() or not 1 <= int(line) <= len(choices):
        raise LookupError
    return choices[int(line) - 1]


def _json_or_text(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line
