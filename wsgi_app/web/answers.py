"""The host's answers in JSON, for every wire; fields without a value are left out."""

from __future__ import annotations

from typing import Any, Literal, Union

from msgspec import UNSET, Struct, UnsetType


class ErrorBody(Struct, kw_only=True):
    """Why a request was refused, or how the turn that it waited for ended."""

    code: str
    message: str
    details: dict[str, Any]


class NotReadyBody(ErrorBody):
    """Why this worker should get no requests."""

    warnings: list[str]


class Okay(Struct, kw_only=True):
    """It was done."""

    ok: bool = True


class CancelAnswer(Okay, kw_only=True):
    """Whether there was a turn to cancel, and which."""

    cancelled: bool
    turn_id: Union[str, UnsetType] = UNSET


class HealthAnswer(Struct):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Struct, kw_only=True):
    """This worker may get requests; ``warnings`` say what is not right in its set-up.

    They are for this machine itself and the scope ``admin``; others get none.
    """

    status: Literal["ready"] = "ready"
    warnings: list[str]
