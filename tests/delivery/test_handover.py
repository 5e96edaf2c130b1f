"""What is relied on in gunicorn, and the threads that ask the store for parked streams."""

from __future__ import annotations

import threading

import pytest
from gunicorn.glogging import Logger
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import ThreadWorker

from tests.support.waiting import wait_for
from wsgi_app.delivery.detached.handover import find_missing
from wsgi_app.engine.runtime import store_threads
from wsgi_app.engine.runtime.store_threads import StoreThreads


class RenamedWorker:
    """A worker whose function has other variables."""

    def handle_request(self, request: object, connection: object) -> None:
        """Handle it."""


class BareResponse:
    """A response that keeps nothing of what is looked at."""

    def write(self) -> None:
        """Write."""


class BareLogger:
    """A logger whose access lines are made of something else."""

    def access(self, line: str) -> None:
        """Write a line."""


def test_the_installed_gunicorn_is_as_expected() -> None:
    """Streams can be parked on the gunicorn that the project is locked to."""
    assert find_missing(ThreadWorker, Response, Logger) == []


def test_what_another_gunicorn_lacks_is_named() -> None:
    """A gunicorn whose inside has changed is found out before a stream is parked."""
    missing = find_missing(RenamedWorker, BareResponse, BareLogger)
    assert "handle_request: resp" in missing
    assert "Response.chunked" in missing
    assert "Response.force_close" in missing
    assert "Response.write" not in missing
    assert "Logger.access" in missing
    assert "Logger.access" in find_missing(ThreadWorker, Response, object)


def test_calls_run_in_few_threads_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls come, only so many threads run them, none is lost, and idle ones end."""
    monkeypatch.setattr(store_threads, "IDLE_SECONDS", 0.05)
    threads, done, running, most = StoreThreads(3), [0], [0], [0]
    lock = threading.Lock()
    before = threading.active_count()

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.001)
        with lock:
            running[0] -= 1
            done[0] += 1

    for _ in range(5):
        expected = done[0] + 100
        for _ in range(100):
            threads.submit(call)
        wait_for(lambda: done[0] == expected, "all calls")  # noqa: B023 - waited for in its round
        wait_for(lambda: threading.active_count() == before, "the threads end")
    assert most[0] <= 3


def test_a_call_that_fails_takes_no_thread_with_it() -> None:
    """The next call runs all the same."""

    def fail() -> None:
        raise ValueError

    threads, ran = StoreThreads(1), threading.Event()
    threads.submit(fail)
    threads.submit(ran.set)
    assert ran.wait(10)


def test_without_a_thread_the_caller_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that no thread can take is refused, not kept."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    threads, ran = StoreThreads(1), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(store_threads, "start_thread", refuse)
        with pytest.raises(RuntimeError):
            threads.submit(lambda: None)
    threads.submit(ran.set)
    assert ran.wait(10)
