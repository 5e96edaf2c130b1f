"""A site of two pages, for browsers and for programs that fetch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.support.processes import temporary_folder


@contextmanager
def pages() -> Iterator[str]:
    """Serve one.html and two.html; gives the site's URL."""
    with temporary_folder() as folder:
        for name in ("one", "two"):
            text = f"<title>{name}</title><p>This is page {name}.</p>"
            (folder / f"{name}.html").write_text(text)

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def log_message(self, *_args: Any) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join(10)
