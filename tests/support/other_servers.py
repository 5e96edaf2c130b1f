"""The servers beside gunicorn, uWSGI and mod_wsgi that sites run; each serves the scripted site.

Each is its real command, or the few lines with which an application starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Optional

from tests.support.processes import free_port, started
from tests.support.servers import Server, answers_http

SITE = "tests.support.apps:site"
THREADS = 8
BRIDGES = "tests.support.bridges"

Env = Optional[Mapping[str, str]]


@contextmanager
def served(command: Callable[[int], Sequence[str]], env: Env = None) -> Iterator[Server]:
    """Run a server that answers at a free port; ``command`` gets it, and names a Python module."""
    port = free_port()
    with started([sys.executable, *command(port)], env=env) as process:
        process.wait_until(lambda: answers_http(port))
        yield Server(process, port)


def granian(
    *, env: Env = None, workers: int = 1, args: Sequence[str] = ()
) -> AbstractContextManager[Server]:
    """Run Granian's WSGI mode."""
    options = ["--interface", "wsgi", "--workers", str(workers)]
    options += ["--blocking-threads", str(THREADS), *args]
    return served(
        lambda port: ["-m", "granian", "--host", "127.0.0.1", "--port", str(port), *options, SITE],
        env,
    )


def hypercorn(
    *, env: Env = None, workers: int = 1, args: Sequence[str] = ()
) -> AbstractContextManager[Server]:
    """Run hypercorn, which serves WSGI in its loop's own pool of threads."""
    return served(
        lambda port: [
            *["-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)],
            *[*args, "wsgi:tests.support.sites_made:site"],
        ],
        env,
    )


def cheroot(*, env: Env = None, args: Sequence[str] = ()) -> AbstractContextManager[Server]:
    """Run cheroot, CherryPy's server."""
    return served(
        lambda port: [
            *["-m", "cheroot", "--bind", f"127.0.0.1:{port}", "--threads", str(THREADS)],
            *[*args, SITE],
        ],
        env,
    )


def uvicorn(
    app: str, *, env: Env = None, args: Sequence[str] = ()
) -> AbstractContextManager[Server]:
    """Run uvicorn with one of `tests.support.bridges`."""
    return served(
        lambda port: [
            *["-m", "uvicorn", "--port", str(port), "--log-level", "warning"],
            *[*args, f"{BRIDGES}:{app}"],
        ],
        env,
    )


def tornado(threads: int, *, env: Env = None) -> AbstractContextManager[Server]:
    """Run Tornado's WSGI container with a pool of threads, or (0) without one."""
    call = "from tests.support.bridges import tornado_main; tornado_main({}, {})"
    return served(lambda port: ["-c", call.format(port, threads)], env)


def gunicorn_class(
    name: str, app: str, *, env: Env = None, args: Sequence[str] = ()
) -> AbstractContextManager[Server]:
    """Run a worker class of gunicorn's that `tests.support.servers` does not."""
    return served(
        lambda port: [
            *["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", name],
            *["--no-control-socket", "--graceful-timeout", "3", *args, app],
        ],
        env,
    )


def uwsgi_gevent(*, env: Env = None) -> AbstractContextManager[Server]:
    """Run uWSGI with greenlets in place of threads."""
    return served(
        lambda port: [
            *["-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"],
            *["--http-socket", f"127.0.0.1:{port}", "--master", "--need-app", "--die-on-term"],
            *["--gevent", str(THREADS), "--gevent-early-monkey-patch"],
            *["--module", "tests.support.sites_made:site"],
        ],
        env,
    )


def wsgiref_server(*, env: Env = None) -> AbstractContextManager[Server]:
    """Run a server that the host does not know: the one of Python's library."""
    call = (
        "from wsgiref.simple_server import make_server; from tests.support.apps import site;"
        " make_server('127.0.0.1', {}, site).serve_forever()"
    )
    return served(lambda port: ["-c", call.format(port)], env)
