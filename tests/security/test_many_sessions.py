"""A tenant that makes sessions without end: its bound holds, and nobody else notices."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.security.routes import bearer
from tests.security.samples import PREFIX
from tests.support.client import JSON, WANTS_JSON, Client, new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Gunicorn, Redis, gunicorn, redis_server
from wsgi_app.config import Settings

#: AGENT_MAX_SESSIONS_PER_TENANT, as it is by default.
BOUND = Settings().max_sessions_per_tenant
THREADS = 8
PAGE = 50


@pytest.fixture(scope="module")
def store() -> Iterator[Redis]:
    """The store of the host."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def server(store: Redis) -> Iterator[Gunicorn]:
    """Two workers; other limits than the one on sessions are out of the way."""
    env = {
        "AGENT_REDIS_URL": store.url,
        "AGENT_TOKENS": "greedy-token=greedy,modest-token=modest",
        "AGENT_RATE_LIMIT": "1000000/minute",
        "AGENT_MAX_TURNS_PER_TENANT": "100",
    }
    app = "tests.support.apps:scripted_app()"
    with gunicorn(app, workers=2, threads=16, env=env) as host:
        yield host


def make_sessions(port: int, count: int) -> Counter[tuple[int, str]]:
    """Start so many turns in new sessions at the same time; counts the answers."""
    left = iter(range(count))
    answers: Counter[tuple[int, str]] = Counter()
    lock = threading.Lock()
    body = json.dumps({"message": "x"})
    fields = {**bearer("greedy-token"), **JSON, **WANTS_JSON}

    def work() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                connection.request("POST", f"{PREFIX}/chat", body, fields)
                answer = connection.getresponse()
                told = json.loads(answer.read())
                with lock:
                    answers[answer.status, told.get("code", "")] += 1

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def commands_of_a_page(store: Redis, client: Client) -> int:
    """How many commands Redis runs for one page of a tenant's list, those in its scripts too."""

    def count() -> int:
        with store.client() as own:
            calls = [one["calls"] for one in own.info("commandstats").values()]
        return int(sum(calls))

    found = []
    for _ in range(10):
        before = count()
        assert len(client.call("GET", f"/sessions?limit={PAGE}").json["sessions"]) == PAGE
        found.append(count() - before)
    # Heartbeats and the like come between now and then.
    return min(found)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_sessions_of_one_tenant(store: Redis, server: Gunicorn) -> None:
    """The one more is 429, in every wire; lists, other tenants and old sessions go on."""
    greedy = ReadingClient(server, "greedy-token")
    modest = ReadingClient(server, "modest-token")
    for _ in range(PAGE):
        assert modest.chat_json(new_session(), {"text": "x"}).status == 200

    answers = make_sessions(server.port, BOUND + 200)
    assert answers == {(200, ""): BOUND, (429, "too_many_sessions"): 200}

    seen: list[str] = []
    path: str | None = "/sessions?limit=200"
    while path is not None:
        page = greedy.call("GET", path).json
        seen += [one["session_id"] for one in page["sessions"]]
        cursor = page.get("next_cursor")
        path = cursor and f"/sessions?limit=200&cursor={cursor}"
    assert (len(seen), len(set(seen))) == (BOUND, BOUND)

    refuse_every_wire(greedy)
    assert greedy.chat_json(seen[-1], {"text": "old"}).json["reply"] == "old"
    assert greedy.call("GET", f"/session/{seen[-1]}").status == 200
    for client in (modest, greedy):
        assert client.call("GET", "/readyz").status == 200
    assert modest.chat_json(new_session(), {"text": "fine"}).json["reply"] == "fine"
    # A page costs the same, however long the list is.
    assert commands_of_a_page(store, greedy) <= commands_of_a_page(store, modest) + 5

    assert greedy.call("DELETE", f"/session/{seen[0]}").json["deleted"] is True
    assert make_sessions(server.port, 10) == {(200, ""): 1, (429, "too_many_sessions"): 9}


def refuse_every_wire(client: Client) -> None:
    """Fail unless a new session is refused however it is asked for."""
    session = new_session()
    check_refusal(client.chat_json(session, {"text": "x"}), 429, "too_many_sessions")
    said = {"role": "user", "content": "x"}
    part = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}
    for path, body in (
        ("/v1/chat/completions", {"messages": [said]}),
        ("/v1/responses", {"input": "x"}),
        ("/ag-ui", {"threadId": session, "runId": "r", "messages": [said]}),
        ("/ai-sdk/chat", {"id": session, "messages": [part]}),
    ):
        answer = client.call("POST", path, body)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1"), path
        assert b"too many sessions" in answer.body
