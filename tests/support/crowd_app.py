"""A site whose agent's model calls a tool that blocks its thread for a second."""

from __future__ import annotations

import time
from typing import Final

from flask import Flask

from tests.support.crowd import TENANT, TOKEN
from tests.support.upstream_script import Call, Text, ToolCalls, scripted_message
from wsgi_app import AgentHost, OpenAIAgent

NAP_SECONDS: Final = 1.0
PREFIX: Final = "/agents"
PAGE: Final = "/page"
#: A turn's events, without its tokens.
ANSWERED: Final = ("tool_call", "tool_result", "done")


def message(tag: str) -> str:
    """The message that has the scripted provider call the tool, and then answer.

    ``tag`` tells the turns apart: the provider goes on in a script with every request for it.
    """
    call = ToolCalls((Call("c-1", "nap", "{}"),))
    return scripted_message((call,), (Text(("All ", "done")),), tag=tag)


def nap() -> str:
    """Sleep for a second."""
    time.sleep(NAP_SECONDS)
    return "rested"


def crowd_app() -> Flask:
    """Mount the agent below `PREFIX`, in a site with a page."""
    site = Flask("site")
    site.add_url_rule(PAGE, "page", lambda: "a page of the site")
    agent = OpenAIAgent(model="test-model", tools=[nap])
    AgentHost(
        agent, tokens={TOKEN: TENANT}, max_turns_per_tenant=10_000, rate_limit="1000000/minute"
    ).init_app(site, url_prefix=PREFIX)
    return site
