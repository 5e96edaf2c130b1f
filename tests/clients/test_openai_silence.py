"""A silent turn in OpenAI's wires: its keep-alives are blocks, which clients pass over."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.clients.openai_host import doing, new_client
from tests.support.servers import Gunicorn
from tests.support.shared_servers import SharedServers
from wsgi_app.auth import DEVELOPMENT_TOKEN

STEPS = ({"text": "Hel"}, {"wait": 0.8}, {"text": "lo"})
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def server(servers: SharedServers) -> Gunicorn:
    """A host that is silent for no longer than 0.2 s."""
    return servers.get()


@pytest.mark.parametrize(
    ("path", "asked"),
    [("chat/completions", {"messages": MESSAGES}), ("responses", {"input": "hi"})],
)
def test_a_gateway_that_passes_on_blocks_gets_them(
    server: Gunicorn, path: str, asked: dict[str, Any]
) -> None:
    """An empty line ends each keep-alive, so that nobody holds it back for an event."""
    body = {"model": "any", "stream": True, **asked, **doing(*STEPS)}
    headers = {"Authorization": f"Bearer {DEVELOPMENT_TOKEN}"}
    url = f"{server.url}/agents/v1/{path}"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=15) as answer:
        blocks = answer.text.split("\n\n")
    assert 2 <= blocks.count(": keep-alive") <= 5


def test_the_openai_package_passes_over_them(server: Gunicorn) -> None:
    """Text comes whole, and no event out of nothing, in both APIs."""
    with new_client(server.url) as client:
        chunks = client.chat.completions.create(
            model="any", messages=MESSAGES, stream=True, extra_body=doing(*STEPS)
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
        events = list(
            client.responses.create(model="any", input="hi", stream=True, extra_body=doing(*STEPS))
        )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert texts == ["Hel", "lo"]
