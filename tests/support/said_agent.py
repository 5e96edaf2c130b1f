"""An agent that does what the user's message names, for clients that can say nothing else.

The word may stand anywhere in the message, as frameworks wrap it: ``BREAK`` fails for good,
``FALTER`` fails behind two words, ``WAIT`` streams two words and waits until it is stopped, ``CUT``
tells that a length limit has cut them off; any other message has two words for an answer. What
it gets is printed as ``observed heard <seconds> <session> <JSON>``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

from flask import Flask

from tests.support.agents import observe
from wsgi_app import AgentHost, Status, Turn, TurnError
from wsgi_app.wires.openai.encode.chat import CUT_OFF

WORDS = ("Hello ", "world")
#: Asks for an object, as instructor reads it.
AS_JSON = "JSON"
#: How dspy asks for its fields, and reads them.
DSPY_FIELD = "[[ ## answer ## ]]"
WAIT_SECONDS = 60.0


def said(turn: Turn) -> Iterator[str | Status]:
    """Do what the message says."""
    stopped = threading.Event()
    turn.on_cancel(stopped.set)
    turn.on_cancel(lambda: observe("cancelled", turn.session_id))
    heard = [*turn.history, {"role": "user", "content": turn.message}]
    observe("heard", turn.session_id, json.dumps(heard))
    if "BREAK" in turn.message:
        raise TurnError("The shop is closed.")
    yield from _words(turn, DSPY_FIELD in json.dumps(heard))
    if "FALTER" in turn.message:
        raise TurnError("The shop is closed.")
    if "CUT" in turn.message:
        yield Status(CUT_OFF)
    if "WAIT" in turn.message:
        stopped.wait(WAIT_SECONDS)
        turn.check()


def _words(turn: Turn, is_dspy: bool) -> Iterator[str]:  # noqa: FBT001 - of this module alone
    if AS_JSON in turn.message:
        yield from ('{"text":"Hello ', 'world"}')
    elif is_dspy:
        yield from (f"{DSPY_FIELD}\n", *WORDS, "\n\n[[ ## completed ## ]]")
    else:
        yield from WORDS


def said_app() -> Flask:
    """Mount it below /agents."""
    app = Flask("site")
    AgentHost(said).init_app(app, url_prefix="/agents")
    return app
