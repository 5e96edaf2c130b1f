"""Judges what was measured of the connection to the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from wsgi_app.cli.doctor.remote import RemoteFacts
from wsgi_app.cli.doctor.report import Finding

PROXY: Final = "nginx.conf, or the proxy's settings (deploy/nginx.conf is right)"
#: Frames that come within half the time that they took to leave have been collected.
COLLECTED: Final = 0.5
SWITCHING_PROTOCOLS: Final = 101
OK: Final = 200


def _warnings(facts: RemoteFacts) -> Iterator[Finding]:
    for warning in facts.warnings or []:
        yield Finding("readiness", warning, "as it says; docs/servers.md has more", "the host")


def _buffering(facts: RemoteFacts) -> Iterator[Finding]:
    pace = facts.pace
    if pace is None or pace.arrived_seconds >= COLLECTED * pace.sent_seconds > 0:
        return
    yield Finding(
        "buffering",
        f"events that left the host over {pace.sent_seconds:.1f} s came within"
        f" {pace.arrived_seconds:.1f} s: a proxy or middleware collects them",
        "proxy_buffering off, proxy_http_version 1.1, and no proxy_ignore_headers"
        " X-Accel-Buffering; no middleware that reads whole responses",
        PROXY,
    )


def _compression(facts: RemoteFacts) -> Iterator[Finding]:
    if not facts.encoding:
        return
    yield Finding(
        "compression",
        f"streams are compressed ({facts.encoding}), which collects events",
        "gzip off for this location, or text/event-stream out of gzip_types; the same for a"
        " middleware of the site, such as Flask-Compress",
        PROXY,
    )


def _silence(facts: RemoteFacts) -> Iterator[Finding]:
    silence = facts.silence
    if silence is None or silence.whole:
        return
    keepalive = silence.keepalive_seconds
    yield Finding(
        "read_timeout",
        f"a stream was cut after {silence.cut_after_seconds:.1f} s of silence; keep-alives come"
        f" every {keepalive:g} s (AGENT_KEEPALIVE_SECONDS)",
        "proxy_read_timeout above AGENT_KEEPALIVE_SECONDS and, for JSON answers, above"
        " AGENT_TURN_TIMEOUT_SECONDS: 200s",
        PROXY,
    )


def _hangup(facts: RemoteFacts) -> Iterator[Finding]:
    if facts.hangup_seconds is None or math.isfinite(facts.hangup_seconds):
        return
    yield Finding(
        "hang_up",
        "the host did not learn that a client had hung up: turns run for nobody",
        "proxy_ignore_client_abort off; a server that shows its socket (gunicorn's gthread does)",
        PROXY,
    )


def _upgrade(facts: RemoteFacts) -> Iterator[Finding]:
    if facts.upgrade_status in (None, SWITCHING_PROTOCOLS):
        return
    yield Finding(
        "upgrade",
        f"a WebSocket was refused with status {facts.upgrade_status}: the request to upgrade does"
        " not reach the host",
        "proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, and Connection from the"
        " map in deploy/nginx.conf",
        PROXY,
    )


def _patience(facts: RemoteFacts) -> Iterator[Finding]:
    if facts.patience is None or facts.patience[0] == OK:
        return
    status, seconds = facts.patience
    yield Finding(
        "json_timeout",
        f"a JSON answer was given up after {seconds:.0f} s"
        + (f" with status {status}" if status else ""),
        "proxy_read_timeout above AGENT_TURN_TIMEOUT_SECONDS: 200s",
        PROXY,
    )


#: By the measurement that each judges.
REMOTE_CHECKS: Final[dict[str, Callable[[RemoteFacts], Iterator[Finding]]]] = {
    "pace": _buffering,
    "encoding": _compression,
    "silence": _silence,
    "hangup_seconds": _hangup,
    "upgrade_status": _upgrade,
    "patience": _patience,
    "warnings": _warnings,
}
