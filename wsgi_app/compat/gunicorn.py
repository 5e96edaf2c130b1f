"""What differs between versions of gunicorn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any


def runnable_module() -> str:
    """Name what `python -m` runs as gunicorn: before 20.1 the package itself cannot be run."""
    return "gunicorn" if find_spec("gunicorn.__main__") else "gunicorn.app.wsgiapp"


def leave_connections(worker: Any) -> None:
    """Have a gthread worker that is about to leave take no more connections.

    From 20.1 to 23.0 it would take one more, and close it without an answer: it has left its loop
    when the request comes. Those that it leaves alone wait for another worker. To be called before
    the worker runs.
    """
    from gunicorn import version_info  # noqa: PLC0415 - an extra

    if not (20, 1) <= version_info < (24,) or not hasattr(worker, "poller"):
        return
    take = worker.accept

    def accept(server: Any, listener: Any) -> None:
        if worker.alive:
            take(server, listener)

    worker.accept = accept


@contextmanager
def smaller_reads(environ: Mapping[str, Any], size: int) -> Iterator[None]:
    """Have the block's reads of the body take no more than so much from the socket at once.

    gunicorn 27 takes a megabyte, whatever is asked for, and copies it four times.
    """
    unreader = getattr(getattr(environ.get("wsgi.input"), "reader", None), "unreader", None)
    before = getattr(unreader, "max_body_chunk", None)
    if unreader is None or before is None:
        yield
        return
    unreader.max_body_chunk = size
    try:
        yield
    finally:
        unreader.max_body_chunk = before
