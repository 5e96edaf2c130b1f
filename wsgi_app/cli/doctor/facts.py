"""What is known of a set-up before it is judged."""

from __future__ import annotations

from typing import Optional

from msgspec import Struct


class GunicornFacts(Struct, frozen=True, kw_only=True):
    """gunicorn's configuration, as gunicorn itself reads file, environment and command line."""

    version: str
    #: The configuration file, '' for none.
    config_file: str
    worker_class: str
    workers: int
    threads: int
    worker_connections: int
    timeout: int
    graceful_timeout: int
    keepalive: int
    preload_app: bool
    #: Whether it speaks HTTP/2 itself.
    http2: bool = False
    #: Whether gevent had replaced the standard library's parts before the app was loaded.
    patched: bool
    #: Hooks of the package, or of the site in their place, that are not set.
    missing_hooks: list[str]

    @property
    def is_gevent(self) -> bool:
        """Whether requests are greenlets of gevent."""
        return self.worker_class.rpartition(".")[2] in ("gevent", "GeventWorker")

    @property
    def is_bare(self) -> bool:
        """Whether nothing of it has been configured: no file, and gunicorn's default class."""
        return not self.config_file and self.worker_class == "sync"

    @property
    def where(self) -> str:
        """Where to change it."""
        return self.config_file or "gunicorn's command line"


class ForkFacts(Struct, frozen=True, kw_only=True):
    """What runs or is open in the arbiter before it forks."""

    threads: list[str] = []
    event_loops: int = 0
    sockets: int = 0


class HostFacts(Struct, frozen=True, kw_only=True):
    """One agent host of the app."""

    prefix: str
    redis_url: Optional[str]
    namespace: str
    drain_seconds: float
    lease_seconds: float
    stream_slots: Optional[int]
    #: Streams that take no thread each; 0 where every one does.
    parked_streams: int
    development: bool
    #: Where it keeps files, '' for nowhere or in a storage of the site's own.
    files_dir: str = ""


class SetUp(Struct, frozen=True, kw_only=True):
    """A server and its app, read in a process of their own."""

    gunicorn: GunicornFacts
    #: Before the fork; of the app only where it is preloaded.
    before_fork: ForkFacts
    hosts: list[HostFacts]
    #: A setting that stops the start.
    config_error: str = ""
    #: Why the app cannot be loaded otherwise.
    load_error: str = ""
