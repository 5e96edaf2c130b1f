"""llama.cpp's server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.llama_cpp import llama_cpp
from tests.models.rules import StoppingRules
from tests.models.server import ModelServer

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Run the server."""
    with llama_cpp() as model:
        yield model


class TestLlamaCpp(StoppingRules):
    """Two slots, each with a context of its own."""
