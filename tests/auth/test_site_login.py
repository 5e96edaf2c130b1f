"""The site's own login: what its callable may answer."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request

from wsgi_app import AgentHost
from wsgi_app.auth import Principal, make_authenticator
from wsgi_app.config import load_settings
from wsgi_app.errors import RequestError
from wsgi_app.tokens import DEFAULT_SCOPES


def logged_in(answer: Any) -> Principal:
    """Who a request comes from, for a site whose callable answers this."""
    authenticate = make_authenticator(load_settings({}, {}, {}), lambda _: answer)
    with Flask("x").test_request_context():
        return authenticate(request)


@pytest.mark.parametrize(
    ("answer", "principal"),
    [
        ("acme", Principal("acme", DEFAULT_SCOPES)),
        (Principal("acme"), Principal("acme", DEFAULT_SCOPES)),
        (Principal("acme", frozenset({"read"})), Principal("acme", frozenset({"read"}))),
        (Principal("acme", {"admin", "read"}), Principal("acme", frozenset({"admin", "read"}))),  # type: ignore[arg-type] # sets of any kind
        (Principal("acme", frozenset()), Principal("acme", frozenset())),
    ],
)
def test_a_login_may_have_scopes(answer: Any, principal: Principal) -> None:
    """A name has all but `admin`, a Principal its own."""
    assert logged_in(answer) == principal


@pytest.mark.parametrize("answer", [None, "", Principal("")])
def test_nobody_is_refused(answer: Any) -> None:
    """No tenant is 401."""
    with pytest.raises(RequestError, match="unauthorized"):
        logged_in(answer)


@pytest.mark.parametrize(
    "answer",
    [5, True, ("acme", "admin"), Principal("acme", "admin"), Principal("a", {"root"})],  # type: ignore[arg-type] # what is tested
)
def test_a_mistaken_callable_lets_nobody_in(answer: Any) -> None:
    """What is no principal, and scopes that are none, are errors of the site's."""
    with pytest.raises((TypeError, ValueError)):
        logged_in(answer)


def test_tokens_beside_a_login_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A setting that the site's own login makes useless is named at the start."""
    for login, told in ((lambda _: "acme", True), (None, False)):
        caplog.clear()
        AgentHost(lambda turn: turn.message, authenticate=login, tokens="secret=acme").init_app(
            Flask("shop")
        )
        assert ("AGENT_TOKENS: not used" in caplog.text) is told
    assert "secret" not in caplog.text
