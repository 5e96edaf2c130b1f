"""A running host for the openai clients, and what its scripted agent tells of its turns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI

from tests.support.servers import Gunicorn, gunicorn, redis_server
from wsgi_app.auth import DEVELOPMENT_TOKEN

#: Longer than the SDKs wait before they send a request again.
ORPHAN_SECONDS = 2


@contextmanager
def openai_host(app: str = "tests.support.apps:scripted_app") -> Iterator[Gunicorn]:
    """Run two workers that share a store, so that requests of a conversation land on both."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_TOKENS": f"{DEVELOPMENT_TOKEN}=tenant,other=other-tenant",
            "AGENT_ORPHAN_SECONDS": str(ORPHAN_SECONDS),
            "AGENT_MAX_TURNS_PER_TENANT": "1000",
        }
        with gunicorn(f"{app}()", workers=2, threads=24, env=env) as server:
            yield server


def new_client(url: str, token: str = DEVELOPMENT_TOKEN, **options: Any) -> OpenAI:
    """The SDK as it is, but for a new connection, and so any worker, for each request."""
    headers = {"Connection": "close"}
    options = {"timeout": 30, "default_headers": headers, **options}
    return OpenAI(base_url=f"{url}/agents/v1", api_key=token, **options)


def doing(*steps: dict[str, Any]) -> dict[str, Any]:
    """What a request says beside its message to have the scripted agent do ``steps``."""
    return {"metadata": {"steps": list(steps)}}


def turns_started(server: Gunicorn) -> int:
    """How many turns have begun so far."""
    return len(re.findall("^observed started ", server.log(), re.MULTILINE))
