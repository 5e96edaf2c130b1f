"""Which requests may pass: preflights and open paths, tickets, and all others by login."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from wsgi_app.auth import Principal, demand_scope, is_local
from wsgi_app.config import setting_name
from wsgi_app.extras import needs
from wsgi_app.limits import LIMIT_HEADERS
from wsgi_app.tokens import Scope
from wsgi_app.web.current import current_mount, current_principal
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import check_session_id, last_event_id
from wsgi_app.web.route import Route, RouteTable

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: What pages of other origins may read, besides what every page may (Fetch, section 3.3.6).
EXPOSED_HEADERS: Final = (
    *(
        "X-Session-Id",
        "X-Turn-Id",
        "X-Steerable",
        "Retry-After",
        "Retry-After-Ms",
        "X-Should-Retry",
    ),
    *("X-Request-Id", "Location", "Content-Location"),
    *("X-Vercel-AI-UI-Message-Stream", "Mcp-Session-Id"),
    *LIMIT_HEADERS,
)
#: As long as Chromium keeps a preflight's answer.
PREFLIGHT_SECONDS: Final = 7200


def check_access() -> Response | None:
    """Run before each request; raises RequestError for one that may not pass."""
    mount, endpoint = current_mount(), request.endpoint or ""
    route = mount.routes.find(endpoint)
    g.wsgi_app_errors = mount.routes.errors_of(endpoint) if route is None else route.errors
    if request.method == "OPTIONS":
        return _options()
    if route is None or route.scopes is None or (route.local and _is_open_here(mount)):
        return None
    g.wsgi_app_principal = principal = _principal(mount, route)
    for scope in route.scopes:
        demand_scope(principal, scope, getattr(mount.authenticate, "scope_hint", ""))
    return None


def _is_open_here(mount: Mount) -> bool:
    settings = mount.settings
    return settings.metrics_local and is_local(request, settings.local_hosts)


def demand(scope: Scope) -> None:
    """Refuse this request if it lacks a scope; raises RequestError ``forbidden``."""
    demand_scope(current_principal(), scope)


def _principal(mount: Mount, route: Route) -> Principal:
    ticket = request.args.get("ticket")
    if ticket is None or not route.ticket:
        return mount.authenticate(request)
    session_id = check_session_id(str((request.view_args or {}).get("session_id", "")))
    # An EventSource comes back with the URL that it was made with.
    comes_back = last_event_id(request) is not None
    longer_seconds = mount.settings.turn_timeout_seconds if comes_back else 0.0
    return mount.tickets.read(ticket, session_id, longer_seconds)


def allow_origins(blueprint: Blueprint, origins: Sequence[str]) -> None:
    """Let pages of these origins call the routes, with the site's login (CORS, Fetch 3.3).

    Raises ConfigError if the package for it is missing.
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
    """Undo that Flask-CORS 4.0 lets pages reach into private networks by default."""
    name = "Access-Control-Allow-Private-Network"
    if name in response.headers:
        response.headers[name] = "false"
    return response


def allowed_methods() -> list[str]:
    """The methods that this request's path has views for."""
    adapter, routes = current_app.create_url_adapter(request), current_mount().routes
    return [method for method in METHODS if adapter and _leads_to_view(adapter, routes, method)]


def _leads_to_view(adapter: MapAdapter, routes: RouteTable, method: str) -> bool:
    try:
        endpoint, _ = adapter.match(method=method)
    except HTTPException:
        return False
    return routes.find(str(endpoint)) is not None


def _options() -> Response | None:
    """Answer a preflight, which brings no login, and any request for the methods."""
    allowed = allowed_methods()
    if not allowed:
        return None
    response = Response(status=204)
    response.headers["Allow"] = ", ".join(allowed)
    return response
