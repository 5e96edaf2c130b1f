"""The command that most people try first, on a machine without Redis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from openai import AsyncOpenAI

from tests.support.processes import ROOT, clean_environment, free_port, started
from tests.support.reading import ReadingClient
from tests.support.servers import Server, answers_http
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent

COMMAND = "gunicorn --worker-class gthread --threads 8 --workers 2 --bind 0.0.0.0:8000 wsgi_app:app"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Two workers, started with the command as the README writes it but for the port."""
    port = free_port()
    command = COMMAND.replace(":8000", f":{port}")
    with started([sys.executable, "-m", *command.split()], cwd=ROOT) as process:
        found = Server(process, port)
        wait_for(lambda: answers_http(port), "the service answers", 30)
        yield found


def test_curl_streams_the_demo_answer(server: Server) -> None:
    """The curl of the README streams thinking, tool call, tool result, tokens and done."""
    answer = subprocess.run(
        [
            *("curl", "-sN", "-X", "POST", f"http://localhost:{server.port}/chat/s-1"),
            *("-H", "Authorization: Bearer dev", "-H", "Content-Type: application/json"),
            *("-d", '{"message":"what is 12*34?"}'),
        ],
        capture_output=True,
        check=True,
        env=clean_environment(),
        text=True,
        timeout=60,
    ).stdout
    kinds = [
        line.split('"type":"')[1].split('"')[0] for line in answer.splitlines() if "type" in line
    ]
    in_order = list(dict.fromkeys(kinds))
    assert in_order == ["thinking", "tool_call", "tool_result", "token", "done"]
    assert "408" in answer.splitlines()[-2]


def test_cancel_and_delete_answer(server: Server) -> None:
    """Cancel and delete answer on whichever worker they land."""
    client = ReadingClient(server, prefix="")
    for _ in range(8):
        assert client.call("POST", "/chat/s-1/cancel").json["ok"] is True
        assert client.call("DELETE", "/session/s-1").json["ok"] is True


def test_two_workers_without_redis_are_warned_about(server: Server) -> None:
    """The log and /readyz say what does not work across workers, and what to set."""
    (warning,) = ReadingClient(server, prefix="").call("GET", "/readyz").json["warnings"]
    for word in ("2 workers", "AGENT_REDIS_URL", "cancel", "reconnect"):
        assert word in warning
    assert warning in server.log()


def test_one_warning_says_what_will_not_work(server: Server) -> None:
    """Each worker warns in one line that others are refused, and that no model answers."""
    lines = [line for line in server.log().splitlines() if "development mode" in line]
    assert len(lines) == 2
    for line in lines:
        assert " WARNING wsgi_app: " in line
        assert "requests through a proxy, get 401 until AGENT_TOKENS, AGENT_TOKENS_FILE" in line
        assert "no model answers, but the demo agent: set OPENAI_API_KEY" in line


def test_a_model_without_a_key_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted OpenAIAgent says so too, unless its server or client is the site's own."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert "OPENAI_API_KEY is not set" in OpenAIAgent("some-model").lack
    assert not OpenAIAgent("some-model", client=AsyncOpenAI(api_key="k")).lack
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert not OpenAIAgent("some-model").lack


def test_page_is_served(server: Server) -> None:
    """The chat page is at the root, and may load nothing from elsewhere."""
    answer = ReadingClient(server, prefix="").call("GET", "/")
    assert answer.status == 200
    assert b"<html" in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
