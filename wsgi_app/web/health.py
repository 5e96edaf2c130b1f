"""Routes for load balancers and people who look after the service."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from wsgi_app.auth import is_local
from wsgi_app.errors import RequestError, StoreUnavailable, draining
from wsgi_app.extras import missing_text
from wsgi_app.metrics import are_counted
from wsgi_app.web.answers import HealthAnswer, NotReadyBody, ReadyAnswer
from wsgi_app.web.envelope import error_response, json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.operation import JSON, TEXT, Content, Operation, Reply, answers
from wsgi_app.web.route import ADMIN, OPEN, Route


def get_healthz(_mount: Mount) -> Response:
    """GET /healthz: the process answers."""
    return json_response(HealthAnswer())


def get_readyz(mount: Mount) -> Response:
    """GET /readyz: whether this worker should get requests."""
    mount.learn_server()
    warnings = mount.warnings()
    shows = _may_see_warnings(mount)
    try:
        _check_ready(mount)
        warnings += mount.store.warnings()
    except RequestError as refusal:
        if isinstance(refusal, StoreUnavailable) and refusal.reason:
            warnings.append(refusal.reason)
        return error_response(refusal, {"warnings": warnings if shows else []})
    return json_response(ReadyAnswer(warnings=warnings if shows else []))


def _may_see_warnings(mount: Mount) -> bool:
    """Whether the client may see what is wrong: this machine may, and the scope admin."""
    if is_local(request, mount.settings.local_hosts):
        return True
    if "Authorization" not in request.headers and "Cookie" not in request.headers:
        return False
    try:
        return "admin" in mount.authenticate(request).scopes
    except RequestError:
        return False


def get_metrics(mount: Mount) -> Response:
    """GET /metrics: what all workers have counted of this host, in Prometheus' text format."""
    if not are_counted():
        raise RequestError("not_found", missing_text("metrics", "GET /metrics"))
    from wsgi_app.metrics.text import CONTENT_TYPE, metrics_text  # noqa: PLC0415 - see its package

    response = Response(metrics_text(mount.settings.host), content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


def _check_ready(mount: Mount) -> None:
    if mount.draining:
        raise draining()
    if mount.runner.abandoned.is_clogged:
        raise RequestError("at_capacity", "Too many agent threads do not end.")
    mount.store.ping()


_HEALTH: Final = Operation(group="Operation", replies=answers(HealthAnswer))
_READY: Final = Operation(
    group="Operation",
    replies={
        **answers(ReadyAnswer),
        503: Reply("Not now; `code` says why.", (Content(JSON, NotReadyBody),)),
    },
)
_METRICS: Final = Operation(
    group="Operation",
    replies={200: Reply("Prometheus' text format.", (Content(TEXT),))},
    description="With AGENT_METRICS_LOCAL no token is needed from this machine itself.",
)
ROUTES: Final = (
    Route("GET", "/healthz", get_healthz, OPEN, _HEALTH),
    Route("GET", "/readyz", get_readyz, OPEN, _READY),
    Route("GET", "/metrics", get_metrics, ADMIN, _METRICS, local=True),
)
