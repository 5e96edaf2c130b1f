"""What the site itself makes of an exception: the status of its own error handlers' answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, current_app
from werkzeug.exceptions import HTTPException, Unauthorized, default_exceptions

log = logging.getLogger("wsgi_app")

_FIRST_REDIRECT, _FIRST_ERROR = 300, 400
Handler = Callable[[Any], Any]


def as_site_error(error: Exception, ours: Handler) -> HTTPException | None:
    """Return the status that the site's handler returns for an exception; None where it has none.

    ``ours`` handles the host's own paths, and is no site's. A redirect is that to a login page,
    and so 401.
    """
    app = current_app
    handler = next((one for one in _handlers(app, type(error)) if one is not ours), None)
    if handler is None:
        return None
    try:
        status: int = app.make_response(app.ensure_sync(handler)(error)).status_code
    except HTTPException as raised:
        return raised
    except Exception:
        log.exception("the site's error handler failed")
        return None
    if _FIRST_REDIRECT <= status < _FIRST_ERROR:
        return Unauthorized()
    return default_exceptions[status]() if status in default_exceptions else None


def _handlers(app: Flask, kind: type[Exception]) -> Iterator[Handler]:
    """The handlers of the nearest class first; of each, the whole site's before a blueprint's.

    A blueprint's count too: sites that check logins in their blueprints have them there.
    """
    scopes = sorted(app.error_handler_spec, key=lambda scope: scope is not None)
    for parent in kind.__mro__:
        for scope in scopes:
            by_class: dict[Any, Any] = app.error_handler_spec[scope].get(None, {})
            if parent in by_class:
                yield by_class[parent]
