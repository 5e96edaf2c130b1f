"""What every refused request's answer must look like, and must not tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.client import Answer, Client, new_session

#: Signs of a page for people, or of the code's inside.
INSIDE = (
    "<!doctype",
    "<html",
    "</",
    "Traceback",
    "Exception",
    "Error:",
    "wsgi_app",
    ".py",
    "secret",
)


def check_refusal(answer: Answer, status: int, code: str, untold: Sequence[str] = ()) -> None:
    """Fail unless this is the error ``code`` in its one shape, without any of ``untold``."""
    text = answer.body.decode()
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), text
    error = answer.json
    assert set(error) == {"code", "message", "details"}, error
    assert error["code"] == code, error
    assert isinstance(error["message"], str), error
    assert error["message"], error
    assert isinstance(error["details"], dict), error
    assert ("Retry-After" in answer.headers) == (status in (429, 503)), answer.headers.items()
    assert int(answer.headers.get("Retry-After", "1")) > 0
    told = text + str(answer.headers.items())
    assert not [word for word in (*INSIDE, *untold) if word in told], told


@contextmanager
def unharmed(client: Client) -> Iterator[None]:
    """Fail unless the same worker goes on, runs turns, and had no internal error in the block."""
    site = Client(client.server, prefix="")
    pid, log_chars = site.call("GET", "/pid").json, len(client.server.log())
    yield
    assert site.call("GET", "/pid").json == pid
    assert client.chat_json(new_session(), {"text": "fine"}).json["reply"] == "fine"
    log = client.server.log()[log_chars:]
    assert "Traceback" not in log, log
