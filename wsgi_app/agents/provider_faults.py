"""Which errors of any agent are its model provider's, whatever a framework made of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from wsgi_app.agents.upstream_errors import (
    failed_request,
    from_openai,
    incomplete_answer,
    is_openai_error,
    status_error,
)
from wsgi_app.errors import UpstreamError

#: How many errors are looked at, below each other and in groups.
_MAX_ERRORS: Final = 32


def provider_error(error: BaseException) -> UpstreamError | None:
    """The error that a turn ends with as `OpenAIAgent`'s would; None for one of another kind.

    Looked at are those of this package, of the openai package, of httpx and of httpx2, and what an
    error was raised from or while handling.
    """
    for one in _chain(error):
        if isinstance(one, UpstreamError):
            return one
        if is_openai_error(one):
            return from_openai(one)
        for package in ("httpx", "httpx2"):
            found = _from_http(one, sys.modules.get(package))
            if found is not None:
                return found
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MAX_ERRORS:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        below = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        members = getattr(one, "exceptions", ())  # a group's
        of_group = members if isinstance(members, tuple) else ()
        waiting += [member for member in (below, *of_group) if isinstance(member, BaseException)]


def _from_http(error: BaseException, package: Any) -> UpstreamError | None:
    if package is None or not isinstance(error, package.HTTPError):
        return None
    if isinstance(error, package.HTTPStatusError):
        return status_error(error.response.status_code)
    if isinstance(error, (package.UnsupportedProtocol, package.LocalProtocolError)):
        return failed_request()
    if isinstance(error, (package.TimeoutException, package.ConnectError, package.ProxyError)):
        return UpstreamError("The model provider does not answer.")
    return incomplete_answer()
