"""Portkey's gateway before the host: a silent turn does not look dead."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from tests.clients.openai_host import doing
from tests.models.gateways import portkey, portkey_headers
from tests.models.server import Program
from tests.support.servers import Gunicorn, gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

pytestmark = [pytest.mark.models, pytest.mark.timeout(300)]

SILENCE_SECONDS = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Run a host that is silent for no longer than 0.5 s."""
    with gunicorn(
        "tests.support.apps:scripted_app()", env={"AGENT_KEEPALIVE_SECONDS": "0.5"}
    ) as it:
        yield it


@pytest.fixture(scope="module")
def gateway() -> Iterator[Program]:
    """Run the gateway."""
    with portkey() as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("responses", {"input": "hi"}),
    ],
)
def test_keep_alives_come_through(
    server: Gunicorn, gateway: Program, path: str, asked: dict[str, object]
) -> None:
    """A client behind the gateway hears something all the time, and gets the whole text."""
    steps = doing({"text": "Hel"}, {"wait": SILENCE_SECONDS}, {"text": "lo"})
    headers = {
        "Authorization": f"Bearer {DEVELOPMENT_TOKEN}",
        **portkey_headers(f"{server.url}/agents/v1"),
    }
    body = {"model": "any", "stream": True, **asked, **steps}
    url = f"{gateway.url}/v1/{path}"
    heard, text = [time.monotonic()], b""
    with requests.post(url, json=body, headers=headers, stream=True, timeout=30) as answer:
        for piece in answer.iter_content(None):
            heard.append(time.monotonic())
            text += piece
    assert max(later - earlier for earlier, later in zip(heard, heard[1:])) < SILENCE_SECONDS - 1
    assert b"Hel" in text
    assert text.rstrip().endswith(b"[DONE]") or b"response.completed" in text
