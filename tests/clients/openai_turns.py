"""Turns that clients with the openai package ask for."""

from __future__ import annotations

import secrets
from typing import Any

from openai import OpenAI
from openai.types.responses import (
    Response,
)

from tests.clients.openai_host import doing

TOOL = {"tool": {"name": "add", "input": {"a": 2}, "output": {"sum": 5}}}

STEPS = ({"events": ["status", "thinking"]}, {"text": "Hel"}, TOOL, {"text": "lo"}, {"usage": 3})

HOLD = {"hold": 1}

#: What the SDK sends along when it sends a request again.
RETRY = {"x-stainless-retry-count": "1"}


def hi() -> Any:
    """Messages that no other test sends."""
    return [{"role": "user", "content": f"hi {secrets.token_hex(4)}"}]


def respond(client: OpenAI, *steps: dict[str, Any], **fields: Any) -> Response:
    """A response of a turn that does ``steps``."""
    fields = {"input": hi(), "extra_body": doing(*steps), **fields}
    made: Response = client.responses.create(model="any", **fields)
    return made
