"""Sessions: shown, listed, cancelled and forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.support.client import new_session
from tests.support.frames import types_of
from tests.support.reading import ReadingClient, wait_observed
from tests.support.refusals import check_refusal
from tests.support.shared_servers import TENANTS, SharedServers


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker with two tenants."""
    return ReadingClient(servers.get(env=TENANTS))


def moment(text: str) -> datetime:
    """A time as RFC 3339 writes it, in UTC."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def test_a_session_is_shown_while_it_runs_and_after(client: ReadingClient) -> None:
    """The user's message is there from the start, the answer from the end, times are RFC 3339."""
    session = new_session()
    now = datetime.now(timezone.utc)
    with client.chat(session, {"text": "Hello"}, {"hold": 1}) as stream:
        stream.until("token")
        running = client.session(session)
        client.cancel(session)
    after = client.session(session)
    assert (
        set(running)
        == set(after)
        == {
            "session_id",
            "state",
            "turn_id",
            "owner",
            "created_at",
            "updated_at",
            "messages",
        }
    )
    assert (running["state"], after["state"]) == ("running", "idle")
    assert running["messages"] == [{"role": "user", "content": "hi"}]
    assert after["messages"] == [*running["messages"], {"role": "assistant", "content": "Hello"}]
    assert running["session_id"] == session
    assert running["turn_id"] == after["turn_id"] == "1"
    assert running["owner"] == after["owner"] != ""
    assert running["created_at"] == after["created_at"]
    assert moment(after["updated_at"]) >= moment(after["created_at"])
    assert abs(moment(after["created_at"]) - now) < timedelta(seconds=10)


def test_an_unknown_session_has_its_answer_on_each_route(client: ReadingClient) -> None:
    """Unknown is 204, 404, `cancelled: false` or `deleted: false`, as the route's use wants it."""
    session = new_session()
    assert client.call("GET", f"/chat/{session}/events").status == 204
    assert client.call("GET", f"/chat/{session}/events?last_event_id=3-1").status == 204
    for path in (f"/chat/{session}/poll", f"/session/{session}"):
        check_refusal(client.call("GET", path), 404, "not_found", [session])
    assert client.cancel(session) == {"ok": True, "cancelled": False}
    assert client.call("DELETE", f"/session/{session}").json == {"ok": True, "deleted": False}
    answer = client.call("POST", f"/chat/{session}/input", {"request_id": "r", "value": 1})
    check_refusal(answer, 409, "no_pending_input", [session])
    assert client.call("GET", f"/session/{session}").status == 404


def test_a_cancel_of_nothing_is_no_error(client: ReadingClient) -> None:
    """A cancel of an idle session, or of another turn than the one that runs, cancels nothing."""
    session = new_session()
    client.chat_json(session)
    assert client.cancel(session) == {"ok": True, "cancelled": False}
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        for turn in ("1", "3", "999999999"):
            answer = client.call("POST", f"/chat/{session}/cancel", {"turn_id": turn})
            assert answer.json == {"ok": True, "cancelled": False}
        assert client.session(session)["state"] == "running"
        answer = client.call("POST", f"/chat/{session}/cancel", {"turn_id": "2"})
        assert answer.json == {"ok": True, "cancelled": True, "turn_id": "2"}
        assert types_of(list(stream)) == ["cancelled"]
    assert client.cancel(session)["cancelled"] is False


@pytest.mark.parametrize("body", [None, {}])
def test_a_cancels_body_may_be_missing(client: ReadingClient, body: object) -> None:
    """A cancel needs neither a body nor a content type."""
    session = new_session()
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        answer = client.call("POST", f"/chat/{session}/cancel", body)
        assert answer.json == {"ok": True, "cancelled": True, "turn_id": "1"}


def test_a_session_is_idle_once_its_end_was_seen(client: ReadingClient) -> None:
    """A client that has read the terminal event can start the next turn at once."""
    session = new_session()
    for number in range(1, 51):
        with client.chat(session, {"text": "x"}) as stream:
            assert stream.until("done")[-1].id == f"{number}-2"


def test_delete_ends_and_forgets(client: ReadingClient) -> None:
    """DELETE ends what runs with `deleted`, forgets everything, and may be repeated."""
    session = new_session()
    client.chat_json(session, {"text": "old"})
    with client.chat(session, {"text": "x"}, {"hold": 1}) as stream:
        stream.until("token")
        deleted = client.call("DELETE", f"/session/{session}")
        assert (deleted.status, deleted.json) == (200, {"ok": True, "deleted": True})
        assert list(stream)[-1].data == {"type": "cancelled", "reason": "deleted"}
        assert stream.ended == "clean"
    wait_observed(client.server, "closed", session)
    assert client.call("DELETE", f"/session/{session}").json == {"ok": True, "deleted": False}
    assert client.call("GET", f"/session/{session}").status == 404
    assert client.call("GET", f"/chat/{session}/events?last_event_id=0-0").status == 204
    fresh = client.chat_json(session, {"tell": "history"}).json
    assert (fresh["turn_id"], fresh["reply"]) == ("1", "[]")


def test_delete_ends_queued_turns(client: ReadingClient) -> None:
    """The readers of queued turns get `deleted` too."""
    session = new_session()
    with (
        client.chat(session, {"text": "x"}, {"hold": 1}) as first,
        client.chat(session, if_busy="enqueue") as second,
    ):
        first.until("token")
        client.call("DELETE", f"/session/{session}")
        for stream in (first, second):
            assert list(stream)[-1].data == {"type": "cancelled", "reason": "deleted"}


def test_a_deaf_turn_does_not_bring_a_deleted_session_back(client: ReadingClient) -> None:
    """What an agent still does after DELETE makes no session again."""
    session = new_session()
    with client.chat(session, {"text": "x"}, {"ignore_cancel": 50}) as stream:
        stream.until("token")
        client.call("DELETE", f"/session/{session}")
    wait_observed(client.server, "went_on", session)
    assert client.call("GET", f"/session/{session}").status == 404


def test_sessions_are_listed_newest_first_in_pages(client: ReadingClient) -> None:
    """The pages hold every session once, in the order of their making, without their messages."""
    lister = ReadingClient(client.server, "list")
    assert lister.call("GET", "/sessions").json == {"sessions": []}
    made = [new_session() for _ in range(7)]
    for session in made:
        lister.chat_json(session)
    lister.chat_json(made[0])
    pages, path = [], "/sessions?limit=3"
    for _ in range(3):
        page = lister.call("GET", path).json
        pages.append([one["session_id"] for one in page["sessions"]])
        path = f"/sessions?limit=3&cursor={page.get('next_cursor')}"
    assert "next_cursor" not in page
    newest_first = made[::-1]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    whole = lister.call("GET", "/sessions").json
    assert [one["session_id"] for one in whole["sessions"]] == newest_first
    shown = whole["sessions"][0]
    assert {"session_id", "state", "turn_id", "created_at", "updated_at"} <= set(shown)
    assert "messages" not in shown
    exact = lister.call("GET", "/sessions?limit=7").json
    assert "next_cursor" not in exact


def test_a_list_goes_on_where_it_was(client: ReadingClient) -> None:
    """Sessions that come and go between two pages neither repeat nor hide another one."""
    made = [new_session() for _ in range(4)]
    for session in made:
        client.chat_json(session)
    first = client.call("GET", "/sessions?limit=2").json
    client.chat_json(new_session())
    client.call("DELETE", f"/session/{made[2]}")
    second = client.call("GET", f"/sessions?limit=2&cursor={first['next_cursor']}").json
    assert [one["session_id"] for one in first["sessions"]] == [made[3], made[2]]
    assert [one["session_id"] for one in second["sessions"]] == [made[1], made[0]]
