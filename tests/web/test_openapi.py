"""The document at /openapi.json: every route and nothing else, valid, and true to the answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask

from tests.support.client import JSON, Client
from tests.support.contract import STREAM, Contract
from tests.support.openapi_app import SETTINGS, openapi_app
from tests.support.servers import Gunicorn, gunicorn
from wsgi_app import AgentHost

GOLDEN = Path(__file__).parents[1] / "wire" / "golden"
#: Whose streams hold a wire's golden frames.
ROUTES = {
    "ag_ui": "/ag-ui",
    "ai_sdk": "/ai-sdk/chat",
    "native": "/chat",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host below /agents."""
    with gunicorn("tests.support.openapi_app:openapi_app()", env=SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def contract(server: Gunicorn) -> Contract:
    """What the host says of itself."""
    return Contract(Client(server, token=None).call("GET", "/openapi.json").json)


def document(app: Flask, path: str) -> dict[str, Any]:
    """The document of an app in this process."""
    found: dict[str, Any] = json.loads(app.test_client().get(path).data)
    return found


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    """The routes of the app's url_map are those of the document, with their methods."""
    app = openapi_app()
    mounted = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("wsgi_app") and ".unknown" not in rule.endpoint:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix("/agents"))
            methods = {"GET"} if rule.websocket else set(rule.methods or ()) - {"HEAD", "OPTIONS"}
            mounted |= {(method.lower(), path) for method in methods}
    paths = document(app, "/agents/openapi.json")["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == mounted


def test_document_is_valid_openapi(contract: Contract) -> None:
    """The document keeps the rules of OpenAPI 3.1, and each operation has a name and a summary."""
    schema = schemathesis.openapi.from_dict(contract.document)
    schema.validate()
    assert contract.document["openapi"].startswith("3.1.")
    told = [one for methods in contract.document["paths"].values() for one in methods.values()]
    assert all(one["summary"] and one["responses"] for one in told)
    assert len({one["operationId"] for one in told}) == len(told)


@pytest.mark.parametrize("prefix", ["/agents", "/a/b", None])
def test_prefix_is_the_server(prefix: str | None) -> None:
    """Paths are relative to the mount, whose place is the document's server."""
    app = Flask("site")
    AgentHost(lambda turn: turn.message).init_app(app, url_prefix=prefix)
    found = document(app, f"{prefix or ''}/openapi.json")
    assert found["servers"] == [{"url": prefix or "/"}]
    assert "/chat/{session_id}" in found["paths"]


def test_settings_are_in_the_document() -> None:
    """The longest message that is taken is the setting's."""
    app = Flask("site")
    AgentHost(lambda turn: turn.message, max_message_chars=7).init_app(app)
    schemas = document(app, "/openapi.json")["components"]["schemas"]
    assert schemas["ChatBody"]["properties"]["message"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 7,
    }


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs.js", "/docs.css", "/theme.css"])
def test_document_is_open(server: Gunicorn, path: str) -> None:
    """Anybody may read it, by GET and HEAD; OPTIONS tells so."""
    client = Client(server, token=None)
    whole = client.call("GET", path)
    head = client.call("HEAD", path)
    assert whole.status == head.status == 200
    assert head.headers["Content-Length"] == str(len(whole.body))
    assert head.body == b""
    options = client.call("OPTIONS", path)
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("wire", ROUTES)
def test_golden_streams_are_described(contract: Contract, wire: str) -> None:
    """Each frame of each wire's golden streams is one that the document describes."""
    operation = contract.operation("POST", ROUTES[wire])
    item = operation["responses"]["200"]["content"][STREAM]["schema"]
    files = sorted((GOLDEN / wire).glob("*.txt"))
    assert files
    for file in files:
        frames = contract.check_stream(item, file.read_bytes())
        assert frames, file


def test_undescribed_fields_fail(contract: Contract) -> None:
    """A frame with a field, or a type, that the document does not name is found."""
    operation = contract.operation("POST", "/ai-sdk/chat")
    item = operation["responses"]["200"]["content"][STREAM]["schema"]
    for chunk in ({"type": "start", "messageId": "m", "more": 1}, {"type": "new"}):
        with pytest.raises(AssertionError):
            contract.check_stream(item, f"data: {json.dumps(chunk)}\n\n".encode())


class Checked:
    """A client whose answers are held against the document."""

    def __init__(self, server: Gunicorn, contract: Contract) -> None:
        self._client = Client(server)
        self._contract = contract

    def call(self, method: str, path: str, expected: int, json: object = None, **more: Any) -> Any:
        """Send a request; returns the body."""
        answer = self._client.call(method, path, json, **more)
        assert answer.status == expected, answer.body
        operation = self._contract.operation(method, path)
        self._contract.check(operation, answer.status, answer.headers, answer.body)
        is_json = answer.headers.get("Content-Type") == "application/json"
        return answer.json if is_json else answer.body


def test_native_answers_are_described(server: Gunicorn, contract: Contract) -> None:
    """What the native routes answer, and how they refuse, is what the document says."""
    checked = Checked(server, contract)
    wants_json = {"Accept": "application/json"}
    checked.call("POST", "/chat/n-1", 200, {"message": "answer"})
    checked.call("POST", "/chat", 200, {"message": "answer"}, headers=wants_json)
    checked.call("POST", "/chat/n-1", 500, {"message": "fail"}, headers=wants_json)
    checked.call("POST", "/chat/n-1", 502, {"message": "upstream"}, headers=wants_json)
    asked = checked.call("POST", "/chat/n-2", 409, {"message": "ask"}, headers=wants_json)
    answer = {"request_id": asked["details"]["request_id"], "value": "a"}
    checked.call("POST", "/chat/n-2/input", 200, answer)
    checked.call("POST", "/chat/n-2/input", 409, answer)
    checked.call("POST", "/chat/n-1", 422, {"message": ""})
    checked.call("POST", "/chat/n-1", 400, body=b"{", headers=JSON)
    checked.call("POST", "/chat/n-1", 415, body=b"{}")
    checked.call("POST", "/chat/n-1", 401, {"message": "hi"}, headers={"Authorization": "no"})
    checked.call("GET", "/chat/n-1/events?last_event_id=0-0", 200)
    checked.call("GET", "/chat/n-9/events", 204)
    checked.call("GET", "/chat/n-1/poll?after=0-0", 200)
    checked.call("GET", "/chat/n-9/poll", 404)
    checked.call("POST", "/chat/n-1/cancel", 200)
    checked.call("POST", "/chat/n-1/ticket", 200)
    checked.call("GET", "/session/n-1", 200)
    checked.call("GET", "/session/n-9", 404)
    checked.call("GET", "/sessions?limit=1", 200)
    checked.call("GET", "/sessions?cursor=x", 422)
    checked.call("GET", "/events", 422)
    checked.call("GET", "/ws/chat/n-1", 404)
    checked.call("DELETE", "/session/n-1", 200)
    for path in ("/healthz", "/readyz", "/agent-client.js", "/agent-client.d.ts", "/docs"):
        checked.call("GET", path, 200)


def test_answers_of_other_wires_are_described(server: Gunicorn, contract: Contract) -> None:
    """So do those of the OpenAI, the AI SDK's and the AG-UI routes."""
    checked = Checked(server, contract)
    said = [{"role": "user", "content": "answer"}]
    checked.call("GET", "/v1/models", 200)
    checked.call("GET", "/v1/models/agent", 200)
    checked.call("GET", "/v1/models/none", 404)
    checked.call("POST", "/v1/chat/completions", 200, {"messages": said})
    checked.call("POST", "/v1/chat/completions", 200, {"messages": said, "stream": True})
    checked.call("POST", "/v1/chat/completions", 400, {"messages": []})
    failed = [{"role": "user", "content": "fail"}]
    checked.call("POST", "/v1/chat/completions", 500, {"messages": failed})
    checked.call("POST", "/v1/chat/completions", 200, {"messages": failed, "stream": True})
    checked.call("POST", "/v1/responses", 200, {"input": "ask", "stream": True})
    made = checked.call("POST", "/v1/responses", 200, {"input": "answer"})["id"]
    checked.call("GET", f"/v1/responses/{made}", 200)
    checked.call("GET", f"/v1/responses/{made}?stream=true", 200)
    checked.call("POST", f"/v1/responses/{made}/cancel", 400)
    checked.call("DELETE", f"/v1/responses/{made}", 200)
    checked.call("GET", f"/v1/responses/{made}", 404)
    message = {"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "answer"}]}
    checked.call("POST", "/ai-sdk/chat", 200, {"id": "a-1", "messages": [message]})
    checked.call("POST", "/ai-sdk/chat", 422, {"id": "a-1", "messages": []})
    checked.call("GET", "/ai-sdk/chat/a-1/stream", 204)
    checked.call("POST", "/ai-sdk/chat/a-1/stop", 200, {})
    run = {"threadId": "g-1", "runId": "r-1", "messages": said}
    checked.call("POST", "/ag-ui", 200, run)
    checked.call("POST", "/ag-ui", 422, {**run, "messages": [], "runId": "r-2"})
