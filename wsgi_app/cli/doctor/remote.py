"""Measures the connection from a host to its clients, through all proxies, without a model.

Each measurement is one or two requests of `POST /probe`; see docs/http.md.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Optional

import requests
from msgspec import Struct

from wsgi_app.cli.client import HostClient, pieces_of
from wsgi_app.cli.faults import ConnectionLost, HostError, Refused
from wsgi_app.cli.sse import BlockParser

FRAMES: Final = 10
INTERVAL_MILLISECONDS: Final = 150
#: What a hang-up may take: the watcher sees it in milliseconds, a proxy may take a moment.
HANGUP_SECONDS: Final = 6.0
LOOK_SECONDS: Final = 0.1
#: Beyond a keep-alive, so that a proxy that waits for less has cut the stream by then.
SILENCE_FACTOR: Final = 1.5
#: Beyond what a probe says that it takes.
PATIENCE_SECONDS: Final = 15.0


class Pace(Struct, frozen=True):
    """How long frames took to leave the host, and to come here, from the first to the last."""

    sent_seconds: float
    arrived_seconds: float


class Silence(Struct, frozen=True, kw_only=True):
    """A stream without events: whether it lived, and what it was given to live on."""

    keepalive_seconds: float
    keepalives: int
    whole: bool
    #: From the last byte to the cut, if there was one.
    cut_after_seconds: float


class RemoteFacts(Struct, kw_only=True):
    """What was measured; None is what was not."""

    pace: Optional[Pace] = None
    encoding: Optional[str] = None
    silence: Optional[Silence] = None
    #: How long until the host knew of a hang-up; infinite if it did not in `HANGUP_SECONDS`.
    hangup_seconds: Optional[float] = None
    upgrade_status: Optional[int] = None
    #: The status of a JSON answer that took nearly as long as a turn may, and its seconds.
    patience: Optional[tuple[int, float]] = None
    #: What `/readyz` warns of.
    warnings: Optional[list[str]] = None


class Stream:
    """A probe's stream: what comes, when. Used by one thread."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._parser = BlockParser()
        self.session_id = response.headers.get("X-Session-Id", "")
        self.keepalive_seconds = float(response.headers.get("X-Keepalive-Seconds", "15"))
        self.turn_timeout_seconds = float(response.headers.get("X-Turn-Timeout-Seconds", "180"))
        self.encoding = response.headers.get("Content-Encoding", "")
        self.keepalives = 0
        self.last_byte_at = time.monotonic()
        self.whole = False

    def frames(self) -> Iterator[tuple[float, float]]:
        """When each frame was sent, since the first one, and when it came (`time.monotonic`).

        Ends with the stream, at its end or at a cut: see `whole`.
        """
        with suppress(ConnectionLost):
            for piece in pieces_of(self._response):
                self.last_byte_at = time.monotonic()
                self.keepalives += piece.count(b": keep-alive")
                for block in self._parser.feed(piece):
                    event = json.loads(block.data)
                    if event["type"] == "status" and block.id:
                        yield float(json.loads(event["content"])["at_seconds"]), self.last_byte_at
                    self.whole = event["type"] == "done"

    def close(self) -> None:
        """Hang up."""
        self._response.close()


class RemoteHost:
    """Measures the connection to one host; used by one thread.

    Each method opens connections of its own.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._keepalive_seconds = 0.0
        self._turn_timeout_seconds = 0.0

    def reach(self) -> None:
        """Learn what to expect of the host, before all else.

        Raises HostError, here and below.
        """
        stream = self._open({"frames": 1, "interval_ms": 0}, PATIENCE_SECONDS)
        stream.close()
        self._keepalive_seconds = stream.keepalive_seconds
        self._turn_timeout_seconds = stream.turn_timeout_seconds

    def warnings(self) -> list[str]:
        """What the host itself says of its server and its set-up."""
        answer = HostClient(self._url, self._token).readiness()
        return [str(one) for one in answer.get("warnings", [])]

    def pace(self) -> Pace:
        """Send frames at an interval; the best of three tries, since this machine may stall."""
        best = Pace(0.0, 0.0)
        for _ in range(3):
            body = {"frames": FRAMES, "interval_ms": INTERVAL_MILLISECONDS}
            stream = self._open(body, PATIENCE_SECONDS)
            times = list(stream.frames())
            stream.close()
            if len(times) >= FRAMES:
                (sent, arrived), (last_sent, last_arrived) = times[0], times[FRAMES - 1]
                pace = Pace(last_sent - sent, last_arrived - arrived)
                best = max(best, pace, key=lambda one: one.arrived_seconds)
            if best.arrived_seconds > best.sent_seconds / 2:
                break
        return best

    def encoding(self) -> str:
        """Offer compression; returns what was taken of it, '' for nothing."""
        body = {"frames": 1, "interval_ms": 0}
        stream = self._open(body, PATIENCE_SECONDS, {"Accept-Encoding": "gzip, deflate, br, zstd"})
        stream.close()
        return stream.encoding

    def silence(self) -> Silence:
        """Be silent for longer than a keep-alive takes."""
        longest = self._turn_timeout_seconds - 1
        seconds = min(self._keepalive_seconds * SILENCE_FACTOR + 1, longest)
        body = {"frames": 1, "interval_ms": 0, "silence_seconds": max(0.0, seconds)}
        stream = self._open(body, seconds + PATIENCE_SECONDS)
        list(stream.frames())
        ended_at = time.monotonic()
        stream.close()
        return Silence(
            keepalive_seconds=stream.keepalive_seconds,
            keepalives=stream.keepalives,
            whole=stream.whole,
            cut_after_seconds=ended_at - stream.last_byte_at,
        )

    def hangup(self) -> float:
        """Hang up in mid-stream, and ask until the host knows; infinite if it does not."""
        body = {"frames": 1, "interval_ms": 0, "silence_seconds": 2 * HANGUP_SECONDS}
        stream = self._open(body, PATIENCE_SECONDS + 2 * HANGUP_SECONDS)
        next(stream.frames(), None)
        stream.close()
        client = HostClient(self._url, self._token)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < HANGUP_SECONDS:
            session = client.session(stream.session_id)
            if session is None or session.running_turn is None:
                return passed
            time.sleep(LOOK_SECONDS)
        return float("inf")

    def upgrade(self) -> int:
        """Ask for a WebSocket; returns the status, 101 for one."""
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        }
        path = f"/ws/chat/probe-{secrets.token_hex(8)}"
        client = HostClient(self._url, self._token)
        try:
            response = client.send("GET", path, None, headers, PATIENCE_SECONDS)
        except Refused as refused:
            return refused.status
        response.close()
        return response.status_code

    def patience(self) -> tuple[int, float]:
        """Have a JSON answer take nearly as long as a turn may; returns its status and seconds."""
        seconds = max(0.0, self._turn_timeout_seconds - 2)
        body = {"frames": 1, "interval_ms": 0, "silence_seconds": seconds}
        client = HostClient(self._url, self._token)
        began = time.monotonic()
        try:
            accept = {"Accept": "application/json"}
            response = client.send("POST", "/probe", body, accept, seconds + PATIENCE_SECONDS)
            status = response.status_code
            response.close()
        except Refused as refused:
            status = refused.status
        except HostError:
            status = 0  # cut
        return status, time.monotonic() - began

    def _open(
        self,
        body: Mapping[str, Any],
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Stream:
        client = HostClient(self._url, self._token)
        return Stream(client.send("POST", "/probe", body, headers or {}, seconds))
