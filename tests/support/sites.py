"""Sites that mount hosts in different ways; each is built by its own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from flask import Blueprint, Flask, Request, Response, abort, redirect, request
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException

from tests.support.agents import SECRET, observe, scripted
from wsgi_app import AgentHost, Principal, is_agent_request

SECRET_KEY = "the site's own"


def settings_site() -> Flask:
    """Mount hosts whose settings come from the arguments, the app's config and the environment."""
    app = Flask("site")
    app.config["AGENT_MAX_MESSAGE_CHARS"] = 10
    AgentHost(scripted, max_message_chars=5).init_app(app, url_prefix="/argument")
    AgentHost(scripted).init_app(app, url_prefix="/config")
    return app


def misconfigured_site(place: str, name: str, value: str) -> Flask:
    """Give a host one setting, by argument or by the app's config."""
    app = Flask("site")
    if place == "config":
        app.config[name] = value
    settings: dict[str, Any] = {name: value} if place == "argument" else {}
    AgentHost(scripted, **settings).init_app(app)
    return app


def log_in(sent: Request) -> Principal | str | None:
    """Trust the X-User header, with a few users that are special."""
    user = sent.headers.get("X-User")
    if user in ("401", "403", "404", "500"):
        abort(int(user))
    if user == "raise":
        raise ValueError(SECRET)
    return Principal("principal") if user == "principal" else user


class AuthError(Exception):
    """A login of the site's that failed; its text is no client's."""


class ExpiredError(AuthError):
    """The same, known better."""


_LOGIN_ERRORS: dict[str, type[Exception]] = {
    "AuthError": AuthError,
    "ExpiredError": ExpiredError,
    "KeyError": KeyError,
    "LookupError": LookupError,
    "TimeoutError": TimeoutError,
}


def raising_login(sent: Request) -> str:
    """Raise what the header names."""
    raise _LOGIN_ERRORS[sent.headers["X-User"]](SECRET)


def handling_site() -> Flask:
    """Mount a host in a site whose error handlers know what its login raises."""
    app = Flask("site")
    pages = Blueprint("pages", "pages")
    app.register_error_handler(AuthError, lambda _: ("<h1>Who are you?</h1>", 401))
    pages.register_error_handler(ExpiredError, lambda _: ({"error": SECRET}, 403))
    app.register_error_handler(LookupError, lambda _: redirect("/login"))
    app.register_error_handler(TimeoutError, _fail_again)
    app.register_blueprint(pages)
    AgentHost(scripted, authenticate=raising_login).init_app(app, url_prefix="/agents")
    return app


def _fail_again(error: Exception) -> NoReturn:
    raise error


def login_site() -> Flask:
    """Mount a host behind the site's own login."""
    app = Flask("site")
    AgentHost(scripted, authenticate=log_in).init_app(app, url_prefix="/agents")
    AgentHost(scripted, authenticate=log_in, cors_origins=["https://friend.example"]).init_app(
        app, url_prefix="/open"
    )
    return app


class OwnResponse(Response):
    """A response class of the site's, as many have: with a default type of content."""

    default_mimetype = "text/plain"

    def set_cookie(self, key: str, *args: Any, **named: Any) -> None:
        """Set the site's cookies under names of its own."""
        super().set_cookie(f"own-{key}", *args, **named)


def own_response_site() -> Flask:
    """Mount a host in a site with a response class of its own, which also sets a cookie."""
    app = Flask("site")
    app.response_class = OwnResponse
    AgentHost(scripted).init_app(app, url_prefix="/agents")

    @app.after_request
    def remember(response: Response) -> Response:
        response.set_cookie("seen", "1")
        return response

    return app


def csrf_site(order: str) -> Flask:
    """Mount a host before or after CSRFProtect, which guards the site's form."""
    app = Flask("site")
    app.secret_key = SECRET_KEY
    app.add_url_rule("/form", "form", lambda: request.form["x"], methods=["POST"])
    protect = CSRFProtect()
    if order == "before":
        protect.init_app(app)
    AgentHost(scripted).init_app(app, url_prefix="/agents")
    if order == "after":
        protect.init_app(app)
    return app


def opinionated_site() -> Flask:
    """Mount a host in a site that handles every error in its own way."""
    app = Flask("site")

    def handle(error: Exception) -> tuple[str, int]:
        code = error.code if isinstance(error, HTTPException) else None
        return "<h1>The site's own page</h1>", code or 500

    for code in (400, 401, 403, 404, 405, 413, 500):
        app.register_error_handler(code, handle)
    app.register_error_handler(Exception, handle)
    AgentHost(scripted, authenticate=log_in).init_app(app, url_prefix="/agents")

    @app.before_request
    def _abort() -> None:
        if "X-Abort" in request.headers:
            abort(int(request.headers["X-Abort"]))

    @app.route("/broken")
    def _broken() -> NoReturn:
        raise ValueError(SECRET)

    return app


def meddling_site() -> Flask:
    """Mount a host in a site whose after_request or teardown raises, or answers something else."""
    app = Flask("site")
    AgentHost(scripted).init_app(app, url_prefix="/agents")

    @app.after_request
    def _meddle(response: Response) -> Response:
        if request.headers.get("X-Meddle") == "raise":
            raise ValueError(SECRET)
        if request.headers.get("X-Meddle") == "replace":
            return Response("the site's own answer", 418)
        return response

    @app.teardown_request
    def _fail(_error: BaseException | None) -> None:
        if request.headers.get("X-Meddle") == "teardown":
            raise ValueError(SECRET)

    return app


def collecting_site() -> Flask:
    """Mount a host in a site whose after_request wants the whole body of each response."""
    app = Flask("site")
    AgentHost(scripted).init_app(app, url_prefix="/agents")

    @app.after_request
    def _collect(response: Response) -> Response:
        wanted = request.headers.get("X-Collect", "")
        if wanted in COLLECTING:
            COLLECTING[wanted](response)
        return response

    return app


def _count_length(response: Response) -> None:
    response.headers["Content-Length"] = str(len(response.get_data()))


COLLECTING: dict[str, Callable[[Response], Any]] = {
    "length": lambda response: response.calculate_content_length(),
    "data": _count_length,
    "text": lambda response: response.get_data(as_text=True),
    "json": lambda response: response.get_json(silent=True),
    "etag": lambda response: response.add_etag(),
    "freeze": lambda response: response.freeze(),
    "sequence": lambda response: response.make_sequence(),
    "join": lambda response: b"".join(response.iter_encoded()),
}


def mistaken_site() -> Flask:
    """Mount hosts whose site answers nonsense to `authenticate`, or fails before a stream."""
    app = Flask("site")
    AgentHost(scripted, authenticate=lambda _: 42).init_app(  # type: ignore[arg-type, return-value] # what is tested
        app, url_prefix="/login"
    )
    AgentHost(scripted, before_stream=_fail).init_app(app, url_prefix="/stream")
    return app


LOGIN_PAGE = "<!doctype html><title>Log in</title><h1>Log in</h1>"


def guarded_site(guard: str) -> Flask:
    """Mount a host in a site that sends strangers to its login page, or shows it (`page`).

    A `polite` one lets the host be.
    """
    app = Flask("site")
    app.add_url_rule("/login", "login", lambda: LOGIN_PAGE)
    AgentHost(scripted, authenticate=log_in).init_app(app, url_prefix="/agents")

    @app.before_request
    def _log_in_first() -> Any:
        if guard == "polite" and is_agent_request():
            return None
        if request.path == "/login" or "X-User" in request.headers:
            return None
        observe("guarded", request.method)
        return LOGIN_PAGE if guard == "page" else redirect("/login")

    return app


def listed_site() -> Flask:
    """Register hosts as configurations and plugins do: blueprints made before there is an app."""
    app = Flask("site")
    for blueprint in LISTED:
        app.register_blueprint(blueprint)
    app.register_blueprint(PLUGIN, url_prefix="/plugin/agent")
    parent = Blueprint("parent", "parent", url_prefix="/outer")
    parent.register_blueprint(_named("inner").blueprint("/inner"))
    app.register_blueprint(parent)
    late = Blueprint("late", "late")
    late.record_once(lambda _: _named("late").init_app(app, url_prefix="/late"))
    app.register_blueprint(late)
    app.before_request(lambda: None)
    app.add_url_rule("/page", "page", lambda: str(is_agent_request()))
    return app


def _named(name: str) -> AgentHost:
    return AgentHost(lambda turn: f"{name} {turn.message} {is_agent_request()}")


LISTED = [_named("one").blueprint("/one"), _named("two").blueprint("/two/")]
PLUGIN = _named("plugin").blueprint()


@PLUGIN.before_request
def _guard_the_plugin() -> Any:
    """As a site does that guards the routes of its plugins."""
    return Response("the plugin's guard", 418) if "X-Stop" in request.headers else None


def twice_listed_site() -> Flask:
    """Register the same blueprints in a second app, as a site's own tests do."""
    listed_site()
    return listed_site()


def _fail() -> None:
    raise ValueError(SECRET)


def prefixed_site() -> Flask:
    """Mount hosts below prefixes that are much alike, or end with a slash."""
    app = Flask("site")
    for prefix in ("/agents/", "/a-b", "/a_b", "/a.b"):
        AgentHost(scripted).init_app(app, url_prefix=prefix)
    return app
