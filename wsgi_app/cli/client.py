"""An HTTP client of the native wire: starts, follows, cancels and answers turns."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import requests

from wsgi_app.cli.faults import ConnectionLost, HostError, Refused
from wsgi_app.cli.sse import Block, BlockParser

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own is missing in Python 3.10

T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
#: A stream is silent for no longer: four keep-alives of the default 15 seconds.
SILENCE_SECONDS: Final = 60.0
CALL_SECONDS: Final = 20.0
#: How often a request is sent that is not the start of a turn.
CALL_TRIES: Final = 4
#: A session with all its messages; far more than anybody reads in a terminal.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_NO_CONTENT, _FIRST_UNEXPECTED = 204, 300
#: What other servers answer to a host's paths.
_ASTRAY_STATUSES: Final = (301, 302, 303, 307, 308, 404, 405)


class Session(NamedTuple):
    """What the host says of a session."""

    messages: list[dict[str, Any]]
    running_turn: int | None


class EventStream:
    """An open stream of events; closing it ends the connection. Used by one thread."""

    def __init__(self, response: requests.Response) -> None:
        #: The turn that the stream is of, if the host says so.
        self.turn = _number(response.headers.get("X-Turn-Id"))
        self._response = response
        self._parser = BlockParser()

    @property
    def retry_seconds(self) -> float | None:
        """The reconnection time that the host asked for."""
        return self._parser.retry_seconds

    def __iter__(self) -> Iterator[Block]:
        """Blocks as they arrive, to the end of the connection; raises ConnectionLost at a cut."""
        for piece in pieces_of(self._response):
            yield from self._parser.feed(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()


class HostClient:
    """Sends requests to one host with one token. Used by one thread.

    Every method raises HostError: Refused for an answer that says no, ConnectionLost for none. All
    but `start` and `resume` try again by themselves while a fault may pass.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        # An object of ours: requests would let a .netrc beat a plain header.
        self._session.auth = _Bearer(token)
        # A compressed stream arrives in lumps.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["X-Run-Marks"] = "1"  # for exact cursors

    def start(self, session_id: str, message: str, key: str) -> EventStream:
        """Start a turn, or attach to the one that an earlier request with ``key`` started."""
        headers = {"Idempotency-Key": key}
        return self._stream("POST", _chat(session_id), {"message": message}, headers)

    def resume(self, session_id: str, after: str) -> EventStream:
        """Follow a session behind an event; Refused with status 204 if nothing is left."""
        return self._stream("GET", _chat(session_id, "events"), None, {"Last-Event-ID": after})

    def cancel(self, session_id: str, turn: int | None) -> int | None:
        """Cancel a turn, or whatever runs; returns the cancelled turn, None if nothing ran."""
        body = {} if turn is None else {"turn_id": str(turn)}
        answer = self._call("POST", _chat(session_id, "cancel"), body)
        return _number(answer.get("turn_id")) if answer.get("cancelled") else None

    def answer(self, session_id: str, request_id: str, value: Any) -> None:
        """Answer the agent's question; refused with ``no_pending_input`` if nobody waits."""
        body = {"request_id": request_id, "value": value}
        self._call("POST", _chat(session_id, "input"), body)

    def session(self, session_id: str) -> Session | None:
        """The session as it stands; None if the host does not know it."""
        try:
            found = self._call("GET", f"/session/{quote(session_id, safe='')}")
        except Refused as refused:
            if refused.code != "not_found":
                raise
            return None
        messages = found.get("messages")
        running = found.get("state") == "running"
        return Session(
            [message for message in messages if isinstance(message, dict)]
            if isinstance(messages, list)
            else [],
            _number(found.get("turn_id")) if running else None,
        )

    def describe(self, session_id: str) -> dict[str, Any]:
        """All that the host says of a session; refused with ``not_found`` if it knows none."""
        return self._call("GET", f"/session/{quote(session_id, safe='')}")

    def readiness(self) -> dict[str, Any]:
        """What `/readyz` answers; raises Refused where the host is not ready."""
        return self._call("GET", "/readyz")

    def sessions(self, limit: int, page_size: int) -> list[dict[str, Any]]:
        """The tenant's sessions, newest first, read page by page."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while len(found) < limit:
            asked = min(page_size, limit - len(found))
            page = self._call("GET", f"/sessions?limit={asked}{cursor}")
            found += [one for one in page.get("sessions", []) if isinstance(one, dict)]
            if not isinstance(page.get("next_cursor"), str):
                break
            cursor = f"&cursor={quote(page['next_cursor'], safe='')}"
        return found

    def delete(self, session_id: str) -> bool:
        """End what runs and forget the session; False if the host does not know it."""
        return bool(self._call("DELETE", f"/session/{quote(session_id, safe='')}").get("deleted"))

    def ticket(self, session_id: str) -> str:
        """What opens the session's streams without a header, for a minute."""
        return str(self._call("POST", _chat(session_id, "ticket")).get("ticket", ""))

    def follow(self, session_id: str, cursor: str) -> EventStream:
        """Follow a session from turn to turn, behind a cursor of an earlier such stream."""
        headers = {"Last-Event-ID": cursor} if cursor else {}
        return self._stream("GET", f"/events?session={quote(session_id, safe='')}", None, headers)

    def has_events_after(self, session_id: str, after: str) -> bool:
        """Whether the session has gone on since an event."""
        return bool(
            self._call("GET", _chat(session_id, f"poll?after={after}&wait=0")).get("events")
        )

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            with self.send(method, path, body, {}, CALL_SECONDS) as response:
                return _read_object(response)

        return _with_tries(call)

    def _stream(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> EventStream:
        response = self.send(method, path, body, headers, SILENCE_SECONDS)
        if response.status_code == _NO_CONTENT:
            response.close()
            raise Refused(_NO_CONTENT, "lost", "The host no longer has the rest of this answer.")
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.close()
            raise _foreign_answer(response)
        return EventStream(response)

    def send(
        self, method: str, path: str, body: object, headers: Mapping[str, str], seconds: float
    ) -> requests.Response:
        """Send one request; returns as soon as the answer's head is there, for `close`."""
        try:
            response = self._session.request(
                method,
                self._url + path,
                json=body,
                headers=dict(headers),
                stream=True,
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,  # the token is for this address alone
            )
        except OSError as error:
            # Only the kind: the text may hold what the request held.
            message = f"{self._url} does not answer ({type(error).__name__})."
            raise ConnectionLost(message) from error
        if response.status_code >= _FIRST_UNEXPECTED:
            with response:
                raise _refusal(response)
        return response


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Bytes, since http.client knows Latin-1 alone.
        request.headers["Authorization"] = f"Bearer {self._token}".encode()  # type: ignore[assignment] # requests takes both
        return request


def backoff_seconds(base_seconds: float, failures: int) -> float:
    """Full jitter, so that the clients of a restarted host do not come back all at once."""
    return random.uniform(0, min(10.0, base_seconds * 2.0**failures))  # noqa: S311 - spreads load, keeps no secret


def _with_tries(call: Callable[[], T]) -> T:
    for failures in range(CALL_TRIES - 1):
        try:
            return call()
        except HostError as fault:
            if not fault.retryable:
                raise
            time.sleep(max(fault.retry_after_seconds, backoff_seconds(0.5, failures)))
    return call()


def _chat(session_id: str, action: str = "") -> str:
    path = f"/chat/{quote(session_id, safe='')}"
    return f"{path}/{action}" if action else path


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives; without chunks only single bytes come without a wait for more."""
    size = None if getattr(response.raw, "chunked", False) else 1
    try:
        yield from response.iter_content(size)
    except OSError as error:
        raise ConnectionLost(f"The connection broke off ({type(error).__name__}).") from error


def _read_object(response: requests.Response) -> dict[str, Any]:
    body = bytearray()
    for piece in pieces_of(response):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _foreign_answer(response)
    with suppress(ValueError, RecursionError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    raise _foreign_answer(response)


def _refusal(response: requests.Response) -> Refused:
    status = response.status_code
    try:
        body = _read_object(response)
    except HostError:
        body = {}  # a proxy's page, not the host's JSON
    if "code" not in body and status in _ASTRAY_STATUSES:
        return _foreign_answer(response)
    details = body.get("details")
    return Refused(
        status,
        str(body.get("code", f"status_{status}")),
        str(body.get("message", f"The server answered with status {status}.")),
        details if isinstance(details, dict) else None,
        retry_after_seconds=_number(response.headers.get("Retry-After")) or 0,
    )


def _foreign_answer(response: requests.Response) -> Refused:
    status = response.status_code
    text = (
        f"The answer, with status {status}, is no agent host's. Is the URL right, with its prefix?"
    )
    return Refused(status, "foreign_answer", text)


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 11 else None  # noqa: PLR2004 - as long as event ids
