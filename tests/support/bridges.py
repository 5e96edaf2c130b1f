"""ASGI applications around the scripted site, each by another bridge from WSGI.

Used by uvicorn, and by gunicorn's `asgi` worker; each is built on first access.
"""

from __future__ import annotations

import concurrent.futures
import warnings
from collections.abc import Callable
from typing import Any

from tests.support.apps import scripted_app

#: Of the bridges whose number of threads can be set.
THREADS = 8


def _a2wsgi() -> Any:
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415 - one of them is loaded in a process

    return WSGIMiddleware(scripted_app(), workers=THREADS)  # type: ignore[arg-type] # its types know no Flask


def _uvicorn() -> Any:
    from uvicorn.middleware import wsgi  # noqa: PLC0415 - the same

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still what sites run
        return wsgi._WSGIMiddleware(scripted_app(), workers=THREADS)  # type: ignore[arg-type] # noqa: SLF001 - what uvicorn takes without a2wsgi


def _starlette() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same
        from starlette.middleware.wsgi import WSGIMiddleware  # noqa: PLC0415 - the same

    return WSGIMiddleware(scripted_app())


def _asgiref() -> Any:
    from asgiref.wsgi import WsgiToAsgi  # noqa: PLC0415 - the same

    return WsgiToAsgi(scripted_app())  # type: ignore[no-untyped-call] # it has no types


MAKERS: dict[str, Callable[[], Any]] = {
    "a2wsgi_app": _a2wsgi,
    "uvicorn_app": _uvicorn,
    "starlette_app": _starlette,
    "asgiref_app": _asgiref,
}


def __getattr__(name: str) -> Any:
    """Build the application of this name."""
    if name not in MAKERS:
        raise AttributeError(name)
    return MAKERS[name]()


def tornado_main(port: int, threads: int) -> None:
    """Serve the site by Tornado's WSGI container, with a pool of threads or (0) without one."""
    from tornado.httpserver import HTTPServer  # noqa: PLC0415 - the same
    from tornado.ioloop import IOLoop  # noqa: PLC0415 - the same
    from tornado.wsgi import WSGIContainer  # noqa: PLC0415 - the same

    pool = concurrent.futures.ThreadPoolExecutor(threads) if threads else None
    HTTPServer(WSGIContainer(scripted_app(), pool)).listen(port, "127.0.0.1")
    IOLoop.current().start()
