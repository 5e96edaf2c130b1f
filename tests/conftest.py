"""Fixtures for all tests: a clean environment, no process left behind, a page of a real browser."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import is_foreign, own_children
from tests.support.servers import Redis, redis_server
from tests.support.shared_servers import SharedServers
from tests.support.waiting import wait_for
from wsgi_app.engine.worker.drain import WORKER_SHUTDOWN
from wsgi_app.engine.worker.registry import live_runners

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.support.together import Together
    from wsgi_app.engine.worker.runner import Runner


# What is collected stays for the whole run. Looking at all of it for garbage, again and again,
# takes as long as the rest of the collection (9.6 s instead of 4.7 s in each of pytest's workers).
gc.disable()


def pytest_collection_finish() -> None:
    """Leave what is there out of all looks for garbage."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what runs together, which takes longest."""
    if config.pluginmanager.hasplugin("xdist"):
        from tests.support.together import is_shared  # noqa: PLC0415 - environments of the matrix have no xdist

        items.sort(key=lambda item: not is_shared(item.nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together | None:
    """Keep together what shares something; the long tests take too long for one process."""
    from tests.support.together import Together  # noqa: PLC0415 - environments of the matrix have no xdist

    core = config.getvalue("dist") == "loadfile" and "not slow" in config.option.markexpr
    return Together(config, log) if core else None


@pytest.fixture(scope="session")
def servers() -> Iterator[SharedServers]:
    """The servers that test files share."""
    shared = SharedServers()
    yield shared
    shared.close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not reach them."""
    for name in [name for name in os.environ if is_foreign(name)]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_process_left(servers: SharedServers) -> Iterator[None]:
    """A test ends what it started."""
    before = set(own_children())
    yield
    known = before | servers.pids()
    wait_for(lambda: set(own_children()) <= known, f"no child beyond {known}")


@pytest.fixture(autouse=True)
def _no_turn_left() -> Iterator[None]:
    """A test's turns end with it: the hosts of a process share a loop, on which others count.

    The loop stays: what the test's model clients have open there would be found unclosed.
    """
    before = _runners()
    yield
    for runner in _runners() - before:
        runner.end_turns(WORKER_SHUTDOWN)
        assert runner.wait_idle(10), "a turn has not ended"


def _runners() -> set[Runner]:
    return set(live_runners())


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a browser with a new profile."""
    from tests.support.browser import chromium_page  # noqa: PLC0415 - environments of the matrix have no browser

    with chromium_page() as page:
        yield page


@pytest.fixture
def redis() -> Iterator[Redis]:
    """An empty redis-server of this test alone."""
    with redis_server() as server:
        yield server
