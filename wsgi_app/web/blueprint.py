"""The blueprint: which path leads to which view, what may pass, and errors in one shape."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    got_request_exception,
    request_finished,
)
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed, NotFound, default_exceptions
from werkzeug.routing import BaseConverter

from wsgi_app.config import Settings
from wsgi_app.errors import ConfigError
from wsgi_app.web import access, admin, health, page
from wsgi_app.web.current import current_mount
from wsgi_app.web.foreign import warn_of_foreign_answer
from wsgi_app.web.mount import EXTENSION_KEY, Mount
from wsgi_app.web.openapi import routes as openapi_routes
from wsgi_app.web.refuse import exception_response
from wsgi_app.web.respond import give_up_dropped
from wsgi_app.web.route import UNKNOWN, RouteTable, View, Wire
from wsgi_app.web.sending import bound_answer
from wsgi_app.web.turns import add_headers
from wsgi_app.web.unsent import close_on_teardown

#: What every host has beside its wires.
OWN: Final = Wire("own", (*health.ROUTES, *page.ROUTES, *openapi_routes.ROUTES))
#: What it has with AGENT_ADMIN.
ADMIN: Final = Wire("admin", admin.ROUTES)
CONVERTER_NAME = "wsgi_app_rest"


class RestConverter(BaseConverter):
    """The rest of a path, whatever it is; werkzeug's own ``path`` cannot begin with a slash."""

    regex = "(?s:.*?)"
    part_isolating = False
    weight = 1000  # behind every other rule


class AllMethods(set[str]):
    """Every method, even an unknown one; a listing (`flask routes`) shows the usual ones."""

    def __contains__(self, _method: object) -> bool:
        return True


class HostBlueprint(Blueprint):
    """A host's routes, as an object that an app registers now or later, or that several do.

    ``make_mount`` gets the app, the prefix and the blueprint's name in that app; the views find
    what it returns there again.
    """

    def __init__(
        self,
        make_mount: Callable[[Flask, str | None, str], Mount],
        wires: Iterable[Wire],
        url_prefix: str | None,
    ) -> None:
        self._make_mount = make_mount
        self._wires = wires
        self._routes: RouteTable | None = None
        prefix = check_prefix(url_prefix)
        super().__init__(_name_of(prefix), __name__, url_prefix=prefix)

    def register(self, app: Any, options: dict[str, Any]) -> None:
        """Mount the host in the app; raises ConfigError for what cannot be mounted."""
        prefix = check_prefix(options.get("url_prefix", self.url_prefix))
        if prefix != self.url_prefix:
            self.name = _name_of(prefix)
        outer = options.get("name_prefix", "")
        name = f"{outer}.{options.get('name', self.name)}".lstrip(".")
        if name in app.blueprints:
            raise ConfigError(f"another host is mounted at url_prefix={prefix!r}")
        mount = self._make_mount(app, prefix, name)
        if self._routes is None:
            with_admin = (ADMIN,) if mount.settings.admin else ()
            self._routes = RouteTable((OWN, *with_admin, *self._wires))
            _fill(self, self._routes, mount.settings)
        mount.routes = self._routes
        super().register(app, {**options, "url_prefix": prefix})


def check_prefix(url_prefix: str | None) -> str | None:
    """Return the prefix without a slash at its end, None for the root; raises ConfigError."""
    prefix = (url_prefix or "").rstrip("/")
    if not re.fullmatch(r"(/[^/<>]+)*", prefix):
        raise ConfigError(f"url_prefix must be a path such as /agents, not {prefix!r}")
    return prefix or None


def _name_of(url_prefix: str | None) -> str:
    # Flask divides blueprints' names by dots.
    return EXTENSION_KEY + (url_prefix or "").replace(".", "%2E")


def _fill(blueprint: Blueprint, routes: RouteTable, settings: Settings) -> None:
    for route in routes.rows:
        over = {"websocket": True} if route.method == "WS" else {"methods": [route.method]}
        # Slashes that are too many lead nowhere, not (before Werkzeug 2.2) to a redirect in HTML.
        bound = _bind(route.view)
        blueprint.add_url_rule(route.path, route.name, bound, merge_slashes=False, **over)
    blueprint.record(functools.partial(_add_catch_all, routes))
    blueprint.record(_give_up_dropped_answers)
    blueprint.record(close_on_teardown)
    blueprint.before_request(access.check_access)
    blueprint.after_request(_complete)
    access.allow_origins(blueprint, settings.cors_origins)
    blueprint.url_value_preprocessor(lambda *_: _exempt_from_csrf(blueprint))
    blueprint.register_error_handler(Exception, exception_response)
    for code in default_exceptions:
        # The site's own handler of a code would beat ours of every Exception.
        blueprint.register_error_handler(code, exception_response)


def _bind(view: View) -> View:
    # Not functools.partial: extensions look at a view's __name__ and __module__.
    @functools.wraps(view)
    def bound(**values: str) -> Response:
        return view(current_mount(), **values)

    return bound


def _complete(response: Response) -> Response:
    """Complete each answer: in one function, since each one costs every request."""
    if "wsgi_app_errors" not in g:  # the host's guard has not run
        warn_of_foreign_answer(response)
    add_headers(response)
    return bound_answer(response) if type(response) is Response else response


def _give_up_dropped_answers(state: BlueprintSetupState) -> None:
    for signal in (request_finished, got_request_exception):
        signal.connect(give_up_dropped, state.app)


def _add_catch_all(routes: RouteTable, state: BlueprintSetupState) -> None:
    """Answer everything else below the prefix, in JSON, for all methods."""
    app: Flask = state.app  # type: ignore[assignment] # sansio's type; it is the app that registers
    prefix = state.url_prefix or ""
    app.url_map.converters[CONVERTER_NAME] = RestConverter
    rest = f"<{CONVERTER_NAME}:_path>"
    paths = [(f"{prefix}/{rest}", UNKNOWN)] + ([(prefix, UNKNOWN)] if prefix else [])
    paths += [(f"{prefix}{one.root}/{rest}", one.unknown) for one in routes.wires if one.root]
    for path, name in paths:
        endpoint = f"{state.name_prefix}.{state.name}.{name}".lstrip(".")
        app.view_functions[endpoint] = _unknown
        for upgrades in (False, True):
            # Not add_url_rule: it cannot make a rule for all methods, even unheard-of ones.
            rule = app.url_rule_class(
                path,
                endpoint=endpoint,
                strict_slashes=True,  # else Werkzeug before 2.2 matches no path that ends in two
                merge_slashes=False,
                websocket=upgrades,
            )
            rule.methods = AllMethods(access.METHODS)
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
