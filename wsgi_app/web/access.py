"""Who may pass: preflights and open paths, tickets, and everybody else by login."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from wsgi_app.auth import Principal, demand_scope, is_local
from wsgi_app.config import setting_name
from wsgi_app.extras import needs
from wsgi_app.limits import LIMIT_HEADERS
from wsgi_app.tickets import TICKET_SECONDS
from wsgi_app.tokens import DEFAULT_SCOPES, Scope
from wsgi_app.web.answers import TicketAnswer
from wsgi_app.web.mount import Mount, current_mount, current_principal, session_key
from wsgi_app.web.parse import check_session_id, last_event_id
from wsgi_app.web.respond import ErrorShape, error_response, json_response

#: The endpoint of what lies below OpenAI's routes and is none of them.
UNKNOWN_TO_OPENAI: Final = "unknown_to_openai"
#: Endpoints of whatever no route is for.
UNKNOWN: Final = ("unknown", UNKNOWN_TO_OPENAI)
#: Endpoints that need no login.
OPEN: Final = (
    *("get_healthz", "get_readyz", "get_client", "get_client_types"),
    *("get_openapi", "get_docs", "get_docs_script", "get_docs_style"),
    *("get_admin", "get_admin_script", "get_admin_style"),
    *UNKNOWN,
)
#: Endpoints that need no login from this machine itself, where a scraper runs, with
#: AGENT_METRICS_LOCAL.
LOCAL: Final = ("get_metrics",)
#: Endpoints that a ticket opens.
TICKETED: Final = ("get_events", "get_poll", "websocket")
#: Endpoints that demand other scopes than their method's: see `needed_scopes`.
ENDPOINT_SCOPES: Final[dict[str, tuple[Scope, ...]]] = {
    "get_metrics": ("admin",),
    "post_ticket": ("read",),
    "get_admin_events": ("admin",),
    "post_admin_cancel": ("admin",),
    "post_cancel": ("cancel",),
    "post_ai_sdk_stop": ("cancel",),
    "post_response_cancel": ("cancel",),
}
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: What pages of other origins may read, besides what every page may (Fetch, section 3.3.6).
EXPOSED_HEADERS: Final = (
    *("X-Session-Id", "X-Turn-Id", "Retry-After", "Retry-After-Ms", "X-Should-Retry"),
    *("X-Request-Id", "Location", "X-Vercel-AI-UI-Message-Stream"),
    *LIMIT_HEADERS,
)
#: As long as Chromium keeps a preflight's answer.
PREFLIGHT_SECONDS: Final = 7200


def guard(shapes: dict[str, ErrorShape]) -> Callable[[], Response | None]:
    """What runs before each request; raises RequestError for who may not pass."""

    def check() -> Response | None:
        endpoint = (request.endpoint or "").rpartition(".")[2]
        g.wsgi_app_error_shape = shapes.get(endpoint, error_response)
        if request.method == "OPTIONS":
            return _options()
        mount = current_mount()
        if endpoint not in OPEN and not (endpoint in LOCAL and _is_open_here(mount)):
            g.wsgi_app_principal = _principal(mount, endpoint)
            for scope in needed_scopes(endpoint, request.method):
                demand(scope)
        return None

    return check


def _is_open_here(mount: Mount) -> bool:
    settings = mount.settings
    return settings.metrics_local and is_local(request, settings.local_hosts)


def needed_scopes(endpoint: str, method: str) -> tuple[Scope, ...]:
    """What a request must bring: to read, to write, or both to write and to end what runs."""
    by_method: dict[str, tuple[Scope, ...]] = {
        "GET": ("read",),
        "HEAD": ("read",),
        "DELETE": ("chat", "cancel"),
    }
    return ENDPOINT_SCOPES.get(endpoint) or by_method.get(method, ("chat",))


def demand(scope: Scope) -> None:
    """Refuse this request if it lacks a scope; raises RequestError ``forbidden``."""
    demand_scope(current_principal(), scope)


def _principal(mount: Mount, endpoint: str) -> Principal:
    ticket = request.args.get("ticket")
    if ticket is None or endpoint not in TICKETED:
        return mount.authenticate(request)
    session_id = check_session_id(str((request.view_args or {}).get("session_id", "")))
    # An EventSource comes back with the URL that it was made with.
    comes_back = last_event_id(request) is not None
    longer_seconds = mount.settings.turn_timeout_seconds if comes_back else 0.0
    return mount.tickets.read(ticket, session_id, longer_seconds)


def post_ticket(mount: Mount, session_id: str) -> Response:
    """POST /chat/<session_id>/ticket: what opens this session's streams without a header.

    The routes that it opens only read, but for the WebSocket, where it may do what its caller may.
    """
    key = session_key(check_session_id(session_id))
    scopes = current_principal().scopes & DEFAULT_SCOPES
    return json_response(TicketAnswer(mount.tickets.issue(key, scopes), TICKET_SECONDS))


def allow_origins(blueprint: Blueprint, origins: Sequence[str]) -> None:
    """Let pages of these origins call the routes, with the site's login (CORS, Fetch 3.3).

    Raises ConfigError without the package that does it.
    """
    if not origins:
        return
    with needs("cors", setting_name("cors_origins")):
        from flask_cors import CORS  # noqa: PLC0415 - few sites need it

    blueprint.after_request(_keep_from_private_networks)  # runs after what comes next
    CORS(
        blueprint,
        # As patterns: a plain string with a bracket, as of IPv6, would be taken for one.
        origins=[re.compile(re.escape(origin) + r"\Z") for origin in origins],
        supports_credentials=True,
        allow_headers="*",
        expose_headers=list(EXPOSED_HEADERS),
        methods=list(METHODS),
        max_age=PREFLIGHT_SECONDS,
        always_send=False,
    )


def _keep_from_private_networks(response: Response) -> Response:
    """Flask-CORS 4.0 lets pages reach into private networks, unasked."""
    name = "Access-Control-Allow-Private-Network"
    if name in response.headers:
        response.headers[name] = "false"
    return response


def allowed_methods() -> list[str]:
    """The methods that this request's path has views for."""
    adapter = current_app.create_url_adapter(request)
    return [method for method in METHODS if adapter and _leads_to_view(adapter, method)]


def _leads_to_view(adapter: MapAdapter, method: str) -> bool:
    try:
        endpoint, _ = adapter.match(method=method)
    except HTTPException:
        return False
    return str(endpoint).rpartition(".")[2] not in UNKNOWN


def _options() -> Response | None:
    """Answer a preflight, which brings no login, and anybody who asks for the methods."""
    allowed = allowed_methods()
    if not allowed:
        return None
    response = Response(status=204)
    response.headers["Allow"] = ", ".join(allowed)
    return response
