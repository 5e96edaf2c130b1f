"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from wsgi_app.cli.text import one_line
from wsgi_app.compat.python import zip_strict


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows below their columns' names, each as wide as its widest; cells are harmless."""
    texts = [[one_line("" if cell is None else cell) for cell in row] for row in rows]
    head = [column.upper().replace("_", " ") for column in columns]
    widths = [max(map(len, column)) for column in zip_strict(head, *texts)]
    for row in (head, *texts):
        cells = [cell.ljust(width) for cell, width in zip_strict(row, widths)]
        click.echo("  ".join(cells).rstrip())
