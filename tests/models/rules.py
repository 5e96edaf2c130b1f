"""What holds through every model server and gateway, for each of the two APIs.

The figures of a stop are milliseconds from the client's request (or its hang-up, less the time that
the host waits for the client to come back) until the server has no request in hand.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import openai
import pytest

from tests.models.app import APIS
from tests.models.chain import SUM, answer
from tests.models.server import ModelServer
from tests.support.client import Client, new_session
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.sse import Frame, Stream, text_of
from tests.support.waiting import POLL_SECONDS, wait_for
from wsgi_app.agents.shorter_history import SHORTENED
from wsgi_app.auth import DEVELOPMENT_TOKEN

#: A client that is gone so long does not come back.
ORPHAN_SECONDS = 1
#: How often a stop is timed.
STOPS = 7
HANG_UPS = 3
#: Between two looks while a stop is timed, each of which takes a request.
LOOK_SECONDS = 0.001
#: Far above what is seen, far below what an answer to its end takes.
STOP_SECONDS = 1.0
#: A model that works so long after a stop works to its answer's end.
UNSTOPPED_SECONDS = 5.0
TURN_SECONDS = 60.0
#: What gateways want of their clients.
KEY = "sk-tests"
Note = Callable[[str, object], None]


@contextmanager
def host_before(model: ModelServer, **env: str) -> Iterator[Gunicorn]:
    """Run the host with two workers, whose agents ask this model."""
    with redis_server() as store:
        settings = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=tenant",
            "AGENT_ORPHAN_SECONDS": str(ORPHAN_SECONDS),
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": KEY,
            "SITE_MODEL": model.model,
            "SITE_HEADERS": json.dumps(model.headers),
            **env,
        }
        with gunicorn("tests.models.app:make()", workers=2, threads=24, env=settings) as server:
            yield server


class Talk:
    """One user's session with one agent. Used by one thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.session = new_session()

    def start(self, message: str) -> Stream:
        """Begin a turn."""
        body = {"message": message}
        return self._client.stream("POST", f"/chat/{self.session}", body, seconds=TURN_SECONDS)

    def say(self, message: str) -> list[Frame]:
        """Run a turn to its end."""
        with self.start(message) as stream:
            return list(stream)

    def reply(self, message: str) -> str:
        """What is answered in a turn that ends well."""
        last = self.say(message)[-1].data
        assert last["type"] == "done", last
        reply: str = last["reply"]
        return reply

    def cancel(self) -> None:
        """Stop the running turn."""
        assert self._client.call("POST", f"/chat/{self.session}/cancel").json["cancelled"]


class ModelRules:
    """The rules; a module with a subclass has a fixture ``model``: the server it is about."""

    #: Whether the server's model ends its work when its client is gone; see `StoppingRules`.
    stops = False
    #: APIs in which a request that waits for a slot is not given up with its client.
    keeps_waiting: tuple[str, ...] = ()
    #: Words of a message that fit, and that do not fit together with three others.
    filling = "word " * 500

    @pytest.fixture(params=APIS)
    def api(self, request: pytest.FixtureRequest) -> str:
        """Each API in turn."""
        name: str = request.param
        return name

    @pytest.fixture
    def talk(self, server: Gunicorn, api: str) -> Talk:
        """Begin a session."""
        return Talk(Client(server, prefix=f"/{api}"))

    def test_an_answer_streams(self, talk: Talk) -> None:
        """Its text comes in pieces and whole, a character of several tokens too, and is counted."""
        frames = talk.say("hi")
        assert text_of(frames) == frames[-1].data["reply"] == answer(0)
        assert frames[-1].data["usage"]["output_tokens"] > 0

    def test_tools(self, talk: Talk) -> None:
        """The model calls a function, whose result reaches it."""
        frames = talk.say("please add")
        call, result = (
            next(frame.data for frame in frames if frame.data["type"] == kind)
            for kind in ("tool_call", "tool_result")
        )
        assert (call["tool"], call["input"]) == ("add", {"a": 20, "b": 22})
        assert (result["call_id"], result["output"]) == (call["call_id"], 42)
        assert frames[-1].data["reply"] == SUM

    def test_three_turns(self, talk: Talk) -> None:
        """The history reaches the model, and no server refuses it; a call within it as well."""
        assert talk.reply("hi") == answer(0)
        assert talk.reply("please add") == SUM
        assert talk.reply("and on") == answer(2)

    def test_a_cancel_stops_the_model(
        self, talk: Talk, model: ModelServer, api: str, record_property: Note
    ) -> None:
        """At once, whichever worker has the turn; and the session goes on."""
        if not self.stops:
            self._stop_turn_alone(talk, model)
            record_property(f"cancel, {api}", "never")
            return
        seconds = [self._time_stop(talk, model, Talk.cancel) for _ in range(STOPS)]
        record_property(f"cancel, {api}", milliseconds(seconds))
        assert statistics.median(seconds) < STOP_SECONDS, seconds
        assert talk.reply("hi") == answer(STOPS)

    def _time_stop(
        self, talk: Talk, model: ModelServer, stop: Callable[[Talk], None] | None
    ) -> float:
        assert model.busy() == 0
        with talk.start("endless") as stream:
            stream.until("token")
            assert model.busy() == 1
            began = time.monotonic()
            if stop is None:
                stream.abort()
            else:
                stop(talk)
            while model.busy():
                assert time.monotonic() - began < TURN_SECONDS, "the model works on"
                time.sleep(LOOK_SECONDS)
            seconds = time.monotonic() - began
            assert stop is None or list(stream)[-1].data["type"] == "cancelled"
        return seconds

    def _stop_turn_alone(self, talk: Talk, model: ModelServer) -> None:
        with talk.start("endless") as stream:
            stream.until("token")
            began = time.monotonic()
            talk.cancel()
            assert list(stream)[-1].data["type"] == "cancelled"
            assert time.monotonic() - began < STOP_SECONDS
        while time.monotonic() < began + UNSTOPPED_SECONDS:
            assert model.busy() == 1
            time.sleep(POLL_SECONDS)
        model.program.kill()
        model.program.start()
        assert talk.reply("hi") == answer(1)

    def test_a_full_context_is_emptied_by_whole_exchanges(self, talk: Talk) -> None:
        """The user is told, the turn is answered, and the next one as well."""
        replies, told = 0, False
        while not told:
            frames = talk.say(f"hi {self.filling}")
            told = any(frame.data.get("content") == SHORTENED for frame in frames)
            assert frames[-1].data["type"] == "done", frames[-1].data
            assert replies < 30, "the context is never full"
            replies += not told
        assert frames[-1].data["reply"] in [answer(number) for number in range(replies)]
        assert talk.reply("hi").endswith("answer. 🙂")

    def test_a_message_longer_than_the_context(self, talk: Talk) -> None:
        """Is refused with the reason, and does not stand in the way of the next one."""
        assert talk.reply("hi") == answer(0)
        last = talk.say("long " * 6_000)[-1].data
        assert (last["type"], last["code"], last["retryable"]) == ("error", "upstream_error", False)
        assert last["details"]["reason"] == "context_length_exceeded"
        assert talk.reply("hi") == answer(1)

    def test_the_server_is_restarted_in_mid_answer(self, talk: Talk, model: ModelServer) -> None:
        """The turn is said to have broken off, one without a server fails, and then all is well."""
        with talk.start("endless") as stream:
            stream.until("token")
            model.program.kill()
            last = list(stream)[-1].data
        assert (last["type"], last["code"], last["retryable"]) == ("error", "upstream_error", True)
        assert talk.say("hi")[-1].data["code"] == "upstream_error"
        model.program.start()
        assert talk.reply("hi").endswith("answer. 🙂")

    def test_a_client_of_the_openai_wire_before_the_host(self, server: Gunicorn, api: str) -> None:
        """The openai package streams what the model says, from one wire to the other."""
        with openai_client(f"{server.url}/{api}/v1") as client:
            assert chat_text(client, "agent", "hi") == answer(0)
            assert chat_text(client, "agent", "please add") == SUM
            events = client.responses.create(model="agent", input="please add", stream=True)
            pieces = [e.delta for e in events if e.type == "response.output_text.delta"]
            assert "".join(pieces) == SUM


class StoppingRules(ModelRules):
    """The rules of a server whose model ends its work when its client is gone."""

    stops = True

    def test_a_hang_up_stops_the_model(
        self, talk: Talk, model: ModelServer, api: str, record_property: Note
    ) -> None:
        """Once nobody has come back for a while."""
        seconds = [self._time_stop(talk, model, None) - ORPHAN_SECONDS for _ in range(HANG_UPS)]
        record_property(f"hang-up, {api}", milliseconds(seconds))
        assert statistics.median(seconds) < STOP_SECONDS, seconds

    def test_more_turns_than_slots(self, server: Gunicorn, api: str, model: ModelServer) -> None:
        """They wait for the model's time; one that is cancelled meanwhile is gone at once."""
        client = Client(server, prefix=f"/{api}")
        running = [Talk(client) for _ in range(3)]
        waiting = [Talk(client) for _ in range(3)]
        with ExitStack() as open_streams:
            streams = [open_streams.enter_context(talk.start("endless")) for talk in running]
            wait_for(lambda: model.busy() == 2, "two turns are answered", TURN_SECONDS)
            later = [open_streams.enter_context(talk.start("hi")) for talk in waiting]
            waiting[0].cancel()
            assert [frame.data["type"] for frame in later[0]][-1] == "cancelled"
            for talk, stream in zip(running, streams):
                talk.cancel()
                assert list(stream)[-1].data["type"] == "cancelled"
            for stream in later[1:]:
                assert list(stream)[-1].data["reply"] == answer(0)
        if api in self.keeps_waiting:
            model.program.kill()
            model.program.start()
        wait_for(lambda: not model.busy(), "the model works on nothing", TURN_SECONDS)


def milliseconds(seconds: Sequence[float]) -> list[int]:
    """For the table."""
    return [round(1000 * one) for one in sorted(seconds)]


def openai_client(base_url: str) -> openai.OpenAI:
    """The package's client, as it is."""
    return openai.OpenAI(base_url=base_url, api_key=DEVELOPMENT_TOKEN, timeout=TURN_SECONDS)


def chat_text(client: openai.OpenAI, model: str, message: str) -> str:
    """The text that a completion streams."""
    messages: Any = [{"role": "user", "content": message}]
    chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
