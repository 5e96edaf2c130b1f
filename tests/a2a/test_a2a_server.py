"""The agent for A2A clients: what goes over the network, on two workers with one store."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.support.client import Answer, new_session
from tests.support.reading import ReadingClient, observed, wait_observed
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.sse import Frame, Stream, StreamCutError
from tests.support.waiting import wait_for

TURNS: Final = 100
TOKENS: Final = 60
STEPS: Final = ({"status": "busy"}, {"tokens": TOKENS, "pause": 0.004})
REPLY: Final = "".join(f"w{number} " for number in range(1, TOKENS + 1))
VERSION: Final = {"A2A-Version": "1.0"}
COMPLETED: Final = "TASK_STATE_COMPLETED"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
CANCELED: Final = "TASK_STATE_CANCELED"


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Two workers that share a store, and two tenants."""
    with redis_server() as store:
        tokens = "dev=acme,admin=acme scopes=read+admin,other=else,chatter=acme scopes=chat"
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": tokens}
        env |= {"AGENT_RATE_LIMIT": "100000/minute", "AGENT_MAX_TURNS_PER_TENANT": "1000"}
        with gunicorn("tests.support.apps:told_app()", workers=2, threads=24, env=env) as server:
            yield server


class A2aClient(ReadingClient):
    """A client of the protocol, as bare as one can be. Used by any thread."""

    def rpc(self, method: str, params: Any, headers: Mapping[str, str] = VERSION) -> Answer:
        """Send a request of JSON-RPC."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return self.call("POST", "/a2a", body, headers=headers)

    def send(self, message: dict[str, Any], **configuration: Any) -> Any:
        """Send a message and answer its task."""
        body = {"message": message, "configuration": configuration}
        answer = self.call("POST", "/a2a/message:send", body, headers=VERSION)
        assert answer.status == 200, answer.body
        return answer.json["task"]

    def open(self, message: dict[str, Any]) -> Stream:
        """Send a message and read its stream."""
        return self.stream("POST", "/a2a/message:stream", {"message": message}, headers=VERSION)

    def subscribe(self, task_id: str, after: str | None = None) -> Stream:
        """Read a task, from an event on."""
        headers = VERSION if after is None else {**VERSION, "Last-Event-ID": after}
        return self.stream("POST", f"/a2a/tasks/{task_id}:subscribe", {}, headers=headers)

    def task(self, task_id: str, query: str = "") -> Any:
        """A task as it is now."""
        return self.call("GET", f"/a2a/tasks/{task_id}{query}", headers=VERSION).json

    def refused(self, method: str, path: str, json: Any = None) -> tuple[int, str]:
        """The status of a refusal, and its name."""
        answer = self.call(method, f"/a2a{path}", json, headers=VERSION)
        return answer.status, answer.json["error"]["details"][0]["reason"]


@pytest.fixture
def client(server: Gunicorn) -> A2aClient:
    """A tenant's client."""
    return A2aClient(server)


def say(*steps: Any, **more: Any) -> dict[str, Any]:
    """A message that has the agent do these steps; one text is said."""
    text = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    parts = [{"text": text}]
    return {"messageId": new_session(), "role": "ROLE_USER", "parts": parts, **more}


def state_of(client: A2aClient, task: dict[str, Any]) -> str:
    """What a task does now."""
    return str(client.task(task["id"])["status"]["state"])


class Shown:
    """What a client shows of a task that it reads: the protocol's own rules, and no more."""

    def __init__(self) -> None:
        self.task: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.states: list[str] = []
        self.last_id: str | None = None

    def take(self, frame: Frame) -> None:
        """Take an event."""
        self.last_id = frame.id or self.last_id
        ((kind, event),) = frame.data.items()
        if kind == "task":
            self.task = event
            self.texts = {one["artifactId"]: text_of(one) for one in event.get("artifacts", [])}
        elif kind == "artifactUpdate":
            name, text = event["artifact"]["artifactId"], text_of(event["artifact"])
            before = self.texts.get(name, "") if event.get("append") else ""
            self.texts[name] = before + text
        status = event.get("status")
        if status is not None:
            self.states.append(status["state"])


def take_all(shown: Shown, frames: Iterable[Frame]) -> None:
    """Take all events of a stream."""
    for frame in frames:
        shown.take(frame)


def text_of(artifact: dict[str, Any]) -> str:
    """An artifact's text."""
    return "".join(part["text"] for part in artifact["parts"])


# -- exactness


def read_cut(client: A2aClient, chance: random.Random) -> Shown:
    """Read a task's stream to its end, which is cut at random."""
    shown, message = Shown(), say(*STEPS, contextId=new_session())
    stream = client.open(message)
    while True:
        with stream:
            assert stream.status == 200
            for frame in stream:
                shown.take(frame)
                if chance.random() < 0.06:
                    stream.abort()
                    break
        if shown.states and shown.states[-1] == COMPLETED:
            return shown
        # Cut before the first event, it sends the message again: that is the same task.
        knows = shown.last_id is not None
        stream = (
            client.subscribe(shown.task["id"], shown.last_id) if knows else client.open(message)
        )


def test_tasks_cut_at_random_lose_and_double_nothing(client: A2aClient) -> None:
    """However often and wherever a hundred streams are cut, on any worker, the reply is exact."""
    with ThreadPoolExecutor(8) as pool:
        chances = [random.Random(number) for number in range(TURNS)]  # noqa: S311 - repeatable
        for shown in pool.map(lambda chance: read_cut(client, chance), chances):
            assert shown.texts == {"reply": REPLY}
            assert text_of(client.task(shown.task["id"])["artifacts"][0]) == REPLY


def test_who_subscribes_late_gets_all(client: A2aClient) -> None:
    """The first event is the task so far, and what follows goes on from exactly there."""
    with client.open(say({"tokens": 300, "pause": 0.005})) as stream:
        first = Shown()
        for frame in stream:
            first.take(frame)
            if len(first.texts.get("reply", "")) > 100:
                break
        late = Shown()
        with client.subscribe(first.task["id"]) as other:
            for frame in other:
                late.take(frame)
        for frame in stream:
            first.take(frame)
    assert late.texts == first.texts
    assert late.texts["reply"].endswith("w299 w300 ")
    assert late.task["status"]["state"] == "TASK_STATE_WORKING"


def test_a_killed_workers_task_has_failed(client: A2aClient, server: Gunicorn) -> None:
    """Its stream is cut; where it goes on, it fails with what was said before."""
    session, shown = new_session(), Shown()
    with client.open(say({"tokens": 2000, "pause": 0.01}, contextId=session)) as stream:
        for _ in range(80):
            frame = stream.next()
            assert frame
            shown.take(frame)
        os.kill(owner_pid(ReadingClient(server, "admin"), session), signal.SIGKILL)
        with pytest.raises(StreamCutError):
            take_all(shown, stream)
    with client.subscribe(shown.task["id"], shown.last_id) as rest:
        for frame in rest:
            shown.take(frame)
    assert shown.states[-1] == "TASK_STATE_FAILED"
    task = client.task(shown.task["id"])
    assert task["metadata"]["error"]["code"] == "worker_lost"
    assert text_of(task["artifacts"][0]) == shown.texts["reply"]
    wait_for(lambda: len(server.worker_pids()) == 2, "both workers are there", 30)


def test_a_message_sent_again_is_the_same_task(client: A2aClient) -> None:
    """The same under the same id is one task; something else under that id is another."""
    message = say("hello")
    assert client.send(message)["id"] == client.send(message)["id"]
    assert client.send({**message, "parts": [{"text": "hi"}]})["id"] != client.send(message)["id"]


# -- tasks


def test_a_task_tells_what_it_does(client: A2aClient) -> None:
    """Submitted, at work, with its status lines, and completed with the whole reply."""
    shown = Shown()
    with client.open(say({"status": "busy"}, {"tokens": 2}, metadata={"a": 1})) as stream:
        frames = list(stream)
    for frame in frames:
        shown.take(frame)
    assert shown.states == ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", COMPLETED]
    assert frames[1].data["statusUpdate"]["status"]["message"]["parts"] == [{"text": "busy"}]
    assert [one.data["artifactUpdate"].get("append", False) for one in frames[2:5]] == [
        *(False, True, True)
    ]
    assert frames[4].data["artifactUpdate"]["lastChunk"] is True
    # An event of the turn with two frames is told by the second: who has its id has both.
    assert [one.id for one in frames] == ["1-0", "1-1", "1-2", "1-3", None, "1-4"]
    task = client.task(shown.task["id"])
    assert task["history"][0]["metadata"] == {"a": 1}
    assert "history" not in client.task(shown.task["id"], "?historyLength=0")


def test_who_does_not_wait_finds_the_task_later(client: A2aClient) -> None:
    """It goes on without a reader, in its context; the next message there waits for its turn."""
    session = new_session()
    first = client.send(
        say({"wait": 0.5}, {"text": "one"}, contextId=session), returnImmediately=True
    )
    second = client.send(say("two", contextId=session), returnImmediately=True)
    assert first["status"]["state"] in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")
    assert second["status"]["state"] == "TASK_STATE_SUBMITTED"
    for task in (first, second):
        wait_for(lambda: client.task(task["id"])["status"]["state"] == COMPLETED, "it is done", 15)  # noqa: B023 - called here
    assert [text_of(client.task(one["id"])["artifacts"][0]) for one in (first, second)] == [
        *("one", "two")
    ]


def test_questions_are_answered_on_any_worker(client: A2aClient) -> None:
    """A task that asks waits for its answer, which a message to it is; its stream goes on."""
    form = {"prompt": "How many?", "schema": {"type": "integer"}}
    for _ in range(6):
        task = client.send(say({"text": "Well. "}, {"ask": "Which?"}, {"form": form}))
        assert task["status"]["state"] == INPUT_REQUIRED
        assert task["status"]["message"]["parts"] == [{"text": "Which?"}]
        wait_for(lambda: state_of(client, task) == INPUT_REQUIRED, "all workers know", 5)  # noqa: B023 - called here
        task = client.send(say("blue", taskId=task["id"]))
        assert task["status"]["message"]["metadata"] == {"schema": {"type": "integer"}}
        answer = say("", taskId=task["id"], contextId=task["contextId"])
        answer["parts"] = [{"data": 3}]
        shown = Shown()
        with client.open(answer) as stream:
            for frame in stream:
                shown.take(frame)
        assert shown.texts == {"reply": "Well. blue3"}
        assert shown.states == ["TASK_STATE_WORKING", COMPLETED]


def test_a_subscriber_stays_while_its_task_asks(client: A2aClient) -> None:
    """It sees the question, and what follows the answer of another client."""
    task = client.send(say({"ask": "Which?"}, {"text": "!"}))
    shown = Shown()
    with client.subscribe(task["id"]) as stream:
        first = stream.next()
        assert first
        shown.take(first)
        client.send(say("blue", taskId=task["id"]), returnImmediately=True)
        for frame in stream:
            shown.take(frame)
    assert shown.states == [INPUT_REQUIRED, "TASK_STATE_WORKING", COMPLETED]
    assert shown.texts == {"reply": "blue!"}


def test_a_task_is_cancelled_on_any_worker(client: A2aClient, server: Gunicorn) -> None:
    """Its streams end with that state; a second time it is refused."""
    for number in range(6):
        session, shown = new_session(), Shown()
        with client.open(say({"hold": 1}, contextId=session)) as stream:
            wait_observed(server, "started", session)
            task_id = f"{session}.1"
            answer = (
                client.rpc("CancelTask", {"id": task_id}).json["result"]
                if number % 2
                else client.call("POST", f"/a2a/tasks/{task_id}:cancel", {}, headers=VERSION).json
            )
            for frame in stream:
                shown.take(frame)
        assert answer["status"]["state"] == shown.states[-1] == CANCELED
        assert client.refused("POST", f"/tasks/{task_id}:cancel", {}) == (
            400,
            "TASK_NOT_CANCELABLE",
        )


def test_a_client_that_leaves_ends_nothing(client: A2aClient, server: Gunicorn) -> None:
    """A task is cancelled by who says so, and not by a reader that has gone."""
    session = new_session()
    with client.open(say({"wait": 2}, {"text": "done"}, contextId=session)) as stream:
        wait_observed(server, "started", session)
        stream.abort()
    task_id = f"{session}.1"
    wait_for(lambda: client.task(task_id)["status"]["state"] == COMPLETED, "it is done", 15)
    assert observed(server, "cancelled", session) == []


# -- lists


def test_tasks_are_listed_by_pages(server: Gunicorn) -> None:
    """The tenant's own, newest first, by context and state, without artifacts unless asked for."""
    client, session = A2aClient(server, "other"), new_session()
    made = [client.send(say(f"number {number}", contextId=session))["id"] for number in range(3)]
    other = client.send(say({"ask": "Which?"}))["id"]
    assert list_ids(client, "") == [other, *reversed(made)]
    assert list_ids(client, f"&contextId={session}") == [*reversed(made)]
    assert list_ids(client, f"&status={INPUT_REQUIRED}") == [other]
    assert list_ids(client, "&statusTimestampAfter=2100-01-01T00:00:00Z") == []
    first = client.call("GET", "/a2a/tasks?pageSize=2", headers=VERSION).json
    assert (len(first["tasks"]), first["totalSize"], first["pageSize"]) == (2, 4, 2)
    assert "artifacts" not in first["tasks"][1]
    params = {"includeArtifacts": True, "contextId": session}
    listed = client.rpc("ListTasks", params).json["result"]["tasks"]
    assert text_of(listed[0]["artifacts"][0]) == "number 2"
    assert client.refused("GET", "/tasks?pageSize=0")[0] == 400
    assert client.refused("GET", "/tasks?pageToken=x")[0] == 400


def list_ids(client: A2aClient, query: str) -> list[str]:
    """The ids of all pages of two."""
    found, token = [], ""
    while True:
        path = f"/a2a/tasks?pageSize=2&pageToken={token}{query}"
        page = client.call("GET", path, headers=VERSION).json
        found += [task["id"] for task in page["tasks"]]
        token = page["nextPageToken"]
        if not token:
            return found


# -- refusals


def test_what_is_refused_by_its_name(client: A2aClient, server: Gunicorn) -> None:
    """The errors of the protocol, the same in both bindings."""
    ended, session = client.send(say("hello"))["id"], new_session()
    with client.open(say({"hold": 1}, contextId=session)):
        wait_observed(server, "started", session)
        running = f"{session}.1"
        unsupported = (400, "UNSUPPORTED_OPERATION")
        for task_id in (ended, running):
            told = {"message": say("more", taskId=task_id)}
            assert client.refused("POST", "/message:send", told) == unsupported
        client.rpc("CancelTask", {"id": running})
    assert client.refused("POST", f"/tasks/{ended}:subscribe", {}) == unsupported
    assert client.refused("GET", "/extendedAgentCard") == unsupported
    unknown = (404, "TASK_NOT_FOUND")
    for task_id in (
        "none",
        f"{new_session()}.1",
        f"{ended.rpartition('.')[0]}.2",
    ):
        assert client.refused("GET", f"/tasks/{task_id}") == unknown
        told = {"message": say("more", taskId=task_id)}
        assert client.refused("POST", "/message:send", told) == unknown
    push = (400, "PUSH_NOTIFICATION_NOT_SUPPORTED")
    configs = f"/tasks/{ended}/pushNotificationConfigs"
    assert client.refused("POST", configs, {"url": "http://x"}) == push
    assert client.refused("GET", f"{configs}/1") == push
    config = {"taskPushNotificationConfig": {"url": "http://x"}}
    told = {"message": say("hello"), "configuration": config}
    assert client.refused("POST", "/message:send", told) == push
    codes = {
        "GetTask": ({"id": "none"}, -32001),
        "CancelTask": ({"id": ended}, -32002),
        "GetTaskPushNotificationConfig": ({}, -32003),
        "SubscribeToTask": ({"id": ended}, -32004),
        "SendMessage": ({"message": 5}, -32602),
        "Nothing": ({}, -32601),
    }
    for method, (params, code) in codes.items():
        answer = client.rpc(method, params)
        assert (answer.status, answer.json["error"]["code"]) == (200, code), method
        assert answer.json["id"] == 7


@pytest.mark.parametrize("version", ["", "0.3", "2.0", "1.0.x"])
def test_other_versions_are_refused(client: A2aClient, version: str) -> None:
    """A client without a version is one of 0.3, as the protocol has it; patches do not count."""
    answer = client.rpc("SendMessage", {"message": say("hi")}, {"A2A-Version": version})
    assert answer.json["error"]["code"] == -32009
    patched = client.rpc("ListTasks", {}, {"A2A-Version": "1.0.1"})
    assert "result" in patched.json


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{}],
        [{"text": ""}],
        [{"text": "a", "data": 1}],
        [{"text": 5}],
        [{"raw": "!", "mediaType": "image/png"}],
        [{"raw": base64.b64encode(b"x").decode(), "mediaType": "application/x"}],
        [{"url": "ftp://x/y.png"}],
        [{"raw": base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(), "mediaType": "image/png"}],
    ],
)
def test_parts_that_are_not_taken(client: A2aClient, parts: Any) -> None:
    """Neither nothing, nor two in one, nor files for an agent of text."""
    message = {**say("x"), "parts": parts}
    status, reason = client.refused("POST", "/message:send", {"message": message})
    assert status == 400
    is_file = bool(parts) and ("raw" in parts[0] or "url" in parts[0])
    assert reason == ("CONTENT_TYPE_NOT_SUPPORTED" if is_file else "INVALID_REQUEST")


def test_files_reach_an_agent_that_takes_them() -> None:
    """Bytes and URLs of images, with their names; the task shows their names alone."""
    picture = b"\x89PNG\r\n\x1a\n picture"
    raw = base64.b64encode(picture).decode()
    message = say({"tell": "attachments"})
    message["parts"] += [
        {"raw": raw, "mediaType": "image/png", "filename": "a.png"},
        {"url": "https://site.example/b.png"},
    ]
    message["parts"].insert(0, {"raw": base64.b64encode(b"x: 1").decode(), "mediaType": "text/x"})
    with gunicorn("tests.support.apps:seeing_app()", env={"AGENT_TOKENS": "dev=acme"}) as server:
        client = A2aClient(server)
        card = client.call("GET", "/.well-known/agent-card.json").json
        assert "image/png" in card["defaultInputModes"]
        task = client.send(message)
    told = text_of(task["artifacts"][0])
    assert told.count("Attachment(") == 3
    assert "name='a.png'" in told
    assert "url='https://site.example/b.png'" in told
    assert task["history"][0]["parts"][0] == {"text": "(attached: text/x)"}
    assert raw not in json.dumps(task)


def test_a_task_is_its_tenants(client: A2aClient, server: Gunicorn) -> None:
    """To others it is unknown, whatever they want of it; a token has what its scopes allow."""
    task_id = client.send(say({"ask": "Which?"}))["id"]
    stranger = A2aClient(server, "other")
    for method, path, body in (
        ("GET", f"/tasks/{task_id}", None),
        ("POST", f"/tasks/{task_id}:cancel", {}),
        ("POST", f"/tasks/{task_id}:subscribe", {}),
        ("POST", "/message:send", {"message": say("x", taskId=task_id)}),
    ):
        assert stranger.refused(method, path, body) == (404, "TASK_NOT_FOUND")
    chatter = A2aClient(server, "chatter")
    for method in ("GetTask", "CancelTask", "SubscribeToTask", "ListTasks"):
        params = {} if method == "ListTasks" else {"id": task_id}
        assert chatter.rpc(method, params).status == 403
    assert client.task(task_id)["status"]["state"] == INPUT_REQUIRED
    client.rpc("CancelTask", {"id": task_id})


def test_the_card_says_where_the_agent_is(server: Gunicorn) -> None:
    """Open to all, with both bindings, and not sent again to who has it."""
    stranger = ReadingClient(server, None)
    answer = stranger.call("GET", "/.well-known/agent-card.json")
    card = answer.json
    urls = {one["protocolBinding"]: one["url"] for one in card["supportedInterfaces"]}
    assert urls == dict.fromkeys(("JSONRPC", "HTTP+JSON"), f"{server.url}/agents/a2a")
    assert card["capabilities"] == {
        "streaming": True,
        "pushNotifications": False,
        "extendedAgentCard": False,
    }
    assert card["defaultInputModes"] == ["text/plain", "application/json"]
    kept = {"If-None-Match": answer.headers["ETag"]}
    assert stranger.call("GET", "/.well-known/agent-card.json", headers=kept).status == 304
    assert ReadingClient(server, None, "").call("GET", "/.well-known/agent-card.json").json == card
