"""One tenant's readers that only wait leave threads to the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.security.routes import bearer, opened
from tests.security.samples import Target
from tests.support.client import new_session
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Gunicorn, Server, gunicorn
from tests.support.service import project_nginx

ALPHA, BETA = "alpha-token", "beta-token"
THREADS = 64
SLOTS = 56
SHARE = 28
APP = "tests.support.apps:scripted_app()"


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """One worker with gunicorn.conf.py, for two tenants."""
    env = {"AGENT_TOKENS": f"{ALPHA}=alpha,{BETA}=beta"}
    with gunicorn(
        APP, workers=1, threads=THREADS, env=env, config=ROOT / "gunicorn.conf.py"
    ) as host:
        yield host


@pytest.fixture(params=["gunicorn", pytest.param("nginx", marks=pytest.mark.slow)])
def entry(request: pytest.FixtureRequest, server: Gunicorn) -> Iterator[Server]:
    """The worker, straight and through the project's nginx."""
    if request.param == "gunicorn":
        yield server
        return
    with project_nginx([server]) as proxy:
        yield proxy


def check_beta(server: Server) -> None:
    """Fail unless another tenant's turns, streams and waits are served."""
    beta = ReadingClient(server, BETA)
    session = new_session()
    assert beta.chat_json(session, {"text": "x"}).json["reply"] == "x"
    with beta.stream("GET", f"/events?session={session}") as stream:
        stream.wait_comments(1)


def test_idle_readers_take_no_more_than_their_share(entry: Server) -> None:
    """Of 56 streams of one tenant half are served; its turns start all the same."""
    with ExitStack() as stack:
        statuses = []
        for _ in range(SLOTS):
            alpha = ReadingClient(entry, ALPHA)
            stream = stack.enter_context(alpha.stream("GET", f"/events?session={new_session()}"))
            statuses.append(stream.status)
            if stream.status == 200:
                stream.wait_comments(1)
        assert statuses == [200] * SHARE + [429] * (SLOTS - SHARE)
        check_refusal(
            alpha.call("GET", f"/events?session={new_session()}"), 429, "too_many_readers"
        )
        check_beta(entry)
        assert alpha.chat_json(new_session(), {"text": "x"}).status == 200


def test_idle_websockets_count_too(entry: Server) -> None:
    """A WebSocket holds a thread for as long as it is open, whether a turn runs or not."""
    name = "WS /ws/chat/<session_id>"
    with ExitStack() as stack:
        statuses = []
        for _ in range(SLOTS):
            answer = opened(entry, name, Target(new_session()), bearer(ALPHA))
            statuses.append(stack.enter_context(answer).status)
        assert statuses == [101] * SHARE + [429] * (SLOTS - SHARE)
        check_beta(entry)


def test_a_repeated_start_is_a_waiting_reader(server: Gunicorn) -> None:
    """A client that attaches to a turn by its idempotency key counts as readers do."""
    alpha, session = ReadingClient(server, ALPHA), new_session()
    headers = {"Idempotency-Key": "one"}
    body = {"message": "hi", "metadata": {"steps": [{"hold": 1}]}}
    with ExitStack() as stack:
        statuses = []
        for _ in range(SLOTS):
            stream = alpha.stream("POST", f"/chat/{session}", body, headers=headers)
            stack.enter_context(stream)
            statuses.append(stream.status)
            if stream.status == 200:
                stream.wait_comments(1)
        assert statuses == [200] * (SHARE + 1) + [429] * (SLOTS - SHARE - 1)
        check_beta(server)
        alpha.cancel(session)


def test_the_share_is_a_setting() -> None:
    """AGENT_MAX_SLOTS_PER_TENANT names it, for a site whose users are one tenant."""
    env = {"AGENT_MAX_SLOTS_PER_TENANT": "2"}
    with gunicorn(APP, threads=16, env=env) as server, ExitStack() as stack:
        client = ReadingClient(server)
        for _ in range(2):
            stream = client.stream("GET", f"/events?session={new_session()}")
            stack.enter_context(stream).wait_comments(1)
        check_refusal(client.call("GET", "/events?session=one-more"), 429, "too_many_readers")
