"""A client of MCP as bare as one can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.support.client import Answer
from tests.support.reading import ReadingClient
from tests.support.sse import Frame, Stream

#: Its streams begin with no event that has no data.
VERSION: Final = "2025-06-18"

BOTH: Final = "application/json, text/event-stream"


class McpClient(ReadingClient):
    """A client of the protocol, as bare as one can be. Used by any thread."""

    def post(self, message: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a message and read the whole answer."""
        return self.call("POST", "/mcp", message, headers={"Accept": BOTH, **(headers or {})})

    def initialize(self, *, elicits: bool = False) -> dict[str, str]:
        """Begin a session; returns the headers of its requests."""
        capabilities: dict[str, Any] = {"elicitation": {}} if elicits else {}
        params = {"protocolVersion": VERSION, "capabilities": capabilities}
        answer = self.post(request("initialize", params))
        assert answer.json["result"]["protocolVersion"] == VERSION
        session = answer.headers["Mcp-Session-Id"]
        return {"Mcp-Session-Id": session, "MCP-Protocol-Version": VERSION}

    def open(self, message: object, headers: Mapping[str, str]) -> Stream:
        """Send a request and read its stream."""
        return self.stream("POST", "/mcp", message, headers={"Accept": BOTH, **headers})

    def read(self, message: object, headers: Mapping[str, str]) -> list[Frame]:
        """Send a request and read its stream to its end."""
        with self.open(message, headers) as stream:
            return list(stream)

    def resume(self, position: str) -> Stream:
        """Go on with a stream."""
        return self.stream("GET", "/mcp", headers={"Accept": BOTH, "Last-Event-ID": position})

    def cancel_call(self, headers: Mapping[str, str], request_id: int) -> Answer:
        """Cancel a request."""
        params = {"requestId": request_id}
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        return self.post(message, headers)


def request(method: str, params: Any = None, request_id: int = 1) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}


def ask(*steps: Any, session: str | None = None, number: int = 1, **meta: Any) -> dict[str, Any]:
    """A call of the tool that has the agent do these steps; one text is said."""
    message = steps[0] if isinstance(steps[0], str) else json.dumps(steps)
    arguments = {"message": message, **({} if session is None else {"session": session})}
    params: dict[str, Any] = {"name": "ask", "arguments": arguments}
    return request("tools/call", params | ({"_meta": meta} if meta else {}), number)


def texts(frames: list[Frame]) -> list[str]:
    """What a stream has told as progress."""
    told = [frame.data for frame in frames]
    return [one["params"]["message"] for one in told if one.get("method", "").endswith("progress")]


def result_of(frames: list[Frame]) -> Any:
    """The result at the end of a stream."""
    return frames[-1].data["result"]


def read(answer: Answer) -> list[Frame]:
    """The one message of a whole answer, of either kind, as a frame."""
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    texts = [line.removeprefix("data: ") for line in lines] or [answer.body.decode()]
    return [Frame(None, None, text, None, 0.0) for text in texts]
