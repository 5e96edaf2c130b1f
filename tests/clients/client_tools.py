"""A host whose models call tools that the client runs, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import requests
from openai import OpenAI

from tests.support.servers import Gunicorn, Redis, gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call

SCHEMA: Final = {"type": "object", "properties": {"wall": {"type": "integer"}}}

PAINT: Final[Any] = {
    "type": "function",
    "name": "paint",
    "description": "Paint a wall.",
    "parameters": SCHEMA,
}

PAINT_CHAT: Final[Any] = {
    "type": "function",
    "function": {name: value for name, value in PAINT.items() if name != "type"},
}

ONE: Final = Call("c1", "paint", '{"wall":1}')

TWO: Final = Call("c2", "paint", '{"wall":2}')


class Rig(NamedTuple):
    """A host with two workers, its model and a client."""

    server: Gunicorn
    upstream: Upstream
    client: OpenAI

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url

    def newest(self) -> list[dict[str, Any]]:
        """The messages of the model's newest request."""
        messages: list[dict[str, Any]] = self.upstream.requests[-1].body["messages"]
        return messages


#: Both agents have the tool ``add``.
APPS: Final = {
    "openai": "tests.support.openai_apps:tools_app()",
    "graph": "tests.support.graph_tools_app:app()",
}


@contextmanager
def serving(agent: str, folder: Path, store: Redis, **options: Any) -> Iterator[Gunicorn]:
    """A host of an agent at a store; ``folder`` is where graphs remember."""
    settings: dict[str, str] = options.pop("env")
    env = {
        "AGENT_REDIS_URL": store.url,
        "AGENT_TOKENS": "dev=tenant",
        "MEMORY_FOLDER": str(folder),
        **settings,
    }
    with gunicorn(APPS[agent], env=env, frameworks=True, **options) as running:
        yield running


def output(call: Any, text: str) -> dict[str, Any]:
    """The result of a call, as the Responses API has it."""
    return {"type": "function_call_output", "call_id": call.call_id, "output": text}


def native(rig: Rig, path: str, body: Any, **headers: str) -> requests.Response:
    """Post to a native route, on any worker."""
    sent = {"Authorization": "Bearer dev", "Connection": "close", **headers}
    return requests.post(f"{rig.url}/agents/{path}", json=body, headers=sent, timeout=20)


def outputs(rig: Rig) -> list[str]:
    """The tools' results in the model's newest request."""
    return [message["content"] for message in rig.newest() if message["role"] == "tool"]
