"""LiteLLM's proxy before the host: client, gateway, host, llama.cpp's server."""

from __future__ import annotations

import time
from collections.abc import Iterator

import openai
import pytest

from tests.models.chain import SUM, answer
from tests.models.gateways import litellm
from tests.models.llama_cpp import llama_cpp
from tests.models.rules import (
    HANG_UPS,
    KEY,
    ORPHAN_SECONDS,
    TURN_SECONDS,
    Note,
    chat_text,
    milliseconds,
)
from tests.models.server import ModelServer
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Run the model's server."""
    with llama_cpp() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Gunicorn) -> Iterator[openai.OpenAI]:
    """Run the gateway, and make a client of it."""
    behind = {
        "model": "openai/agent",
        "api_base": f"{server.url}/chat/v1",
        "api_key": DEVELOPMENT_TOKEN,
    }
    with litellm({"agent": behind}) as gateway:
        base_url = f"{gateway.url}/v1"
        with openai.OpenAI(base_url=base_url, api_key=KEY, timeout=TURN_SECONDS) as client:
            yield client


class TestLiteLLMBeforeTheHost:
    """It passes on what the host says."""

    def test_completions(self, client: openai.OpenAI) -> None:
        """Text streams; the agent's own tools stay inside."""
        assert chat_text(client, "agent", "hi") == answer(0)
        assert chat_text(client, "agent", "please add") == SUM

    def test_responses(self, client: openai.OpenAI) -> None:
        """A conversation goes on from its last response."""
        first = client.responses.create(model="agent", input="hi")
        assert first.output_text == answer(0)
        second = client.responses.create(model="agent", input="on", previous_response_id=first.id)
        assert second.output_text == answer(1)

    def test_a_hang_up(
        self, client: openai.OpenAI, model: ModelServer, record_property: Note
    ) -> None:
        """It reaches the host, which stops the model once nobody has come back."""
        seconds = []
        for _ in range(HANG_UPS):
            with client.chat.completions.create(
                model="agent", messages=[{"role": "user", "content": "endless"}], stream=True
            ) as chunks:
                next(chunks)
                wait_for(model.busy, "the model works", TURN_SECONDS)
            began = time.monotonic() + ORPHAN_SECONDS
            wait_for(lambda: not model.busy(), "the model works on nothing", TURN_SECONDS)
            seconds.append(time.monotonic() - began)
        record_property("hang-up", milliseconds(seconds))
