"""The OpenAPI document, from the app's routes and their descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final

from msgspec.json import schema_components

from wsgi_app.compat.python import zip_strict
from wsgi_app.events import AGENT_EVENTS, PlainEvent
from wsgi_app.limits import LIMIT_HEADERS
from wsgi_app.web.envelope import HAS_RETRY_AFTER, Envelope
from wsgi_app.web.ids import MESSAGE_CHARS, SESSION_ID_PATTERN
from wsgi_app.web.operation import JSON, LOGIN_CODES, TEXT, Content, Events, Header, Reply
from wsgi_app.web.parse import IDEMPOTENCY_KEY_PATTERN
from wsgi_app.web.route import Route

OPENAPI_VERSION: Final = "3.1.1"
_REF_TEMPLATE: Final = "#/components/schemas/{name}"
_PATH_VARIABLE: Final = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_PATH_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "session_id": {"type": "string", "pattern": SESSION_ID_PATTERN},
}
_Headers = Mapping[str, tuple[str, dict[str, Any]]]
_REQUEST_HEADERS: Final[_Headers] = {
    "Last-Event-ID": (
        "The last event that the client has seen; it beats the query.",
        {"type": "string"},
    ),
    "Idempotency-Key": (
        "A repeated request with the same key attaches to the turn of the first.",
        {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
    ),
}
_COUNT: Final = {"type": "integer", "minimum": 0}
_ANSWER_HEADERS: Final[_Headers] = {
    "X-Session-Id": ("The session.", {"type": "string"}),
    "X-Turn-Id": ("The turn's number.", {"type": "string"}),
    "Retry-After": ("Seconds.", _COUNT),
    "WWW-Authenticate": ("How to log in.", {"type": "string"}),
    "RateLimit-Limit": ("Starts of turns in a window.", _COUNT),
    "RateLimit-Remaining": ("Starts that are left.", _COUNT),
    "RateLimit-Reset": ("Seconds until there are more.", _COUNT),
}
#: Fields of what sub-agents do, see `Nested`; `agent` alone is of a `Handoff`.
_POSITION_FIELDS: Final = {
    "parent": {
        "type": "string",
        "description": "The call that a sub-agent works for: no part of the turn's own answer.",
    },
    "agent": {
        "type": "string",
        "description": "The sub-agent, or the agent that speaks from now on.",
    },
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

    def __init__(self, routes: Iterable[Route], max_message_chars: int) -> None:
        kinds: list[Any] = [PlainEvent]
        for route in routes:
            kinds += _kinds(route)
        schemas, found = schema_components(kinds, ref_template=_REF_TEMPLATE)
        schemas, found = _bounded([schemas, found], max_message_chars)
        self._by_kind = [(kind, _for_browsers(s)) for kind, s in zip_strict(kinds, schemas)]
        self.components: dict[str, Any] = _for_browsers(found)
        for kind in AGENT_EVENTS:
            self.components[kind.__name__]["properties"] |= _POSITION_FIELDS
        self.components["Event"] = {"title": "Event", **self.of(PlainEvent)}
        self._by_kind[0] = (PlainEvent, {"$ref": "#/components/schemas/Event"})

    def of(self, kind: Any) -> dict[str, Any]:
        """A type's schema."""
        return next(schema for known, schema in self._by_kind if known == kind)


def _kinds(route: Route) -> list[Any]:
    operation = route.about
    kinds = list(operation.query.values())
    if route.errors.kind is not None:
        kinds.append(route.errors.kind)
    if operation.body is not None:
        kinds.append(operation.body)
    if operation.socket is not None:
        kinds += [operation.socket.client, operation.socket.server]
    for reply in operation.replies.values():
        for one in reply.content:
            kinds += one.data if isinstance(one, Events) else (one.kind,)
    return kinds


def _bounded(schema: Any, max_message_chars: int) -> Any:
    """Replace the name of a setting by this host's value."""
    if isinstance(schema, dict):
        return {name: _bounded(value, max_message_chars) for name, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [_bounded(item, max_message_chars) for item in schema]
    return max_message_chars if schema == MESSAGE_CHARS else schema


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


def make_document(
    routes: Sequence[Route], server_url: str, max_message_chars: int
) -> dict[str, Any]:
    """Describe a mount's routes; ``server_url`` is where clients find the mount."""
    schemas = _Schemas(routes, max_message_chars)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PATH_VARIABLE.sub(r"{\1}", route.path)
        method = "get" if route.method == "WS" else route.method.lower()
        paths.setdefault(path, {})[method] = _describe(schemas, route)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "Agent host", "version": _version(), "description": _INFO_TEXT},
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _version() -> str:
    # Imported here: the package's own module imports the host, which imports this one.
    return str(import_module("wsgi_app").__version__)


def _describe(schemas: _Schemas, route: Route) -> dict[str, Any]:
    operation = route.about
    summary = (route.view.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")
    described: dict[str, Any] = {
        "operationId": route.name,
        "tags": [operation.group],
        "summary": summary[:1].upper() + summary[1:],
        "parameters": _parameters(schemas, route),
        "responses": _responses(schemas, route),
        "security": _security(route),
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


def _security(route: Route) -> list[dict[str, list[str]]]:
    """Who may call it; the lists hold the scopes that are needed, as OpenAPI 3.1 lets them."""
    if route.scopes is None:
        return []
    schemes = ["bearer", "ticket"] if route.ticket else ["bearer"]
    return [{scheme: [*route.scopes]} for scheme in schemes]


def _parameters(schemas: _Schemas, route: Route) -> list[dict[str, Any]]:
    operation = route.about
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _for_browsers(_PATH_SCHEMAS.get(name, {"type": "string"})),
        }
        for name in _PATH_VARIABLE.findall(route.path)
    ]
    in_query = [
        {"name": name, "in": "query", "required": name == "session", "schema": schemas.of(kind)}
        for name, kind in operation.query.items()
    ]
    in_headers = [
        {"name": one.name, "in": "header", "description": one.description}
        | {"schema": _for_browsers(one.schema)}
        for one in (_known(name, _REQUEST_HEADERS) for name in operation.headers)
    ]
    return in_path + in_query + in_headers


# -- answers


def _responses(schemas: _Schemas, route: Route) -> dict[str, Any]:
    operation, errors = route.about, route.errors
    limits = LIMIT_HEADERS if "rate_limited" in operation.codes else ()
    made = {
        str(status): _response(schemas, reply, (*reply.headers, *_headers_of(status), *limits))
        for status, reply in operation.replies.items()
    }
    login = () if route.scopes is None else LOGIN_CODES
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*login, *operation.codes)):
        by_status.setdefault(errors.statuses[code], []).append(code)
    for status, codes in by_status.items():
        made[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "headers": _headers((*_headers_of(status), *limits)),
            "content": _error_content(schemas, errors, codes),
        }
    return dict(sorted(made.items()))


def _response(schemas: _Schemas, reply: Reply, headers: tuple[str | Header, ...]) -> dict[str, Any]:
    content = {one.media_type: _content(schemas, one) for one in reply.content}
    made: dict[str, Any] = {"description": reply.description, "headers": _headers(headers)}
    return {**made, "content": content} if content else made


def _headers_of(status: int) -> tuple[str, ...]:
    """The headers that each error of a status has."""
    if status in HAS_RETRY_AFTER:
        return ("Retry-After",)
    return ("WWW-Authenticate",) if status == HTTPStatus.UNAUTHORIZED else ()


def _headers(names: tuple[str | Header, ...]) -> dict[str, Any]:
    return {
        # What attaches to a turn starts none, and has no quota to report.
        one.name: {
            "description": one.description,
            "required": one.name not in LIMIT_HEADERS,
            "schema": one.schema,
        }
        for one in (_known(name, _ANSWER_HEADERS) for name in names)
    }


def _known(header: str | Header, known: _Headers) -> Header:
    return header if isinstance(header, Header) else Header(header, *known[header])


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


def _error_content(schemas: _Schemas, errors: Envelope, codes: list[str]) -> dict[str, Any]:
    if errors.kind is None:
        return {TEXT: {"schema": {"type": "string"}}}
    codes_schema: dict[str, Any] = {"enum": codes}
    for name in reversed((*errors.around_code, "code")):
        codes_schema = {"properties": {name: codes_schema}}
    return {JSON: {"schema": {"allOf": [schemas.of(errors.kind), codes_schema]}}}
