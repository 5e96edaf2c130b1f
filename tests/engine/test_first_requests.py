"""The first requests of a worker, which come at once."""

from __future__ import annotations

from tests.support.python import run_python


def test_types_are_known_before_threads_use_them() -> None:
    """Many threads that each decode a type first do not end the process.

    Without what a mount prepares, it ends by a segmentation fault each time.
    """
    assert int(run_python("-m", "tests.support.first_decodes").split()[0]) > 100
