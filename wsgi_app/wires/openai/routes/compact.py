"""A conversation made shorter, for clients that keep it themselves."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from flask import Response, request

from wsgi_app.engine.turn.history import for_agent, for_people
from wsgi_app.events import Usage
from wsgi_app.web.envelope import json_response
from wsgi_app.web.mount import Mount
from wsgi_app.web.parse import parse_body
from wsgi_app.wires.openai.encode.document import usage_object
from wsgi_app.wires.openai.request.compact import CompactBody, compaction_item
from wsgi_app.wires.openai.request.messages import Message, bad_request, read_items
from wsgi_app.wires.openai.routes.opening import find_previous
from wsgi_app.wires.openai.routes.references import resolve


def post_compact(mount: Mount) -> Response:
    """POST /v1/responses/compact: the conversation as one item, to send in its place."""
    body = parse_body(request, CompactBody, mount.settings.max_body_bytes)
    messages: list[Message] = []
    if body.previous_response_id is not None:
        _, view = find_previous(mount, body.previous_response_id)
        messages += view.messages
    if isinstance(body.input, str):
        messages.append({"role": "user", "content": body.input})
    elif body.input is not None:
        messages += read_items(resolve(mount, body.input))
    if not messages:
        raise bad_request("input", "Expected what is to be made shorter")
    # Half of what agents get, so that there is room for what comes.
    window = _compact(messages, mount.settings.max_history_bytes // 2)
    code = secrets.token_hex(12)
    found = {
        "id": f"resp_{code}",
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [compaction_item(f"cmp_{code}", window)],
        "usage": usage_object(Usage()),
    }
    return json_response(found)


def _compact(messages: Sequence[Message], max_bytes: int) -> list[Message]:
    """What was said, newest first as far as it fits: without calls, results and reasoning."""
    return [
        {"role": message["role"], "content": message["content"]}
        for message in for_people(for_agent(messages, max_bytes))
    ]
