"""The blueprint: which path leads to which view, who may pass, and errors in one shape."""

from __future__ import annotations

import functools
from collections.abc import Callable

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    got_request_exception,
    request_finished,
)
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed, NotFound, default_exceptions
from werkzeug.routing import BaseConverter

from wsgi_app.web import (
    access,
    admin,
    ag_ui_routes,
    ai_sdk_routes,
    chat,
    health,
    openai_routes,
    page,
    read,
    sessions,
)
from wsgi_app.web.mount import Mount
from wsgi_app.web.openapi import routes as openapi_routes
from wsgi_app.web.probe import post_probe
from wsgi_app.web.respond import exception_response, give_up_dropped
from wsgi_app.web.turns import add_headers
from wsgi_app.web.websocket import websocket

View = Callable[..., Response]

ROUTES: list[tuple[str, str, View]] = [
    ("POST", "/chat", chat.post_new_chat),
    ("POST", "/chat/<session_id>", chat.post_chat),
    ("POST", "/chat/<session_id>/cancel", chat.post_cancel),
    ("POST", "/chat/<session_id>/input", chat.post_input),
    ("GET", "/chat/<session_id>/events", read.get_events),
    ("GET", "/chat/<session_id>/poll", read.get_poll),
    ("POST", "/chat/<session_id>/ticket", access.post_ticket),
    ("GET", "/events", read.get_many_events),
    ("GET", "/session/<session_id>", sessions.get_session),
    ("DELETE", "/session/<session_id>", sessions.delete_session),
    ("GET", "/sessions", sessions.get_sessions),
    ("WS", "/ws/chat/<session_id>", websocket),
    ("POST", "/probe", post_probe),
    ("GET", "/healthz", health.get_healthz),
    ("GET", "/readyz", health.get_readyz),
    ("GET", "/metrics", health.get_metrics),
    *page.ROUTES,
    *openapi_routes.ROUTES,
    *ag_ui_routes.ROUTES,
    *ai_sdk_routes.ROUTES,
    *openai_routes.ROUTES,
]
CONVERTER_NAME = "wsgi_app_rest"


class RestConverter(BaseConverter):
    """The rest of a path, whatever it is; werkzeug's own ``path`` cannot begin with a slash."""

    regex = "(?s:.*?)"
    part_isolating = False
    weight = 1000  # behind every other rule


def make_blueprint(name: str, mount: Mount) -> Blueprint:
    """Make the blueprint that serves a mount."""
    blueprint = Blueprint(name, __name__)
    routes = ROUTES + (admin.ROUTES if mount.settings.admin else [])
    for method, rule, view in routes:
        over = {"websocket": True} if method == "WS" else {"methods": [method]}
        blueprint.add_url_rule(rule, view.__name__, _bind(mount, view), **over)
    blueprint.record(_add_catch_all)
    blueprint.record(_watch_answers)
    shapes = {
        view.__name__: view.error_shape for _, _, view in ROUTES if hasattr(view, "error_shape")
    }
    blueprint.before_request(access.guard(mount, shapes))
    blueprint.after_request(add_headers)
    access.allow_origins(blueprint, mount.settings.cors_origins)
    blueprint.url_value_preprocessor(lambda *_: _exempt_from_csrf(blueprint))
    blueprint.register_error_handler(Exception, exception_response)
    for code in default_exceptions:
        # The site's own handler of a code would beat ours of every Exception.
        blueprint.register_error_handler(code, exception_response)
    return blueprint


def _bind(mount: Mount, view: View) -> View:
    # Not functools.partial: extensions look at a view's __name__ and __module__.
    @functools.wraps(view)
    def bound(**values: str) -> Response:
        return view(mount, **values)

    return bound


def _watch_answers(state: BlueprintSetupState) -> None:
    for signal in (request_finished, got_request_exception):
        signal.connect(give_up_dropped, state.app)


def _add_catch_all(state: BlueprintSetupState) -> None:
    """Answer everything else below the prefix, in JSON, whatever the method."""
    app: Flask = state.app  # type: ignore[assignment] # sansio's type; it is the app that registers
    prefix = state.url_prefix or ""
    endpoint = f"{state.name_prefix}.{state.name}.unknown".lstrip(".")
    app.view_functions[endpoint] = _unknown
    app.url_map.converters[CONVERTER_NAME] = RestConverter
    for path in [f"{prefix}/<{CONVERTER_NAME}:_path>"] + ([prefix] if prefix else []):
        for upgrades in (False, True):
            # Not add_url_rule: it cannot make a rule for all methods, even unheard-of ones.
            rule = app.url_rule_class(
                path,
                endpoint=endpoint,
                strict_slashes=False,
                merge_slashes=False,
                websocket=upgrades,
            )
            app.url_map.add(rule)


def _unknown(**_values: str) -> Response:
    allowed = access.allowed_methods()
    if allowed:
        raise MethodNotAllowed(allowed)
    raise NotFound


def _exempt_from_csrf(blueprint: Blueprint) -> None:
    """Let Flask-WTF's CSRFProtect pass requests that carry no form.

    Its token is for forms; here a JSON content type and the Origin header do its work. Done per
    request, since the extension may be set up after the blueprint.
    """
    csrf = current_app.extensions.get("csrf")
    if csrf is not None:
        csrf.exempt(blueprint)
