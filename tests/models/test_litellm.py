"""LiteLLM's proxy between the host and llama.cpp's server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.gateways import litellm
from tests.models.llama_cpp import llama_cpp
from tests.models.rules import KEY, StoppingRules
from tests.models.server import ModelServer

pytestmark = [pytest.mark.models, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Run both."""
    with llama_cpp() as server:
        behind = {"model": "openai/scripted", "api_base": server.base_url, "api_key": KEY}
        with litellm({"scripted": behind}) as gateway:
            yield server.behind(gateway)


class TestThroughLiteLLM(StoppingRules):
    """As it comes, with no setting but where the model is."""

    keeps_waiting = ("responses",)
