"""The Python SDK of before version 2, in an environment of its own."""

from __future__ import annotations

from typing import Final

import pytest

from tests.clients.sse_cuts import frame_cutter
from tests.clients.test_mcp import CUT, check, run_python
from tests.sites.environments import environment
from tests.support.client import new_session
from tests.support.reading import wait_observed
from tests.support.servers import gunicorn, redis_server
from wsgi_app.auth import DEVELOPMENT_TOKEN

#: The last version 1, and the first whose streams over HTTP go on after a cut by themselves.
VERSIONS: Final = ("1.30.0", "1.25.0")

pytestmark = [pytest.mark.mcp, pytest.mark.timeout(300)]


@pytest.mark.parametrize("version", VERSIONS)
def test_python_s_sdk_of_version_1(version: str) -> None:
    """It streams, asks, stops and goes on after a cut like that of today."""
    python = environment(f"mcp-{version}", f"mcp=={version}\n", with_host=False) / "bin" / "python"
    session = new_session()
    with redis_server() as store:
        env = {"AGENT_REDIS_URL": store.url, "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=acme"}
        with (
            gunicorn("tests.support.apps:told_app()", workers=2, threads=16, env=env) as server,
            frame_cutter(server.port, CUT) as proxy,
        ):
            given = {"url": f"{proxy.url}/agents/mcp", "token": DEVELOPMENT_TOKEN}
            came = run_python(python, mode="legacy", session=session, **given)
            wait_observed(server, "cancelled", session, 15)
    check(came)
