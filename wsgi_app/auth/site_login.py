"""The site's own login, which may be a cookie: browsers send it along with any site's requests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from flask import Request
from werkzeug.exceptions import HTTPException

from wsgi_app.auth.refusals import unauthorized
from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.tokens import Principal, check_scopes

#: Answers who is asking; None for 401. A bare string is the tenant's name.
Authenticate = Callable[[Request], "Principal | str | None"]

#: What a form of another site can send without a preflight (Fetch, "CORS-safelisted
#: request-header"); it never holds JSON.
FORM_TYPES: Final = (
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
)

_READING_METHODS: Final = ("GET", "HEAD")
_OTHER_SITES: Final = ("cross-site", "same-site")


class LoginFailed(Exception):  # noqa: N818 - the site knows what went wrong
    """The site's callable raised ``cause``, which its own error handlers may know."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def by_site_login(
    authenticate: Authenticate, allowed_origins: Collection[str]
) -> Callable[[Request], Principal]:
    """Authenticate by the site's callable; other sites' pages may not use its login."""

    def find_principal(request: Request) -> Principal:
        _refuse_cross_site(request, allowed_origins)
        try:
            found = authenticate(request)
        except (HTTPException, AgentHostError):
            raise
        except Exception as error:
            raise LoginFailed(error) from error
        principal = Principal(found) if isinstance(found, str) else found
        if principal is None or not getattr(principal, "tenant", True):
            raise unauthorized("Log in first.")
        if not isinstance(principal, Principal):
            kind = type(found).__name__
            raise TypeError(f"authenticate must return a str, a Principal or None, not {kind}")
        scopes = frozenset(principal.scopes)
        check_scopes(scopes)
        return Principal(principal.tenant, scopes)

    return find_principal


def _refuse_cross_site(request: Request, allowed_origins: Collection[str]) -> None:
    """Refuse what another site's page sends, unless it only reads.

    Browsers tell the origin of every request that is not a plain read (Fetch, section 3.2); one
    that does not cannot send JSON without a preflight either.
    """
    if request.method in _READING_METHODS:
        return
    check_origin(request, allowed_origins)
    if request.mimetype in FORM_TYPES:
        raise RequestError("unsupported_media_type", "Send Content-Type: application/json.")


def check_origin(request: Request, allowed_origins: Collection[str]) -> None:
    """Refuse a page of another origin than the host's own and these; raises RequestError."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    # Sec-Fetch-Site is the browser's own word, which no page can set (Fetch Metadata, 2.4).
    if site == "same-origin" or origin in allowed_origins:
        return
    own = (f"http://{request.host}", f"https://{request.host}")
    if origin not in own and (origin is not None or site in _OTHER_SITES):
        raise RequestError("forbidden", "This origin may not use the site's login.")
