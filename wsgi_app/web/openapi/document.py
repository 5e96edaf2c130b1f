"""The OpenAPI document, from the app's routes and what is told of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final, NamedTuple

from msgspec.json import schema_components
from werkzeug.routing import Rule

from wsgi_app import errors
from wsgi_app.compat.python import zip_strict
from wsgi_app.events import AnyEvent
from wsgi_app.limits import LIMIT_HEADERS
from wsgi_app.web import access
from wsgi_app.web.answers import ErrorBody
from wsgi_app.web.ids import SESSION_ID_PATTERN
from wsgi_app.web.openapi.operation import (
    JSON,
    LOGIN_CODES,
    TEXT,
    Content,
    Events,
    Operation,
    Operations,
    Reply,
    View,
)
from wsgi_app.web.parse import IDEMPOTENCY_KEY_PATTERN
from wsgi_app.web.respond import HAS_RETRY_AFTER, error_response
from wsgi_app.wires.native.routes import probe
from wsgi_app.wires.openai.describe import OpenAIError
from wsgi_app.wires.openai.encode.errors import STATUS_BY_CODE as OPENAI_STATUSES
from wsgi_app.wires.openai.routes.turns import openai_error

OPENAPI_VERSION: Final = "3.1.1"
_REF_TEMPLATE: Final = "#/components/schemas/{name}"
_PATH_VARIABLE: Final = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_PATH_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "session_id": {"type": "string", "pattern": SESSION_ID_PATTERN},
}
_REQUEST_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Last-Event-ID": {
        "description": "The last event that the client has seen; it beats the query.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "description": "A repeated request with the same key attaches to the turn of the first.",
        "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
    },
    "X-Stainless-Retry-Count": {
        "description": "OpenAI's SDKs count their tries in it.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
_COUNT: Final = {"type": "integer", "minimum": 0}
_ANSWER_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "X-Session-Id": ("The session.", {"type": "string"}),
    "X-Turn-Id": ("The turn's number.", {"type": "string"}),
    "x-vercel-ai-ui-message-stream": ("The version.", {"const": "v1"}),
    probe.KEEPALIVE_HEADER: ("AGENT_KEEPALIVE_SECONDS.", {"type": "number"}),
    probe.TURN_TIMEOUT_HEADER: ("AGENT_TURN_TIMEOUT_SECONDS.", {"type": "number"}),
    "Retry-After": ("Seconds.", _COUNT),
    "WWW-Authenticate": ("How to log in.", {"type": "string"}),
    "RateLimit-Limit": ("Starts of turns in a window.", _COUNT),
    "RateLimit-Remaining": ("Starts that are left.", _COUNT),
    "RateLimit-Reset": ("Seconds until there are more.", _COUNT),
}
_SECURITY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of AGENT_TOKENS, or what the site's own login takes instead.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "For one session, from POST /chat/{session_id}/ticket.",
    },
}
_INFO_TEXT: Final = (
    "Starts, streams, resumes and cancels the turns of an agent. The schema of a"
    " `text/event-stream` is that of each event, whose `data` holds the JSON of `contentSchema`."
    " Comment lines keep a stream alive. A connection that closes without a terminal event means"
    " reconnect, never finished."
)


class _Schemas:
    """The schemas of types, and the components that they refer to."""

    def __init__(self, operations: Iterable[Operation], max_message_chars: int) -> None:
        kinds: list[Any] = [AnyEvent, ErrorBody, OpenAIError]
        for operation in operations:
            kinds += _kinds(operation)
        schemas, found = schema_components(kinds, ref_template=_REF_TEMPLATE)
        self._by_kind = [(kind, _for_browsers(s)) for kind, s in zip_strict(kinds, schemas)]
        self.components: dict[str, Any] = _for_browsers(found)
        self.components["Event"] = {"title": "Event", **self.of(AnyEvent)}
        self._by_kind[0] = (AnyEvent, {"$ref": "#/components/schemas/Event"})
        for name in ("ChatBody", "NewChatBody"):
            self.components[name]["properties"]["message"]["maxLength"] = max_message_chars

    def of(self, kind: Any) -> dict[str, Any]:
        """A type's schema."""
        return next(schema for known, schema in self._by_kind if known == kind)


def _kinds(operation: Operation) -> list[Any]:
    kinds = list(operation.query.values())
    if operation.body is not None:
        kinds.append(operation.body)
    if operation.socket is not None:
        kinds += [operation.socket.client, operation.socket.server]
    for reply in operation.replies.values():
        for one in reply.content:
            kinds += one.data if isinstance(one, Events) else (one.kind,)
    return kinds


def _for_browsers(schema: Any) -> Any:
    r"""Write Python's ``\Z`` as ``$``, which is the end of the text in JSON Schema's patterns."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$")
            if name == "pattern" and isinstance(value, str)
            else _for_browsers(value)
            for name, value in schema.items()
        }
    return [_for_browsers(item) for item in schema] if isinstance(schema, list) else schema


class Place(NamedTuple):
    """Where a host is mounted in its app, and where clients find it."""

    prefix: str
    server_url: str


def make_document(
    operations: Operations, rules: Iterable[Rule], place: Place, max_message_chars: int
) -> dict[str, Any]:
    """Describe those of an app's rules that belong to a mount."""
    schemas = _Schemas(operations.values(), max_message_chars)
    views = {view.__name__: (view, operation) for view, operation in operations.items()}
    paths: dict[str, dict[str, Any]] = {}
    for rule in rules:
        view, operation = views.get(rule.endpoint.rpartition(".")[2], (None, None))
        if view is None or operation is None:
            continue
        path = _PATH_VARIABLE.sub(r"{\1}", rule.rule.removeprefix(place.prefix))
        for method in sorted(_methods(rule)):
            described = _describe(schemas, view, operation, rule, method)
            paths.setdefault(path, {})[method.lower()] = described
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "Agent host", "version": _version(), "description": _INFO_TEXT},
        "servers": [{"url": place.server_url}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _version() -> str:
    # Imported here: the package's own module imports the host, which imports this one.
    return str(import_module("wsgi_app").__version__)


def _methods(rule: Rule) -> set[str]:
    """The methods with views of their own; Flask answers HEAD and OPTIONS beside them."""
    return {"GET"} if rule.websocket else set(rule.methods or ()) - {"HEAD", "OPTIONS"}


def _describe(
    schemas: _Schemas, view: View, operation: Operation, rule: Rule, method: str
) -> dict[str, Any]:
    summary = (view.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")
    described: dict[str, Any] = {
        "operationId": view.__name__,
        "tags": [operation.group],
        "summary": summary[:1].upper() + summary[1:],
        "parameters": _parameters(schemas, operation, rule),
        "responses": _responses(schemas, view, operation),
        "security": _security(view.__name__, method),
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        content = {JSON: {"schema": schemas.of(operation.body)}}
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    if operation.socket is not None:
        client, server = operation.socket.client, operation.socket.server
        described["x-websocket"] = {"client": schemas.of(client), "server": schemas.of(server)}
    return described


def _security(endpoint: str, method: str) -> list[dict[str, list[str]]]:
    """Who may call it; the lists hold the scopes that are needed, as OpenAPI 3.1 lets them."""
    if endpoint in access.OPEN:
        return []
    schemes = ["bearer", "ticket"] if endpoint in access.TICKETED else ["bearer"]
    scopes: list[str] = [*access.needed_scopes(endpoint, method)]
    return [{scheme: scopes} for scheme in schemes]


def _parameters(schemas: _Schemas, operation: Operation, rule: Rule) -> list[dict[str, Any]]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _for_browsers(_PATH_SCHEMAS.get(name, {"type": "string"})),
        }
        for name in _PATH_VARIABLE.findall(rule.rule)
    ]
    in_query = [
        {"name": name, "in": "query", "required": name == "session", "schema": schemas.of(kind)}
        for name, kind in operation.query.items()
    ]
    in_headers = [
        {"name": name, "in": "header", **_for_browsers(_REQUEST_HEADERS[name])}
        for name in operation.headers
    ]
    return in_path + in_query + in_headers


# -- answers


def _responses(schemas: _Schemas, view: View, operation: Operation) -> dict[str, Any]:
    limits = LIMIT_HEADERS if "rate_limited" in operation.codes else ()
    made = {
        str(status): _response(schemas, reply, (*reply.headers, *_headers_of(status), *limits))
        for status, reply in operation.replies.items()
    }
    login = () if view.__name__ in access.OPEN else LOGIN_CODES
    shape = getattr(view, "error_shape", error_response)
    statuses = errors.STATUS_BY_CODE
    if shape is openai_error:
        statuses = {**statuses, **OPENAI_STATUSES}
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*login, *operation.codes)):
        by_status.setdefault(statuses[code], []).append(code)
    for status, codes in by_status.items():
        made[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "headers": _headers((*_headers_of(status), *limits)),
            "content": _error_content(schemas, shape, codes),
        }
    return dict(sorted(made.items()))


def _response(schemas: _Schemas, reply: Reply, headers: tuple[str, ...]) -> dict[str, Any]:
    content = {one.media_type: _content(schemas, one) for one in reply.content}
    made: dict[str, Any] = {"description": reply.description, "headers": _headers(headers)}
    return {**made, "content": content} if content else made


def _headers_of(status: int) -> tuple[str, ...]:
    """The headers that each error of a status has."""
    if status in HAS_RETRY_AFTER:
        return ("Retry-After",)
    return ("WWW-Authenticate",) if status == HTTPStatus.UNAUTHORIZED else ()


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    made = {}
    for name in names:
        description, schema = _ANSWER_HEADERS[name]
        # What attaches to a turn starts none, and has no quota to tell.
        is_always = name not in LIMIT_HEADERS
        made[name] = {"description": description, "required": is_always, "schema": schema}
    return made


def _content(schemas: _Schemas, content: Content | Events) -> dict[str, Any]:
    if isinstance(content, Content):
        return {"schema": schemas.of(content.kind)}
    data: dict[str, Any] = {
        "type": "string",
        "contentMediaType": JSON,
        "contentSchema": _any_of([schemas.of(kind) for kind in content.data]),
    }
    if content.last is not None:
        data = {"anyOf": [data, {"const": content.last}]}
    fields: dict[str, Any] = {"data": data, "event": {"type": "string"}}
    if content.numbered:
        fields |= {"id": {"type": "string"}, "retry": {"type": "integer"}}
    # In OpenAPI 3.1 the schema of a stream is that of each event, as its tools read it.
    return {"schema": {"type": "object", "required": ["data"], "properties": fields}}


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _error_content(schemas: _Schemas, shape: Any, codes: list[str]) -> dict[str, Any]:
    code: Mapping[str, Any] = {"properties": {"code": {"enum": codes}}}
    if shape is error_response:
        return {JSON: {"schema": {"allOf": [schemas.of(ErrorBody), code]}}}
    if shape is openai_error:
        told = {"properties": {"error": code}}
        return {JSON: {"schema": {"allOf": [schemas.of(OpenAIError), told]}}}
    return {TEXT: {"schema": {"type": "string"}}}
