"""Routes for load balancers and people who look after the service."""

from __future__ import annotations

from flask import Response

from wsgi_app.engine.runner import MAX_ABANDONED_THREADS
from wsgi_app.errors import RequestError, StoreUnavailable
from wsgi_app.web.mount import Mount
from wsgi_app.web.respond import error_response, json_response


def get_healthz(_mount: Mount) -> Response:
    """GET /healthz: the process answers."""
    return json_response({"status": "ok"})


def get_readyz(mount: Mount) -> Response:
    """GET /readyz: whether this worker should get requests."""
    mount.learn_server()
    warnings = mount.warnings()
    reason = _reason_not_ready(mount)
    if reason is not None:
        return error_response(reason, {"warnings": warnings})
    return json_response({"status": "ready", "warnings": warnings})


def _reason_not_ready(mount: Mount) -> RequestError | None:
    if mount.draining:
        return RequestError("draining", "This worker is about to leave.")
    if mount.runner.count_abandoned() > MAX_ABANDONED_THREADS:
        return RequestError("at_capacity", "Too many agent threads do not end.")
    try:
        mount.store.ping()
    except StoreUnavailable as error:
        return error
    return None
