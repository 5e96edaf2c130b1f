"""The model behind the OpenAI API, on a real gunicorn, against a scripted provider."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests
from openai import AsyncOpenAI, DefaultAioHttpClient

from tests.support.openai_apps import MAX_STEPS, SYSTEM
from tests.support.servers import Gunicorn, gunicorn
from tests.support.sse import Stream, open_stream
from tests.support.turns import TurnBench
from tests.support.upstream import Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Cut,
    Data,
    EndOfFile,
    Raw,
    Reasoning,
    Refuse,
    Stall,
    Text,
    ToolCalls,
    Usage,
    scripted_message,
)
from wsgi_app import OpenAIAgent
from wsgi_app.events import Token

HEADERS = {"Authorization": "Bearer dev"}
API_KEY = "sk-upstream-test-key"

STALLS: dict[str, list[AnyStep]] = {
    "before the headers": [Stall()],
    "after some tokens": [Text(("Hel", "lo")), Stall()],
    "while tokens come": [Text(("x ",) * 500, pace_seconds=0.02)],
    "within a tool call": [ToolCalls((Call("c1", "add", "{}"),)), Stall()],
}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The scripted provider."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Gunicorn]:
    """A gunicorn whose agent talks to the provider."""
    app = "tests.support.openai_apps:tools_app()"
    with gunicorn(app, env=upstream.environment) as server:
        yield server
        assert API_KEY not in server.log()
        assert Refuse(500).secret not in server.log()


class Chat:
    """A session of its own, whose messages script the provider."""

    def __init__(self, server: Gunicorn) -> None:
        self.session_id = f"session-{next(_numbers)}"
        self.url = f"{server.url}/agents/chat/{self.session_id}"

    def start(self, *scripts: Sequence[AnyStep]) -> Stream:
        """Send a message; its requests to the provider are answered by ``scripts``."""
        message = scripted_message(*scripts, tag=self.session_id)
        return open_stream("POST", self.url, json={"message": message}, headers=HEADERS)

    def events(self, *scripts: Sequence[AnyStep]) -> list[dict[str, Any]]:
        """All events of a turn; tokens and thinking joined, so that their cuts do not matter."""
        with self.start(*scripts) as stream:
            events = [frame.data for frame in stream]
        joined: list[dict[str, Any]] = []
        for event in events:
            if joined and event["type"] == joined[-1]["type"] and event["type"] in _TEXTS:
                joined[-1]["content"] += event["content"]
            else:
                joined.append(event)
        return joined

    def cancel(self) -> None:
        """Cancel what runs."""
        answer = requests.post(f"{self.url}/cancel", headers=HEADERS, timeout=10)
        assert answer.json()["cancelled"] is True


_TEXTS = ("token", "thinking")


@pytest.fixture
def chat(server: Gunicorn) -> Chat:
    """A session of this test alone."""
    return Chat(server)


def test_text_reasoning_and_usage_become_events(chat: Chat, upstream: Upstream) -> None:
    """A plain answer is thinking, tokens and done; the model gets system prompt and message."""
    events = chat.events([Reasoning(("Let ", "me ", "see.")), Text(("Hel", "lo")), Usage(7, 2)])
    assert events[:2] == [
        {"type": "thinking", "content": "Let me see."},
        {"type": "token", "content": "Hello"},
    ]
    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    assert len(events) == 3
    assert (events[2]["type"], events[2]["reply"], events[2]["usage"]) == ("done", "Hello", usage)
    request = upstream.requests[-1]
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.body["model"] == "test-model"
    assert request.body["stream"] is True
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.body["messages"][0] == {"role": "system", "content": SYSTEM}
    assert [tool["function"]["name"] for tool in request.body["tools"]] == [
        "add",
        "add_later",
        "where",
        "fail",
    ]


def test_the_history_goes_before_the_message(chat: Chat, upstream: Upstream) -> None:
    """The second turn's request holds the first turn's message and reply."""
    chat.events([Text(("First.",))])
    chat.events([Text(("Second.",))])
    first, answer, second = upstream.requests[-1].body["messages"][1:]
    assert (first["role"], second["role"]) == ("user", "user")
    assert "First." in first["content"]
    assert answer == {"role": "assistant", "content": "First."}
    assert "Second." in second["content"]


def test_two_parallel_tool_calls_in_fragments(chat: Chat, upstream: Upstream) -> None:
    """Both calls are told, then each result as it comes, and the model gets both in order."""
    calls = (Call("c1", "add", '{"a": 12, "b": 30}'), Call("c2", "add_later", '{"a": 1, "b": 2}'))
    events = chat.events(
        [Text(("I add. ",)), ToolCalls(calls, fragment_chars=3), Usage(10, 5)],
        [Text(("42 and 3",)), Usage(20, 6)],
    )
    call, result = {"type": "tool_call", "status": "running"}, {"type": "tool_result"}
    assert events[:3] == [
        {"type": "token", "content": "I add. "},
        {**call, "tool": "add", "call_id": "c1", "input": {"a": 12, "b": 30}},
        {**call, "tool": "add_later", "call_id": "c2", "input": {"a": 1, "b": 2}},
    ]
    assert sorted(events[3:5], key=lambda event: str(event["call_id"])) == [
        {**result, "tool": "add", "call_id": "c1", "output": 42, "status": "complete"},
        {**result, "tool": "add_later", "call_id": "c2", "output": 3, "status": "complete"},
    ]
    assert events[5] == {"type": "token", "content": "42 and 3"}
    assert events[-1]["reply"] == "I add. 42 and 3"
    usage = {"input_tokens": 30, "output_tokens": 11, "total_tokens": 41}
    assert events[-1]["usage"] == usage
    asked, first, second = upstream.requests[-1].body["messages"][-3:]
    assert asked["content"] == "I add. "
    assert [(c["id"], c["function"]["arguments"]) for c in asked["tool_calls"]] == [
        ("c1", '{"a": 12, "b": 30}'),
        ("c2", '{"a": 1, "b": 2}'),
    ]
    assert first == {"role": "tool", "tool_call_id": "c1", "content": "42"}
    assert second == {"role": "tool", "tool_call_id": "c2", "content": "3"}


def test_a_sync_tool_runs_in_the_turns_thread_and_the_sites_app_context(chat: Chat) -> None:
    """A tool finds the site's app as its pages do, and the turn in its parameter."""
    events = chat.events([ToolCalls((Call("c1", "where", ""),))], [Text(("There.",))])
    place = {"app": "site", "thread": "wsgi_app-turn", "session": chat.session_id}
    assert events[1]["output"] == place


def test_bad_calls_go_back_to_the_model(chat: Chat, upstream: Upstream) -> None:
    """A tool's exception, wrong arguments and an unknown tool are results that it can mend."""
    calls = (
        Call("c1", "fail", "{}"),
        Call("c2", "add", '{"a": "many", "b": 1}'),
        Call("c3", "divide", "{}"),
        Call("c4", "add", '{"a": 1'),
    )
    events = chat.events([ToolCalls(calls)], [Text(("Sorry.",))])
    results = [event for event in events if event["type"] == "tool_result"]
    results.sort(key=lambda result: result["call_id"])  # they come as the tools end
    assert [result["status"] for result in results] == ["error"] * 4
    assert results[0]["output"] == {"error": "RuntimeError: the table is missing"}
    assert "a: Input should be a valid integer" in results[1]["output"]["error"]
    assert "divide" in results[2]["output"]["error"]
    assert "Invalid JSON" in results[3]["output"]["error"]
    assert events[-1]["reply"] == "Sorry."
    asked, *told = upstream.requests[-1].body["messages"][-5:]
    # A provider may refuse a history whose arguments are no JSON object.
    assert asked["tool_calls"][3]["function"]["arguments"] == "{}"
    assert "the table is missing" in told[0]["content"]


def test_more_steps_than_allowed_end_the_turn(chat: Chat, upstream: Upstream) -> None:
    """A model that never stops calling tools is asked ``max_steps`` times."""
    before = len(upstream.requests)
    events = chat.events([ToolCalls((Call("c1", "add", '{"a": 1, "b": 2}'),))])
    assert len(upstream.requests) - before == MAX_STEPS
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "step_limit")
    assert [event["type"] for event in events].count("tool_result") == MAX_STEPS - 1


@pytest.mark.parametrize("status", [429, 500])
def test_a_refused_request_is_retried_when_the_provider_says(
    chat: Chat, upstream: Upstream, status: int
) -> None:
    """Before the first byte, a 429 or 500 is tried again after Retry-After."""
    before = len(upstream.requests)
    events = chat.events([Refuse(status, 0.4)], [Text(("At last.",))])
    assert [event["type"] for event in events] == ["token", "done"]
    first, second = upstream.requests[before:]
    assert 0.35 < second.received_at - first.received_at < 5


def check_error(event: dict[str, Any], *, retryable: bool = True, **details: Any) -> None:
    """Check an error event: its fields, and that the provider's text is not in it."""
    expected = {"code": "upstream_error", "retryable": retryable}
    assert {key: event[key] for key in expected} == expected
    assert event.get("details", {}) == details
    assert Refuse(500).secret not in str(event)
    assert API_KEY not in str(event)


@pytest.mark.parametrize(
    ("status", "retryable", "attempts"), [(500, True, 3), (429, True, 3), (401, False, 1)]
)
def test_a_provider_that_refuses_is_an_upstream_error_with_its_status(
    chat: Chat, upstream: Upstream, status: int, attempts: int, *, retryable: bool
) -> None:
    """The turn ends with the status, and without the provider's text or our key."""
    before = len(upstream.requests)
    (event,) = chat.events([Refuse(status, 0.05)])
    check_error(event, retryable=retryable, status=status)
    assert len(upstream.requests) - before == attempts


def test_an_error_in_mid_stream_keeps_the_text_before_it(chat: Chat, upstream: Upstream) -> None:
    """What has been sent stays, the error follows, and nothing is tried again."""
    before = len(upstream.requests)
    error = Data({"error": {"message": Refuse(500).secret, "code": 503}})
    token, ended = chat.events([Text(("Hel", "lo")), error])
    assert token == {"type": "token", "content": "Hello"}
    check_error(ended, status=503)
    assert len(upstream.requests) - before == 1


@pytest.mark.parametrize(
    "broken",
    [
        [Cut()],
        [Cut(reset=True)],
        [EndOfFile()],
        [Raw("data: {nonsense}\n\n")],
        [Raw('data: {"choices": 5}\n\n')],
        [Raw("data: " + "x" * 20_000 + "\n\n", piece_bytes=1000)],
    ],
)
def test_a_connection_that_breaks_in_mid_answer_is_an_upstream_error(
    chat: Chat, upstream: Upstream, broken: list[AnyStep]
) -> None:
    """A cut, an early end and malformed data are never taken for the answer's end."""
    before = len(upstream.requests)
    token, ended = chat.events([Text(("Hel", "lo")), *broken])
    assert token == {"type": "token", "content": "Hello"}
    check_error(ended)
    assert len(upstream.requests) - before == 1


def test_a_connection_cut_before_the_answer_is_tried_again(chat: Chat) -> None:
    """As long as no byte has come, another connection may do."""
    events = chat.events([Cut()], [Text(("Hello",))])
    assert [event["type"] for event in events] == ["token", "done"]


def test_a_stall_ends_with_the_turns_time(upstream: Upstream) -> None:
    """A provider that falls silent costs the turn's time limit, and its connection is closed."""
    app = "tests.support.openai_apps:tools_app()"
    env = {**upstream.environment, "AGENT_TURN_TIMEOUT_SECONDS": "2"}
    with gunicorn(app, env=env) as server:
        for moment in ("before the headers", "after some tokens"):
            events = Chat(server).events(STALLS[moment])
            ended_at = time.monotonic()
            assert events[-1]["code"] == "turn_timeout"
            assert upstream.requests[-1].connection.wait_closed() - ended_at < 1


@pytest.mark.parametrize("moment", STALLS)
def test_a_cancel_closes_the_providers_connection_within_100_ms(
    server: Gunicorn, upstream: Upstream, moment: str
) -> None:
    """The provider sees its connection closed at once, even when it stalls."""
    waits: list[float] = []
    for _ in range(5):  # the best counts: the machine may be busy with something else
        chat = Chat(server)
        before = len(upstream.requests)
        with chat.start(STALLS[moment]) as stream:
            request = upstream.wait_request(before + 1)
            if "tokens" in moment:
                stream.until("token")
            cancelled_at = time.monotonic()
            chat.cancel()
            waits.append(request.connection.wait_closed() - cancelled_at)
            assert stream.until("cancelled")[-1].data["reason"] == "user"
    assert min(waits) < 0.1, waits


def test_turns_one_after_the_other_share_a_connection(server: Gunicorn, upstream: Upstream) -> None:
    """An answer read to its end leaves its connection for the next one."""
    Chat(server).events([Text(("One.",))])
    connections = len(upstream.connections)
    for _ in range(5):
        Chat(server).events([Text(("More.",))])
    assert len(upstream.connections) == connections


def test_the_standalone_app_hosts_the_model_that_its_settings_name(upstream: Upstream) -> None:
    """OPENAI_BASE_URL, without a key, and AGENT_MODEL are enough."""
    env = {"OPENAI_BASE_URL": upstream.url, "AGENT_MODEL": "some-model"}
    with gunicorn("wsgi_app:app", env=env) as server:
        url = f"{server.url}/chat/s-1"
        with open_stream("POST", url, json={"message": "hi"}, headers=HEADERS) as stream:
            assert stream.until("done")[-1].data["reply"] == "Hello from upstream"
    body = upstream.requests[-1].body
    assert body["model"] == "some-model"
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert "tools" not in body


def test_a_client_of_ones_own_is_used_as_it_is(upstream: Upstream) -> None:
    """The client's own settings decide, here its key and that it does not retry."""
    client = AsyncOpenAI(
        api_key="own-key", base_url=upstream.url, max_retries=0, http_client=DefaultAioHttpClient()
    )
    bench = TurnBench()
    agent = OpenAIAgent(model="own-model", client=client)
    before = len(upstream.requests)
    bench.run(agent, scripted_message([Refuse(500)], tag="own client"))
    assert len(upstream.requests) - before == 1
    assert upstream.requests[-1].headers["authorization"] == "Bearer own-key"
    assert bench.run(agent, "hi")[:1] == [Token("Hello")]
    bench.run(lambda turn: turn.run_io(client.close()))
