"""An answer that is quicker than the journal of the worker that has asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from tests.store.steps import request
from wsgi_app import AgentHost, Turn
from wsgi_app.events import InputRequest, encode_event
from wsgi_app.store.base import Fence, SessionKey
from wsgi_app.web.mount import EXTENSION_KEY, Mount
from wsgi_app.wires.langgraph.request.commands import ResponseEntry
from wsgi_app.wires.langgraph.routes.commands import give_answers

KEY = SessionKey("acme", "thread")


def say(turn: Turn) -> str:
    """Answer."""
    return turn.message


@pytest.fixture
def app() -> Flask:
    """A host with a store in memory."""
    app = Flask("site")
    AgentHost(say, tokens="dev=acme").init_app(app, url_prefix="/agents")
    return app


@contextmanager
def asked_elsewhere(app: Flask) -> Iterator[Mount]:
    """A turn of another worker asks, and has it in its journal a moment later; it is answered."""
    (mount,) = app.extensions[EXTENSION_KEY].values()
    assert isinstance(mount, Mount)
    begun = mount.store.begin_turn(request(KEY, run_id="run", worker_id="elsewhere"))
    fence = Fence(KEY, begun.turn, "run")
    mount.store.open_input(fence, "q")
    asked = encode_event(InputRequest("q", "Which?"))
    journal = threading.Timer(0.2, mount.store.append, (fence, 1, [asked]))
    journal.start()
    yield mount
    journal.join()
    assert mount.store.take_input(fence, "q") == b'"blue"'


def test_an_answer_waits_for_the_question_in_the_journal(app: Flask) -> None:
    """Its client has read it from the worker that asks; another one sees it in the store alone."""
    with asked_elsewhere(app) as mount, app.test_request_context("/agents/langgraph"):
        assert give_answers(mount, KEY, [ResponseEntry("q", "blue")])


def test_so_does_one_by_the_older_routes(app: Flask) -> None:
    """A command that resumes the thread."""
    with asked_elsewhere(app):
        answer = app.test_client().post(
            "/agents/langgraph/threads/thread/runs",
            json={"assistant_id": "agent", "command": {"resume": "blue"}},
            headers={"X-Api-Key": "dev"},
        )
        assert answer.status_code == 200, answer.text
