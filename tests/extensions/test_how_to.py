"""The pages of docs/how-to do what they say, with the real extensions and proxies."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.extensions.test_extensions import chat, extended
from tests.sites.environments import environment
from tests.support.documentation import blocks, page, run_commands, run_shell
from tests.support.processes import clean_environment, free_port, started
from tests.support.proxies import apache_proxy, haproxy
from tests.support.servers import NGINX_UPSTREAM, Server, answers_http, nginx
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Without brotli, which Sentry's SDK takes where it finds it.
REQUIREMENTS: Final = """\
flask-login
flask-socketio
flask-sqlalchemy
flask-wtf
gunicorn
newrelic
sentry-sdk[flask]
"""
APPS: Final = (
    *("flask-login", "flask-sqlalchemy", "flask-wtf", "flask-socketio"),
    *("sentry", "new-relic"),
)
#: What a reader of the page has by then, or what keeps the test off the network.
ENV: Final = {
    "new-relic": {"NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_APP_NAME": "site"},
}


@contextmanager
def served(name: str, folder: Path, env: dict[str, str]) -> Iterator[Server]:
    """Serve the app of a page by the page's own command."""
    (code,) = blocks("python", f"docs/how-to/{name}.md")
    (command,) = [one for one in blocks("sh", f"docs/how-to/{name}.md") if "gunicorn" in one]
    (folder / "app.py").write_text(code)
    programs = environment("how-to", REQUIREMENTS) / "bin"
    port = free_port()
    settings = {
        **ENV.get(name, {}),
        **env,
        "PATH": f"{programs}:{clean_environment()['PATH']}",
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} --no-control-socket",
    }
    with started(["sh", "-ec", f"exec {command}"], env=settings, cwd=folder) as process:
        process.wait_until(lambda: answers_http(port), 60)
        yield Server(process, port)


@pytest.mark.parametrize("name", APPS)
def test_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    """The page's app is served by its command, and each curl prints what the page shows."""
    with served(name, tmp_path, {}) as server:
        assert run_commands(f"docs/how-to/{name}.md", server.port, tmp_path) >= 1
        assert name == "sentry" or "Traceback" not in server.log()


class Collector(ThreadingHTTPServer):
    """A Sentry that keeps what it is sent. Its list is appended to by its threads alone."""

    def __init__(self) -> None:
        received: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append(body.decode())
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.received = received


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_sentry_gets_the_exception_and_nothing_of_the_message(tmp_path: Path) -> None:
    """An agent's exception is an event of our logger, with its stack and without what was said."""
    with collector() as sentry:
        dsn = f"http://key@127.0.0.1:{sentry.server_address[1]}/1"
        with served("sentry", tmp_path, {"SENTRY_DSN": dsn}) as server:
            (curl,) = [one for one in blocks("sh", "docs/how-to/sentry.md") if "curl" in one]
            run_shell(curl.replace('"hi"', '"my-secret"'), server.port)
            wait_for(
                lambda: any("the shop's database is away" in one for one in sentry.received),
                "the event",
            )
        told = "\n".join(sentry.received)
    assert '"logger":"wsgi_app"' in told.replace(": ", ":")
    assert "LookupError" in told
    assert "my-secret" not in told


#: What a site has in front before anybody reads the page; nginx and Apache compress events.
NGINX: Final = f"""\
upstream site {{
    {NGINX_UPSTREAM}
}}
gzip on;
gzip_types text/event-stream;
server {{
    listen 80;
    location / {{
        proxy_pass http://site;
    }}
    %s
}}
"""
APACHE: Final = """\
<VirtualHost *:80>
    %s
    ProxyPass / http://127.0.0.1:8000/
</VirtualHost>
"""
HAPROXY: Final = """\
defaults
    mode http
    timeout connect 2s
    timeout client 200s
    option forwardfor

frontend web
    bind :80
    default_backend site

%s
"""


def _block(language: str) -> str:
    (block,) = blocks(language, "docs/how-to/proxies.md")
    return block


def _nginx(host: Server) -> AbstractContextManager[Server]:
    block = _block("nginx").replace("127.0.0.1:8000", f"127.0.0.1:{host.port}")
    return nginx(NGINX % block, upstreams=[host])


PROXIES: Final[dict[str, Callable[[Server], AbstractContextManager[Server]]]] = {
    "nginx": _nginx,
    "apache": lambda host: apache_proxy(host, APACHE % _block("apache")),
    "haproxy": lambda host: haproxy(host, HAPROXY % _block("haproxy")),
}


@pytest.mark.parametrize("name", PROXIES)
def test_events_come_one_by_one_through_a_sites_proxy(name: str) -> None:
    """With the page's lines, a site's proxy passes each event when it comes."""
    with extended("today", "wtf", "thread") as host, PROXIES[name](host) as proxy:
        with chat(proxy, "one", "hi", {"Accept-Encoding": "gzip"}) as stream:
            frames = stream.until("done")
        tokens = [frame.at for frame in frames if frame.data["type"] == "token"]
        assert len(tokens) == 10
        assert tokens[-1] - tokens[0] > 0.6


def test_every_page_with_an_app_is_run() -> None:
    """No page of the folder has an app that no test serves."""
    folder = Path(__file__).parents[2] / "docs" / "how-to"
    found = {path.stem for path in folder.glob("*.md") if "```python" in path.read_text()}
    assert found == set(APPS)
    assert all(f"({name}.md)" in page("docs/how-to/README.md") for name in APPS)
