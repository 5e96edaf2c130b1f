"""Requests that are wrong in themselves: each is refused in one shape and harms nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import JSON, WANTS_JSON, Client, chat_body, new_session
from tests.support.refusals import check_refusal, unharmed
from tests.support.servers import gunicorn

SESSION_ROUTES = [
    ("POST", "/chat/{}", {"message": "hi"}),
    ("GET", "/chat/{}/events", None),
    ("GET", "/chat/{}/poll", None),
    ("POST", "/chat/{}/cancel", {}),
    ("POST", "/chat/{}/input", {"request_id": "r", "value": 1}),
    ("GET", "/session/{}", None),
    ("DELETE", "/session/{}", None),
]
NO_SESSION_IDS = {
    "..": "..",
    ".": ".",
    "encoded dots": "%2e%2e",
    "129 characters": 129 * "x",
    "3,000 characters": 3000 * "x",
    "a comma": "a,b",
    "a blank": "a%20b",
    "a plus": "a+b",
    "NUL": "a%00b",
    "a newline at the end": "abc%0a",
    "carriage return and newline": "a%0d%0aX-Evil:%20yes",
    "DEL": "a%7f",
    "e with an accent": "caf%C3%A9",
    "full-width letters": "%EF%BD%81",
    "Arabic digits": "%D9%A1",
    "bytes that are no UTF-8": "a%ff%fe",
    "half a percent code": "a%2",
    "a backslash": "a%5Cb",
}
NOT_JSON = {
    "a word": b"hello",
    "half an object": b'{"message": "hi"',
    "single quotes": b"{'message': 'hi'}",
    "a trailing comma": b'{"message": "hi",}',
    "two objects": b'{"message": "hi"} {}',
    "NaN": b'{"message": "hi", "metadata": {"x": NaN}}',
    "an unpaired quote": b'{"message": "hi}',
    "a control character in a string": b'{"message": "h\x00i"}',
    "bytes that are no UTF-8": b'{"message": "\xff\xfe"}',
    "half a character": b'{"message": "\xc3"}',
    "an encoded surrogate": b'{"message": "\xed\xa0\x80"}',
    "UTF-16": '{"message": "hi"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"message": "hi"}',
    "blanks alone": b"   ",
    "100,000 lists in each other": b'{"message": "hi", "metadata": ' + 100_000 * b"[",
    "100,000 objects in each other": b'{"message": "hi", "metadata": ' + 100_000 * b'{"a":',
    "whole, but 100,000 deep": b'{"message":"x","metadata":{"a":%b}}'
    % (10**5 * b"[" + 10**5 * b"]"),
}
WRONG_TYPES: list[tuple[Any, str]] = [
    ([], "body"),
    ("hi", "body"),
    (5, "body"),
    (None, "body"),
    ({}, "message"),
    ({"message": None}, "message"),
    ({"message": ""}, "message"),
    ({"message": 5}, "message"),
    ({"message": ["hi"]}, "message"),
    ({"message": {"text": "hi"}}, "message"),
    ({"message": "hi", "metadata": []}, "metadata"),
    ({"message": "hi", "metadata": "x"}, "metadata"),
    ({"message": "hi", "metadata": None}, "metadata"),
    ({"message": "hi", "on_disconnect": "maybe"}, "on_disconnect"),
    ({"message": "hi", "on_disconnect": True}, "on_disconnect"),
    ({"message": "hi", "if_busy": "shout"}, "if_busy"),
    ({"message": "hi", "if_busy": 1}, "if_busy"),
    ({"message": "hi", "tenant": "root"}, "tenant"),
    ({"message": "hi", "Message": "hi"}, "Message"),
    ({"message": "hi", "session_id": "s-1"}, "session_id"),
    ({"message": "hi", 5000 * "x": 1}, 100 * "x"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of one worker, whose turns may have 100 characters of message."""
    with gunicorn("tests.support.apps:scripted_app()", env={"AGENT_MAX_MESSAGE_CHARS": "100"}) as s:
        yield Client(s)


@pytest.fixture(autouse=True)
def _unharmed(client: Client) -> Iterator[None]:
    """Whatever a test sends, the same worker runs the next turn, and nothing went wrong in it."""
    with unharmed(client):
        yield


@pytest.mark.parametrize("name", NO_SESSION_IDS)
def test_a_bad_session_id_is_refused_on_every_route(client: Client, name: str) -> None:
    """What is not 1 to 128 of the allowed characters is 422 `invalid_request`, not looked up."""
    for method, path, body in SESSION_ROUTES:
        answer = client.call(method, path.format(NO_SESSION_IDS[name]), body)
        check_refusal(answer, 422, "invalid_request", ["evil", "Evil", 10 * "x"])
        assert answer.json["details"]["field"] == "session_id"


@pytest.mark.parametrize("session_id", ["a/b", "a%2Fb", "a%2F..%2Fb", "", "%2F"])
def test_a_session_id_with_a_slash_is_another_path(client: Client, session_id: str) -> None:
    """A slash, encoded or not, makes a path that does not exist, or a method it does not have."""
    for method, path, body in SESSION_ROUTES:
        answer = client.call(method, path.format(session_id), body)
        code = "not_found" if answer.status == 404 else "method_not_allowed"
        check_refusal(answer, {"not_found": 404, "method_not_allowed": 405}[code], code)


@pytest.mark.parametrize(
    "session_id", ["..", ".", "", "a/b", 129 * "x", "a\nb", "caf\u00e9", "a\0"]
)
def test_a_bad_session_id_in_the_body_is_refused(client: Client, session_id: str) -> None:
    """`POST /chat` checks the session id of its body like one in the path."""
    answer = client.call("POST", "/chat", {"message": "hi", "session_id": session_id})
    check_refusal(answer, 422, "invalid_request")
    assert answer.json["details"]["field"] == "session_id"


@pytest.mark.parametrize("session_id", [1, None, ["s"], {}])
def test_a_session_id_of_another_type_is_refused(client: Client, session_id: object) -> None:
    """A session id in the body is a string or missing."""
    answer = client.call("POST", "/chat", {"message": "hi", "session_id": session_id})
    check_refusal(answer, 422, "invalid_request")
    assert answer.json["details"]["field"] == "session_id"


@pytest.mark.parametrize("name", NOT_JSON)
def test_what_is_not_json_is_refused(client: Client, name: str) -> None:
    """A body that is not JSON in UTF-8 is 400 `invalid_json` wherever a body is read."""
    for path in ("/chat", "/chat/s-json", "/chat/s-json/cancel", "/chat/s-json/input"):
        answer = client.call("POST", path, body=NOT_JSON[name], headers=JSON)
        check_refusal(answer, 400, "invalid_json")


def test_no_body_is_refused(client: Client) -> None:
    """A missing body is 400 `invalid_json`, with and without a content type."""
    for headers in (JSON, {}):
        for path in ("/chat", "/chat/s-1", "/chat/s-1/input"):
            check_refusal(client.call("POST", path, headers=headers), 400, "invalid_json")


@pytest.mark.parametrize(("body", "field"), WRONG_TYPES)
def test_a_wrong_body_is_refused(client: Client, body: object, field: str) -> None:
    """JSON of the wrong shape is 422 `invalid_request`; details name field and reason."""
    raw = json.dumps(body).encode()
    answer = client.call("POST", "/chat/s-types", body=raw, headers=JSON)
    check_refusal(answer, 422, "invalid_request")
    assert answer.json["details"]["field"] == field
    assert answer.json["details"]["reason"]
    assert len(answer.body) < 1000


def test_a_refused_message_leaves_no_session(client: Client) -> None:
    """A refused request starts nothing: its session stays unknown."""
    session = new_session()
    client.call("POST", f"/chat/{session}", {"message": ""})
    client.call("POST", f"/chat/{session}", {"message": "hi", "what": 1})
    client.call("POST", f"/chat/{session}?batch_ms=x", {"message": "hi"})
    client.call("POST", f"/chat/{session}", {"message": "hi"}, headers={"Last-Event-ID": "x"})
    check_refusal(client.call("GET", f"/session/{session}"), 404, "not_found", [session])


def test_a_message_is_bounded_by_its_characters(client: Client) -> None:
    """The longest message passes whatever its bytes; one more is 422 and not sent back."""
    fits = client.call("POST", "/chat/s-long", {"message": 100 * "\U0001f600"}, headers=WANTS_JSON)
    assert fits.json["reply"] == 100 * "\U0001f600"
    refused = client.call("POST", "/chat/s-long", {"message": 101 * "y"})
    check_refusal(refused, 422, "invalid_request", [10 * "y"])
    assert refused.json["details"]["field"] == "message"


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff", "\\ud800a"])
def test_half_a_character_is_refused(client: Client, text: str) -> None:
    """An escaped surrogate without its other half has no form in UTF-8: 400 `invalid_json`."""
    body = b'{"message": "%b"}' % text.encode()
    check_refusal(client.call("POST", "/chat", body=body, headers=JSON), 400, "invalid_json")


@pytest.mark.parametrize("depth", [10, 100, 250, 500, 900, 950, 1000, 1100, 2000, 5000])
def test_nesting_of_any_depth_is_answered(client: Client, depth: int) -> None:
    """Deep metadata is either accepted or not JSON for us, never an internal error."""
    deep = b'{"message":"hi","metadata":{"a":%b}}' % (depth * b"[" + depth * b"]")
    answer = client.call("POST", "/chat/s-deep", body=deep, headers={**JSON, **WANTS_JSON})
    if answer.status != 200:
        check_refusal(answer, 400, "invalid_json")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + 5000 * "0", "1e-999", "-0"])
def test_extreme_numbers_do_no_harm(client: Client, number: str) -> None:
    """A number beyond what floats hold is either accepted or refused, never an internal error."""
    body = f'{{"message":"hi","metadata":{{"x":{number}}}}}'.encode()
    answer = client.call("POST", "/chat/s-numbers", body=body, headers={**JSON, **WANTS_JSON})
    assert answer.status in (200, 400, 422), answer.body


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
        "application",
        "\xff",
        ",",
    ],
)
def test_a_wrong_content_type_is_refused(client: Client, kind: str | None) -> None:
    """A body that is not announced as JSON is 415: a form of another site must not start a turn."""
    headers = {} if kind is None else {"Content-Type": kind}
    body = json.dumps(chat_body()).encode()
    for path in ("/chat", "/chat/s-type", "/chat/s-type/cancel", "/chat/s-type/input"):
        answer = client.call("POST", path, body=body, headers=headers)
        check_refusal(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.chat+json"]
)
def test_every_json_content_type_is_taken(client: Client, kind: str) -> None:
    """JSON's content type may have parameters, any case and a suffix."""
    answer = client.call(
        "POST", "/chat/s-kind", chat_body(), headers={"Content-Type": kind, **WANTS_JSON}
    )
    assert answer.status == 200, answer.body
