"""Real servers on free ports of 127.0.0.1, each for the length of a ``with`` block.

Every server keeps its output (``log()``), fails with it when it does not start or end in time, and
is ended by its process id. The environment of the caller does not reach them (``env=`` does).
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import redis

from tests.support.processes import (
    START_SECONDS,
    Process,
    find_program,
    free_port,
    started,
    temporary_folder,
)
from wsgi_app.compat.gunicorn import runnable_module
from wsgi_app.compat.redis import maintenance_options, protocol_options

WORKER_READY = "Worker is ready"
# The project's own gunicorn.conf.py must not apply unseen. An open stream must not hold up the end
# of a test for gunicorn's 30 seconds, nor gunicorn close a connection that nginx is about to use.
GUNICORN_CONFIG = f"""\
control_socket_disable = True
graceful_timeout = 3
keepalive = 75

def post_worker_init(worker):
    worker.log.info("{WORKER_READY}")
"""
# What parked streams need beside it: the hooks, and a drain within the time that gunicorn has.
PARKED_CONFIG = f"""\
from wsgi_app import gunicorn_hooks
from wsgi_app.gunicorn_hooks import child_exit, pre_fork, worker_exit, worker_int

control_socket_disable = True
graceful_timeout = 8
keepalive = 75

def post_worker_init(worker):
    gunicorn_hooks.post_worker_init(worker)
    worker.log.info("{WORKER_READY}")
"""
# Set by `make test-parked` and `make test-gevent`, which run suites once more.
PARKED = os.environ.get("TEST_DELIVERY") == "parked"
WORKER_CLASS = os.environ.get("TEST_WORKER_CLASS", "gthread")

# What an `upstreams=` and the free port replace in a configuration.
NGINX_LISTEN = "listen 80;"
NGINX_UPSTREAM = "server 127.0.0.1:8000;"

STREAMING_PROXY = f"""\
upstream app {{
    {NGINX_UPSTREAM}
    keepalive 64;
}}
server {{
    {NGINX_LISTEN}
    location / {{
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_buffering off;
        proxy_read_timeout 1h;
    }}
}}
"""


class Server:
    """A server that answers at ``url`` (no slash at its end). Used by one thread."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.pid = process.pid

    def log(self) -> str:
        """What the server has written so far."""
        return self._process.log()

    def running(self) -> bool:
        """Whether its main process has not ended yet."""
        return self._process.running()

    def signal(self, number: Signals) -> None:
        """Send a signal to the server's main process."""
        self._process.signal(number)

    def stop(self, seconds: float = 15) -> int:
        """End the server with SIGTERM now and return its exit status; fails after ``seconds``."""
        return self._process.stop(seconds)

    def kill(self) -> None:
        """SIGKILL the server and its workers."""
        self._process.kill()


class Gunicorn(Server):
    """A gunicorn arbiter with its workers."""

    def worker_pids(self) -> list[int]:
        """The process ids of the workers that live now, lowest first."""
        return self._process.children()


class Nginx(Server):
    """An nginx, and the folder that it writes to."""

    def __init__(self, process: Process, port: int, folder: Path) -> None:
        super().__init__(process, port)
        self._folder = folder

    def log(self) -> str:
        """What it has written so far, to stderr and to all of its logs."""
        logs = [path.read_text() for path in sorted(self._folder.glob("*.log"))]
        return super().log() + "".join(logs)


class Redis(Server):
    """A redis-server; ``url`` is what ``AGENT_REDIS_URL`` takes."""

    def __init__(self, process: Process, port: int, socket_path: Path | None) -> None:
        super().__init__(process, port)
        self.url = f"unix://{socket_path}" if socket_path else f"redis://127.0.0.1:{port}/0"

    @contextmanager
    def client(self) -> Iterator[Any]:  # redis-py has types for few of its methods
        """A new client of this server for the length of the block."""
        options: dict[str, Any] = {"socket_timeout": 10, **protocol_options()}
        client = redis.Redis.from_url(self.url, **options, **maintenance_options())
        try:
            yield client
        finally:
            client.connection_pool.disconnect()  # redis-py before 5.0 leaves that to its users


@contextmanager
def gunicorn(  # noqa: PLR0913 - each is an option of gunicorn, by keyword
    app: str = "wsgi_app:app",
    *,
    workers: int | None = 1,
    threads: int | None = 8,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    cwd: Path | None = None,
    config: Path | str | None = None,
    delivery: str | None = None,
    worker_class: str = WORKER_CLASS,
    python: Path | str = sys.executable,
    start_seconds: float = START_SECONDS,
    fresh: bool = False,
    frameworks: bool = False,
) -> Iterator[Gunicorn]:
    """Run gunicorn with gthread workers, all of which have loaded ``app`` when the block begins.

    With ``config`` (a file, or gunicorn's ``python:module``) that configuration is used as it is:
    ready is then the first worker. ``workers`` or ``threads`` None leaves the number to it.
    ``delivery`` is AGENT_DELIVERY, with the hooks that parked streams need. Another
    ``worker_class`` may serve so many requests at once. ``python`` is another environment's.
    ``fresh`` is an interpreter that has loaded nothing, for apps that change what is loaded.
    With ``frameworks`` a fork finds them loaded, instead of each worker loading its own.
    """
    delivery = delivery or ("parked" if PARKED else None)
    port = free_port()
    settings = {**_delivery_settings(delivery, config), **(env or {})}
    with temporary_folder() as folder:
        own_config = folder / "gunicorn_config.py"
        own_config.write_text(PARKED_CONFIG if delivery else GUNICORN_CONFIG)
        command = [str(python), "-m", runnable_module(), "--config", str(config or own_config)]
        command += ["--bind", f"127.0.0.1:{port}", "--worker-class", worker_class]
        command += ["--workers", str(workers)] if workers is not None else []
        # What a worker of greenlets has for threads.
        bound = "--threads" if worker_class == "gthread" else "--worker-connections"
        command += [bound, str(threads)] if threads is not None else []
        may_fork = worker_class == "gthread" and not fresh
        command += [*args, app]
        with started(
            command, env=settings, cwd=cwd, may_fork=may_fork, frameworks=frameworks
        ) as process:
            if config is None:
                process.wait_until(
                    lambda: process.log().count(WORKER_READY) >= (workers or 1), start_seconds
                )
            else:
                process.wait_until(lambda: answers_http(port), start_seconds)
            yield Gunicorn(process, port)


def _delivery_settings(delivery: str | None, config: Path | str | None) -> dict[str, str]:
    if delivery is None:
        return {}
    return {"AGENT_DELIVERY": delivery, **({} if config else {"AGENT_DRAIN_SECONDS": "1"})}


@contextmanager
def waitress(
    app: str = "wsgi_app:app",
    *,
    threads: int = 8,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run waitress; ``args=["--channel-request-lookahead=1"]`` lets it notice vanished clients."""
    port = free_port()
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}"]
    with started([*command, f"--threads={threads}", *args, app], env=env, cwd=cwd) as process:
        process.wait_until(lambda: answers_http(port))
        yield Server(process, port)


@contextmanager
def flask_dev_server(
    app: str = "wsgi_app:app",
    *,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run ``flask run``, which has a thread per connection."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "run", "--no-reload", "--port", str(port), *args]
    named = {"FLASK_APP": app, **(env or {})}  # Flask before 2.2 has no --app
    with started(command, env=named, cwd=cwd) as process:
        process.wait_until(lambda: answers_http(port))
        yield Server(process, port)


@contextmanager
def nginx(
    conf: str | Path = STREAMING_PROXY, *, upstreams: Sequence[Server | int]
) -> Iterator[Nginx]:
    """Run nginx with ``conf`` (text, or a file) as the content of its ``http`` block.

    Its logs in /var/log/nginx come to a folder of its own. Its one line ``listen 80;`` gets a free
    port, its one line ``server 127.0.0.1:8000;`` becomes a
    line for each of ``upstreams`` (servers or ports).
    """
    program = find_program("nginx", "nginx")
    port = free_port()
    text = conf.read_text() if isinstance(conf, Path) else conf
    ports = [one if isinstance(one, int) else one.port for one in upstreams]
    text = _replace_line(text, NGINX_LISTEN, f"listen 127.0.0.1:{port};")
    text = _replace_line(text, NGINX_UPSTREAM, " ".join(f"server 127.0.0.1:{p};" for p in ports))
    with temporary_folder() as folder:
        text = text.replace("/var/log/nginx/", f"{folder}/")
        (folder / "nginx.conf").write_text(_nginx_main(folder, text))
        command = [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        with started(command) as process:
            process.wait_until(lambda: _accepts(port))
            yield Nginx(process, port, folder)


def redis_program() -> str:
    """The redis-server under test: ``TEST_REDIS_SERVER`` (see `make test-stores`), or Debian's."""
    return os.environ.get("TEST_REDIS_SERVER") or find_program("redis-server", "redis-server")


@contextmanager
def redis_server(
    *, port: int | None = None, unix_socket: bool = False, args: Sequence[str] = ()
) -> Iterator[Redis]:
    """Run an empty redis-server that keeps nothing on disk.

    ``port`` restarts one where another was; ``unix_socket`` makes ``url`` a socket's; ``args`` are
    redis-server's own, such as ``["--maxmemory", "10mb"]``.
    """
    port = port or free_port()
    with temporary_folder() as folder:
        socket_path = folder / "redis.sock"
        command = [
            redis_program(),
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--dir",
            str(folder),
        ]
        command += ["--unixsocket", str(socket_path), "--save", "", "--appendonly", "no"]
        with started([*command, *args]) as process:
            server = Redis(process, port, socket_path if unix_socket else None)
            process.wait_until(lambda: _answers_redis(server))
            yield server


def _replace_line(text: str, line: str, replacement: str) -> str:
    count = text.count(line)
    if count != 1:
        raise AssertionError(f"{line!r} must stand in the nginx configuration once, not {count}x")
    return text.replace(line, replacement)


def _nginx_main(folder: Path, http: str) -> str:
    """A main configuration that needs no root and writes nowhere but to ``folder``."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    # As root, nginx would run its workers as nobody, who cannot enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""\
{user}
daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log {folder}/access.log;
{paths}
{http}
}}
"""


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers_http(port: int) -> bool:
    """Whether any HTTP answer comes, whatever its status: the server has loaded its app."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _answers_redis(server: Redis) -> bool:
    if not _accepts(server.port):
        return False
    with server.client() as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
