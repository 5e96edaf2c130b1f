"""Every turn has exactly one end, whatever its agent does, and the worker goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.agents import RUBBISH, SECRET
from tests.support.client import new_session
from tests.support.frames import run_turn, types_of
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import gunicorn
from tests.support.shared_servers import SharedServers
from tests.support.sse import text_of

KINDS = ["generator", "async", "list", "emitter"]
EXCEPTIONS = [
    "Exception",
    "ValueError",
    "RuntimeError",
    "StopIteration",
    "StopAsyncIteration",
    "MemoryError",
    "RecursionError",
    "ConnectionResetError",
    "TimeoutError",
    "BaseException",
    "KeyboardInterrupt",
    "SystemExit",
    "GeneratorExit",
    "TurnCancelled",
    "CancelledError",
    "odd details",
    "odd message",
    "odd code",
]


@pytest.fixture(scope="module")
def client(servers: SharedServers) -> ReadingClient:
    """A client of one worker with the default settings."""
    return ReadingClient(servers.get("tests.support.apps:minding_app()"))


@pytest.fixture(scope="module")
def hasty() -> Iterator[ReadingClient]:
    """A client of one worker whose turns and questions may last half a second."""
    env = {"AGENT_TURN_TIMEOUT_SECONDS": "0.5", "AGENT_INPUT_TIMEOUT_SECONDS": "0.5"}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        yield ReadingClient(server)


@pytest.fixture(autouse=True)
def _goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After whatever an agent did, agents of every kind answer on the same worker."""
    yield
    name = "hasty" if "hasty" in request.fixturenames else "client"
    client: ReadingClient = request.getfixturevalue(name)
    for kind in KINDS:
        assert types_of(run_turn(client, {"text": "fine"}, kind=kind)) == ["token", "done"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_agent_that_raises_ends_with_agent_error(
    client: ReadingClient, kind: str, name: str
) -> None:
    """Any exception, even SystemExit, is `error agent_error` after what was sent before it."""
    frames = run_turn(client, {"text": "before"}, {"raise": name}, {"text": "after"}, kind=kind)
    # A list is handed over as a whole, so nothing of it was sent.
    assert types_of(frames) == (["error"] if kind == "list" else ["token", "error"])
    end = frames[-1].data
    assert (end["code"], end["retryable"]) == ("agent_error", False)
    assert end["message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [0, 1, "bye"])
def test_an_agent_that_exits_ends_its_turn_alone(
    client: ReadingClient, kind: str, status: object
) -> None:
    """`sys.exit` in an agent ends neither the worker nor the turn without an end."""
    assert run_turn(client, {"exit": status}, kind=kind)[-1].data["code"] == "agent_error"


def test_the_operator_sees_what_the_client_does_not(client: ReadingClient) -> None:
    """The exception that an agent raised stands in the log with its traceback."""
    log_chars = len(client.server.log())
    run_turn(client, {"raise": "ValueError"})
    log = client.server.log()[log_chars:]
    assert f"ValueError: {SECRET}" in log
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "TurnError",
            {
                "code": "agent_error",
                "message": "The shop is closed.",
                "details": {"opens": "9:00"},
                "retryable": False,
            },
        ),
        (
            "UpstreamError",
            {
                "code": "upstream_error",
                "message": "The model provider failed.",
                "details": {"status": 529},
                "retryable": True,
            },
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_agents_own_errors_are_reported(
    client: ReadingClient, kind: str, name: str, error: dict[str, Any]
) -> None:
    """TurnError and UpstreamError become the `error` event that they describe."""
    assert run_turn(client, {"raise": name}, kind=kind)[-1].data == {"type": "error", **error}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_ends_the_turn(client: ReadingClient, kind: str, name: str) -> None:
    """What is neither text nor an event of an agent's is `error agent_error`, and is not sent."""
    frames = run_turn(client, {"text": "ok"}, {"rubbish": name}, {"text": "after"}, kind=kind)
    assert types_of(frames) == ["token", "error"]
    assert frames[-1].data["code"] == "agent_error"
    assert "object" not in frames[-1].text


@pytest.mark.parametrize(
    ("kind", "end"), [("nothing", ""), ("text", "hi"), ("coroutine", "hi"), ("number", None)]
)
def test_an_agent_may_return_instead_of_yield(
    client: ReadingClient, kind: str, end: str | None
) -> None:
    """Returning nothing is an empty answer, a string is the answer, anything else is an error."""
    last = run_turn(client, kind=kind)[-1].data
    assert (last.get("reply"), last.get("code")) == (
        end,
        None if end is not None else "agent_error",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_reply_is_all_tokens_joined(client: ReadingClient, kind: str) -> None:
    """`done.reply` equals the joined tokens; other events are no part of it."""
    session = new_session()
    steps: list[dict[str, Any]] = [
        {"tokens": 500},
        {"tool": {"name": "t", "output": "x"}},
        {"events": ["thinking"]},
    ]
    with client.chat(session, *steps, {"text": "\u00e9\U0001f600\n\u2028"}, kind=kind) as stream:
        frames = list(stream)
    done = frames[-1].data
    assert done["type"] == "done"
    assert done["reply"] == text_of(frames)
    assert done["reply"].startswith("w1 w2 ")
    assert done["reply"].endswith("w500 \u00e9\U0001f600\n\u2028")
    kept = client.poll(session, "0-0", 0)["events"]
    assert [event["id"] for event in kept] == [f"1-{n}" for n in range(1, 506)]


def test_usage_is_summed(client: ReadingClient) -> None:
    """`done.usage` adds up what the agent counted, and is zero when it counted nothing."""
    counted = run_turn(client, {"usage": 3}, {"text": "x"}, {"usage": 4})[-1].data["usage"]
    assert counted == {"input_tokens": 7, "output_tokens": 7, "total_tokens": 14}
    assert set(run_turn(client, {"text": "x"})[-1].data["usage"].values()) == {0}


@pytest.mark.parametrize("kind", ["generator", "async"])
@pytest.mark.parametrize("step", [{"blobs": 100}, {"tokens": 260_000}])
def test_too_much_output_ends_the_turn(
    client: ReadingClient, kind: str, step: dict[str, Any]
) -> None:
    """A turn's output is bounded, by its bytes and by its number of events."""
    session = new_session()
    answer = client.chat_json(session, step, kind=kind)
    assert (answer.status, answer.json["code"]) == (500, "output_too_large")
    wait_observed(client.server, "closed", session)
    # Close to the end, since one poll has a bound of its own.
    kept = client.poll(session, "1-249990" if "tokens" in step else "1-67", 0)["events"]
    assert kept[-1]["type"] == "error"
    assert kept[-1]["id"] == ("1-250001" if "tokens" in step else "1-70")


@pytest.mark.parametrize("kind", ["generator", "async"])
@pytest.mark.parametrize("step", [{"hold": True}, {"sleep": 1.5}])
def test_a_turn_that_hangs_ends_in_time(
    hasty: ReadingClient, kind: str, step: dict[str, Any]
) -> None:
    """After AGENT_TURN_TIMEOUT_SECONDS a turn ends, whether its agent notices or is deaf."""
    session, started = new_session(), time.monotonic()
    frames = run_turn(hasty, {"text": "x"}, step, {"text": "y"}, kind=kind, session=session)
    assert 0.4 < time.monotonic() - started < 1.4
    assert types_of(frames) == ["token", "error"]
    assert frames[-1].data["code"] == "turn_timeout"
    assert frames[-1].data["retryable"] is True
    # A deaf async agent blocks the loop of all others.
    wait_observed(hasty.server, "closed", session)
