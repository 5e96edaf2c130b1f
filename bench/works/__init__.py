"""What can be measured: one file for each kind of work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.programs import Programs

#: A run's figures, as they go to the file.
Row = dict[str, Any]
Tell = Callable[[str], None]


class Work(NamedTuple):
    """A kind of work: its options, how it is measured, and how its figures are shown."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace, Programs, Tell], list[Row]]
    table: Callable[[list[Row]], str]
    help: str
