"""Answers held against the host's own OpenAPI document, more strictly than the document asks.

A field that the document does not name fails, too, but in the native events, which have more fields
in some places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from tests.support.sse import Frame, FrameParser

STREAM = "text/event-stream"


class Headers(Protocol):
    """Finds a header's value by its name in any case."""

    def get(self, name: str, default: str, /) -> str:
        """The value, or else the default."""


class Contract:
    """The document, and what it says of an answer. Used by any thread."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        schemas = document["components"]["schemas"]
        events = schemas["Event"]["discriminator"]["mapping"].values()
        open_names = {"Event", "ErrorBody", *(ref.rpartition("/")[2] for ref in events)}
        closed = {name: s if name in open_names else _closed(s) for name, s in schemas.items()}
        self._components = {"schemas": closed}

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """What the document says of a route, by its path below the prefix; fails without one."""
        for template, methods in self.document["paths"].items():
            pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in methods:
                found: dict[str, Any] = methods[method.lower()]
                return found
        raise AssertionError(f"no {method} {path} in the document")

    def check(
        self, operation: Mapping[str, Any], status: int, headers: Headers, body: bytes
    ) -> None:
        """Fail unless this answer is one that the document describes."""
        place = f"{operation['operationId']} {status}"
        assert str(status) in operation["responses"], f"{place} is not described: {body[:300]!r}"
        response = operation["responses"][str(status)]
        told = response.get("headers", {})
        missing = [name for name in told if told[name]["required"] and not headers.get(name, "")]
        if headers.get("Content-Type", "").startswith(STREAM):
            missing = [name for name in missing if status != 200 or _is_turn(body)]
        assert missing == [], f"{place} lacks {missing}"
        if "content" not in response:
            assert body == b"", place
            return
        media_type = headers.get("Content-Type", "").partition(";")[0]
        assert media_type in response["content"], f"{place} is {media_type}"
        described = response["content"][media_type]
        if media_type == STREAM:
            self.check_stream(described["schema"], body)
        elif media_type == "application/json":
            self._validate(described["schema"], json.loads(body), place)

    def check_stream(self, item: Mapping[str, Any], body: bytes) -> list[Frame]:
        """Fail unless each of a stream's frames is described; returns them."""
        frames = FrameParser().feed(body, 0)
        for frame in frames:
            told = {"id": frame.id, "event": frame.event, "retry": frame.retry, "data": frame.text}
            fields = {name: value for name, value in told.items() if value is not None}
            self._validate({**item, "additionalProperties": False}, fields, frame.text)
            last = [
                one["const"]
                for one in item["properties"]["data"].get("anyOf", ())
                if "const" in one
            ]
            if frame.text not in last:
                self._validate(_content_schema(item), frame.data, frame.text)
        return frames

    def _validate(self, schema: Mapping[str, Any], value: Any, place: str) -> None:
        validator = Draft202012Validator({**schema, "components": self._components})
        faults = [
            f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)
        ]
        assert faults == [], f"{place}: {value}"


def _closed(schema: Any) -> Any:
    """The same, without fields that it does not name."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "allOf" not in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def _content_schema(item: Mapping[str, Any]) -> dict[str, Any]:
    data = item["properties"]["data"]
    variants = data.get("anyOf", [data])
    found: dict[str, Any] = next(v["contentSchema"] for v in variants if "contentSchema" in v)
    return found


def _is_turn(body: bytes) -> bool:
    """Whether a stream is of a turn, and no refusal of an EventSource."""
    return b'"type":"status"' not in body[:100]
