"""Sends bodies of unknown length."""

from __future__ import annotations

import http.client
from collections.abc import Iterable

from tests.support.client import Answer, Client

HEADERS = {
    "Authorization": "Bearer dev",
    "Accept": "application/json",
    "Content-Type": "application/json",
}


def send_chunked(client: Client, pieces: Iterable[bytes], path: str) -> Answer:
    """POST a body of unknown length."""
    connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=15)
    try:
        connection.request("POST", client.prefix + path, pieces, HEADERS, encode_chunked=True)
        response = connection.getresponse()
        return Answer(response.status, response.msg, response.read())
    finally:
        connection.close()
