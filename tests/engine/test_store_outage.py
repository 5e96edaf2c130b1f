"""Redis goes away in mid-turn: the connected reader does not notice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise

import pytest

from tests.support.reading import ReadingClient
from tests.support.servers import Redis, gunicorn, redis_server
from tests.support.service import CONFIG, NAMESPACE, SCRIPTED, Service, service
from tests.support.waiting import wait_for
from wsgi_app.events import EventId

TOKENS = 270
PAUSE_SECONDS = 0.03  # 8 s of tokens, around an outage of 5 s
OUTAGE_SECONDS = 5.0
LATE_SECONDS = 1.0

Outage = Callable[[Service], AbstractContextManager[None]]


def wait_out(seconds: float) -> None:
    """Let an outage last."""
    threading.Event().wait(seconds)


@contextmanager
def stopped(shared: Service) -> Iterator[None]:
    """The server stands still: connections stay open, nothing answers."""
    shared.store.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        shared.store.signal(signal.SIGCONT)


@contextmanager
def paused(shared: Service) -> Iterator[None]:
    """CLIENT PAUSE: the server holds every answer back."""
    with shared.store.client() as client:
        client.client_pause(int(OUTAGE_SECONDS * 1000))
    yield


@contextmanager
def out_of_memory(shared: Service) -> Iterator[None]:
    """Writes are refused with OOM."""
    with shared.store.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        with shared.store.client() as client:
            client.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    "outage",
    [stopped, *(pytest.param(one, marks=pytest.mark.slow) for one in (paused, out_of_memory))],
)
def test_reader_gets_every_token_in_time_and_the_journal_catches_up(outage: Outage) -> None:
    """A live stream goes on through an outage, and is complete in the store afterwards."""
    with service(hosts=1, workers=1) as shared:
        client = shared.direct[0]
        client.chat_json("warm")
        threads_before = threads_of(client)
        connections_before = connections_to(shared.store)
        with client.chat("live", {"tokens": TOKENS, "pause": PAUSE_SECONDS}) as stream:
            stream.until("token")
            gaps = [stream.next(5)]
            with outage(shared), ThreadPoolExecutor(1) as pool:
                refused = pool.submit(refused_at_once, client)
                outage_ends = time.monotonic() + OUTAGE_SECONDS
                while time.monotonic() < outage_ends:
                    gaps.append(stream.next(5))
                refused.result()
            frames = [frame for frame in (*gaps, *stream) if frame is not None]
        arrivals = [frame.at for frame in frames if frame.data["type"] == "token"]
        assert max(b - a for a, b in pairwise(arrivals)) < LATE_SECONDS
        assert frames[-1].data["type"] == "done"
        wait_for(lambda: client.call("GET", "/readyz").status == 200, "ready again", 30)
        wait_for(lambda: client.session("live")["state"] == "idle", "the end is stored", 30)
        replayed = client.replay("live", "1-0")
        assert "".join(f.data["content"] for f in replayed[:-1]) == frames[-1].data["reply"]
        assert EventId.parse(replayed[-1].id or "") == EventId(1, TOKENS + 1)
        assert client.chat_json("next", {"text": "well"}).json["reply"] == "well"
        wait_for(lambda: threads_of(client) == threads_before, f"no more than {threads_before}", 15)
        wait_for(
            lambda: connections_to(shared.store) <= connections_before + 1,
            f"no more than {connections_before} connections and one for a request",
            15,
        )


def refused_at_once(client: ReadingClient) -> None:
    """New turns get 503 in about the store's time limit."""
    began = time.monotonic()
    answer = client.call("POST", "/chat/refused", {"message": "m"})
    assert (answer.status, answer.json["code"]) == (503, "store_unavailable")
    assert time.monotonic() - began < 2


def threads_of(client: ReadingClient) -> list[str]:
    """The names of the package's own threads in the host's only worker."""
    names: list[str] = ReadingClient(client.server, prefix="").call("GET", "/threads").json
    return names


def connections_to(store: Redis) -> int:
    """How many connections the hosts have to Redis."""
    with store.client() as client:
        return len(client.client_list()) - 1


@pytest.mark.slow
def test_store_that_comes_back_empty_is_repaired() -> None:
    """After a restart without data the running turn is complete again, old ones are gone."""
    with service(hosts=1, workers=1) as shared:
        client = shared.direct[0]
        client.chat_json("live", {"text": "old"})
        steps = {"tokens": TOKENS, "pause": PAUSE_SECONDS}
        with client.chat("live", steps, query="?marks=1") as stream:
            stream.until("token")
            port = shared.store.port
            shared.store.kill()
            refused_at_once(client)
            assert client.call("GET", "/readyz").status == 503
            with redis_server(port=port) as second:
                frames = list(stream)
                assert frames[-1].data["type"] == "done"
                wait_for(lambda: client.call("GET", "/readyz").status == 200, "ready", 30)
                marks = [c.text for c in stream.comments if c.text.startswith("run ")]
                check_repaired(client, second, marks[0].removeprefix("run "))


def check_repaired(client: ReadingClient, store: Redis, mark: str) -> None:
    """The turn that ran is complete; a reader of what is gone is told by a gap."""
    wait_for(lambda: client.session("live").get("state") == "idle", "the end is stored", 30)
    replayed = client.replay("live", "2-0")
    tokens = [f.data["content"] for f in replayed if f.data["type"] == "token"]
    assert "".join(tokens) == replayed[-1].data["reply"]
    assert client.replay("live", f"2-5.{mark}")[0].data["type"] == "token"  # the same run
    first, *_ = client.replay("live", "1-1")
    assert first.data["type"] == "gap"
    assert first.data["missed_after"] == "1-1"
    with store.client() as connection:
        assert connection.dbsize() > 0
    assert client.chat_json("live", {"text": "next"}).status == 200


def test_a_user_without_channels_is_told_at_the_start() -> None:
    """Where Redis refuses signals no worker is ready; the log and /readyz name the rule."""
    user = ("--user", "agents", "on", ">secret", "~*", "+@all", "resetchannels")
    with redis_server(args=user) as store:
        url = f"redis://agents:secret@127.0.0.1:{store.port}"
        env = {"AGENT_REDIS_URL": url, "AGENT_TOKENS": "dev=demo-tenant"}
        with gunicorn(SCRIPTED, workers=None, config=CONFIG, env=env) as server:
            answer = ReadingClient(server).call("GET", "/readyz")
            assert answer.status == 503
            rule = f"&agent@{NAMESPACE}:*"
            assert rule in " ".join(answer.json["warnings"])
            wait_for(lambda: rule in server.log(), "the log at the start")


def test_policy_that_drops_keys_is_reported() -> None:
    """A Redis that may evict sessions is told of in the log and in /readyz."""
    policy = ("--maxmemory-policy", "allkeys-lru")
    with service(hosts=1, workers=1, store_args=policy) as shared:
        client = shared.direct[0]
        assert client.chat_json("one", {"text": "a"}).status == 200
        (warning,) = client.call("GET", "/readyz").json["warnings"]
        assert "allkeys-lru" in warning
        assert warning in shared.log()
