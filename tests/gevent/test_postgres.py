"""A site with PostgreSQL on gevent workers: psycopg2 by psycogreen, and SQLAlchemy's pool."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.sites.environments import environment
from tests.support.postgres import postgres
from tests.support.processes import free_port, started
from tests.support.reading import ReadingClient
from tests.support.servers import Server, answers_http

REQUIREMENTS = """\
flask
gunicorn
gevent>=24.10.1
flask-sqlalchemy
psycopg2-binary
psycogreen
"""
STREAMS = 6
QUERY_SECONDS = 0.5


@contextmanager
def site(database: str) -> Iterator[Server]:
    """The site on one gevent worker, with a pool of two connections."""
    python = environment("gevent-postgres", REQUIREMENTS) / "bin" / "python"
    port = free_port()
    command = [str(python), "-m", "gunicorn", "--worker-class", "gevent", "--bind"]
    command += [f"127.0.0.1:{port}", "tests.support.postgres_site:app"]
    with started(command, env={"DATABASE": database}) as process:
        process.wait_until(lambda: answers_http(port), 60)
        yield Server(process, port)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_streams_share_a_pool_and_queries_do_not_stop_the_worker() -> None:
    """More streams than connections hold none of them; queries wait at the same time."""
    with (
        postgres() as database,
        site(f"postgresql+psycopg2://{database.address}") as server,
        ExitStack() as held,
    ):
        client, pages = ReadingClient(server), ReadingClient(server, prefix="")
        for number in range(STREAMS):
            stream = held.enter_context(client.chat(f"held-{number}", {"text": "a"}))
            # The agent has asked the database for this, by a request's session and its own.
            assert stream.until("token")[-1].data["content"] == "row 1"
        assert pages.call("GET", "/in-use").json == 0
        began_at = time.monotonic()
        with ThreadPoolExecutor(STREAMS) as pool:
            answers = list(pool.map(lambda _: pages.call("GET", "/slow"), range(STREAMS)))
            assert [answer.status for answer in answers] == [200] * STREAMS
        # Two at a time; all others wait for a place in the pool, and the worker for none.
        assert time.monotonic() - began_at < STREAMS * QUERY_SECONDS * 0.9
        for number in range(STREAMS):
            assert client.cancel(f"held-{number}")["cancelled"]
