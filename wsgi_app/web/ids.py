"""Ids that every wire has: of sessions and of turns."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

SESSION_ID_PATTERN: Final = r"^(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z"
#: Described here and checked by the routes, whose refusal says what is expected.
SessionId = Annotated[str, Meta(extra_json_schema={"pattern": SESSION_ID_PATTERN})]
TurnId = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,9}\Z")]
#: Stands for the setting of this name in a schema, which the routes check.
MESSAGE_CHARS: Final = "AGENT_MAX_MESSAGE_CHARS"
RequestId = Annotated[str, Meta(min_length=1, max_length=128)]
