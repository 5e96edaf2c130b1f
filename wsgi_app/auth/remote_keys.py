"""A key set that lives at a URL, as identity providers publish theirs."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from http import HTTPStatus
from typing import Final

import aiohttp

from wsgi_app.auth.key_set import KeySet, VerifyKey, parse_key_set
from wsgi_app.engine.runtime import green
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import RequestError

log = logging.getLogger("wsgi_app")

#: The set is fetched no more often than this, whatever tokens come.
FETCH_SECONDS: Final = 5.0
#: A set that is older is fetched again, beside the requests, which use the keys they know.
FRESH_SECONDS: Final = 300.0
#: How long a request with an unknown key waits for the set, and a fetch takes at most.
WAIT_SECONDS: Final = 3.0
#: How many requests wait at once for a key that is not among those known; no more than the reserve
#: of a small worker, since who has no token may send them.
MAX_WAITING: Final = 2
_MAX_BYTES: Final = 1_048_576


class RemoteKeys:
    """The keys at a URL, fetched when the first token comes.

    A key that is not known makes it be fetched again; while it cannot be fetched, the keys that are
    known continue to count, and no request waits for it after the first ones have in vain.

    Used by any thread, and by the one that fetches; ``_lock`` guards what they share, and is never
    held during a fetch.
    """

    def __init__(self, url: str, setting: str) -> None:
        self._url = url
        self._setting = setting
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._fetch_from = 0.0
        self._fetching: threading.Event | None = None
        self._failed = False
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def find(self, kid: str | None, algorithm: str) -> VerifyKey | None:
        """The key of this id for this algorithm.

        Raises RequestError ``store_unavailable`` while there are no keys at all.
        """
        found = self._look_up(kid, algorithm)
        if found is not None:
            if time.monotonic() > self._fetched_at + FRESH_SECONDS:
                self._begin_fetch()
            return found
        patient = not self._failed
        fetching = self._begin_fetch()
        if fetching is not None and patient:
            self._wait(fetching)
        if self._keys is None:
            message = "The keys that tokens are checked with cannot be fetched; try again."
            raise RequestError("store_unavailable", message)
        return self._look_up(kid, algorithm)

    def _wait(self, fetching: threading.Event) -> None:
        """Wait for the keys; in few threads for another one: forged tokens name new ones always."""
        if self._keys is None:
            fetching.wait(WAIT_SECONDS)
            return
        if not self._waiting.acquire(blocking=False):
            raise RequestError("store_unavailable", "The keys are being fetched; try again.")
        try:
            fetching.wait(WAIT_SECONDS)
        finally:
            self._waiting.release()

    def _look_up(self, kid: str | None, algorithm: str) -> VerifyKey | None:
        keys = self._keys
        return None if keys is None else keys.find(kid, algorithm)

    def _begin_fetch(self) -> threading.Event | None:
        """Fetch in a thread of its own; returns what is set at its end, None if it is too early."""
        with self._lock:
            now = time.monotonic()
            if self._fetching is not None:
                return self._fetching
            if now < self._fetch_from:
                return None
            self._fetch_from = now + FETCH_SECONDS
            ended = self._fetching = threading.Event()
        try:
            start_thread(lambda: green.run(self._fetch(ended)), "keys")
        except RuntimeError:
            log.exception("no thread can be started for %s", self._setting)
            self._end_fetch(ended, None)
        return ended

    async def _fetch(self, ended: threading.Event) -> None:
        keys = None
        try:
            keys = parse_key_set(await _download(self._url))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            # Not the error's text, which may hold a URL's password.
            log.error("%s cannot be fetched: %s", self._setting, type(error).__name__)  # noqa: TRY400 - as said
        finally:
            self._end_fetch(ended, keys)

    def _end_fetch(self, ended: threading.Event, keys: KeySet | None) -> None:
        with self._lock:
            self._failed = keys is None
            if keys is not None:
                self._keys, self._fetched_at = keys, time.monotonic()
            self._fetching = None
        ended.set()


async def _download(url: str) -> bytes:
    """The body at a URL; ValueError for one that can be no set.

    Asynchronous, since only so its deadline holds against a server that sends a byte now and then.
    """
    timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS)
    async with (
        # The machine's proxy settings count, as for other programs.
        aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
        # A redirect could lead from https to http.
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != HTTPStatus.OK:
            raise ValueError("expected status 200")
        body = await answer.content.read(_MAX_BYTES)
        while len(body) < _MAX_BYTES and (more := await answer.content.read(_MAX_BYTES)):
            body += more
        return body
