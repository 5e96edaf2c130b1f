"""Hundreds of turns on one worker whose tools block."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack

import pytest
from flask import Flask

from tests.support.crowd import TENANT, TOKEN, send_crowd
from tests.support.servers import gunicorn, redis_server
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from wsgi_app import AgentHost, OpenAIAgent

TURNS = 300
NAP_SECONDS = 1.0
#: One after the other the naps alone would take 300 s.
ALL_AT_ONCE_SECONDS = 60.0


def nap() -> str:
    """Sleep for a second."""
    time.sleep(NAP_SECONDS)
    return "rested"


def app() -> Flask:
    """A site with a page, and with a model whose tool blocks its thread."""
    site = Flask("site")
    site.add_url_rule("/page", "page", lambda: "a page of the site")
    agent = OpenAIAgent(model="test-model", tools=[nap])
    AgentHost(
        agent, tokens={TOKEN: TENANT}, max_turns_per_tenant=TURNS, rate_limit="100000/minute"
    ).init_app(site, url_prefix="/agents")
    return site


@pytest.mark.slow
@pytest.mark.parametrize("stores", ["memory", "redis"])
def test_turns_with_blocking_tools_run_at_once(stores: str) -> None:
    """300 turns that begin at one instant are all admitted, nap together, and end as they should.

    How far from the ideal they end, and how fast the site's page is meanwhile, is measured by
    ``make bench WORK=crowd``.
    """
    message = scripted_message((ToolCalls((Call("c-1", "nap", "{}"),)),), (Text(("All ", "done")),))
    with ExitStack() as stack:
        env = dict(stack.enter_context(Upstream()).environment)
        if stores == "redis":
            env["AGENT_REDIS_URL"] = stack.enter_context(redis_server()).url
        server = stack.enter_context(
            gunicorn("tests.agents.test_crowd:app()", threads=TURNS + 50, env=env)
        )
        crowd = send_crowd(server.port, "/agents", message, TURNS, "/page")
    assert Counter(crowd.ends) == {"done": TURNS}
    assert NAP_SECONDS <= crowd.seconds < ALL_AT_ONCE_SECONDS
    assert crowd.page_seconds
