"""Other sites' pages: what they can make a browser send with the site's cookie does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.security.routes import ROUTES, WRITING, opened, send
from tests.security.samples import Target
from tests.support.client import WANTS_JSON, Client, chat_body, new_session
from tests.support.each import each
from tests.support.reading import ReadingClient
from tests.support.servers import Server
from tests.support.shared_servers import SharedServers

FOE = "https://foe.example"
USER = {"X-User": "anna"}
FORM_TYPES = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "TEXT/PLAIN; application/json",
)
#: What a browser says of a page that is not the site's own.
FOREIGN = (
    {"Origin": FOE},
    {"Origin": "null"},
    {"Origin": FOE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://sub.127.0.0.1", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1.foe.example"},
    {"Origin": "http://127.0.0.1:1"},
)


@pytest.fixture(scope="module")
def site(servers: SharedServers) -> Server:
    """A host behind the site's login, which stands for a cookie."""
    return servers.get("tests.support.sites:login_site()")


@pytest.fixture
def anna(site: Server) -> Iterator[Target]:
    """A session of a user's that waits for an answer, and does so after the attack, too."""
    client = ReadingClient(site, None)
    session = new_session()
    body = chat_body({"ask": "Really?"}, on_disconnect="continue")
    with client.stream("POST", f"/chat/{session}", body, headers=USER) as stream:
        request_id = stream.until("input_request")[-1].data["request_id"]
    before = client.call("GET", f"/session/{session}", headers=USER).json
    sessions = len(client.call("GET", "/sessions?limit=200", headers=USER).json["sessions"])
    yield Target(session, request_id)
    after = client.call("GET", f"/session/{session}", headers=USER).json
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    found = client.call("GET", "/sessions?limit=200", headers=USER).json["sessions"]
    assert len(found) == sessions
    assert client.call("DELETE", f"/session/{session}", headers=USER).json["deleted"] is True


@pytest.mark.parametrize("name", WRITING)
def test_a_foreign_page_changes_nothing(site: Server, anna: Target, name: str) -> None:
    """Whatever body its request has, or none at all: 403."""
    for told in FOREIGN:
        for body, kind in ((None, None), (b"", None), (b"{}", "text/plain"), (b"", FORM_TYPES[2])):
            headers = {**USER, **told, **({"Content-Type": kind} if kind else {})}
            answer = send(site, name, anna, headers, body=body)
            assert (answer.status, answer.code or "forbidden") == (403, "forbidden"), headers


@pytest.mark.parametrize("name", WRITING)
def test_a_form_changes_nothing(site: Server, anna: Target, name: str) -> None:
    """What needs no preflight is refused even where a browser tells no origin, and when empty."""
    document = ROUTES[name].body(anna) or {}
    for kind in FORM_TYPES:
        for body in (json.dumps(document).encode(), b"message=hi", b""):
            answer = send(site, name, anna, {**USER, "Content-Type": kind}, body=body)
            assert answer.status == 415, (kind, body, answer.body)


def test_a_foreign_page_opens_no_websocket(site: Server, anna: Target) -> None:
    """A WebSocket is not bound by CORS, so the origin is looked at (RFC 6455, section 10.2)."""
    name = "WS /ws/chat/<session_id>"
    for told in each(one for one in FOREIGN if "Origin" in one):
        assert send(site, name, anna, {**USER, **told}).status == 403
    own = {"Origin": f"http://127.0.0.1:{site.port}"}
    with opened(site, name, anna, {**USER, **own}) as answer:
        assert answer.status == 101


def test_a_foreign_page_reads_nothing(site: Server, anna: Target) -> None:
    """What it may ask for, it may not read: no CORS header is there, whatever the answer."""
    headers = {**USER, "Origin": FOE, "Access-Control-Request-Method": "GET"}
    for name in each((one for one in ROUTES if one.startswith("GET")), 35):
        with opened(site, name, anna, headers) as answer:
            assert not [h for h in answer.headers if h.lower().startswith("access-control")]


def test_the_sites_own_pages_go_on(site: Server) -> None:
    """The same requests of the site's own pages, of a friend's, and of no browser work."""
    own = f"http://127.0.0.1:{site.port}"
    friend = "https://friend.example"
    for prefix, headers in (
        ("/agents", {"Origin": own, "Sec-Fetch-Site": "same-origin"}),
        ("/agents", {"Origin": "https://behind.a.proxy", "Sec-Fetch-Site": "same-origin"}),
        ("/open", {"Origin": friend, "Sec-Fetch-Site": "cross-site"}),
        ("/agents", {}),
    ):
        client = Client(site, None, prefix)
        sent = {**USER, **headers}
        session = new_session()
        path = f"/chat/{session}"
        assert client.call("POST", path, chat_body(), headers={**sent, **WANTS_JSON}).status == 200
        assert client.call("POST", f"{path}/cancel", headers=sent).status == 200
        assert client.call("POST", f"{path}/cancel", {}, headers=sent).status == 200
        assert client.call("DELETE", f"/session/{session}", headers=sent).json["deleted"] is True
