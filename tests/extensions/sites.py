"""One small site for each extension; each runs in an environment that has the extension.

Every site has ``/page``, which shows that the extension does its work, and counts in ``/counts``
what was registered for the end of requests.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response, g, jsonify, redirect, request, session

from wsgi_app import AgentHost, Turn

PAGE = "<!doctype html><title>A page</title><body>" + "of the site " * 200 + "</body>"
Wsgi = Callable[..., Any]


def agent(turn: Turn) -> Iterator[str]:
    """Say words with a pause before each; of ``hold``, one and then nothing."""
    if turn.message == "hold":
        yield "held "
        ended = threading.Event()
        turn.on_cancel(ended.set)
        ended.wait(60)
    for number in range(10):
        time.sleep(0.1)
        yield f"w{number} "


def base(authenticate: Callable[[Request], str | None] = lambda _: "someone") -> Flask:
    """Make the site around which an extension is put, with the host in it."""
    app = Flask("site")
    app.config["SECRET_KEY"] = "the site's own"
    counts: Counter[str] = Counter()

    @app.after_request
    def _mark(response: Response) -> Response:
        g.counted = request.headers.get("X-Count")
        if g.counted:
            response.call_on_close(lambda: counts.update(["closed"]))
        return response

    @app.teardown_request
    def _end_request(_: BaseException | None) -> None:
        if g.get("counted"):
            counts.update(["teardown_request"])

    @app.teardown_appcontext
    def _end_context(_: BaseException | None) -> None:
        if g.get("counted"):
            counts.update(["teardown_appcontext"])

    app.add_url_rule("/counts", "counts", lambda: jsonify(counts))
    AgentHost(agent, authenticate=authenticate).init_app(app, url_prefix="/agents")
    return app


def with_page(app: Flask, view: Callable[..., Any] = lambda: PAGE, **options: Any) -> Flask:
    """Add the site's page."""
    app.add_url_rule("/page", "page", view, **options)
    return app


def sqlalchemy() -> Flask:
    """A database whose pool has one connection, which the login of each request uses."""
    from flask_sqlalchemy import SQLAlchemy  # noqa: PLC0415 - one site's alone, as all below
    from sqlalchemy import text  # noqa: PLC0415
    from sqlalchemy.pool import QueuePool  # noqa: PLC0415

    db = SQLAlchemy()

    def read(_: Any = None) -> str:
        return f"tenant-{db.session.execute(text('select 1')).scalar()}"

    app = base(read)
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{Path.cwd()}/site.db"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "poolclass": QueuePool,
        "pool_size": 1,
        "max_overflow": 0,
        "pool_timeout": 2,
        "connect_args": {"check_same_thread": False},
    }
    db.init_app(app)
    return with_page(app, read)


def login() -> Flask:
    """A login by Flask-Login's cookie."""
    from flask_login import (  # noqa: PLC0415
        LoginManager,
        UserMixin,
        current_user,
        login_required,
        login_user,
    )

    class User(UserMixin):  # type: ignore[misc] # Flask-Login has no types
        def __init__(self, name: str) -> None:
            self.id = name

    app = base(lambda _: current_user.get_id() if current_user.is_authenticated else None)
    manager = LoginManager(app)
    manager.user_loader(User)
    app.add_url_rule("/login/<name>", "login", lambda name: str(login_user(User(name))))
    return with_page(app, login_required(lambda: str(current_user.id)))


def wtf() -> Flask:
    """Forms that are protected."""
    from flask_wtf import CSRFProtect  # noqa: PLC0415

    app = with_page(base(), lambda: request.form["x"], methods=["POST"])
    getattr(CSRFProtect(), "init_app")(app)  # noqa: B009 - untyped in old versions
    return app


def compress() -> Flask:
    """Compressed answers."""
    from flask_compress import Compress  # noqa: PLC0415

    app = with_page(base())
    Compress(app)
    return app


def caching() -> Flask:
    """A view that is cached."""
    from flask_caching import Cache  # noqa: PLC0415

    app = base()
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    return with_page(app, cache.cached(timeout=60)(lambda: str(time.monotonic())))


def sessions() -> Flask:
    """Sessions that the server keeps in files; the login is one."""
    from flask_session import Session  # noqa: PLC0415

    app = base(lambda _: session.get("name"))
    app.config["SESSION_TYPE"] = "filesystem"
    app.config["SESSION_FILE_DIR"] = str(Path.cwd() / "sessions")
    Session(app)

    def log_in(name: str) -> str:
        session["name"] = name
        return name

    app.add_url_rule("/login/<name>", "login", log_in)
    return with_page(app, lambda: session.get("name") or redirect("/login/nobody"))


def talisman() -> Flask:
    """Security headers."""
    from flask_talisman import Talisman  # noqa: PLC0415

    app = with_page(base())
    Talisman(app, force_https=False)
    return app


def limiter() -> Flask:
    """A rate limit on all views."""
    from flask_limiter import Limiter  # noqa: PLC0415
    from flask_limiter.util import get_remote_address  # noqa: PLC0415

    app = with_page(base())
    Limiter(get_remote_address, app=app, default_limits=["500/minute"], headers_enabled=True)
    return app


def toolbar() -> Flask:
    """The toolbar of debug pages."""
    from flask_debugtoolbar import DebugToolbarExtension  # noqa: PLC0415

    app = with_page(base())
    app.debug = True
    DebugToolbarExtension(app)
    return app


def socketio() -> Flask:
    """A site that speaks to its pages by Socket.IO, in threads."""
    from flask_socketio import SocketIO  # noqa: PLC0415

    app = with_page(base())
    SocketIO(app, async_mode="threading")
    return app


def sentry() -> Flask:
    """Sentry's SDK, with traces."""
    import sentry_sdk  # noqa: PLC0415

    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0)
    return with_page(base())


def newrelic() -> Wsgi:
    """New Relic's agent, around the application."""
    import newrelic.agent  # noqa: PLC0415

    newrelic.agent.initialize()
    made: Wsgi = newrelic.agent.WSGIApplicationWrapper(with_page(base()))
    return made


def ddtrace() -> Wsgi:
    """Datadog's tracer, by its middleware."""
    from ddtrace.contrib.wsgi import DDWSGIMiddleware  # noqa: PLC0415

    made: Wsgi = DDWSGIMiddleware(with_page(base()))
    return made


def opentelemetry() -> Flask:
    """OpenTelemetry's instrumentation of Flask."""
    from opentelemetry.instrumentation.flask import FlaskInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    app = with_page(base())
    FlaskInstrumentor().instrument_app(app, tracer_provider=TracerProvider())
    return app


def proxy_fix() -> Wsgi:
    """Werkzeug's reading of forwarding headers."""
    from werkzeug.middleware.proxy_fix import ProxyFix  # noqa: PLC0415

    return ProxyFix(with_page(base()).wsgi_app)


def dispatcher() -> Wsgi:
    """Another application beside the site."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware  # noqa: PLC0415

    return DispatcherMiddleware(with_page(base()), {"/other": Flask("other")})


def profiler() -> Wsgi:
    """Werkzeug's profiler, which joins the chunks of each response."""
    from werkzeug.middleware.profiler import ProfilerMiddleware  # noqa: PLC0415

    return ProfilerMiddleware(with_page(base()).wsgi_app, stream=None)


def whitenoise() -> Wsgi:
    """Static files."""
    from whitenoise import WhiteNoise  # noqa: PLC0415

    made: Wsgi = WhiteNoise(with_page(base()).wsgi_app)
    return made


def beaker() -> Wsgi:
    """Beaker's sessions, around the application."""
    from beaker.middleware import SessionMiddleware  # noqa: PLC0415

    app = with_page(base(), lambda: str(request.environ["beaker.session"].id))
    made: Wsgi = SessionMiddleware(app.wsgi_app, {"session.type": "memory", "session.auto": True})
    return made
