"""AG-UI's own client, as it is, with the host as its agent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.node import run_node
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn, redis_server

CLIENT_1_0 = "@ag-ui/client"
CLIENT_0_0 = "ag-ui-client-0"
ADD = ["add", '{"a":1,"b":1}']
USER_SAYS_HELLO = {"role": "user", "content": "hello"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store, so that runs of a thread land on both."""
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_ORPHAN_SECONDS": "1"}
        app = "tests.support.ai_sdk_app:site()"
        with gunicorn(app, workers=2, threads=16, env=env) as server:
            yield server


class Shown:
    """What the scenarios' pages show in the end, and the host's own word on it."""

    def __init__(self, server: Gunicorn, library: str, only: list[str] | None = None) -> None:
        self.session = f"s-{secrets.token_hex(4)}"
        self.client = ReadingClient(server)
        url = f"{server.url}/agents/ag-ui"
        named: dict[str, Any] = {} if only is None else {"only": only}
        rows = run_node(
            "ag_ui.mjs", library=library, url=url, token="dev", session=self.session, **named
        )
        self.by_name = {row["scenario"]: row for row in rows}

    def last_event(self, name: str) -> Any:
        """The turn's last event, once it has ended."""
        self.client.wait_idle(f"{self.session}-{name}")
        return self.client.poll(f"{self.session}-{name}", "0-0", 0)["events"][-1]


@pytest.fixture(scope="module")
def shown(server: Gunicorn) -> Shown:
    """The scenarios in version 1.0."""
    return Shown(server, CLIENT_1_0)


@pytest.fixture(scope="module")
def shown_before(server: Gunicorn) -> Shown:
    """Those that a client before 1.0 knows."""
    only = ["text", "tool", "error", "abort", "repeat", "cancelled", "askInText", "delegate0"]
    return Shown(server, CLIENT_0_0, only)


def test_client_1_0_streams(shown: Shown) -> None:
    """Text, thinking and status come as they are, and the thread goes on in the session."""
    text = shown.by_name["text"]
    assert text["faults"] == []
    assert [message.get("content") for message in text["shown"]] == [
        *("hello", "A greeting.", "Hello", "history", '["hello", "Hello"]')
    ]
    assert text["types"].count("TEXT_MESSAGE_CONTENT") == 3
    assert text["types"][:2] == ["RUN_STARTED", "CUSTOM"]


def check_tools(tool: dict[str, Any]) -> None:
    """Fail unless calls stand in the message before them, and results name their calls."""
    assert tool["faults"] == []
    assert tool["shown"][1:] == [
        {
            "role": "assistant",
            "content": "Let me add. ",
            "calls": [ADD, ["read", '{"name":"notes"}']],
        },
        {"role": "tool", "content": '{"error":"no such file"}', "of": "read"},
        {"role": "tool", "content": '{"sum":2}', "of": "add"},
        {"role": "assistant", "content": "It is 2."},
    ]
    assert tool["bare"][1:] == [
        {"role": "assistant", "calls": [["clock", "{}"]]},
        {"role": "tool", "content": "null", "of": "clock"},
    ]


def test_client_1_0_shows_tools(shown: Shown) -> None:
    """Calls stand in the message before them, each with its result."""
    check_tools(shown.by_name["tool"])


def check_error(error: dict[str, Any]) -> None:
    """Fail unless the run failed twice, as one exchange of the session."""
    assert error["faults"] == 2 * [["agent_error", "The shop is closed."]]
    assert error["shown"][-1]["content"].startswith('["fail", "So far')
    assert error["shown"][-1]["content"].count("fail") == 1


def test_client_1_0_hears_of_errors(shown: Shown) -> None:
    """A failed turn is a run error; the run repeated takes its place in the session."""
    check_error(shown.by_name["error"])


def check_stop(shown: Shown) -> None:
    """Fail unless the aborted run's turn was cancelled, after its time of grace."""
    abort = shown.by_name["abort"]
    assert abort["text"].startswith("w1 w2 ")
    assert [code for code, _ in abort["faults"]] == ["abort"]
    ((status, message),) = abort["busy"]
    assert status == 409
    assert '"code":"session_busy"' in message
    end = shown.last_event("abort")
    assert (end["type"], end["reason"]) == ("cancelled", "disconnected")


def test_client_1_0_stops(shown: Shown) -> None:
    """abortRun() cancels the turn; until then the thread is busy, which is said as JSON."""
    check_stop(shown)


def test_client_1_0_reports_a_cancelled_run(shown: Shown) -> None:
    """A turn cancelled elsewhere is a run that was cancelled, and no failure."""
    cancelled = shown.by_name["cancelled"]
    assert (cancelled["outcomes"], cancelled["faults"]) == (["cancelled"], [])


def check_repeat(repeat: dict[str, Any]) -> None:
    """Fail unless both runs showed the same turn."""
    assert repeat["faults"] == []
    assert repeat["copy"] == repeat["shown"][: len(repeat["copy"])]
    assert repeat["shown"][-1]["content"] == '["hello", "Hello"]'


def test_a_run_sent_twice_is_one_turn(shown: Shown) -> None:
    """Two requests of the same run id read the same turn."""
    check_repeat(shown.by_name["repeat"])


def test_client_1_0_answers_questions(shown: Shown) -> None:
    """Each question ends its run; the run that resumes with the answer streams the rest."""
    ask = shown.by_name["ask"]
    assert [one["message"] for one in ask["asked"]] == ["Which colour?", "Go on?"]
    assert ask["outcomes"] == ["interrupt", "interrupt", None]
    assert ask["faults"] == []
    assert ask["shown"][1:] == [
        {"role": "assistant", "calls": [["pick", "{}"]]},
        {"role": "tool", "content": "blue", "of": "pick"},
        {"role": "assistant", "content": "Sure: True."},
    ]


def test_client_1_0_approves(shown: Shown) -> None:
    """An approval names its call; yes runs it, no and giving up do not."""
    approve = shown.by_name["approve"]
    assert approve["asked"]["isForCall"] is True
    assert approve["asked"]["reason"] == "approval"
    assert approve["faults"] == []
    assert approve["shown"][2] == {"role": "tool", "content": "removed", "of": "remove"}
    results = [message for message in approve["denied"] if message["role"] == "tool"]
    assert [result["content"] for result in results] == [
        '{"error":"not allowed: No: yes, but not now"}',
        '{"error":"not allowed: None"}',
    ]


def test_a_reloaded_page_learns_the_question(shown: Shown) -> None:
    """Its next run is told the interrupt; a copy that answers too gets what follows the first."""
    reload = shown.by_name["askAfterReload"]
    assert reload["faults"] == []
    assert reload["shown"] == [
        USER_SAYS_HELLO,
        {"role": "tool", "content": "blue", "of": None},
        {"role": "assistant", "content": "Sure: True."},
    ]
    assert reload["copy"][-1] == {"role": "tool", "content": "blue", "of": "pick"}


def test_client_1_0_shows_sub_agents(shown: Shown) -> None:
    """What each said is under its name, and it ends with its call; the run is the turn's own."""
    row = shown.by_name["delegate"]
    assert row["faults"] == []
    assert row["outcomes"] == ["interrupt", None, None]
    assert row["told"] == [
        ["SUBAGENT_STARTED", "finder", None],
        ["SUBAGENT_FINISHED", "finder", "suspended"],
        ["SUBAGENT_STARTED", "finder", None],
        ["SUBAGENT_STARTED", "reader", None],
        ["SUBAGENT_FINISHED", "reader", None],
        ["SUBAGENT_FINISHED", "finder", None],
        ["SUBAGENT_STARTED", "loser", None],
        ["SUBAGENT_ERROR", "loser", None],
    ]
    assert row["said"] == [
        [None, "I ask around. "],
        ["finder", "I found "],
        ["finder", "blue things. "],
        ["reader", "Seven."],
        ["loser", "I try. "],
        [None, "It is seven."],
    ]
    assert row["places"] == [
        ["finder", "finder", None],
        ["finder", "finder", None],
        ["reader", "count", "finder"],
        ["loser", "loser", None],
    ]
    assert "I ask around" in row["history"]


def test_client_0_0_knows_no_sub_agents(shown_before: Shown) -> None:
    """An older client gets the turn's own text and calls, and no event that it would refuse."""
    row = shown_before.by_name["delegate0"]
    assert row["faults"] == []
    said = [
        one["content"] for one in row["shown"] if one["role"] == "assistant" and "content" in one
    ]
    assert said == ["I ask around. ", "Which colour?", "It is seven."]


def test_client_0_0_streams(shown_before: Shown) -> None:
    """A client before 1.0 shows text, tools, errors and repeated runs alike."""
    text = shown_before.by_name["text"]
    assert text["faults"] == []
    assert text["shown"][-1]["content"] == '["hello", "Hello"]'
    check_tools(shown_before.by_name["tool"])
    check_error(shown_before.by_name["error"])
    check_repeat(shown_before.by_name["repeat"])


def test_client_0_0_stops(shown_before: Shown) -> None:
    """abortRun() cancels the turn; one cancelled elsewhere is a run error."""
    check_stop(shown_before)
    assert shown_before.by_name["cancelled"]["faults"] == [["cancelled", "The turn was cancelled."]]


def test_client_0_0_answers_in_text(shown_before: Shown) -> None:
    """A question is a message of the agent's, and the user's next one answers it."""
    ask = shown_before.by_name["askInText"]
    assert ask["faults"] == []
    contents = [message.get("content") for message in ask["shown"][2:]]
    assert contents == ["Which colour?", "blue", "blue", "Go on?", "yes", "Sure: yes."]


def test_python_s_names_are_taken_too(server: Gunicorn) -> None:
    """The body of Microsoft's AGUIChatClient 1.7, an answer to a question in it too."""
    client, thread = ReadingClient(server), f"s-{secrets.token_hex(4)}"
    body = {"thread_id": thread, "run_id": "r-1", "messages": [{**USER_SAYS_HELLO, "id": "m-1"}]}
    with client.stream("POST", "/ag-ui", json=body) as stream:
        assert stream.status == 200
        events = [frame.data for frame in stream]
    assert (events[0]["threadId"], events[0]["runId"]) == (thread, "r-1")
    assert events[-1]["type"] == "RUN_FINISHED"
    resume = [{"interrupt_id": "input-1-000000000000-x", "payload": "blue"}]
    answer = {**body, "run_id": "r-2", "resume": resume}
    assert client.call("POST", "/ag-ui", answer).json["code"] == "no_pending_input"
    wrong = {**body, "messages": 5}
    assert client.call("POST", "/ag-ui", wrong).status == 422
