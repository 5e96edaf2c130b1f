"""Which server runs this process: its threads, its workers, and what it does to streams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from wsgi_app.delivery.server.stack import Caller, callers, main_thread

#: Whose containers collect an answer whole before they send it; OctoPrint has a copy of Tornado's.
JOINING_MODULES: Final = ("tornado.wsgi", "octoprint.server.util.tornado")
BY_A2WSGI: Final = "mount by a2wsgi's WSGIMiddleware(app, workers=64)"
GUNICORN: Final = "gunicorn"
CONTAINER: Final = "Tornado's WSGI container"
STREAMING: Final = "a server that streams, such as gunicorn, needs none of this"

#: How long an answer may hold the one thread of a site, and one of a pool's.
BURST_SECONDS: Final = 0.05
POOL_BURST_SECONDS: Final = 1.0


class ServerFacts(NamedTuple):
    """``threads``: how many requests a worker serves at once; None when that has no bound.

    ``workers``: how many processes serve the site, as far as it is known.
    """

    threads: int | None
    workers: int
    #: What people call it, with what stands between it and the application.
    name: str = GUNICORN
    #: How to get more threads.
    remedy: str = "run --worker-class gthread with more --threads"
    #: Whether its threads serve what is not this application's too.
    shares_threads: bool = False
    #: Whether it collects an answer whole before it sends it.
    joins: bool = False
    #: Whether one stream would hold all of the site, though it is sent as it comes.
    blocks: bool = False
    #: Whether it has one HTTP/2 connection's streams wait for each other.
    serializes_http2: bool = False

    @property
    def burst_seconds(self) -> float | None:
        """How long an answer may wait for events where none can be sent as they come.

        None where they can. It is short where the wait holds up the whole site.
        """
        if not (self.joins or self.blocks):
            return None
        return POOL_BURST_SECONDS if (self.threads or 0) > 1 else BURST_SECONDS


def find_server(*, serving: bool = False) -> ServerFacts | None:
    """Find the running server; None when it is not a known one.

    Most reveal nothing of their threads to applications, but each of them is the caller: of every
    request (``serving``), and under gunicorn also of the application's import.
    """
    for caller in callers():
        facts = _describe(caller, serving=serving)
        if facts is not None:
            joins = serving and not facts.joins and _joins()
            return facts._replace(joins=True, name=CONTAINER, remedy=STREAMING) if joins else facts
    return _find_embedding()


def _find_embedding() -> ServerFacts | None:
    """Ask the module that uWSGI or mod_wsgi, which call from C, puts into each interpreter."""
    if (uwsgi := sys.modules.get("uwsgi")) is not None:
        return ServerFacts(uwsgi.cores, uwsgi.numproc, "uWSGI", "set more threads in its ini")
    if (mod_wsgi := sys.modules.get("mod_wsgi")) is not None:
        return ServerFacts(
            mod_wsgi.threads_per_process,
            mod_wsgi.maximum_processes,
            "mod_wsgi",
            "give WSGIDaemonProcess more threads=",
        )
    return None


def _joins() -> bool:
    """Whether the server's ``start_response`` is of one that joins the chunks."""
    starts = [caller.names.get("start_response") for caller in callers()]
    outermost = next((start for start in reversed(starts) if start is not None), None)
    return getattr(outermost, "__module__", "") in JOINING_MODULES


def _describe(caller: Caller, *, serving: bool) -> ServerFacts | None:
    for prefix, describe, when_serving in DESCRIPTIONS:
        if caller.module.startswith(prefix) and (serving or not when_serving):
            facts = describe(caller)
            if facts is not None:
                return facts
    return None


def _gunicorn(caller: Caller) -> ServerFacts | None:
    config = getattr(caller.owner, "cfg", None)
    if config is None or not hasattr(config, "worker_class_str"):
        return None
    name = str(config.worker_class_str)
    if name in ("asgi", "gunicorn.workers.gasgi.ASGIWorker"):
        return None  # what stands between it and the application shows at the first request
    if name.rpartition(".")[2] in ("tornado", "TornadoWorker"):
        tornado = "gunicorn's tornado class"
        return ServerFacts(1, config.workers, tornado, "run --worker-class gthread", joins=True)
    greenlets = _count_greenlets(config)
    if greenlets is not None:
        return ServerFacts(greenlets, config.workers, remedy="give it more --worker-connections")
    return ServerFacts(
        _gunicorn_threads(config, name),
        config.workers,
        serializes_http2="h2" in getattr(config, "http_protocols", ()),
    )


def _gunicorn_threads(config: Any, name: str) -> int | None:
    if name.rpartition(".")[2] in ("gthread", "ThreadWorker"):
        found: int = config.threads
        return found
    return 1 if name.rpartition(".")[2] in ("sync", "SyncWorker") else None


def _count_greenlets(config: Any) -> int | None:
    """How many requests a worker of greenlets serves at once; None for other workers."""
    bases = [base.__module__ for base in config.worker_class.__mro__]
    return config.worker_connections if "gunicorn.workers.base_async" in bases else None


def _waitress(caller: Caller) -> ServerFacts | None:
    if not hasattr(caller.owner, "channel"):
        return None
    threads = caller.owner.channel.server.adj.threads
    return ServerFacts(threads, 1, "waitress", "give it more --threads")


def _werkzeug(caller: Caller) -> ServerFacts | None:
    server = getattr(caller.owner, "server", None)
    if server is None:
        return None
    threads = None if server.multithread else 1
    return ServerFacts(threads, 1, "Werkzeug's server", "run it with threads")


def _cheroot(caller: Caller) -> ServerFacts | None:
    request = getattr(caller.owner, "req", None)
    if request is None:
        return None
    return ServerFacts(request.server.requests.min, 1, "cheroot", "give it more --threads")


def _granian(_caller: Caller) -> ServerFacts | None:
    threads, workers = None, 1
    for part in main_thread():
        if part.module.startswith("granian.server"):
            threads = part.names.get("blocking_threads", threads)
            workers = getattr(part.owner, "workers", workers)
    return ServerFacts(threads, workers, "Granian", "give it more --blocking-threads")


def _tornado(_caller: Caller) -> ServerFacts:
    """The application runs in the thread of Tornado's loop, which serves the whole site."""
    return ServerFacts(1, 1, CONTAINER, STREAMING, joins=True)


def _anyio(caller: Caller) -> ServerFacts | None:
    """Starlette's WSGI middleware, and its copies, use anyio's threads, as all sync code does."""
    if caller.function != "run" or not hasattr(caller.owner, "idle_workers"):
        return None
    from anyio import from_thread, to_thread  # noqa: PLC0415 - it is there, since it has called

    limiter = from_thread.run_sync(to_thread.current_default_thread_limiter)
    return ServerFacts(
        int(limiter.total_tokens),
        _process_count(),
        "the WSGI middleware on anyio's threads",
        "raise total_tokens of anyio.to_thread.current_default_thread_limiter(), or mount by"
        " a2wsgi's WSGIMiddleware(app, workers=64)",
        shares_threads=True,
    )


def _executor(caller: Caller) -> ServerFacts | None:
    """A bridge from asyncio calls the application in a thread of an executor."""
    reference = caller.names.get("executor_reference")
    executor = reference() if callable(reference) else None
    if executor is None:
        return None
    threads = getattr(executor, "_max_workers", None)
    return ServerFacts(threads, _process_count(), *_bridge(), blocks=threads == 1)


def _bridge() -> tuple[str, str, bool]:
    for caller in callers():
        for prefix, name, remedy, shares in BRIDGES:
            if caller.module.startswith(prefix):
                return name, remedy, shares
    return "the server's pool of threads", "give the pool more threads", True


def _process_count() -> int:
    """How many processes the ASGI server below runs."""
    for part in main_thread():
        for name in ("config", "cfg"):
            config = part.names.get(name, getattr(part.owner, name, None))
            workers = getattr(config, "workers", None)
            if isinstance(workers, int) and workers > 0:
                return workers
    return 1


#: Bridges that use an executor: module, name, how to get more threads, and whether the pool
#: serves other code too.
BRIDGES: Final = (
    ("a2wsgi.", "a2wsgi", "mount by WSGIMiddleware(app, workers=64)", False),
    ("uvicorn.", "uvicorn's WSGI bridge", BY_A2WSGI, False),
    ("hypercorn.", "hypercorn's WSGI bridge", BY_A2WSGI, True),
    ("asgiref.", "asgiref's WsgiToAsgi", BY_A2WSGI, True),
)

#: By the module of a caller; True: only during a request, since other code uses the same.
DESCRIPTIONS: Final[tuple[tuple[str, Callable[[Caller], ServerFacts | None], bool], ...]] = (
    ("gunicorn.", _gunicorn, False),
    ("waitress.task", _waitress, False),
    ("werkzeug.serving", _werkzeug, False),
    ("cheroot.wsgi", _cheroot, False),
    ("granian.wsgi", _granian, False),
    ("tornado.", _tornado, True),
    ("anyio._backends._asyncio", _anyio, True),
    ("concurrent.futures.thread", _executor, True),
)
