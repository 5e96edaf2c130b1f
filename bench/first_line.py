"""How long a request takes to a line of its answer: the first event, the first token."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request, and what stands in the line that is waited for."""

    port: int
    path: str
    body: Mapping[str, Any]
    mark: bytes
    token: str = ""


def first_line_seconds(asked: Asked) -> float:
    """Post it on a connection of its own, and read the answer to its end.

    Raises RuntimeError if no line holds the mark.
    """
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    if asked.token:
        headers["Authorization"] = f"Bearer {asked.token}"
    began_at = time.monotonic()
    connection.request("POST", asked.path, json.dumps(asked.body), headers)
    answer = connection.getresponse()
    line = answer.readline()
    while line and asked.mark not in line:
        line = answer.readline()
    if not line:
        raise RuntimeError(f"{asked.mark!r} did not come: {answer.status}")
    seconds = time.monotonic() - began_at
    answer.read()
    connection.close()
    return seconds
