"""Pages of other origins: which may call the host, and what they may read."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn
from tests.support.shared_servers import SharedServers

if TYPE_CHECKING:
    from playwright.sync_api import Page

FRIEND = "https://friend.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another origin: a web server with an empty page."""
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>other</title>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def client(site: str) -> Iterator[ReadingClient]:
    """A client of a host that lets two origins call it."""
    env = {"AGENT_CORS_ORIGINS": f"{FRIEND},{site}"}
    with gunicorn("tests.support.apps:scripted_app()", threads=16, env=env) as server:
        yield ReadingClient(server)


def test_a_preflight_needs_no_login(client: ReadingClient) -> None:
    """OPTIONS of a friend's page is answered with what it may send."""
    headers = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-lang",
    }
    answer = ReadingClient(client.server, None).call("OPTIONS", "/chat/s-1", headers=headers)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "x-stainless-lang"))
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_a_preflight_opens_no_private_network(client: ReadingClient) -> None:
    """No version of Flask-CORS lets a page of a friend reach from the web into private networks."""
    headers = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = ReadingClient(client.server, None).call("OPTIONS", "/chat/s-1", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert answer.headers.get("Access-Control-Allow-Private-Network", "false") == "false"


@pytest.mark.parametrize("path", ["/sessions", "/session/unknown", "/nowhere", "/healthz"])
def test_answers_and_refusals_may_be_read_by_friends_alone(
    client: ReadingClient, path: str
) -> None:
    """Whatever the status, a friend's page may read it, and no other page."""
    friendly = client.call("GET", path, headers={"Origin": FRIEND})
    assert friendly.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "X-Turn-Id" in friendly.headers["Access-Control-Expose-Headers"]
    assert "Origin" in friendly.headers["Vary"]
    for origin in ("https://foe.example", f"{FRIEND}.foe.example", "null", FRIEND.upper() + "x"):
        answer = client.call("GET", path, headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers, origin
    assert "Access-Control-Allow-Origin" not in client.call("GET", path).headers


def test_without_the_setting_nothing_is_allowed(servers: SharedServers) -> None:
    """No CORS header, and a preflight allows nothing."""
    client = ReadingClient(servers.get())
    headers = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    for method, path in (("OPTIONS", "/chat/s-1"), ("GET", "/sessions")):
        answer = client.call(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


READ_WITH_TICKET = """
async ([host, session]) => {
    const headers = {"Authorization": "Bearer dev", "Content-Type": "application/json"};
    const say = {method: "POST", headers, body: JSON.stringify({message: "hi"})};
    const started = await fetch(`${host}/chat/${session}`, say);
    await started.text();
    const answer = await fetch(`${host}/chat/${session}/ticket`, {method: "POST", headers});
    const {ticket} = await answer.json();
    const source = new EventSource(
        `${host}/chat/${session}/events?last_event_id=0-0&ticket=${ticket}`);
    const types = [];
    await new Promise((resolve, reject) => {
        source.onmessage = ({data}) => {
            types.push(JSON.parse(data).type);
            if (types.at(-1) === "done") resolve();
        };
        source.onerror = () => reject(new Error("the EventSource failed"));
    });
    source.close();
    return [started.headers.get("X-Turn-Id"), types];
}
"""


def test_a_page_of_another_origin_reads_an_event_source_with_a_ticket(
    client: ReadingClient, site: str, page: Page
) -> None:
    """In a real browser: fetch with a token, then EventSource with a ticket, across origins."""
    page.goto(site)
    turn, types = page.evaluate(READ_WITH_TICKET, [f"{client.server.url}/agents", "cors-1"])
    assert turn == "1"
    assert types[-1] == "done"
