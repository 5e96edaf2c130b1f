"""gunicorn's hooks for a host, which do nothing where none is mounted, and a line when ready."""

from __future__ import annotations

from typing import Any

from bench.servers.ready import READY
from wsgi_app import gunicorn_hooks
from wsgi_app.gunicorn_hooks import child_exit, pre_fork, worker_exit, worker_int

__all__ = ["child_exit", "post_worker_init", "pre_fork", "worker_exit", "worker_int"]

control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Tell that this worker is up."""
    gunicorn_hooks.post_worker_init(worker)
    worker.log.info(READY)
