"""How many functions a message passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.client import Client, new_session
from tests.support.servers import Gunicorn, gunicorn

#: Of the package, in the request's thread, from the view's entry to the first frame: with the
#: hooks, a store in memory and a thread for the stream. It was 254 before the way in was rebuilt
#: (at 372ece1, counted by this test): half of that.
MOST_CALLS: Final = 127
MESSAGES: Final = 12


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """One worker that counts."""
    with gunicorn("tests.support.hops_app:hops_app()", workers=1) as server:
        yield server


def test_a_message_passes_few_functions(server: Gunicorn) -> None:
    """From the route to the first frame, for the quickest of some messages."""
    client = Client(server, "token")
    for _ in range(MESSAGES):
        with client.stream("POST", f"/chat/{new_session()}", {"message": "hi"}) as stream:
            assert stream.until("done")
    counts = Client(server, None, prefix="").call("GET", "/hops").json
    assert len(counts) == MESSAGES
    assert min(counts) <= MOST_CALLS, sorted(counts)
