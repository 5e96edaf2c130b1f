"""Warnings about what a server does to streams."""

from __future__ import annotations

from typing import Final

from wsgi_app.delivery.server.facts import ServerFacts

#: Below this the reserve of stream slots leaves nothing to stream with, or no reserve.
MIN_THREADS: Final = 4
#: A pool of so few threads is named, where it is not the server's own.
FEW_THREADS: Final = 16
#: Servers whose number of threads is what somebody has set.
OWN_THREADS: Final = (
    "gunicorn",
    "waitress",
    "Werkzeug's server",
    "cheroot",
    "Granian",
    "uWSGI",
    "mod_wsgi",
)


def server_warnings(server: ServerFacts, slots: int | None) -> list[str]:
    """Report what a server does to streams; ``slots``: how many of its threads may stream."""
    found = []
    threads = server.threads
    if server.burst_seconds is not None:
        found.append(_bursts(server))
    elif threads is not None and threads < MIN_THREADS:
        found.append(
            f"too few threads ({threads}, {server.name}): while a stream runs, cancel, health and"
            f" the site's pages have to wait; {server.remedy}"
        )
    elif threads is not None and _is_bridge(server, threads):
        found.append(
            f"{server.name} has {threads} threads for all requests, so {slots} streams at once;"
            f" {server.remedy}"
        )
    if server.serializes_http2:
        found.append(
            "gunicorn serves the requests of one HTTP/2 connection one after the other: a cancel"
            " waits for the stream that it should end; take h2 out of http_protocols, and have the"
            " proxy speak HTTP/2"
        )
    return found


def _bursts(server: ServerFacts) -> str:
    does = "collects an answer whole before it sends it" if server.joins else "runs one at a time"
    held = "the whole site" if server.threads == 1 else f"one of {server.threads} threads"
    return (
        f"{server.name} {does}: a stream ends after what is there, and its client comes back for"
        " the rest; JSON answers and the streams of other wires than the native one come at their"
        f" turn's end, and hold {held} until then; {server.remedy}"
    )


def _is_bridge(server: ServerFacts, threads: int) -> bool:
    """Whether the threads are a pool that was not made for streams."""
    few = server.shares_threads or threads < FEW_THREADS
    return few and server.name not in OWN_THREADS
