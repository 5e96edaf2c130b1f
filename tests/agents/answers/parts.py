"""Answers of both APIs that break, and how their errors are checked."""

from __future__ import annotations

import json
from typing import Any, Literal

from tests.support.upstream_script import (
    AnyStep,
    Body,
    Data,
    Raw,
    Refuse,
    chunk,
)

API_KEY = "sk-upstream-test-key"

Api = Literal["chat", "responses"]

#: Far above the grace after an answer's end, far below a turn's time.
GRACE_ENDS_SECONDS = 10.0

HALF_A_CALL: dict[str, tuple[AnyStep, ...]] = {
    "chat": (
        Data(chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add"}}]})),
        Data(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1'}}]})),
    ),
    "responses": (
        Data(
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "function_call", "call_id": "c", "name": "add"},
            }
        ),
        Data({"type": "response.function_call_arguments.delta", "delta": '{"a": 1'}),
    ),
}

ERRORS: dict[str, list[AnyStep]] = {
    "chat": [
        Data({"error": {"message": Refuse(500).secret, "code": 503}}),
        Data({"error": {"message": Refuse(500).secret, "code": "503"}}),
        Data({"object": "error", "message": Refuse(500).secret, "code": 503}),
        Raw(f'event: error\ndata: {{"code": 503, "message": "{Refuse(500).secret}"}}\n\n'),
        Raw(f'error: {{"code": 503, "message": "{Refuse(500).secret}"}}\n\n'),
        Body(json.dumps({"error": {"message": Refuse(500).secret, "code": 503}})),
    ],
    "responses": [
        Data({"type": "error", "code": "503", "message": Refuse(500).secret}),
        Data({"type": "error", "error": {"code": 503, "message": Refuse(500).secret}}),
        Data(
            {
                "type": "response.failed",
                "response": {
                    "status": "failed",
                    "error": {"code": "503", "message": Refuse(500).secret},
                },
            }
        ),
        Body(json.dumps({"error": {"message": Refuse(500).secret, "code": 503}})),
    ],
}

WHOLE: dict[str, dict[str, Any]] = {
    "chat": {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "tool_calls": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    },
    "responses": {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "reasoning", "id": "rs", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
        ],
        "usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9},
    },
}


def check_error(event: dict[str, Any], *, retryable: bool, **details: Any) -> None:
    """Check an error event: its fields, and that no text of the provider's is in it."""
    assert (event["type"], event["code"]) == ("error", "upstream_error")
    assert (event["retryable"], event.get("details", {})) == (retryable, details)
    assert Refuse(500).secret not in str(event)
    assert API_KEY not in str(event)
