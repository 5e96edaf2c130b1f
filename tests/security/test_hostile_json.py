"""JSON that is too deep, too large or too odd, in every wire: refused or taken, never a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest
from simple_websocket import Client as WebSocket

from tests.security.routes import WRITING, opened, read_all, send
from tests.security.samples import Target
from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import unharmed
from tests.support.servers import gunicorn, redis_server

MAX_BODY_BYTES = 300_000
DEV = {"Authorization": "Bearer dev"}
JSON = {**DEV, "Content-Type": "application/json"}
DEPTHS = (20, 100, 500, 900, 990, 1000, 1100, 5000, 50_000)


def lists(depth: int) -> str:
    """Lists in each other."""
    return depth * "[" + depth * "]"


def objects(depth: int) -> str:
    """Objects in each other."""
    return depth * '{"a":' + "1" + depth * "}"


HOSTILE: dict[str, str] = {
    **{f"{depth} lists in each other": lists(depth) for depth in DEPTHS},
    **{f"{depth} objects in each other": objects(depth) for depth in DEPTHS if depth < 40_000},
    "100,000 lists that do not end": 100_000 * "[",
    "a number of 5,000 digits": 5000 * "9",
    "a number of 100,000 digits": 100_000 * "9",
    "a number beyond all": "1e999",
    "a number of many decimals": "0." + 5000 * "1",
    "100,000 numbers": "[" + 99_999 * "1," + "1]",
    "20,000 fields": "{" + ",".join(f'"{n}":1' for n in range(20_000)) + "}",
    "the same field 20,000 times": "{" + ",".join(20_000 * ['"a":1']) + "}",
    "50,000 escapes": '"' + 50_000 * "\\n" + '"',
    "half characters": '"\\ud800\\udfff\\ud83d"',
    "NUL": '"\\u0000"',
    "prototypes": '{"__proto__":{"a":1},"constructor":{"prototype":1},"__class__":"x"}',
    "another type": '"text"',
    "null": "null",
}
#: Without depths that are far from where a parser gives up: these are tried in the long run.
EDGES = {
    what: value
    for what, value in HOSTILE.items()
    if not what.startswith(("20 ", "100 ", "500 ", "990 "))
}
AG_UI = '{"threadId":"$","runId":"r","messages":[{"role":"user","content":"hi"}]'
AI_SDK = '{"id":"$","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"hi"}]}]'
RUNS = [
    "@",
    '{"assistant_id":"a","input":@}',
    '{"assistant_id":"a","input":{"messages":[{"role":"user","content":@}]}}',
    '{"assistant_id":"a","command":@}',
    '{"assistant_id":"a","input":"hi","metadata":{"x":@}}',
    '{"assistant_id":"a","input":"hi","context":@}',
    '{"assistant_id":"a","input":"hi","stream_mode":@}',
]
COMMAND = '{"id":1,"method":"run.start"'
RPC = '{"jsonrpc":"2.0","id":1,"method":'
ASK = f'{RPC}"tools/call","params":{{"name":"ask"'
NOW = '"io.modelcontextprotocol/protocolVersion":"2026-07-28"'
SAID = '{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hi"}]'
SENDING = [
    "@",
    '{"message":@}',
    '{"message":{"messageId":"m","role":"ROLE_USER","parts":@}}',
    '{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":@}]}}',
    '{"message":{"messageId":"$","role":"ROLE_USER","parts":[{"data":@}]}}',
    f'{{"message":{SAID},"metadata":{{"x":@}}}}}}',
    f'{{"message":{SAID},"taskId":@}}}}',
    f'{{"message":{SAID},"contextId":@}}}}',
    f'{{"message":{SAID}}},"configuration":@}}',
    f'{{"message":{SAID}}},"metadata":@}}',
]
CALLING = [
    "@",
    '{"jsonrpc":"2.0","id":@,"method":"GetTask"}',
    f"{RPC}@}}",
    f'{RPC}"GetTask","params":@}}',
    f'{RPC}"CancelTask","params":{{"id":@}}}}',
    f'{RPC}"ListTasks","params":{{"pageToken":@}}}}',
    f'{RPC}"ListTasks","params":{{"statusTimestampAfter":@,"status":@}}}}',
    *(f'{RPC}"SendMessage","params":{place}}}' for place in SENDING[1:]),
]
#: Where a wire takes any value, or what it may read as text; ``@`` is the hostile one.
PLACES: dict[str, list[str]] = {
    "POST /chat": ["@", '{"message":"hi","metadata":{"x":@}}', '{"message":@}', '{"x":@}'],
    "POST /chat/<session_id>": ["@", '{"message":"hi","metadata":{"x":@}}', '{"message":@}'],
    "POST /chat/<session_id>/cancel": ["@", '{"turn_id":@}'],
    "POST /chat/<session_id>/input": ["@", '{"request_id":"r","value":@}', '{"request_id":@}'],
    "POST /chat/<session_id>/steer": ["@", '{"message":@}'],
    "POST /chat/<session_id>/ticket": ["@"],
    "POST /probe": ["@", '{"frames":@}', '{"silence_seconds":@}'],
    "DELETE /session/<session_id>": ["@"],
    "POST /files": ["@"],
    "DELETE /files/<file_id>": ["@"],
    "POST /ag-ui": [
        "@",
        f'{AG_UI},"state":@}}',
        f'{AG_UI},"context":[@]}}',
        f'{AG_UI},"forwardedProps":{{"x":@}}}}',
        '{"threadId":"$","runId":"r","messages":[{"role":"user","content":@}]}',
        '{"threadId":"$","runId":"r","messages":[],"resume":[{"interruptId":"i","payload":@}]}',
        '{"threadId":"$","runId":"r","messages":@}',
    ],
    "POST /ai-sdk/chat": [
        "@",
        f'{AI_SDK},"metadata":{{"x":@}}}}',
        '{"id":"$","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":@}]}]}',
        '{"id":"$","messages":[{"id":"m","role":"assistant","parts":[{"type":"tool-x","output":@}]}]}',
        '{"id":"$","messages":@}',
    ],
    "POST /ai-sdk/chat/<session_id>/stop": ["@"],
    "POST /v1/chat/completions": [
        "@",
        '{"messages":[{"role":"user","content":@}]}',
        '{"messages":[{"role":"user","content":[{"type":"text","text":@}]}]}',
        '{"messages":[{"role":"user","content":"hi"}],"metadata":{"x":@}}',
        '{"messages":[{"role":"user","content":"hi"}],"tools":[@]}',
        '{"messages":[{"role":"assistant","tool_calls":[@]},{"role":"user","content":"hi"}]}',
        '{"messages":[{"role":"user","content":"hi"}],"stream_options":@,"stream":true}',
    ],
    "POST /v1/responses": [
        "@",
        '{"input":@}',
        '{"input":[{"role":"user","content":@}]}',
        '{"input":[{"type":"function_call_output","call_id":"c","output":@}]}',
        '{"input":"hi","metadata":{"x":@}}',
        '{"input":"hi","tools":[@]}',
        '{"input":"hi","previous_response_id":@}',
    ],
    "POST /chat/<session_id>/tool_result": [
        "@",
        '{"request_id":"r","results":@}',
        '{"request_id":"r","results":[{"call_id":"c","output":@}]}',
    ],
    "POST /v1/responses/compact": [
        "@",
        '{"model":"agent","input":@}',
        '{"model":"agent","input":[{"role":"user","content":@}]}',
        '{"model":"agent","input":[{"type":"compaction","encrypted_content":@}]}',
        '{"model":"agent","input":"hi","previous_response_id":@}',
    ],
    "POST /langgraph/threads/<thread_id>/commands": [
        "@",
        f'{COMMAND},"params":@}}',
        f'{COMMAND},"params":{{"assistant_id":"a","input":@}}}}',
        f'{COMMAND},"params":{{"assistant_id":"a","input":{{"messages":@}}}}}}',
        f'{COMMAND},"params":{{"assistant_id":"a","input":{{"messages":[{{"content":@}}]}}}}}}',
        f'{COMMAND},"params":{{"assistant_id":"a","input":"hi","metadata":{{"x":@}}}}}}',
        f'{COMMAND},"params":{{"assistant_id":"a","input":"hi","config":@}}}}',
        '{"id":1,"method":"input.respond","params":{"interrupt_id":"i","response":@}}',
        '{"id":1,"method":"input.respond","params":{"responses":@}}',
    ],
    "POST /langgraph/threads/<thread_id>/stream/events": [
        "@",
        '{"channels":@}',
        '{"channels":["values"],"namespaces":@}',
        '{"channels":["values"],"since":@}',
    ],
    "POST /langgraph/threads/<thread_id>/state": ["@", '{"values":@}', '{"as_node":@}'],
    "POST /langgraph/threads/<thread_id>/state/checkpoint": ["@", '{"checkpoint":@}'],
    "POST /langgraph/threads": [
        "@",
        '{"thread_id":@}',
        '{"metadata":@}',
        '{"metadata":{"x":@}}',
        '{"supersteps":@}',
        '{"supersteps":[{"updates":[{"values":{"messages":@}}]}]}',
        '{"supersteps":[{"updates":[{"values":{"messages":{"type":"human","content":@}}}]}]}',
        '{"supersteps":[{"updates":[{"values":{"messages":{"type":"ai","content":"x","id":@}}}]}]}',
    ],
    "PATCH /langgraph/threads/<thread_id>": ["@", '{"metadata":@}', '{"metadata":{"x":@}}'],
    "POST /langgraph/threads/<thread_id>/copy": ["@"],
    "POST /langgraph/threads/search": ["@", '{"metadata":@}', '{"ids":@}', '{"limit":@}'],
    "POST /langgraph/threads/count": ["@", '{"metadata":@}'],
    "DELETE /langgraph/threads/<thread_id>": ["@"],
    "POST /langgraph/threads/<thread_id>/runs": RUNS,
    "POST /langgraph/threads/<thread_id>/runs/stream": RUNS,
    "POST /langgraph/threads/<thread_id>/runs/wait": RUNS,
    "POST /langgraph/runs": RUNS,
    "POST /langgraph/runs/stream": RUNS,
    "POST /langgraph/runs/wait": RUNS,
    "POST /langgraph/assistants": ["@", '{"graph_id":@}'],
    "POST /langgraph/assistants/search": ["@", '{"metadata":@}'],
    "POST /langgraph/assistants/count": ["@", '{"metadata":@}', '{"name":@}'],
    "PATCH /langgraph/assistants/<assistant_id>": ["@"],
    "DELETE /langgraph/assistants/<assistant_id>": ["@"],
    "POST /langgraph/assistants/<assistant_id>/latest": ["@"],
    "POST /langgraph/assistants/<assistant_id>/versions": ["@", '{"metadata":@}'],
    "POST /langgraph/threads/<thread_id>/history": ["@", '{"checkpoint":@}', '{"before":@}'],
    "POST /langgraph/threads/<thread_id>/runs/<run_id>/cancel": ["@"],
    "POST /a2a": CALLING,
    "POST /a2a/": CALLING,
    "POST /a2a/message:send": SENDING,
    "POST /a2a/message:stream": SENDING,
    "POST /a2a/tasks/<task_id>:cancel": ["@"],
    "POST /a2a/tasks/<task_id>:subscribe": ["@"],
    "POST /a2a/tasks/<task_id>/pushNotificationConfigs": ["@"],
    "DELETE /a2a/tasks/<task_id>/pushNotificationConfigs/<config_id>": ["@"],
    "POST /mcp": [
        "@",
        '{"jsonrpc":"2.0","id":@,"method":"ping"}',
        f"{RPC}@}}",
        f'{RPC}"initialize","params":@}}',
        f'{RPC}"initialize","params":{{"protocolVersion":@,"capabilities":@}}}}',
        f'{ASK},"arguments":@}}}}',
        f'{ASK},"arguments":{{"message":@,"session":@}}}}}}',
        f'{ASK},"arguments":{{"message":"hi"}},"_meta":{{"progressToken":@}}}}}}',
        f'{ASK},"_meta":{{{NOW},"io.modelcontextprotocol/clientCapabilities":@}}}}}}',
        f'{RPC}"tools/call","params":{{"name":@}}}}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":@}}',
        '{"jsonrpc":"2.0","id":"v.r.s","result":{"action":"accept","content":@}}',
        '{"jsonrpc":"2.0","id":"j.r.s","result":{"action":"accept","content":{"answer":@}}}',
    ],
    "POST /v1/responses/<response_id>/cancel": ["@"],
    "DELETE /v1/responses/<response_id>": ["@"],
}
#: Routes whose bodies are read by what another route of the table has, with all of its places.
SAME_READER = {
    "POST /a2a/",
    "POST /a2a/message:stream",
    "POST /langgraph/threads/<thread_id>/runs",
    "POST /langgraph/threads/<thread_id>/runs/stream",
    "POST /langgraph/threads/<thread_id>/runs/wait",
    "POST /langgraph/runs/stream",
    "POST /langgraph/runs/wait",
}
ANSWERS = (200, 202, 204, 400, 404, 405, 409, 413, 422)
#: What a host ends a turn or a request with that has met a fault of its own.
FAULTS = (b"internal_error", b"agent_error", b"worker_", b"output_too_large", b"Traceback")


@pytest.fixture(scope="module")
def client() -> Iterator[ReadingClient]:
    """A client of one worker with Redis, whose scripts read JSON too."""
    env = {
        "AGENT_TOKENS": "dev=acme",
        "AGENT_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "AGENT_MAX_TURNS_PER_TENANT": "1000",
        "AGENT_RATE_LIMIT": "1000000/minute",
        "AGENT_KEEPALIVE_SECONDS": "0.5",  # at which streams without an end are left
    }
    with redis_server() as store:
        env["AGENT_REDIS_URL"] = store.url
        with gunicorn("tests.support.apps:scripted_app()", threads=24, env=env) as server:
            yield ReadingClient(server)


def test_every_writing_route_is_tried() -> None:
    """A new one belongs into the table above."""
    assert set(PLACES) == set(WRITING)


@pytest.mark.parametrize("name", WRITING)
def test_no_wire_stumbles_over_hostile_json(client: ReadingClient, name: str) -> None:
    """Whatever the value and its place: an answer, or a refusal with a code, and no fault."""
    stumble(client, name, ["@"] if name in SAME_READER else PLACES[name], EDGES)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_no_wire_stumbles_at_any_depth(client: ReadingClient, name: str) -> None:
    """The same with every depth, and in every place of routes that share what reads them."""
    stumble(client, name, PLACES[name], HOSTILE)


def stumble(
    client: ReadingClient, name: str, places: Sequence[str], values: Mapping[str, str]
) -> None:
    """Send a route each value in each place; fails when it meets a fault of its own."""
    with unharmed(client):
        for place in places:
            for what, value in values.items():
                session = new_session()
                body = place.replace("$", session).replace("@", value).encode()
                with opened(client.server, name, Target(session), JSON, body=body) as answer:
                    told = read_all(answer)
                assert answer.status < 500, (place, what, told[:300])
                assert not [fault for fault in FAULTS if fault in told], (place, what, told[:300])
                assert answer.status in ANSWERS, (place, what, told[:300])


@pytest.mark.parametrize("name", WRITING)
def test_no_wire_takes_a_body_that_is_too_large(client: ReadingClient, name: str) -> None:
    """413 for one byte too many, announced; a route without a body does not read it."""
    reads_none = name.startswith(("DELETE", "PATCH /langgraph/assistants")) or name.endswith(
        (
            *("/ticket", ">/cancel", "/files", ":cancel", ":subscribe", "/copy", "/latest"),
            "/pushNotificationConfigs",
        )
    )
    with unharmed(client):
        for size in (MAX_BODY_BYTES + 1, 10 * MAX_BODY_BYTES):
            body = b'"' + (size - 2) * b"x" + b'"'
            answer = send(client.server, name, headers=JSON, body=body)
            if answer.status == 413:
                assert answer.code in ("too_large", "")
            else:
                assert reads_none, answer


def test_an_answer_to_a_question_may_be_hostile(client: ReadingClient) -> None:
    """What answers a question goes through the store to the agent and out to the readers."""
    with unharmed(client):
        for what, value in HOSTILE.items():
            session = new_session()
            with client.chat(session, {"ask": "What?"}) as stream:
                request_id = stream.until("input_request")[-1].data["request_id"]
                body = f'{{"request_id":"{request_id}","value":{value}}}'.encode()
                answer = client.call("POST", f"/chat/{session}/input", body=body, headers=JSON)
                assert answer.status in (200, 400, 422), what
                if answer.status == 200:
                    assert stream.until("done"), what
                else:
                    assert client.cancel(session)["cancelled"] is True


FRAMES: list[str] = [
    "@",
    '{"type":"message","content":"hi","metadata":{"x":@}}',
    '{"type":"message","content":@}',
    '{"type":"cancel","turn_id":@}',
    '{"type":"input","request_id":"r","value":@}',
    '{"type":"resume","last_event_id":@}',
    '{"type":@}',
]


def test_a_websocket_does_not_stumble_either(client: ReadingClient) -> None:
    """Each message gets its events or an error, on a connection that goes on."""
    url = f"ws://127.0.0.1:{client.server.port}/agents/ws/chat/{new_session()}"
    with unharmed(client), closing(WebSocket(url, headers=DEV)) as connection:
        for frame in FRAMES:
            for what, value in HOSTILE.items():
                connection.send(frame.replace("@", value))
                connection.send(MARK)  # a refusal that nothing else gets
                told = read_until_mark(connection)
                codes = {one["code"] for one in told if one["type"] == "error"}
                assert codes <= CODES, (frame, what, codes)


#: What a message may be refused with.
CODES = {"invalid_json", "invalid_request", "no_pending_input", "session_busy", "too_large"}
MARK = '{"type":"cancel","mark":1}'


def read_until_mark(connection: Any) -> list[dict[str, Any]]:
    """The messages up to the refusal of the mark."""
    found: list[dict[str, Any]] = []
    while not found or found[-1].get("details", {}).get("field") != "mark":
        text = connection.receive(timeout=15)
        assert text is not None, found
        found.append(json.loads(text))
    return found
