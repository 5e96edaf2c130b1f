"""llama.cpp's server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from signal import SIGTERM

import pytest

from tests.models.llama_cpp import llama_cpp
from tests.models.rules import STOP_SECONDS, Note, StoppingRules, Talk
from tests.models.server import ModelServer

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """Run the server."""
    with llama_cpp() as model:
        yield model


class TestLlamaCpp(StoppingRules):
    """Two slots, each with a context of its own."""

    def test_the_server_is_asked_to_end_in_mid_answer(
        self, talk: Talk, model: ModelServer, record_property: Note
    ) -> None:
        """However long it says nothing then, the turn goes on, and is said to have broken off."""
        with talk.start("endless") as stream:
            stream.until("token")
            model.program.process.signal(SIGTERM)
            frames = list(stream)
        silence = max(b.at - a.at for a, b in zip(frames, frames[1:]))
        record_property("silence at SIGTERM, seconds", round(silence, 1))
        last = frames[-1].data
        assert (last["type"], last["code"], last["retryable"]) == ("error", "upstream_error", True)
        model.program.kill()
        model.program.start()
        assert talk.reply("hi").endswith("answer. 🙂")

    def test_a_turn_is_stopped_in_the_silence_of_a_server_that_ends(
        self, talk: Talk, model: ModelServer
    ) -> None:
        """A cancel needs nothing of a server that was asked to end."""
        with talk.start("endless") as stream:
            stream.until("token")
            model.program.process.signal(SIGTERM)
            began = time.monotonic()
            talk.cancel()
            assert list(stream)[-1].data["type"] == "cancelled"
            assert time.monotonic() - began < STOP_SECONDS
        model.program.kill()
        model.program.start()
