"""The whole service as it is deployed: Redis, two gunicorns of two workers, nginx."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, free_port, temporary_folder
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Nginx, Redis, gunicorn, nginx, redis_server
from tests.support.waiting import wait_for
from wsgi_app.store.redis import RedisStore

CONFIG = ROOT / "gunicorn.conf.py"
NGINX_CONF = ROOT / "deploy" / "nginx.conf"
#: That of its host, in the store.
NAMESPACE = "site/agents"
SCRIPTED = "tests.support.apps:scripted_app()"
WORKERS = 2
#: How long workers may take to load the app.
LOAD_SECONDS = 90
#: A tenant that is told which worker is which.
OPERATOR = "dev=demo-tenant scopes=chat+read+cancel+admin"
THREADS = 48
# Servers of tests shall not wait for what a test leaves running.
SETTINGS = {
    "AGENT_TOKENS": OPERATOR,
    "AGENT_MAX_TURNS_PER_TENANT": "1000",
    "AGENT_DRAIN_SECONDS": "2",
}


class Service:
    """Two "hosts" that share a Redis, behind the project's nginx.conf. Used by any thread."""

    def __init__(self, store: Redis, hosts: list[Gunicorn], proxy: Nginx, prefix: str) -> None:
        self.store = store
        self.hosts = hosts
        self.proxy = proxy
        self.client = ReadingClient(proxy, prefix=prefix)
        self.direct = [ReadingClient(host, prefix=prefix) for host in hosts]

    def log(self) -> str:
        """What all hosts have written."""
        return "".join(host.log() for host in self.hosts)

    def signed_on(self, namespace: str = NAMESPACE) -> set[int]:
        """The living processes that have loaded the app."""
        store = RedisStore(self.store.url, namespace=namespace)
        try:
            known = {view.info.pid for view in store.workers()}
        finally:
            store.close()
        return known & {pid for host in self.hosts for pid in host.worker_pids()}

    def wait_loaded(self, namespace: str, workers: int) -> None:
        """Wait until so many workers have loaded the app, those that replace killed ones too.

        Frameworks take a while to load, on a busy machine longer than a turn is waited for.
        """
        wait_for(lambda: len(self.signed_on(namespace)) == workers, "all workers", LOAD_SECONDS)


@contextmanager
def service(  # noqa: PLR0913 - each is a part of the deployment, by keyword
    app: str = SCRIPTED,
    *,
    hosts: int = 2,
    workers: int = WORKERS,
    env: Mapping[str, str] | None = None,
    prefix: str = "/agents",
    store_args: tuple[str, ...] = (),
    tls_port: int | None = None,
    frameworks: bool = False,
) -> Iterator[Service]:
    """Run it all; ``env`` adds to the hosts' settings, ``frameworks`` as `gunicorn` has it."""
    with ExitStack() as stack:
        store = stack.enter_context(redis_server(args=store_args))
        settings = {**SETTINGS, "AGENT_REDIS_URL": store.url, "WEB_CONCURRENCY": str(workers)}
        settings |= env or {}
        bounds: dict[str, Any] = {"workers": None, "threads": THREADS, "config": CONFIG}
        servers = [
            stack.enter_context(gunicorn(app, env=settings, frameworks=frameworks, **bounds))
            for _ in range(hosts)
        ]
        proxy = stack.enter_context(project_nginx(servers, tls_port=tls_port))
        yield Service(store, servers, proxy, prefix)


@contextmanager
def project_nginx(
    hosts: list[Gunicorn],
    *,
    balance: str = "",
    tls_port: int | None = None,
    changes: Mapping[str, str] | None = None,
    conf: Path = NGINX_CONF,
) -> Iterator[Nginx]:
    """Run nginx with deploy/nginx.conf, but for its addresses, its certificate and ``ip_hash``.

    All tests come from one address, and their requests shall land on every host. ``tls_port`` is
    where it speaks HTTP/2. ``changes`` replace lines that are there once; ``conf`` is
    another file.
    """
    with temporary_folder() as folder:
        make_certificate(folder)
        text = conf.read_text()
        tls = f"127.0.0.1:{tls_port or free_port()}"
        text = text.replace("listen 443 ssl http2;", f"listen {tls} ssl http2;")
        text = text.replace("/etc/nginx/agents.", f"{folder}/agents.")
        text = text.replace("    ip_hash;\n", f"    {balance}\n")
        for line, other in (changes or {}).items():
            assert text.count(line) == 1, line
            text = text.replace(line, other)
        with nginx(text, upstreams=hosts) as proxy:
            yield proxy


def make_certificate(folder: Path, name: str = "DNS:localhost") -> None:
    """Write agents.key and agents.crt to a folder: signed by itself, for one name or address."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *(
                "-subj",
                "/CN=localhost",
                "-addext",
                f"subjectAltName={name}",
                "-keyout",
                "agents.key",
                "-out",
                "agents.crt",
            ),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )


def owner_pid(client: ReadingClient, session_id: str) -> int:
    """The process that runs the session's turn: its owner, host:pid:nonce to the scope admin."""
    return int(client.session(session_id)["owner"].rsplit(":", 2)[1])
