"""Bodies that their server never gets.

Flask runs the site's teardown functions when a response has been made, and before its server has
got the body. One that raises takes the body along, and nobody closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask.blueprints import BlueprintSetupState

_CLOSE: Final = "wsgi_app.close"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def close_if_unsent(environ: dict[str, Any], close: Callable[[], None]) -> None:
    """Have this called if the request's server does not get the body."""
    environ[_CLOSE] = close


def close_on_teardown(state: BlueprintSetupState) -> None:
    """Close bodies that the app's teardown functions drop."""
    app: Any = state.app
    if not isinstance(app.wsgi_app, _Closing):
        app.wsgi_app = _Closing(app.wsgi_app)


class _Closing:
    """An app's WSGI application; touched by all request threads, holds nothing of theirs."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            body = self._application(environ, start_response)
        except BaseException:
            close = environ.pop(_CLOSE, None)
            if close is not None:
                close()
            raise
        environ.pop(_CLOSE, None)  # the server has it; or the response and it would hold each other
        return body
