"""The agent's card: where it is, and what it takes."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from flask import Response, request

from wsgi_app.events import encode_json
from wsgi_app.web.client_tools import takes_attachments
from wsgi_app.web.mount import Mount
from wsgi_app.wires.a2a.request import PROTOCOL_VERSION
from wsgi_app.wires.a2a.routes.refusals import A2aError
from wsgi_app.wires.a2a.routes.tasks import check_version

PATH: Final = "/.well-known/agent-card.json"
#: How long a client may keep it.
MAX_AGE_SECONDS: Final = 300
_FILES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/*")
_BINDINGS: Final = ("JSONRPC", "HTTP+JSON")
_SKILL: Final = "An agent with tools and a memory of its own: it answers in text, or asks back."


def get_agent_card(mount: Mount) -> Response:
    """GET /.well-known/agent-card.json: where the agent is, and what it takes."""
    return card_response(mount, request.path.removesuffix(PATH))


def card_response(mount: Mount, prefix: str) -> Response:
    """Answer with the card of the host that is mounted below a prefix of this site."""
    url = request.host_url.rstrip("/") + request.root_path + prefix
    response = Response(encode_json(_card(mount, url)), content_type="application/json")
    response.headers["Cache-Control"] = f"private, max-age={MAX_AGE_SECONDS}"
    response.add_etag()
    response.make_conditional(request)
    return response


def _card(mount: Mount, url: str) -> dict[str, Any]:
    name = mount.settings.model or "agent"
    scheme = {"httpAuthSecurityScheme": {"scheme": "Bearer"}}
    files = _FILES if takes_attachments(mount) else ()
    return {
        "name": name,
        "description": _SKILL,
        "version": import_module("wsgi_app").__version__,
        "supportedInterfaces": [
            {
                "url": f"{url}/a2a",
                "protocolBinding": binding,
                "protocolVersion": PROTOCOL_VERSION,
            }
            for binding in _BINDINGS
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "extendedAgentCard": False,
        },
        "securitySchemes": {"bearer": scheme},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "defaultInputModes": ["text/plain", "application/json", *files],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "ask", "name": "Ask the agent", "description": _SKILL, "tags": ["chat"]}],
    }


def get_extended_card(_mount: Mount) -> Response:
    """GET /a2a/extendedAgentCard: refused, there is but one."""
    check_version()
    raise extended_card_not_supported()


def extended_card_not_supported() -> A2aError:
    """The refusal of another card."""
    return A2aError("UNSUPPORTED_OPERATION", "There is no other card than the public one.")
