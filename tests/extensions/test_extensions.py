"""What streams beside which extension, in today's versions and in those of old sites."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
import requests

from tests.sites.environments import environment
from tests.support.processes import (
    ROOT,
    clean_environment,
    free_port,
    started,
    temporary_folder,
)
from tests.support.servers import PARKED_CONFIG, Server, answers_http
from tests.support.sse import Stream, open_stream
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TODAY: Final = """\
beaker
ddtrace
flask-caching
flask-compress
flask-debugtoolbar
flask-limiter
flask-login
flask-session[cachelib]
flask-socketio
flask-sqlalchemy
flask-talisman
flask-wtf
newrelic
opentelemetry-instrumentation-flask
opentelemetry-sdk
sentry-sdk[flask]
whitenoise
gunicorn
"""
FLASK_2_0: Final = """\
flask==2.0.3
werkzeug==2.0.3
flask-login==0.4.1
flask-sqlalchemy==2.5.1
sqlalchemy<2
flask-wtf==0.14.3
wtforms<3
jinja2==3.0.3
flask-caching==1.10.1
flask-session==0.3.2
gunicorn
"""
FLASK_2_2: Final = """\
flask==2.2.5
werkzeug==2.2.3
flask-login==0.6.3
flask-sqlalchemy==3.0.5
sqlalchemy<2
flask-wtf==1.1.1
flask-caching==1.11.1
flask-session==0.4.1
gunicorn
"""
ENVIRONMENTS: Final = {"today": TODAY, "flask-2.0": FLASK_2_0, "flask-2.2": FLASK_2_2}
OLD: Final = ("sqlalchemy", "login", "wtf", "caching", "sessions")
NEW: Final = (
    *OLD,
    *("compress", "talisman", "limiter", "toolbar", "socketio", "sentry", "newrelic", "ddtrace"),
    *("opentelemetry", "proxy_fix", "dispatcher", "whitenoise", "beaker"),
)
ROWS: Final = [
    *[("today", site) for site in NEW],
    *[(name, site) for name in ("flask-2.0", "flask-2.2") for site in OLD],
]
THREADS: Final = 8


@contextmanager
def extended(name: str, site: str, delivery: str) -> Iterator[Server]:
    """Run a site on gunicorn in one of the environments."""
    folder = environment(f"extensions-{name}", ENVIRONMENTS[name])
    port = free_port()
    with temporary_folder() as work:
        config = work / "gunicorn_config.py"
        config.write_text(PARKED_CONFIG)
        command = [str(folder / "bin" / "python"), "-m", "gunicorn", "--config", str(config)]
        command += ["--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
        command += ["--threads", str(THREADS), f"tests.extensions.sites:{site}()"]
        env = {"AGENT_DELIVERY": delivery, "AGENT_DRAIN_SECONDS": "1"}
        with started(command, env=env, cwd=work) as process:
            process.wait_until(lambda: answers_http(port), 60)
            yield Server(process, port)


def log_in(server: Server, site: str, name: str = "anna") -> dict[str, str]:
    """Return the headers of who has logged in, where the site has a login."""
    if site not in ("login", "sessions"):
        return {}
    answer = requests.get(f"{server.url}/login/{name}", timeout=10)
    cookies = "; ".join(f"{key}={value}" for key, value in answer.cookies.items())
    return {"Cookie": cookies}


def chat(server: Server, session: str, message: str, headers: dict[str, str]) -> Stream:
    """Start a turn."""
    url = f"{server.url}/agents/chat/{session}"
    return open_stream("POST", url, json={"message": message}, headers=headers)


@pytest.mark.parametrize("delivery", ["thread", "parked"])
@pytest.mark.parametrize(("name", "site"), ROWS)
def test_extension(name: str, site: str, delivery: str) -> None:
    """Tokens come one by one, ends of requests run once, and the extension does its work."""
    with extended(name, site, delivery) as server:
        headers = log_in(server, site)
        with chat(server, "one", "hi", {**headers, "X-Count": "1"}) as stream:
            frames = stream.until("done")
            parked = stream.headers.get("connection") == "close"
        tokens = [frame.at for frame in frames if frame.data["type"] == "token"]
        assert len(tokens) == 10
        assert tokens[-1] - tokens[0] > 0.6
        assert parked == (delivery == "parked")
        once = {"closed": 1, "teardown_request": 1, "teardown_appcontext": 1}

        def counted() -> bool:
            found: dict[str, int] = requests.get(f"{server.url}/counts", timeout=10).json()
            return found == once

        wait_for(counted, "the request's ends have run once")
        CHECKS.get(site, is_html)(server, headers)
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_thread_keeps_the_request_between_two_chunks(name: str) -> None:
    """On old Flasks too: no stream leaves its user in a thread, and agents see no request."""
    folder = environment(f"extensions-{name}", ENVIRONMENTS[name])
    command = [str(folder / "bin" / "python"), "-m", "tests.support.two_threads"]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    for row in json.loads(done.stdout).values():
        assert row["status"] == "200 OK"
        assert row["seen"] == []
        assert row["counts"]["teardown_request"] == row["counts"]["teardown_appcontext"] == 1
        assert not any(seen["request"] or seen["mark"] for seen in row["agents"])


def test_a_profiler_that_joins_chunks_is_named() -> None:
    """Werkzeug's ProfilerMiddleware sends a stream at its end: the log and `/readyz` say so."""
    with extended("today", "profiler", "thread") as server:
        with chat(server, "one", "hi", {}) as stream:
            assert stream.until("done")
        told = "werkzeug.middleware.profiler.runapp ("
        assert server.log().count(told) == 1
        assert told in requests.get(f"{server.url}/agents/readyz", timeout=10).text


def is_html(server: Server, headers: dict[str, str]) -> None:
    """The page comes as it is."""
    answer = requests.get(f"{server.url}/page", headers=headers, timeout=10)
    assert (answer.status_code, "of the site" in answer.text) == (200, True)


def _sqlalchemy(server: Server, headers: dict[str, str]) -> None:
    """A pool of one connection serves pages beside five open streams and a waiting poll."""
    streams = [chat(server, f"held-{number}", "hold", headers) for number in range(5)]
    for stream in streams:
        assert stream.until("token")
    assert requests.get(f"{server.url}/page", timeout=10).text == "tenant-1"
    for number, stream in enumerate(streams):
        url = f"{server.url}/agents/chat/held-{number}/cancel"
        assert requests.post(url, json={}, timeout=10).json()["cancelled"]
        assert stream.until("cancelled")
        stream.close()


def _login(server: Server, headers: dict[str, str]) -> None:
    """The login decides the tenant; strangers are refused by both."""
    url = f"{server.url}/agents/session/one"
    assert requests.get(url, headers=headers, timeout=10).status_code == 200
    other = log_in(server, "login", "berta")
    assert requests.get(url, headers=other, timeout=10).status_code == 404
    assert requests.get(url, timeout=10).status_code == 401
    page = requests.get(f"{server.url}/page", headers=headers, timeout=10)
    assert page.text == "anna"


def _wtf(server: Server, headers: dict[str, str]) -> None:
    """The site's form still wants its token."""
    answer = requests.post(f"{server.url}/page", data={"x": "1"}, headers=headers, timeout=10)
    assert answer.status_code == 400


def _compress(server: Server, _: dict[str, str]) -> None:
    """Pages are compressed, streams are not."""
    accepts = {"Accept-Encoding": "gzip"}
    answer = requests.get(f"{server.url}/page", headers=accepts, timeout=10)
    assert answer.headers["Content-Encoding"] == "gzip"
    with chat(server, "two", "hi", accepts) as stream:
        assert "content-encoding" not in stream.headers
        assert stream.until("done")


def _caching(server: Server, headers: dict[str, str]) -> None:
    """The page is the same again."""
    first, second = (
        requests.get(f"{server.url}/page", headers=headers, timeout=10).text for _ in range(2)
    )
    assert first == second


def _talisman(server: Server, headers: dict[str, str]) -> None:
    """Pages have the headers."""
    answer = requests.get(f"{server.url}/page", headers=headers, timeout=10)
    assert "Content-Security-Policy" in answer.headers


def _limiter(server: Server, headers: dict[str, str]) -> None:
    """Pages count."""
    answer = requests.get(f"{server.url}/page", headers=headers, timeout=10)
    assert "X-RateLimit-Remaining" in answer.headers


def _toolbar(server: Server, headers: dict[str, str]) -> None:
    """Pages have the toolbar."""
    assert "flDebug" in requests.get(f"{server.url}/page", headers=headers, timeout=10).text


def _socketio(server: Server, _: dict[str, str]) -> None:
    """Socket.IO's handshake is answered."""
    answer = requests.get(f"{server.url}/socket.io/?EIO=4&transport=polling", timeout=10)
    assert '"sid"' in answer.text


def _beaker(server: Server, headers: dict[str, str]) -> None:
    """A page has a session."""
    assert requests.get(f"{server.url}/page", headers=headers, timeout=10).text


CHECKS: Final = {
    "sqlalchemy": _sqlalchemy,
    "login": _login,
    "sessions": _login,
    "wtf": _wtf,
    "compress": _compress,
    "caching": _caching,
    "talisman": _talisman,
    "limiter": _limiter,
    "toolbar": _toolbar,
    "socketio": _socketio,
    "beaker": _beaker,
}
