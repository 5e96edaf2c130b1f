"""Requests sent again with a cursor, or when what they ask for is not kept any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Answer, chat_body, new_session
from tests.support.frames import check_turn, types_of
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import gunicorn
from tests.support.sse import Frame

MAX_OUTPUT_BYTES = 2000
LONG = "x" * 1500


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker that keeps about two long turns of a session."""
    env = {"AGENT_MAX_OUTPUT_BYTES": str(MAX_OUTPUT_BYTES)}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        yield ReadingClient(server)


def send(client: ReadingClient, session: str, text: str, last: str | None = None) -> list[Frame]:
    """Run a turn that says this under a key of its own, or find it again; read it to its end."""
    with client.stream("POST", f"/chat/{session}", said(text), _headers(text, last)) as stream:
        return list(stream)


def send_json(client: ReadingClient, session: str, text: str, last: str | None = None) -> Answer:
    """The same in JSON mode."""
    headers = {**WANTS_JSON, **_headers(text, last)}
    return client.call("POST", f"/chat/{session}", said(text), headers=headers)


def said(text: str) -> dict[str, Any]:
    """The body of a turn that says this."""
    return chat_body({"text": text})


def _headers(text: str, last: str | None) -> Mapping[str, str]:
    return {"Idempotency-Key": text[:20]} | ({} if last is None else {"Last-Event-ID": last})


@pytest.fixture(scope="module")
def session(client: ReadingClient) -> str:
    """A session whose turns said one, two and three."""
    session = new_session()
    for text in ("one", "two", "three"):
        send(client, session, text)
    return session


@pytest.mark.parametrize(("text", "last"), [("one", "3-1"), ("two", "3-2"), ("three", "1-0")])
def test_another_turns_cursor_does_not_count(
    client: ReadingClient, session: str, text: str, last: str
) -> None:
    """A repeat whose Last-Event-ID is of another turn, older or newer, gets its own turn whole."""
    frames = send(client, session, text, last)
    check_turn(frames)
    assert types_of(frames) == ["token", "done"]
    assert frames[-1].data["reply"] == text
    assert send_json(client, session, text, last).json["reply"] == text


@pytest.mark.parametrize("last", ["2-0", "2-1", "2-2", "2-9"])
def test_a_json_answer_is_whole_whatever_was_read(
    client: ReadingClient, session: str, last: str
) -> None:
    """A repeat in JSON mode gets the turn's answer even with a cursor behind its end."""
    answer = send_json(client, session, "two", last)
    assert (answer.status, answer.json["reply"]) == (200, "two")


def test_a_repeat_of_what_is_not_kept_ends(client: ReadingClient) -> None:
    """A turn that has left the journal is a gap and a regular end, in JSON mode 404 `not_found`."""
    session = new_session()
    send(client, session, "first" + LONG)
    for number in range(5):
        send(client, session, f"later-{number}-{LONG}")
    frames = send(client, session, "first" + LONG)
    assert types_of(frames) == ["gap"]
    check_refusal(send_json(client, session, "first" + LONG), 404, "not_found")
    assert client.session(session)["turn_id"] == "6", "no turn was started again"
