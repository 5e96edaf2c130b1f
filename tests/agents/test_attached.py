"""What comes with a message reaches the model of each kind of agent, as its framework takes it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.openai_host import new_client
from tests.support.agent_kinds import KINDS
from tests.support.kinds_app import prefix_of
from tests.support.servers import Gunicorn, gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text
from wsgi_app.auth import DEVELOPMENT_TOKEN

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
PDF = base64.b64encode(b"%PDF-1.7 and more").decode()
IMAGE = f"data:image/png;base64,{PNG}"
FILE = f"data:application/pdf;base64,{PDF}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Gunicorn]:
    """One worker."""
    env = {**upstream.environment, "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=tenant"}
    with gunicorn("tests.support.kinds_app:app()", threads=8, env=env) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_shown_what_came(server: Gunicorn, upstream: Upstream, kind: str) -> None:
    """An image, one that is elsewhere and a document go to the provider, beside the text."""
    upstream.script(Text(("A heart.",)))
    client = new_client(server.url, max_retries=0).with_options(
        base_url=f"{server.url}{prefix_of(kind)}/v1"
    )
    content: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
    ]
    answer = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": content}]
    )
    assert answer.choices[0].message.content == "A heart."
    body = upstream.requests[-1].body
    newest = (body.get("messages") or body["input"])[-1]
    parts = {part["type"]: part for part in newest["content"]}
    expected = {"chat": {"text", "image_url", "file"}}.get(
        kind.rpartition(" ")[2], {"input_text", "input_image", "input_file"}
    )
    assert set(parts) == expected
    told = json.dumps(newest)
    for shown in ("What is it?", PNG, "https://example.org/a.png", PDF):
        assert shown in told, shown
