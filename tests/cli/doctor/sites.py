"""Apps of sites with something to find."""

from __future__ import annotations

import asyncio
import sys
import threading

from flask import Flask

from tests.support.agents import scripted
from wsgi_app import AgentHost


def looping_site() -> Flask:
    """A site that starts an event loop in a thread while it is imported."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="site-loop", daemon=True).start()
    return quiet_site()


def quiet_site() -> Flask:
    """A site with two hosts, the second with settings of its own."""
    app = Flask("site")
    AgentHost(scripted, tokens="t=acme").init_app(app, url_prefix="/a.b")
    AgentHost(scripted, tokens="t=acme", drain_seconds=60).init_app(app, url_prefix="/slow")
    return app


def broken_site() -> Flask:
    """A site that cannot be built."""
    sys.stdout.write("a line that is not for the doctor")
    raise LookupError("no database here")


def misconfigured_site() -> Flask:
    """A site whose own configuration has a malformed setting."""
    app = Flask("site")
    app.config["AGENT_LEASE_SECONDS"] = "ten"
    AgentHost(scripted).init_app(app)
    return app
