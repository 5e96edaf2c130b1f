"""Wrong methods, paths, queries, headers and sizes: each is refused in one shape."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import requests

from tests.support.chunked import send_chunked
from tests.support.client import JSON, WANTS_JSON, Answer, Client, chat_body, new_session
from tests.support.refusals import check_refusal, unharmed
from tests.support.servers import gunicorn

MAX_BODY_BYTES = 200_000
METHODS = {
    "/chat": {"POST"},
    "/chat/s-1": {"POST"},
    "/chat/s-1/cancel": {"POST"},
    "/chat/s-1/input": {"POST"},
    "/chat/s-1/events": {"GET", "HEAD"},
    "/chat/s-1/poll": {"GET", "HEAD"},
    "/session/s-1": {"GET", "HEAD", "DELETE"},
    "/sessions": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
}
NOWHERE = [
    "/",
    "",
    "/nothing",
    "/chat/",
    "/chat/s-1/",
    "/chat/s-1/what",
    "/chat/s-1/events/",
    "/session",
    "/session/",
    "/sessions/",
    "/healthz/",
    "//healthz",
    "//chat/s-1",
    "/chat//s-1",
    "/chat/s-1//events",
    "///",
    "/./healthz",
    "/../page",
    "/%2e%2e/page",
    "/%ff",
    "/%00",
    # Before Werkzeug 2.2 a rule also fits with a line break behind it.
    *(["/healthz%0a"] if version("werkzeug") >= "2.2" else []),
    "/caf%C3%A9",
    "/<script>alert(1)</script>",
]
BAD_QUERIES = [
    ("/chat/{}/events", "last_event_id", "x"),
    ("/chat/{}/events", "last_event_id", "3"),
    ("/chat/{}/events", "last_event_id", "3-"),
    ("/chat/{}/events", "last_event_id", "-1-1"),
    ("/chat/{}/events", "last_event_id", "03-1"),
    ("/chat/{}/events", "last_event_id", "3-1%0a"),
    ("/chat/{}/events", "last_event_id", "%D9%A3-1"),
    ("/chat/{}/events", "last_event_id", "1-99999999999"),
    ("/chat/{}/events", "batch_ms", "-1"),
    ("/chat/{}/events", "batch_ms", "1001"),
    ("/chat/{}/events", "batch_ms", "nan"),
    ("/chat/{}/events", "batch_ms", ""),
    ("/chat/{}/poll", "after", "x"),
    ("/chat/{}/poll", "after", "1-1-1"),
    ("/chat/{}/poll", "wait", "55.1"),
    ("/chat/{}/poll", "wait", "-1"),
    ("/chat/{}/poll", "wait", "inf"),
    ("/chat/{}/poll", "wait", "1e2"),
    ("/chat/{}/poll", "wait", "1_0"),
    ("/chat/{}/poll", "wait", "%D9%A1"),
    ("/chat/{}/poll", "wait", "soon"),
    ("/sessions", "limit", "0"),
    ("/sessions", "limit", "201"),
    ("/sessions", "limit", "-5"),
    ("/sessions", "limit", "1.5"),
    ("/sessions", "limit", "all"),
    ("/sessions", "cursor", "x"),
    ("/sessions", "cursor", "%ff"),
    ("/sessions", "cursor", "AAAA"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of one worker that takes small bodies only."""
    env = {"AGENT_MAX_BODY_BYTES": str(MAX_BODY_BYTES), "AGENT_MAX_MESSAGE_CHARS": "1000000"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        yield Client(server)


@pytest.fixture(autouse=True)
def _unharmed(client: Client) -> Iterator[None]:
    """Whatever a test sends, the same worker runs the next turn, and nothing went wrong in it."""
    with unharmed(client):
        yield


@pytest.mark.parametrize("path", METHODS)
def test_a_wrong_method_is_refused(client: Client, path: str) -> None:
    """A method that a route does not have is 405 with the ones it has, even an unheard-of one."""
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - METHODS[path]:
        answer = client.call(method, path, json={"message": "hi"})
        check_refusal(answer, 405, "method_not_allowed")
        allowed = set(answer.headers["Allow"].split(", "))
        assert allowed == METHODS[path] | {"OPTIONS"}, method


def test_head_never_starts_a_turn(client: Client) -> None:
    """HEAD on a route that starts turns is 405 and starts none."""
    session = new_session()
    assert client.call("HEAD", f"/chat/{session}").status == 405
    assert client.call("GET", f"/session/{session}").status == 404


@pytest.mark.parametrize("path", NOWHERE)
def test_a_path_below_the_prefix_that_leads_nowhere_is_refused(client: Client, path: str) -> None:
    """Below the prefix 404 is the host's own, whatever the method, and never a redirect."""
    for method in ("GET", "POST", "DELETE", "BREW"):
        check_refusal(client.call(method, path), 404, "not_found", ["script"])


@pytest.mark.parametrize("path", ["/nothing", "/agentsx", "/", "/agent", "/pag"])
def test_other_paths_are_the_sites_own(client: Client, path: str) -> None:
    """Outside the prefix the site's own 404 page stays as it is."""
    answer = Client(client.server, prefix="").call("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert Client(client.server, prefix="").call("POST", "/page").status == 405


@pytest.mark.parametrize(("path", "name", "value"), BAD_QUERIES)
def test_a_bad_query_is_refused(client: Client, path: str, name: str, value: str) -> None:
    """A cursor or number that is none, or out of bounds, is 422 even for an unknown session."""
    session = new_session()
    answer = client.call("GET", f"{path.format(session)}?{name}={value}")
    check_refusal(answer, 422, "invalid_request", [session])
    assert answer.json["details"]["field"] == name


@pytest.mark.parametrize("value", ["x", "1", "1-1,1-2", "\xff", "1-1 1-2", 500 * "9" + "-1"])
def test_a_bad_last_event_id_is_refused(client: Client, value: str) -> None:
    """A Last-Event-ID header that is no event id is 422, also where a turn would start."""
    headers = {"Last-Event-ID": value}
    for method, path, body in (("GET", "/chat/s/events", None), ("POST", "/chat/s", chat_body())):
        check_refusal(client.call(method, path, body, headers=headers), 422, "invalid_request")


@pytest.mark.parametrize("key", ["", "a b", "\xe9", 256 * "k", "a\tb"])
def test_a_bad_idempotency_key_is_refused(client: Client, key: str) -> None:
    """An Idempotency-Key is 1 to 255 printable ASCII characters."""
    for path in ("/chat", "/chat/s-key"):
        answer = client.call("POST", path, chat_body(), headers={"Idempotency-Key": key})
        check_refusal(answer, 422, "invalid_request", [10 * "k"])
        assert answer.json["details"]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    "body",
    [{"turn_id": 3}, {"turn_id": "x"}, {"turn_id": "0"}, {"turn_id": "1\n"}, {"all": True}, []],
)
def test_a_bad_cancel_is_refused(client: Client, body: object) -> None:
    """A cancel's body is missing, or an object with at most a turn's number as a string."""
    answer = client.call("POST", "/chat/s-1/cancel", body=json.dumps(body).encode(), headers=JSON)
    check_refusal(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_id": "r"},
        {"value": 1},
        {"request_id": 1, "value": 1},
        {"request_id": "", "value": 1},
        {"request_id": "r", "value": 1, "x": 1},
    ],
)
def test_a_bad_input_is_refused(client: Client, body: object) -> None:
    """An answer to the agent's question needs both of its fields and no other."""
    check_refusal(client.call("POST", "/chat/s-1/input", body), 422, "invalid_request")


def message_of(total_bytes: int) -> bytes:
    """A chat body of exactly this size."""
    empty = b'{"message":""}'
    return empty.replace(b'""', b'"%b"' % ((total_bytes - len(empty)) * b"x"))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_bounded_to_the_byte(client: Client, chunked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A body of exactly AGENT_MAX_BODY_BYTES passes, one byte more is 413, announced or not."""

    def send(body: bytes) -> Answer:
        if chunked:
            return send_chunked(client, iter([body]), "/chat/s-size")
        return client.call("POST", "/chat/s-size", body=body, headers={**JSON, **WANTS_JSON})

    assert send(message_of(MAX_BODY_BYTES)).status == 200
    check_refusal(send(message_of(MAX_BODY_BYTES + 1)), 413, "too_large")
    # Valid as far as the limit: it must not be taken for a whole one.
    check_refusal(send(message_of(MAX_BODY_BYTES) + b" "), 413, "too_large")


def test_a_client_that_uploads_megabytes_can_read_the_refusal(client: Client) -> None:
    """A client that still sends when it is refused gets its answer, not a reset connection."""
    body = message_of(20_000_000)
    check_refusal(client.call("POST", "/chat/s", body=body, headers=JSON), 413, "too_large")
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    check_refusal(send_chunked(client, pieces, "/chat/s"), 413, "too_large")
    url = client.server.url + "/agents/chat/s"
    with requests.post(url, body, headers={**JSON, "Authorization": "Bearer dev"}, timeout=15) as r:
        assert (r.status_code, r.json()["code"]) == (413, "too_large")
    stranger = Client(client.server, token=None)
    check_refusal(stranger.call("POST", "/chat/s", body=body, headers=JSON), 401, "unauthorized")
    check_refusal(client.call("POST", "/what", body=body, headers=JSON), 404, "not_found")
    check_refusal(client.call("GET", "/chat", body=body, headers=JSON), 405, "method_not_allowed")
    check_refusal(client.call("POST", "/chat/a,b", body=body), 422, "invalid_request")


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"-5\r\n\r\n"]
)
def test_a_broken_chunked_body_is_refused(client: Client, chunks: bytes) -> None:
    """A body whose chunks are malformed is 400 `invalid_json`."""
    head = (
        b"POST /agents/chat/s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer dev\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=15) as connection:
        connection.sendall(head + chunks)
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = Answer(response.status, response.msg, response.read())
        response.close()
    check_refusal(answer, 400, "invalid_json")


def test_a_client_that_leaves_in_mid_upload_starts_nothing(client: Client) -> None:
    """Half a body is no request: no session comes of it."""
    session = new_session()
    body = json.dumps(chat_body()).encode()
    head = f"POST /agents/chat/{session} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += "Authorization: Bearer dev\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=15) as connection:
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)
    assert client.call("GET", f"/session/{session}").status == 404


@pytest.mark.slow  # it takes the server's patience
def test_a_client_that_stops_in_mid_upload_is_given_up(client: Client) -> None:
    """A client that announces more than it sends does not keep its thread for ever."""
    head = (
        b"POST /agents/chat/s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer dev\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=40) as connection:
        connection.sendall(head)
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = Answer(response.status, response.msg, response.read())
        response.close()
    check_refusal(answer, 400, "invalid_json")
