"""What a server asks the user: the question as the host asks it, and the answer as MCP wants it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult
from referencing import Registry
from referencing.exceptions import Unresolvable

#: How often a user is asked whose answers do not fit.
MAX_TRIES: Final = 3
MAX_FAULTS: Final = 5
MAX_FAULT_CHARS: Final = 200
_AS_JSON: Final = frozenset({"integer", "number", "boolean", "array"})


def is_askable(params: ElicitRequestParams) -> bool:
    """Whether the user may be asked: a link leads to the web, and nowhere else."""
    if isinstance(params, ElicitRequestFormParams):
        return True
    try:
        parts = urlsplit(params.url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and params.url.isprintable()


def question_of(server: str, params: ElicitRequestParams) -> tuple[str, dict[str, Any]]:
    """The prompt and the schema of its answer."""
    if isinstance(params, ElicitRequestFormParams):
        return params.message, params.requested_schema
    host = urlsplit(params.url).hostname
    prompt = (
        f"{params.message}\n{params.url}\n"
        f"(The MCP server {server!r} asks you to open this page of {host}; say yes when done.)"
    )
    return prompt, {"type": "boolean", "x-url": params.url}


def content_of(params: ElicitRequestFormParams, answer: Any) -> dict[str, Any] | None:
    """The answer as the form's content; None for what can be no form."""
    if isinstance(answer, dict):
        return answer
    # A client without forms sends a line of text: it is the answer to an only question.
    properties = params.requested_schema.get("properties") or {}
    if len(properties) != 1:
        return None
    ((name, schema),) = properties.items()
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if isinstance(answer, str) and kind in _AS_JSON:
        with suppress(ValueError, RecursionError):  # it does not fit, which the check says
            answer = json.loads(answer)
    return {name: answer}


def faults_of(schema: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    """What of the answer does not fit the schema; nothing if the schema is none."""
    try:
        checked = _without_patterns(schema)
        Draft202012Validator.check_schema(checked)
        # An empty registry: no reference is fetched.
        validator = Draft202012Validator(checked, registry=Registry())
        errors = list(validator.iter_errors(content))
    except (SchemaError, Unresolvable, RecursionError):
        return []
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'answer'}: {error.message}"[:MAX_FAULT_CHARS]
        for error in errors[:MAX_FAULTS]
    ]


def accepted(content: dict[str, Any] | None = None) -> ElicitResult:
    """The user's answer."""
    return ElicitResult(action="accept", content=content)


def _without_patterns(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without regular expressions, which the server checks: some take for ever."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict(schema)
    kept = {
        name: {key: value for key, value in one.items() if key != "pattern"}
        if isinstance(one, Mapping)
        else one
        for name, one in properties.items()
    }
    return {**schema, "properties": kept}
