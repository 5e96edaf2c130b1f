"""A new release takes over under readers behind nginx: no token is lost, none comes twice."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest

from tests.support.processes import free_port, started
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, answers_http, redis_server
from tests.support.service import CONFIG, SCRIPTED, project_nginx
from tests.support.sse import Frame, text_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

READERS = 10
HALF = {"tokens": 20, "pause": 0.05}
#: In its middle the turn waits for the test, which says when the old release shall leave.
STEPS = (HALF, {"ask": "Go on?"}, HALF)
WORDS = "".join(f"w{number} " for number in range(1, 21))
REPLY = f"{WORDS}yes{WORDS}"
#: What systemd does for a service of a socket (sd_listen_fds(3)): the socket is file 3, and the
#: variables say so to the process they name.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Release(NamedTuple):
    """What runs at the moment, and the way to it."""

    stack: ExitStack
    listener: socket.socket
    store: Redis
    client: ReadingClient
    old: Gunicorn


@contextmanager
def gunicorn_on(listener: socket.socket, store: Redis) -> Iterator[Gunicorn]:
    """Run gunicorn with the project's configuration on a socket that it is handed."""
    port = listener.getsockname()[1]
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(CONFIG), SCRIPTED]
    launcher = [sys.executable, "-c", LAUNCHER, str(listener.fileno())]
    env = {
        "AGENT_TOKENS": "dev=demo-tenant",
        "AGENT_REDIS_URL": store.url,
        # Wherever else it would listen, it must not matter.
        "PORT": str(free_port()),
        "WEB_CONCURRENCY": "2",
    }
    with started([*launcher, *gunicorn], env=env, pass_fds=[listener.fileno()]) as process:
        yield Gunicorn(process, port)


@pytest.fixture
def release() -> Iterator[Release]:
    """The old release behind nginx, with a socket that outlives it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", free_port())))
        store = stack.enter_context(redis_server())
        old = stack.enter_context(gunicorn_on(listener, store))
        proxy = stack.enter_context(project_nginx([old]))
        client = ReadingClient(proxy)
        wait_for(lambda: answers_http(old.port), "the old release", 60)
        yield Release(stack, listener, store, client, old)


@pytest.mark.parametrize("way", ["another gunicorn", "HUP"])
def test_new_release_takes_over_under_live_readers(release: Release, way: str) -> None:
    """Whether another gunicorn serves the same socket or HUP brings new workers: nobody notices."""
    client = release.client
    with ExitStack() as stack:
        sessions = [f"live-{number}" for number in range(READERS)]
        streams = [stack.enter_context(client.chat(one, *STEPS)) for one in sessions]
        seen = [stream.until("input_request") for stream in streams]
        with client.chat("cut", *STEPS, on_disconnect="continue") as cut:
            seen_before_cut = cut.until("input_request")

        old_has_left = replace(release) if way == "another gunicorn" else reload(release)
        for session_id, frames in zip([*sessions, "cut"], [*seen, seen_before_cut], strict=True):
            answer(client, session_id, frames[-1])

        for frames, stream in zip(seen, streams, strict=True):
            check_whole(frames + list(stream))
            assert stream.ended == "clean"
    wait_for(old_has_left, "the old release has left", 60)
    # Its turn ran on the old release; the rest comes from what that has left in the store.
    check_whole(seen_before_cut + client.replay("cut", seen_before_cut[-1].id or ""))
    assert client.chat_json("live-0", {"text": "next"}).json["turn_id"] == "2"


def replace(release: Release) -> Callable[[], bool]:
    """Start the next gunicorn on the socket, then end the old one; tells when that has left."""
    new = release.stack.enter_context(gunicorn_on(release.listener, release.store))
    wait_for(lambda: serving_pid(new) in new.worker_pids(), "the new release", 60)
    release.old.signal(signal.SIGTERM)
    return lambda: not release.old.running()


def reload(release: Release) -> Callable[[], bool]:
    """Let gunicorn replace its workers; tells when the old ones have left."""
    old = set(release.old.worker_pids())
    release.old.signal(signal.SIGHUP)
    wait_for(lambda: serving_pid(release.old) not in old, "the new workers", 60)
    return lambda: not old & set(release.old.worker_pids())


def answer(client: ReadingClient, session_id: str, question: Frame) -> None:
    """Let a turn go on."""
    body = {"request_id": question.data["request_id"], "value": "yes"}
    assert client.call("POST", f"/chat/{session_id}/input", body).status == 200


def serving_pid(server: Gunicorn) -> int:
    """The process that happens to take a new connection; nginx would go on using its old ones."""
    return int(ReadingClient(server, prefix="").call("GET", "/pid").json)


def check_whole(frames: list[Frame]) -> None:
    """Fail unless these are all tokens of the turn, each once, and its end."""
    assert frames[-1].data["type"] == "done"
    assert text_of(frames) == frames[-1].data["reply"] == REPLY
    numbers = [int((frame.id or "").partition("-")[2]) for frame in frames]
    assert numbers == sorted(set(numbers))
