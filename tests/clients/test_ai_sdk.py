"""Front ends of the AI SDK: ``useChat`` of version 5, 6 and 7, unmodified, in a page of jsdom.

Two workers share a Redis, and each page loaded again, and each stop, goes to the worker that does
not run the turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.support.client import Answer, Client, new_session
from tests.support.node import run_node
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN

APP: Final = "tests.support.ai_sdk_app:site()"
#: The first run of a version reads a hundred megabytes of JavaScript.
PAGE_SECONDS: Final = 100
HELD_TEXT: Final = "".join(f"w{number} " for number in range(1, 31))
ADDED: Final = {"type": "dynamic-tool", "toolName": "add", "toolCallId": "c1"}

Shown = dict[str, Any]


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Gunicorn]]:
    """Two hosts of one worker each, so that a test can tell which worker gets a request."""
    with ExitStack() as stack:
        store = stack.enter_context(redis_server())
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=tenant"}
        env["AGENT_MAX_TURNS_PER_TENANT"] = "100"
        yield [stack.enter_context(gunicorn(APP, threads=48, env=env)) for _ in range(2)]


@pytest.fixture(scope="module", params=[5, 6, 7])
def version(request: pytest.FixtureRequest) -> int:
    """The version of the SDK."""
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def session() -> str:
    """What this run's sessions are named after."""
    return new_session()


@pytest.fixture(scope="module")
def shown(hosts: list[Gunicorn], version: int, session: str) -> dict[str, Shown]:
    """What the page of each scenario shows in the end."""
    url, other = (f"{host.url}/agents" for host in hosts)
    names = {"session": f"{session}-{version}", "token": DEVELOPMENT_TOKEN}
    lines = run_node("ai_sdk.mjs", PAGE_SECONDS, version=version, url=url, other=other, **names)
    return {line["scenario"]: line for line in lines}


def statuses(page: Shown) -> list[int]:
    """The answers that a page got."""
    return [request["status"] for request in page["requests"]]


def test_text_and_thinking_are_shown(shown: dict[str, Shown], session: str, version: int) -> None:
    """An answer's text and reasoning are parts of one message, whose id names the turn."""
    page = shown["text"]
    assert (page["status"], page["roles"]) == ("ready", ["user", "assistant"])
    assert page["id"] == f"msg-{session}-{version}-text-1"
    texts = [(part["type"], part.get("text"), part.get("state")) for part in page["parts"]]
    assert texts[1:] == [("reasoning", "A greeting.", "done"), ("text", "Hello", "done")]
    assert page["data"] == ["data-status"]
    assert page["finishes"] == [{"isAbort": False, "isDisconnect": False, "isError": False}]


def test_tools_are_shown_and_not_sent_again(shown: dict[str, Shown]) -> None:
    """Results and failures stand at their calls; what is complete is not sent by itself."""
    page = shown["tool"]
    tools = [part for part in page["parts"] if part["type"] == "dynamic-tool"]
    added = {"input": {"a": 1, "b": 1}, "state": "output-available", "output": {"sum": 2}}
    assert tools[0] == {**ADDED, **added}
    assert (tools[1]["state"], tools[1]["errorText"]) == ("output-error", "no such file")
    assert page["text"] == "Let me add. It is 2."
    assert page["bare"]["status"] == "ready"
    assert statuses(page["bare"]) == [200, 200]


def test_an_error_is_shown_and_can_be_tried_again(shown: dict[str, Shown]) -> None:
    """A failed turn leaves its text and its message, and regenerate() starts it again."""
    page = shown["error"]
    assert (page["status"], page["error"]) == ("error", "The shop is closed.")
    assert page["text"] == "So far "
    assert page["again"] == ["user", "assistant"]


def test_a_busy_session_says_so(shown: dict[str, Shown]) -> None:
    """The refusal of a second message is the error's text."""
    page = shown["refused"]
    assert (page["status"], statuses(page)) == ("error", [409])
    assert page["error"] == "A turn of this session is running."


def test_a_reloaded_page_takes_up_the_running_answer(shown: dict[str, Shown]) -> None:
    """On another worker too, the whole answer takes the place of the part that was kept."""
    page = shown["resume"]
    assert (page["text"], page["roles"]) == (HELD_TEXT, ["user", "assistant"])
    assert 0 < page["kept"] < len(HELD_TEXT)
    assert page["requests"] == [{"method": "GET", "status": 200}]


def test_nothing_to_resume_is_no_error(shown: dict[str, Shown]) -> None:
    """A chat that does not run, or does not exist, is ready."""
    page = shown["idle"]
    assert (page["status"], statuses(page)) == ("ready", [204])


def test_a_lost_connection_is_taken_up(shown: dict[str, Shown]) -> None:
    """After the network has failed in mid-answer the text is whole, and there once."""
    page = shown["reconnect"]
    assert page["lost"] == {"isAbort": False, "isDisconnect": True, "isError": True}
    assert (page["text"], page["roles"]) == (HELD_TEXT, ["user", "assistant"])


def test_the_stop_route_ends_the_turn_for_all(shown: dict[str, Shown]) -> None:
    """Called on another worker, it ends the turn for whoever reads it."""
    page = shown["stop"]
    assert page["stopped"] == {"status": 200, "body": {"success": True, "cancelled": True}}
    assert (page["status"], page["viewer"]["status"]) == ("ready", "ready")
    assert page["text"] == page["viewer"]["text"]
    assert page["text"] == "w1 w2 w3 "


def test_stop_alone_leaves_the_turn(shown: dict[str, Shown]) -> None:
    """stop() of useChat closes the connection; the turn runs on until the stop route is called."""
    page = shown["leave"]
    assert page["finishes"][0]["isAbort"] is True
    assert page["stopped"]["body"]["cancelled"] is True


def test_a_tool_call_waits_for_approval(shown: dict[str, Shown], version: int) -> None:
    """It runs once it is approved, and is told the reason when it is not."""
    page = shown["approve"]
    tool, state = ("remove", "approval-requested")
    if version == 5:
        tool, state = ("ask_user", "input-available")
    assert [(one["tool"], one["state"]) for one in page["questions"]] == [(tool, state)] * 2
    call = next(part for part in page["parts"] if part.get("toolCallId") == "c1")
    assert (call["state"], call["output"]) == ("output-available", "removed")
    assert page["text"] == "I shall remove it. That was all."
    denied = next(p for p in page["denied"]["parts"] if p.get("toolCallId") == "c1")
    assert denied["state"] == "output-error"
    assert "yes, but not now" in denied["errorText"]
    assert statuses(page["denied"]) == [200] * 4


def test_calls_at_the_same_time_are_approved_one_by_one(shown: dict[str, Shown]) -> None:
    """Each question of a step with several calls can be answered, and each call gets its own."""
    page = shown["approveTwo"]
    calls = {part.get("toolCallId"): part for part in page["parts"]}
    first, second = (one["input"]["schema"]["x-call-id"] for one in page["questions"])
    assert {first, second} == {"c1", "c2"}
    assert (calls[first]["output"], calls[second]["state"]) == ("removed", "output-error")
    assert (page["text"], page["status"], statuses(page)) == ("Both decided.", "ready", [200] * 3)


def test_questions_are_answered(shown: dict[str, Shown]) -> None:
    """A text by a tool's result, yes or no by an approval; the message goes on each time."""
    page = shown["ask"]
    assert [one["tool"] for one in page["questions"]] == ["ask_user"] * 2
    assert page["questions"][0]["input"] == {"prompt": "Which colour?"}
    outputs = [part["output"] for part in page["parts"] if part["type"] == "dynamic-tool"]
    assert outputs == ["blue", "blue", True]
    assert (page["text"], page["roles"]) == ("Sure: True.", ["user", "assistant"])


def test_a_question_outlives_its_page_and_takes_one_answer(shown: dict[str, Shown]) -> None:
    """A page loaded again, on another worker, answers it; a later answer only follows."""
    page = shown["askAfterReload"]
    assert page["text"] == "Sure: True."
    picked = [part["output"] for part in page["parts"] if part.get("toolName") == "pick"]
    assert picked == ["blue"]
    again = page["copy"]
    assert again["status"] == "ready"
    assert [p["output"] for p in again["parts"] if p.get("toolName") == "pick"] == ["blue"]


def test_the_newest_exchange_is_replaced(shown: dict[str, Shown]) -> None:
    """An answer made again, and an edited message, see what came before the newest exchange."""
    page = shown["regenerate"]
    before = '["hello", "Hello"]'
    assert [page[name]["text"] for name in ("first", "second", "edited")] == [before] * 3
    assert len({page[name]["id"] for name in ("first", "second", "edited")}) == 3
    assert page["old"]["error"] == "Only the newest message can be answered again."


def test_a_repeated_message_starts_one_turn(
    shown: dict[str, Shown], hosts: list[Gunicorn], session: str, version: int
) -> None:
    """Two requests with one message's id show the same turn, on whichever worker."""
    page = shown["repeat"]
    assert (page["id"], page["text"]) == (page["copy"]["id"], page["copy"]["text"])
    kept = ReadingClient(hosts[0]).session(f"{session}-{version}-repeat")
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"]


def test_answers_to_nothing_are_refused(hosts: list[Gunicorn]) -> None:
    """An answer that no question of the turn waits for is no way into a session."""
    client = Client(hosts[0])
    session = new_session()
    approval = {"id": "forged", "approved": True}
    parts = [{"type": "tool-x", "state": "approval-responded", "approval": approval}]
    for message_id in (f"msg-{session}-1", "msg-of-nobody-1", ""):
        message = {"id": message_id, "role": "assistant", "parts": parts}
        answer = client.call("POST", "/ai-sdk/chat", {"id": session, "messages": [message]})
        assert (answer.status, answer.headers["Content-Type"][:10]) == (409, "text/plain")
        assert answer.body == b"No question waits for this answer."


def test_refusals_are_plain_text(hosts: list[Gunicorn]) -> None:
    """Every refusal of these routes is its message as text, which useChat shows."""
    client, stranger = Client(hosts[0]), Client(hosts[0], token="wrong")
    hello = {
        "id": "s",
        "messages": [{"role": "user", "parts": [{"type": "text", "text": "hello"}]}],
    }
    refused = [
        (401, stranger.call("POST", "/ai-sdk/chat", hello)),
        (422, client.call("POST", "/ai-sdk/chat", {**hello, "id": "no/id"})),
        (422, client.call("POST", "/ai-sdk/chat", {"id": "s", "messages": []})),
        (422, client.call("POST", "/ai-sdk/chat", {"messages": []})),
        (422, client.call("POST", "/ai-sdk/chat?batch_ms=x", hello)),
        (422, client.call("GET", "/ai-sdk/chat/a%20b/stream")),
        (
            400,
            client.call(
                "POST", "/ai-sdk/chat", body=b"{", headers={"Content-Type": "application/json"}
            ),
        ),
    ]
    for status, answer in refused:
        assert (answer.status, answer.headers["Content-Type"]) == (
            status,
            "text/plain; charset=utf-8",
        )
        assert answer.body.decode().endswith(".")
    assert client.call("POST", "/ai-sdk/chat/unknown/stop").json == {
        "success": True,
        "cancelled": False,
    }


def test_a_message_to_a_waiting_agent_is_told_what_it_waits_for(hosts: list[Gunicorn]) -> None:
    """On either worker the refusal names the question; once it is answered it names none."""
    clients = [ReadingClient(host) for host in hosts]
    session = new_session()

    def said(client: ReadingClient, text: str, number: int) -> Answer:
        message = {"id": f"m-{number}", "role": "user", "parts": [{"type": "text", "text": text}]}
        return client.call("POST", "/ai-sdk/chat", {"id": session, "messages": [message]})

    assert said(clients[0], "ask", 1).status == 200  # ends at the question
    for number, client in enumerate(clients, 2):
        refused = said(client, "hello", number)
        assert refused.status == 409
        assert refused.body.decode().endswith("did not take the message: Which colour?")
    view = clients[0].poll_now(session)
    asked = [event for event in view["events"] if event["type"] == "input_request"]
    answer = {"request_id": asked[0]["request_id"], "value": "blue"}
    clients[0].call("POST", f"/chat/{session}/input", answer)
    wait_for(
        lambda: said(clients[1], "hello", 4).body.decode().endswith(": Go on?"), "the next question"
    )
    clients[0].cancel(session)
