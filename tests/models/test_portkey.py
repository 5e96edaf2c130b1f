"""Portkey's gateway between the host and llama.cpp's server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.gateways import portkey, portkey_headers
from tests.models.llama_cpp import llama_cpp
from tests.models.rules import ModelRules
from tests.models.server import ModelServer

pytestmark = [pytest.mark.models, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Run both."""
    with llama_cpp() as server, portkey() as gateway:
        yield server.behind(gateway, headers=portkey_headers(server.base_url))


class TestThroughPortkey(ModelRules):
    """As it comes: it hands no hang-up on."""
