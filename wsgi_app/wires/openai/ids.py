"""Ids that say which part of which turn they mean, so that any worker can find it."""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

_PREFIX: Final = "resp_"
_FORM: Final = re.compile(
    r"([1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,11})\.([0-7])"
    r"\.((?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128})\Z",
    re.ASCII,
)


class ResponseRef(NamedTuple):
    """A response: the events of a turn behind ``after_seq``, up to a question or its end."""

    session_id: str
    turn: int
    after_seq: int
    created_at: int
    background: bool
    #: Whether the host's calls are shown as ``mcp_call`` items; it decides how events are numbered.
    mcp: bool = False
    #: Whether it ends where the agent takes what its client has said meanwhile.
    steered: bool = False

    @property
    def id(self) -> str:
        """The response's id; opaque to clients."""
        return _PREFIX + self.code

    @property
    def code(self) -> str:
        """What its id, and those of its items, have in common."""
        flags = self.background + 2 * self.mcp + 4 * self.steered
        numbers = f"{self.turn}.{self.after_seq}.{self.created_at}.{flags}"
        text = f"{numbers}.{self.session_id}".encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> ResponseRef:
        """Read an id; raises ValueError for anything that `id` does not make."""
        code = text.removeprefix(_PREFIX)
        try:
            plain = base64.b64decode(code + "=" * (-len(code) % 4), b"-_", validate=True)
            match = _FORM.match(plain.decode("ascii"))
        except ValueError as error:
            raise ValueError("not a response's id") from error
        if match is None:
            raise ValueError("not a response's id")
        turn, after_seq, created_at = map(int, match.group(1, 2, 3))
        background, mcp, steered = (bool(int(match[4]) & flag) for flag in (1, 2, 4))
        ref = cls(match[5], turn, after_seq, created_at, background, mcp, steered)
        if ref.id != text:
            raise ValueError("not a response's id")
        return ref


class PartRef(NamedTuple):
    """A part of a response: an item by its number, or its open call by the question's id."""

    response: ResponseRef
    kind: str
    name: str

    @property
    def id(self) -> str:
        """The part's id; opaque to clients."""
        return f"{self.kind}_{self.response.code}_{self.name}"

    @classmethod
    def parse(cls, text: str) -> PartRef:
        """Read an id; raises ValueError for anything that `id` does not make."""
        kind, _, rest = text.partition("_")
        code, _, name = rest.rpartition("_")
        return cls(ResponseRef.parse(_PREFIX + code), kind, name)


def call_name(request_id: str, index: int) -> str:
    """The name of one of the calls that a request for the client's tools is for."""
    return f"{request_id}.{index}"
