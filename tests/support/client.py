"""A tenant's client of the native routes: plain requests, and turns of the scripted agent."""

from __future__ import annotations

import http.client
import json as json_codec
import secrets
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import Any, NamedTuple

from tests.support.servers import Server
from tests.support.sse import Stream, open_stream
from wsgi_app.auth import DEVELOPMENT_TOKEN

JSON = {"Content-Type": "application/json"}
WANTS_JSON = {"Accept": "application/json"}


class Answer(NamedTuple):
    """A whole answer; ``headers`` finds names in any case."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded from JSON."""
        return json_codec.loads(self.body)


class Client:
    """Sends requests below a prefix with one token (None: without). Used by any thread."""

    def __init__(
        self, server: Server, token: str | None = DEVELOPMENT_TOKEN, prefix: str = "/agents"
    ) -> None:
        self.server = server
        self.prefix = prefix
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}

    def call(  # noqa: PLR0913 - each is a part of the request, by keyword
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 15,
    ) -> Answer:
        """Send a request, the path as it is, and read the whole answer.

        ``json`` is sent with its content type; ``body`` without, unless ``headers`` has one.
        """
        fields = {**self._authorization, **(headers or {})}
        if json is not None:
            body = json_codec.dumps(json).encode()
            fields = {**JSON, **fields}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=seconds)
        try:
            connection.request(method, self.prefix + path, body, fields)
            response = connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        finally:
            connection.close()

    def stream(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 15,
    ) -> Stream:
        """Send a request and return when the head of its answer is there, whatever its status."""
        url = self.server.url + self.prefix + path
        fields = {**self._authorization, **(headers or {})}
        return open_stream(method, url, json=json, headers=fields, seconds=seconds)

    def chat(self, session: str, *steps: dict[str, Any], query: str = "", **fields: Any) -> Stream:
        """Start a turn that does ``steps``; ``fields`` are more of the body."""
        return self.stream("POST", f"/chat/{session}{query}", chat_body(*steps, **fields))

    def chat_json(
        self,
        session: str,
        *steps: dict[str, Any],
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Answer:
        """Run a turn that does ``steps`` in JSON mode."""
        path = f"/chat/{session}"
        body = chat_body(*steps, **fields)
        return self.call("POST", path, body, headers={**WANTS_JSON, **(headers or {})})


def chat_body(*steps: dict[str, Any], kind: str = "generator", **fields: Any) -> dict[str, Any]:
    """The body of a chat request that has the scripted agent do ``steps``."""
    return {"message": "hi", "metadata": {"kind": kind, "steps": list(steps)}, **fields}


def new_session() -> str:
    """An id that no other test uses."""
    return f"s-{secrets.token_hex(6)}"
