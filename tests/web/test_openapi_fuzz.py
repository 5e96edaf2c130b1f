"""Requests that schemathesis makes of /openapi.json: no answer but those that it describes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.contract import Contract
from tests.support.openapi_app import KINDS, SETTINGS
from tests.support.servers import gunicorn, redis_server

CHECKS = [
    *(status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]
FEW, MANY = 2, 50
#: Nothing that a request may ask for takes long.
QUICK = {
    **SETTINGS,
    "AGENT_INPUT_TIMEOUT_SECONDS": "0.2",
    "AGENT_TURN_TIMEOUT_SECONDS": "0.5",
}
#: Their streams go on for good; they are left after so long without a byte.
ENDLESS = ("get_many_events", "get_admin_events")
SILENCE_SECONDS = 0.3
#: So that requests meet each other's sessions and turns.
SESSION_IDS = st.sampled_from([f"s-{number}" for number in range(4)])
WORDS = st.sampled_from(list(KINDS))
#: Bodies that the routes understand, with a word for the agent and a session.
BODIES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "post_new_chat": lambda word, session: {"message": word, "session_id": session},
    "post_chat": lambda word, _: {"message": word},
    "post_ag_ui": lambda word, session: {
        "threadId": session,
        "runId": word,
        "messages": [{"role": "user", "content": word}],
        "resume": None,
    },
    "post_ai_sdk_chat": lambda word, session: {
        "id": session,
        "message": None,
        "messages": [{"role": "user", "parts": [{"type": "text", "text": word}]}],
    },
    "post_chat_completions": lambda word, _: {
        "messages": [{"role": "user", "content": word}],
        "n": 1,
    },
    "post_responses": lambda word, _: {
        "input": word,
        "previous_response_id": None,
        "conversation": None,
    },
}
ACCEPTS = st.sampled_from(["text/event-stream", "application/json", "*/*"])


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[str]]:
    """Where the routes are of a host without, and of one with Redis."""
    app = "tests.support.openapi_app:openapi_app()"
    # What gunicorn itself refuses is not the host's answer.
    args = ["--limit-request-line=0", "--limit-request-field_size=0"]
    with redis_server() as redis, ExitStack() as stack:
        urls = []
        for env in (QUICK, {**QUICK, "AGENT_REDIS_URL": redis.url}):
            server = stack.enter_context(gunicorn(app, threads=16, env=env, args=args))
            urls.append(f"{server.url}/agents")
        yield urls


@st.composite
def _cases(draw: st.DrawFn, operation: Any, mode: GenerationMode) -> Case[Any]:
    """A request of schemathesis, half of the time with what the host can do something with."""
    case: Case[Any] = draw(operation.as_strategy(generation_mode=mode))
    case.headers["Accept"] = draw(ACCEPTS)
    if draw(st.integers(0, 7)) != 5:
        # Else with the login that schemathesis has made up.
        case.headers["Authorization"] = "Bearer dev"
        case.query.pop("ticket", None)
    if draw(st.booleans()):
        name, session = operation.definition.raw["operationId"], draw(SESSION_IDS)
        if "session_id" in case.path_parameters:
            case.path_parameters["session_id"] = session
        if name in BODIES:
            given_body = case.body if isinstance(case.body, dict) else {}
            case.body = {**given_body, **BODIES[name](draw(WORDS), session)}
    return case


def _try_routes(urls: list[str], examples: int) -> dict[int, int]:
    """Send each host so many requests for a route that keep its rules, and as many that break them.

    Returns how often each status came.
    """
    schema = schemathesis.openapi.from_url(f"{urls[0]}/openapi.json")
    contract = Contract(schema.raw_schema)
    statuses: dict[int, int] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        for mode in GenerationMode:
            if mode.is_negative and not _can_be_wrong(operation):
                continue

            @given(case=_cases(operation, mode))
            @settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def run(case: Case[Any]) -> None:
                for url in urls:
                    status = _send(url, contract, case)
                    statuses[status] = statuses.get(status, 0) + 1

            run()
    return statuses


def _can_be_wrong(operation: Any) -> bool:
    described = operation.definition.raw
    return bool(described["parameters"] or described["security"] or "requestBody" in described)


def _send(url: str, contract: Contract, case: Case[Any]) -> int:
    described = case.operation.definition.raw
    if described["operationId"] in ENDLESS:
        return _read_for_a_while(url, contract, case)
    answer = case.call(base_url=url, timeout=20)
    headers = requests.structures.CaseInsensitiveDict(
        {name: values[0] for name, values in answer.headers.items()}
    )
    contract.check(described, answer.status_code, headers, answer.content)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code


def _read_for_a_while(url: str, contract: Contract, case: Case[Any]) -> int:
    body = b""
    sent = case.as_transport_kwargs(base_url=url)
    with requests.request(**sent, stream=True, timeout=(20, SILENCE_SECONDS)) as answer:
        try:
            for chunk in answer.iter_content(None):
                body += chunk
        except requests.ConnectionError:
            pass  # silence
    contract.check(case.operation.definition.raw, answer.status_code, answer.headers, body)
    return answer.status_code


@pytest.mark.slow
def test_answers_are_described(hosts: list[str]) -> None:
    """A few requests to every route, right and wrong ones."""
    statuses = _try_routes(hosts, FEW)
    assert {200, 204, 401, 404, 422} <= set(statuses), statuses


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_answers_are_described(hosts: list[str]) -> None:
    """Many requests to every route, right and wrong ones."""
    statuses = _try_routes(hosts, MANY)
    assert {200, 204, 400, 401, 404, 409, 422, 500, 502} <= set(statuses), statuses


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_systematic_requests(hosts: list[str], tmp_path: Path) -> None:
    """Schemathesis' own command finds nothing: each bound from both sides, each wrong method."""
    checks = (
        "status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,unsupported_method,negative_data_rejection,ignored_auth"
    )
    # Streams without an end; a WebSocket; what this machine itself may read without a login.
    others = ("/events", "/admin/events", "/ws/chat/{session_id}", "/metrics")
    for url in hosts:
        command = [str(Path(sys.executable).with_name("st")), "run", f"{url}/openapi.json"]
        command += ["--url", url, "--header", "Authorization: Bearer dev", "--seed", "1"]
        command += ["--phases", "coverage", "--checks", checks, "--request-timeout", "20"]
        command += [f"--exclude-path={path}" for path in others]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stdout
