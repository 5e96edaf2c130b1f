"""What A2A clients may list and see, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.a2a.client import (
    INPUT_REQUIRED,
    VERSION,
    A2aClient,
    say,
    text_of,
)
from tests.support.client import new_session
from tests.support.reading import ReadingClient, wait_observed
from tests.support.servers import Gunicorn, gunicorn


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
