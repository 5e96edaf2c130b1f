"""Bodies that their server never gets.

Flask runs the site's teardown functions when a response has been made, and before its server has
got the body. One that raises drops the body, and nothing closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from flask.blueprints import BlueprintSetupState

#: In a request's environ: what to call if its server does not get the body.
CLOSE_UNSENT: Final = "wsgi_app.close"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


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
            close = environ.pop(CLOSE_UNSENT, None)
            if close is not None:
                close()
            raise
        environ.pop(
            CLOSE_UNSENT, None
        )  # the server has it; or the response and it would hold each other
        return body
