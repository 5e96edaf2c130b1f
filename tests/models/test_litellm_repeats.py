"""LiteLLM's proxy before the host: how often a turn that fails for good is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest

from tests.clients.said import turns
from tests.models.gateways import litellm
from tests.models.rules import KEY, Note
from tests.models.server import Program
from tests.support.servers import Gunicorn, gunicorn
from wsgi_app.auth import DEVELOPMENT_TOKEN

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """Run the host."""
    with gunicorn("tests.support.said_agent:said_app()") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(server: Gunicorn) -> Iterator[Program]:
    """Run the gateway, with the host as it comes and as docs/model-servers.md says."""
    host: Mapping[str, Any] = {
        "model": "openai/agent",
        "api_base": f"{server.url}/agents/v1",
        "api_key": DEVELOPMENT_TOKEN,
    }
    with litellm(
        {"as-it-comes": host, "once": {**host, "max_retries": 0, "num_retries": 0}}
    ) as gateway:
        yield gateway


@pytest.mark.parametrize(("model", "tries"), [("as-it-comes", 2), ("once", 0)])
def test_runs_of_a_turn_that_fails_for_good(
    server: Gunicorn, gateway: Program, model: str, tries: int, record_property: Note
) -> None:
    """Three times three as it comes; with no tries at both ends it is one."""
    before = len(turns(server))
    base_url = f"{gateway.url}/v1"
    messages: Any = [{"role": "user", "content": "BREAK it"}]
    with (
        openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=tries) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model=model, messages=messages)
    runs = len(turns(server)) - before
    record_property("runs", runs)
    assert runs == (9 if tries else 1)
