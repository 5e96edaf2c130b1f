"""How often a model may be asked in one turn, where its agent does not say."""

from __future__ import annotations

from tests.support.client import Client
from tests.support.servers import gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, ToolCalls, scripted_message

STEPS = 2


def test_the_setting_bounds_the_steps() -> None:
    """AGENT_MAX_STEPS bounds the requests of a model that never stops calling tools."""
    with Upstream() as upstream:
        env = {
            **upstream.environment,
            "AGENT_MODEL": "some-model",
            "AGENT_MAX_STEPS": str(STEPS),
        }
        with gunicorn("wsgi_app:app", env=env) as server:
            message = scripted_message([ToolCalls((Call("c1", "add", "{}"),))])
            client = Client(server, prefix="")
            with client.stream("POST", "/chat/s", {"message": message}) as stream:
                end = list(stream)[-1].data
        assert (end["type"], end["code"]) == ("error", "step_limit")
        assert len(upstream.requests) == STEPS
