"""The example of a graph whose pool lives as long as its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.postgres import Postgres
from tests.support.processes import ROOT, clean_environment
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, gunicorn
from tests.support.upstream import Upstream
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.slow]

FOLDER = ROOT / "examples/graph"
WORKERS = 2


@pytest.fixture
def site(database: Postgres, upstream: Upstream, redis: Redis) -> Iterator[Gunicorn]:
    """The example on two workers."""
    env = {
        **upstream.environment,
        "DATABASE_URL": f"postgresql://{database.address}",
        "AGENT_REDIS_URL": redis.url,
    }
    make_tables = [sys.executable, "-m", "flask", "--app", "app", "create-tables"]
    subprocess.run(make_tables, cwd=FOLDER, env=clean_environment(env), check=True, timeout=60)
    with gunicorn("app:app", workers=WORKERS, env=env, cwd=FOLDER) as server:
        yield server


def test_its_pool_lives_as_long_as_its_worker(
    site: Gunicorn, database: Postgres, upstream: Upstream
) -> None:
    """Each worker opens one, with whichever turn comes first; none is left of workers that went."""
    client = ReadingClient(site)
    owners = set()
    for number in range(40):
        assert client.chat_json(f"s-{number}").json["reply"] == "Hello from upstream"
        owners.add(client.session(f"s-{number}")["owner"])
        if len(owners) == WORKERS:
            break
    assert len(owners) == WORKERS
    assert client.chat_json("s-0").status == 200
    roles = [message["role"] for message in upstream.requests[-1].body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert 0 < database.connections() <= 8 * WORKERS
    workers = set(site.worker_pids())
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not set(site.worker_pids()) & workers, "new workers", 30)
    wait_for(lambda: database.connections() == 0, "no connection is left")
    assert "still closing" not in site.log()
