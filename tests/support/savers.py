"""Checkpointers of LangGraph on real databases, for the length of a ``with`` block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from tests.support.postgres import Postgres
from tests.support.processes import temporary_folder

Saver: TypeAlias = BaseCheckpointSaver[Any]


@contextmanager
def postgres_saver(server: Postgres) -> Iterator[PostgresSaver]:
    """A sync saver with a pool, as a site that knows no async has it, and an empty database."""
    with ConnectionPool[Connection[DictRow]](
        f"postgresql://{server.new_database()}",
        max_size=4,
        kwargs={"autocommit": True, "row_factory": dict_row},
        open=True,
    ) as pool:
        saver = PostgresSaver(pool)
        saver.setup()
        yield saver


@contextmanager
def sqlite_saver() -> Iterator[SqliteSaver]:
    """A sync saver on a file."""
    with temporary_folder() as folder:
        connection = sqlite3.connect(folder / "graph.db", check_same_thread=False)
        try:
            yield SqliteSaver(connection)
        finally:
            connection.close()
