"""Judges gunicorn's configuration against what the hosts need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from wsgi_app.cli.doctor.facts import GunicornFacts, HostFacts, SetUp
from wsgi_app.cli.doctor.report import Finding
from wsgi_app.cli.starter import GUNICORN_CONFIG
from wsgi_app.delivery.server.warnings import MIN_THREADS
from wsgi_app.delivery.slots import default_slots

GunicornCheck = Callable[[SetUp], Iterator[Finding]]

MISSING_FILE: Final = "gunicorn.conf.py, which is missing"
#: What a drain needs beyond AGENT_DRAIN_SECONDS: last events, the agents' close().
AFTER_DRAIN_SECONDS: Final = 5
#: gunicorn's default; idle keep-alive connections need no thread.
DEFAULT_CONNECTIONS: Final = 1000
CONNECTIONS_PER_THREAD: Final = 16
#: A gevent worker waits for idle connections before it leaves.
MOST_KEEPALIVE_SECONDS: Final = 5
#: With fewer a worker soon refuses streams: many images and examples have 4 or 8.
FEW_THREADS: Final = 16
#: What a worker class does to streams, or to the application.
CLASSES: Final = {
    "sync": "one stream takes the whole worker, and nobody else is served until it ends",
    "tornado": "it collects an answer whole, so that streams come in bursts, and serves one request"
    " at a time",
    "asgi": "it serves ASGI applications, a Flask application only through a bridge such as"
    " a2wsgi's WSGIMiddleware(app, workers=64)",
}


def _configuration(found: SetUp) -> Iterator[Finding]:
    """One finding for a gunicorn of which nothing has been configured."""
    del found
    yield Finding(
        "configuration",
        "gunicorn has no configuration: one stream takes a whole worker, and turns do not end in"
        " order when a worker leaves or dies",
        "start it by `wsgi-agent-host serve` with the same arguments, which brings one, or copy"
        f" {GUNICORN_CONFIG}",
        MISSING_FILE,
    )


def _worker_class(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    if server.worker_class == "gthread" or server.is_gevent:
        return
    yield Finding(
        "worker_class",
        f"worker_class is {server.worker_class}: "
        + CLASSES.get(server.worker_class, "the host is tested with gthread and gevent"),
        'worker_class = "gthread" and threads = 64',
        server.where,
    )


def _threads(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    if server.worker_class != "gthread":
        return
    if server.threads < MIN_THREADS:
        yield Finding(
            "threads",
            f"threads is {server.threads}: while a stream runs, cancel, health and the site's pages"
            " wait",
            f"threads = 64, at the very least {MIN_THREADS}",
            server.where,
        )
    elif server.threads < FEW_THREADS and not all(host.parked_streams for host in found.hosts):
        yield Finding(
            "threads",
            f"threads is {server.threads}: no more than {default_slots(server.threads)} streams and"
            " waiting requests fit in a worker, further ones get 503 at_capacity",
            "threads = 64, or AGENT_DELIVERY=auto, which needs no thread for a stream",
            server.where,
        )
    for host in found.hosts:
        slots = host.stream_slots
        if slots is not None and slots > server.threads - 2:
            yield Finding(
                "stream_slots",
                f"AGENT_STREAM_SLOTS is {slots} with {server.threads} threads: streams may take"
                " every thread, and cancels wait behind them",
                f"threads = {slots + max(2, slots // 7)} in {server.where}, or AGENT_STREAM_SLOTS ="
                f" {default_slots(server.threads)}, or none, which takes it from threads",
                _settings_of(host),
            )


def _greenlets(found: SetUp) -> Iterator[Finding]:
    """A gevent worker has ``worker_connections`` where others have threads."""
    server = found.gunicorn
    most = server.worker_connections
    if most < FEW_THREADS:
        yield Finding(
            "worker_connections",
            f"worker_connections is {most}: no more than {default_slots(most)} streams and waiting"
            " requests fit in a worker, further ones get 503 at_capacity",
            f"worker_connections = {DEFAULT_CONNECTIONS}",
            server.where,
        )
    for host in found.hosts:
        if host.stream_slots is not None and host.stream_slots > most - 2:
            yield Finding(
                "stream_slots",
                f"AGENT_STREAM_SLOTS is {host.stream_slots} with worker_connections {most}: streams"
                " may take every connection, and cancels wait behind them",
                f"AGENT_STREAM_SLOTS = {default_slots(most)}, or none, which takes it from"
                " worker_connections",
                _settings_of(host),
            )
    if server.keepalive > MOST_KEEPALIVE_SECONDS:
        yield Finding(
            "keepalive",
            f"keepalive is {server.keepalive} s: an idle connection holds a greenlet, and a gevent"
            " worker that leaves waits for it, up to graceful_timeout",
            f"keepalive = {MOST_KEEPALIVE_SECONDS}, and the proxy's own shorter",
            server.where,
        )
    if server.preload_app and not server.patched:
        yield Finding(
            "preload",
            "preload_app loads the app before gevent has replaced locks and sockets: what the app"
            " made until then blocks the whole worker where a greenlet waits for it",
            "from gevent import monkey; monkey.patch_all() as the first line, or preload_app ="
            " False",
            server.where,
        )


def _connections(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    parked = max((host.parked_streams for host in found.hosts), default=0)
    most = max(DEFAULT_CONNECTIONS, CONNECTIONS_PER_THREAD * server.threads, 2 * parked)
    if server.worker_connections > most:
        yield Finding(
            "worker_connections",
            f"worker_connections is {server.worker_connections} with {server.threads} threads: a"
            " busy worker keeps accepting, and requests wait in it while others are idle",
            f"worker_connections = {most}",
            server.where,
        )
    if server.worker_class == "gthread" and server.worker_connections <= server.threads:
        yield Finding(
            "worker_connections",
            f"worker_connections is {server.worker_connections} with {server.threads} threads:"
            " threads stay idle, and no connection is kept alive",
            f"worker_connections = {max(DEFAULT_CONNECTIONS, 2 * server.threads)}",
            server.where,
        )


def _timeouts(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    drain = max((host.drain_seconds for host in found.hosts), default=None)
    if drain is None:
        return
    needed = drain + AFTER_DRAIN_SECONDS
    if server.graceful_timeout < needed:
        yield Finding(
            "graceful_timeout",
            f"graceful_timeout is {server.graceful_timeout} s and AGENT_DRAIN_SECONDS {drain:g} s:"
            " gunicorn kills the worker before its turns have ended",
            f"graceful_timeout = {drain + 2 * AFTER_DRAIN_SECONDS:g}, or a smaller"
            " AGENT_DRAIN_SECONDS",
            server.where,
        )
    if 0 < server.timeout <= drain:
        yield Finding(
            "timeout",
            f"timeout is {server.timeout} s and AGENT_DRAIN_SECONDS {drain:g} s: on a reload"
            " older gunicorns take a draining worker for a stuck one",
            f"timeout = {max(60, drain + 2 * AFTER_DRAIN_SECONDS):g}",
            server.where,
        )


def _hooks(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    if not server.missing_hooks or not found.hosts:
        return
    names = ", ".join(server.missing_hooks)
    yield Finding(
        "hooks",
        f"without the hooks {names} the turns of a worker that dies stay open until its lease runs"
        " out, and a drain, metrics of all workers and parked streams are not whole",
        f"from wsgi_app.gunicorn_hooks import {names}",
        server.config_file or MISSING_FILE,
    )


def _before_fork(found: SetUp) -> Iterator[Finding]:
    started = found.before_fork
    parts = [f"the thread {name}" for name in started.threads]
    parts += [f"{started.event_loops} event loops"] if started.event_loops else []
    parts += [f"{started.sockets} open connections"] if started.sockets else []
    if not parts:
        return
    server = found.gunicorn
    why = "preload_app is on" if server.preload_app else "the configuration starts them"
    yield Finding(
        "before_fork",
        f"{', '.join(parts)} before gunicorn forks ({why}): threads do not live on in the workers,"
        " and these would share what is open",
        "start them in each worker (post_worker_init, or on first use)"
        + (", or preload_app = False" if server.preload_app else ""),
        server.where,
    )


def _http2(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    if server.http2 and server.worker_class != "asgi":
        yield Finding(
            "http2",
            "http_protocols has h2: gunicorn serves the requests of one connection one after the"
            " other, and a cancel waits for the stream that it should end",
            'http_protocols = "h1", and HTTP/2 in the proxy',
            server.where,
        )


def _shared_store(found: SetUp) -> Iterator[Finding]:
    server = found.gunicorn
    alone = [host for host in found.hosts if host.redis_url is None]
    if server.workers < 2 or not alone:  # noqa: PLR2004 - more than one
        return
    yield Finding(
        "no_redis",
        f"{server.workers} workers without AGENT_REDIS_URL: a cancel, a reconnect or a poll finds"
        " its session only when it lands on the worker that runs it",
        f"AGENT_REDIS_URL=redis://…, or workers = 1 in {server.where}",
        _settings_of(alone[0]),
    )


def _settings_of(host: HostFacts) -> str:
    return f"settings of the host at {host.prefix} (environment, app.config or AgentHost)"


def gunicorn_checks(server: GunicornFacts) -> list[GunicornCheck]:
    """The checks that apply to such a server."""
    always = [_timeouts, _before_fork, _http2, _shared_store]
    if server.is_bare:
        return [_configuration, *always]
    own = [_greenlets] if server.is_gevent else [_threads, _connections]
    return [_worker_class, *own, _hooks, *always]
