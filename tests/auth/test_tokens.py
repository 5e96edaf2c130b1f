"""Tokens: how they are written down, hashed, looked up, and read again from their file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask, Request, request

from tests.support.client import Client
from tests.support.servers import gunicorn
from tests.support.waiting import wait_for
from wsgi_app.auth import hash_token, make_authenticator, make_token, reloaded_file
from wsgi_app.config import load_settings
from wsgi_app.errors import ConfigError, RequestError
from wsgi_app.tokens import DEFAULT_SCOPES, SCOPES, Principal, digest, parse_tokens

SECRET = "s3cret-token"


def who_is(settings: Mapping[str, object], token: str) -> Principal | None:
    """Who a host with these settings takes a bearer of this token for."""
    authenticate = make_authenticator(load_settings(settings, {}, {}), None)
    headers = {"Authorization": f"Bearer {token}"}
    with Flask("x").test_request_context(headers=headers):
        try:
            return authenticate(request)
        except RequestError:
            return None


@pytest.mark.parametrize(
    ("text", "token", "principal"),
    [
        ("a=acme", "a", Principal("acme")),
        ("b64==acme", "b64=", Principal("acme")),
        ("a = ACME Corp ", "a", Principal("ACME Corp")),
        ("a=acme:chat+read", "a", Principal("acme:chat+read")),
        ("a=acme scopes=read", "a", Principal("acme", frozenset({"read"}))),
        ("b64===acme  scopes=chat+admin", "b64==", Principal("acme", frozenset({"chat", "admin"}))),
        ("scopes=read", "scopes", Principal("read")),
        (f"{hash_token('a')}=acme", "a", Principal("acme")),
        (f"{hash_token('a').upper()[7:]}=x,b=acme", "b", Principal("acme")),
        (f"{hash_token('a')}=acme scopes=admin", "a", Principal("acme", frozenset({"admin"}))),
    ],
)
def test_tokens_are_written_in_one_line(text: str, token: str, principal: Principal) -> None:
    """Any tenant's name goes on to work; scopes stand behind it, and a hash for the token."""
    assert parse_tokens(text)[digest(token)] == principal
    assert who_is({"tokens": text}, token) == principal


def test_a_mapping_takes_principals() -> None:
    """In Python scopes are a Principal's."""
    admin = Principal("acme", SCOPES)
    found = parse_tokens({"a": "tenant", "b": admin, hash_token("c"): "hashed"})
    assert [found[digest(one)] for one in "abc"] == [
        Principal("tenant", DEFAULT_SCOPES),
        admin,
        Principal("hashed", DEFAULT_SCOPES),
    ]


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"{SECRET}=",
        f"={SECRET}",
        f"{SECRET}=t scopes=",
        f"{SECRET}=t scopes=chat,{SECRET}",
        f"t=t scopes={SECRET}",
        f"t=t scopes=chat+{SECRET}",
        f"sha256:{SECRET}=t",
        f"sha256:{hash_token(SECRET)[8:]}=t",
    ],
)
def test_a_malformed_token_stops_the_start_unshown(text: str, tmp_path: Path) -> None:
    """The message names the setting and what is expected, never the text."""
    file = tmp_path / "tokens"
    file.write_text(f"good=t\n{text}\n")
    for settings, name in (
        ({"tokens": text}, "AGENT_TOKENS"),
        ({"tokens_file": str(file)}, "FILE"),
    ):
        with pytest.raises(ConfigError, match=name) as caught:
            who_is(settings, "x")
        assert SECRET not in str(caught.value)
        assert hash_token(SECRET)[8:] not in str(caught.value)


def test_a_hash_opens_nothing() -> None:
    """Who has read the file of hashes has no token."""
    hashed = hash_token(SECRET)
    for text in (f"{hashed}=t", f"{SECRET}=t"):
        assert who_is({"tokens": text}, SECRET) == Principal("t")
        assert who_is({"tokens": text}, hashed) is None
        assert who_is({"tokens": text}, hashed.removeprefix("sha256:")) is None


def test_new_tokens_are_long_and_differ() -> None:
    """256 random bits, in characters that a header may hold."""
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 43 and token.isascii() for token in tokens)


def test_a_file_without_tokens_lets_nobody_in(tmp_path: Path) -> None:
    """It is no reason for development mode."""
    file = tmp_path / "tokens"
    file.write_text("# nobody yet\n")
    assert who_is({"tokens_file": file}, "dev") is None


def test_a_comment_may_stand_behind_a_token(tmp_path: Path) -> None:
    """It is no part of the tenant's name, nor of the scopes."""
    file = tmp_path / "tokens"
    file.write_text("a#1=acme # for CI\nb=acme scopes=read\t# a dashboard\n")
    assert who_is({"tokens_file": file}, "a#1") == Principal("acme")
    assert who_is({"tokens_file": file}, "b") == Principal("acme", frozenset({"read"}))


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    """At start a file that cannot be read, or is no text, is a ConfigError that names it."""
    for file in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=f"AGENT_TOKENS_FILE cannot be read .*{file}"):
            who_is({"tokens_file": file}, "x")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe=t")
    with pytest.raises(ConfigError, match="AGENT_TOKENS_FILE cannot be read"):
        who_is({"tokens_file": tmp_path / "bytes"}, "x")


class Watching:
    """A host with a tokens file, and a clock that the test moves."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.file = 100.0, file
        self.looks = 0
        # Not the process's own clock: a loop that looks at it meanwhile would sleep for hours.
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(reloaded_file, "time", clock)
        settings = load_settings({"tokens_file": file, "tokens": "fixed=always"}, {}, {})
        self._authenticate = make_authenticator(settings, None)

    def takes(self, token: str) -> bool:
        """Whether a second later this token is good."""
        self.now += reloaded_file.LOOK_SECONDS
        return self.takes_now(token)

    def takes_now(self, token: str) -> bool:
        """Whether this token is good."""
        with Flask("x").test_request_context(headers={"Authorization": f"Bearer {token}"}):
            try:
                return bool(self._authenticate(request))
            except RequestError:
                return False

    def replace(self, text: str) -> None:
        """Put another file in the place of this one, as a careful operator does."""
        new = self.file.with_name("new")
        new.write_text(text)
        new.replace(self.file)


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """A host whose file knows the token ``old``."""
    file = tmp_path / "tokens"
    file.write_text("old=t\n")
    return Watching(file, monkeypatch)


def test_a_changed_file_is_read_again(watching: Watching) -> None:
    """Within a second a new token is good, and a removed one is not."""
    assert watching.takes("old")
    watching.replace(f"{hash_token('new')}=t\n")
    assert not watching.takes_now("new")
    assert watching.takes("new")
    assert not watching.takes("old")
    watching.file.write_text("newest=t\n")
    os.utime(watching.file, ns=(1, 1))
    assert watching.takes("newest")
    assert watching.takes("fixed")


@pytest.mark.parametrize("fault", ["malformed", "missing", "bytes"])
def test_a_bad_new_file_keeps_the_old_tokens(
    watching: Watching, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One error in the log names the setting, and none of the text; a good file heals it."""
    if fault == "missing":
        watching.file.unlink()
    else:
        watching.file.write_bytes(SECRET.encode() + (b"\xff" if fault == "bytes" else b""))
    with caplog.at_level(logging.ERROR, "wsgi_app"):
        assert all(watching.takes("old") for _ in range(3))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["AGENT_TOKENS_FILE"]
    assert SECRET not in caplog.text
    watching.replace("healed=t\n")
    assert watching.takes("healed")


def test_a_storm_of_requests_looks_once_a_second(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many requests come, the file is looked at once a second."""
    looked: list[Path] = []
    stat = Path.stat

    def count(path: Path) -> os.stat_result:
        looked.append(path)
        return stat(path)

    monkeypatch.setattr(Path, "stat", count)
    assert watching.takes("old")
    assert all(watching.takes_now("old") for _ in range(1000))
    assert len(looked) == 1


class Watched(str):
    """A token that knows how it was looked at."""

    __slots__ = ("uses",)
    uses: list[str]

    def __eq__(self, other: object) -> bool:
        self.uses.append("compared")
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        self.uses.append("hashed")
        return str.__hash__(self)

    def startswith(self, *_args: object) -> bool:
        """Compare the begin."""
        raise AssertionError("the token's begin was compared")


def test_a_token_is_never_compared_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up sees a token's digest alone, so that its time tells nothing about the token."""
    file = tmp_path / "tokens"
    file.write_text("filed=t\n")
    settings = load_settings({"tokens": "known=t", "tokens_file": file}, {}, {})
    authenticate = make_authenticator(settings, None)
    for text in ("known", "filed", "knowx", "", "x" * 5000):
        token = Watched(text)
        token.uses = []

        def bring(_request: Request, token: str = token) -> str:
            return token

        monkeypatch.setattr("wsgi_app.auth.bearer.bearer_token", bring)
        with Flask("x").test_request_context():
            try:
                assert authenticate(request).tenant == "t"
            except RequestError:
                assert text not in ("known", "filed")
        assert token.uses == []


def test_a_running_service_takes_a_new_token(tmp_path: Path) -> None:
    """All workers of a host take over a changed file without a restart."""
    file = tmp_path / "tokens"
    file.write_text("old=t\n")
    env = {"AGENT_TOKENS_FILE": str(file)}
    with gunicorn("tests.support.apps:scripted_app()", workers=2, env=env) as server:
        old, new = Client(server, "old"), Client(server, "new")
        assert old.call("GET", "/sessions").status == 200
        assert new.call("GET", "/sessions").status == 401
        (tmp_path / "new").write_text(f"{hash_token('new')}=t\n")
        (tmp_path / "new").replace(file)

        def statuses(client: Client) -> set[int]:
            return {client.call("GET", "/sessions").status for _ in range(10)}

        wait_for(lambda: statuses(new) == {200}, "the new token is good")
        wait_for(lambda: statuses(old) == {401}, "the old one is not")
