"""Reads gunicorn's configuration and loads the app; a program of its own.

    python -m wsgi_app.cli.doctor.child OUTPUT DEFAULT_APP [GUNICORN ARGUMENT]…

So neither file can disturb the doctor, whatever they print, start or end. Writes a `SetUp` as JSON
to OUTPUT; gunicorn itself ends with status 1 for a configuration that it refuses.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import gunicorn
import msgspec
from gunicorn.app.base import Application
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.config import get_default_config_file

from wsgi_app.auth import DevelopmentMode
from wsgi_app.cli.doctor.facts import ForkFacts, GunicornFacts, HostFacts, SetUp
from wsgi_app.cli.hosts import mounts_of
from wsgi_app.engine.runtime.green import is_green
from wsgi_app.engine.worker.registry import hosts
from wsgi_app.errors import ConfigError
from wsgi_app.files import FileDirectory
from wsgi_app.web.mount import Mount

HOOKS: Final = ("child_exit", "post_worker_init", "pre_fork", "worker_exit", "worker_int")
#: Hooks that are not set are gunicorn's own functions.
UNSET_HOOKS: Final = "gunicorn.config"


class _Loader(WSGIApplication):  # type: ignore[misc] # gunicorn ships no types
    app_uri: str | None
    default_app: str = ""

    def load_config(self) -> None:
        Application.load_config(self)
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app or self.default_app


def main(output: str, default_app: str, arguments: list[str]) -> None:
    """Write the facts."""
    _Loader.default_app = default_app
    sys.argv = ["gunicorn", *arguments]
    loader = _Loader("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn")
    for path in (loader.cfg.pythonpath or "").split(","):
        if path:
            sys.path.insert(0, str(Path(path).absolute()))
    at_start = _fork_facts()
    config_error, load_error = "", ""
    try:
        app = loader.wsgi()
    except ConfigError as error:
        config_error = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the site's code does
        load_error = f"{loader.app_uri} cannot be loaded: {type(error).__name__}: {error}"
    found = SetUp(
        gunicorn=_gunicorn_facts(loader.cfg),
        before_fork=_fork_facts() if loader.cfg.preload_app else at_start,
        hosts=[_host_facts(host) for host in hosts() if isinstance(host, Mount)],
        config_error=config_error,
        load_error=load_error,
    )
    Path(output).write_bytes(msgspec.json.encode(found))
    del app  # it holds the hosts until here
    # Without the end of what the app has started, which nothing here waits for.
    os._exit(0)


def _gunicorn_facts(config: Any) -> GunicornFacts:
    file = config.config or ""
    if file == "./gunicorn.conf.py" and get_default_config_file() is None:
        file = ""  # gunicorn's default, which is not there
    return GunicornFacts(
        version=gunicorn.__version__,
        config_file=os.path.relpath(file) if os.path.exists(file) else file,  # noqa: PTH110 - may be python:module
        worker_class=config.worker_class_str,
        workers=config.workers,
        threads=config.threads,
        worker_connections=config.worker_connections,
        timeout=config.timeout,
        graceful_timeout=config.graceful_timeout,
        keepalive=config.keepalive,
        preload_app=config.preload_app,
        http2="h2" in getattr(config, "http_protocols", ()),
        patched=is_green(),
        missing_hooks=[
            name
            for name in HOOKS
            if getattr(getattr(config, name), "__module__", "") == UNSET_HOOKS
        ],
    )


def _fork_facts() -> ForkFacts:
    links = []
    for entry in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile
            links.append(str(entry.readlink()))
    others = [t for t in threading.enumerate() if t is not threading.main_thread()]
    return ForkFacts(
        threads=sorted(thread.name for thread in others),
        event_loops=links.count("anon_inode:[eventpoll]"),
        sockets=sum(link.startswith("socket:") for link in links),
    )


def _host_facts(mount: Mount) -> HostFacts:
    settings = mount.settings
    prefixes = [prefix for prefix, one in mounts_of(mount.app).items() if one is mount]
    return HostFacts(
        prefix=prefixes[0] if prefixes else "/",
        redis_url=settings.redis_url,
        namespace=settings.host,
        drain_seconds=settings.drain_seconds,
        lease_seconds=settings.lease_seconds,
        stream_slots=settings.stream_slots,
        parked_streams=settings.max_streams if settings.delivery in ("parked", "auto") else 0,
        development=isinstance(mount.authenticate, DevelopmentMode),
        files_dir=str(settings.files_dir or "") if isinstance(mount.files, FileDirectory) else "",
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
