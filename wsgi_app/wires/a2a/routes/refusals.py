"""What A2A's bindings refuse, by the protocol's names."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from flask import Response, g

from wsgi_app.errors import AgentHostError, RequestError
from wsgi_app.web.envelope import error_headers, error_status, json_response

_TYPES: Final = "type.googleapis.com/google.rpc."
_PROTOCOL: Final = "a2a-protocol.org"
_HOST: Final = "wsgi-agent-host"
INVALID_PARAMS: Final = -32602


class Kind(NamedTuple):
    """An error of the protocol's: its codes in both bindings, and the host's nearest one."""

    rpc: int
    status: int
    grpc: str
    code: str


#: By the protocol's names, as error details have them.
KINDS: Final = {
    "TASK_NOT_FOUND": Kind(-32001, 404, "NOT_FOUND", "not_found"),
    "TASK_NOT_CANCELABLE": Kind(-32002, 400, "FAILED_PRECONDITION", "invalid_request"),
    "PUSH_NOTIFICATION_NOT_SUPPORTED": Kind(-32003, 400, "FAILED_PRECONDITION", "invalid_request"),
    "UNSUPPORTED_OPERATION": Kind(-32004, 400, "FAILED_PRECONDITION", "invalid_request"),
    "CONTENT_TYPE_NOT_SUPPORTED": Kind(-32005, 400, "INVALID_ARGUMENT", "invalid_request"),
    "VERSION_NOT_SUPPORTED": Kind(-32009, 400, "FAILED_PRECONDITION", "invalid_request"),
    "METHOD_NOT_FOUND": Kind(-32601, 404, "UNIMPLEMENTED", "not_found"),
}
#: Of the host's own codes: those of JSON-RPC, and the statuses of gRPC by those of HTTP.
_RPC_CODES: Final = {
    "invalid_json": -32700,
    "invalid_request": INVALID_PARAMS,
    "idempotency_key_reused": INVALID_PARAMS,
    "internal_error": -32603,
}
_MEDIA_TYPE: Final = "CONTENT_TYPE_NOT_SUPPORTED"
_OTHER_RPC_CODE: Final = -32000
_GRPC: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
#: Refused before there is a request of JSON-RPC: such keep their HTTP status.
_OF_HTTP: Final = (401, 403, 404, 405, 411, 413, 415, 429)
_BAD_REQUEST, _UNPROCESSABLE, _SERVER_ERROR = 400, 422, 500


class A2aError(RequestError):
    """A refusal that the protocol has a name for."""

    def __init__(self, reason: str, message: str, **metadata: str) -> None:
        super().__init__(KINDS[reason].code, message)
        self.reason = reason
        self.metadata = metadata


def task_not_found(task_id: str) -> A2aError:
    """There is none, or it is another tenant's, or no longer kept."""
    return A2aError("TASK_NOT_FOUND", "There is no such task.", taskId=task_id)


def details_of(error: AgentHostError) -> list[dict[str, Any]]:
    """What an error's body has beside its code, in google.rpc's form."""
    if isinstance(error, A2aError):
        return [_info(error.reason, _PROTOCOL, error.metadata)]
    details = {name: str(value) for name, value in error.details.items()}
    if error.code == "unsupported_media_type":
        return [_info(_MEDIA_TYPE, _PROTOCOL, details)]
    found = [_info(error.code.upper(), _HOST, details)]
    if "field" in error.details:
        violation = {"field": details["field"], "description": details.get("reason", "")}
        found.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    return found


def _info(reason: str, domain: str, metadata: dict[str, str]) -> dict[str, Any]:
    info = {"@type": f"{_TYPES}ErrorInfo", "reason": reason, "domain": domain}
    return {**info, "metadata": metadata}


def _status_of(error: AgentHostError) -> int:
    status = error_status(error)
    return _BAD_REQUEST if status == _UNPROCESSABLE else status


def rpc_refusal(error: AgentHostError) -> Response:
    """Refuse as JSON-RPC does: with 200, but for what concerns HTTP, or is no request of its."""
    if isinstance(error, A2aError):
        code, status = KINDS[error.reason].rpc, 200
    elif error.code == "unsupported_media_type":
        code, status = KINDS[_MEDIA_TYPE].rpc, error_status(error)
    else:
        code, status = _RPC_CODES.get(error.code, _OTHER_RPC_CODE), _status_of(error)
        is_request = "wsgi_app_a2a_id" in g
        if is_request and status not in _OF_HTTP and status < _SERVER_ERROR:
            status = 200
    fault = {"code": code, "message": error.message, "data": details_of(error)}
    body = {"jsonrpc": "2.0", "id": g.get("wsgi_app_a2a_id"), "error": fault}
    return json_response(body, status, error_headers(error))


def http_refusal(error: AgentHostError) -> Response:
    """Refuse as google.rpc.Status does."""
    if isinstance(error, A2aError):
        status, grpc = KINDS[error.reason].status, KINDS[error.reason].grpc
    else:
        status = _status_of(error)
        grpc = _GRPC.get(status, "INVALID_ARGUMENT" if status < _SERVER_ERROR else "INTERNAL")
    fault = {"code": status, "status": grpc, "message": error.message}
    body = {"error": {**fault, "details": details_of(error)}}
    return json_response(body, status, error_headers(error))
