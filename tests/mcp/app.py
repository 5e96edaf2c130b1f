"""A host for the suite of MCP, whose tools all are the one tool of the host.

The suite calls tools by names of its own. What stands before the application here makes of each
such call one of ``ask``, whose message names the tool; nothing else is touched.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from flask import Flask

from wsgi_app import AgentHost, Status, Turn, TurnError

_TEXT: Final = {"type": "string"}
_TITLED: Final = [{"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"}]
_OPTIONS: Final = ["option1", "option2", "option3"]
#: What the tools of the suite ask, as forms.
FORMS: Final[dict[str, dict[str, Any]]] = {
    "test_elicitation": {"username": _TEXT, "email": _TEXT},
    "test_elicitation_sep1034_defaults": {
        "name": {**_TEXT, "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {**_TEXT, "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {**_TEXT, "enum": _OPTIONS},
        "titledSingle": {**_TEXT, "oneOf": _TITLED},
        "legacyEnum": {
            **_TEXT,
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {**_TEXT, "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
    },
    "test_input_required_result_elicitation": {"name": _TEXT},
    "test_input_required_result_request_state": {"confirmed": {"type": "boolean"}},
    "test_input_required_result_tampered_state": {"confirmed": {"type": "boolean"}},
    "test_input_required_result_capabilities": {"name": _TEXT},
}


def agent(turn: Turn) -> Iterator[Any]:
    """Do what the suite wants of a tool."""
    called: dict[str, Any] = {"tool": "", "arguments": {}}
    if turn.message.startswith("{"):
        called = json.loads(turn.message)
    tool = called["tool"]
    if tool == "test_simple_text":
        yield "This is a simple text response for testing."
    elif tool == "test_error_handling":
        raise TurnError("This tool intentionally returns an error for testing")
    elif tool == "test_tool_with_progress":
        for percent in (0, 50, 100):
            yield Status(f"{percent} %")
            time.sleep(0.05)
    elif tool == "test_input_required_result_multi_round":
        name = turn.ask("What is your name?", {"type": "object", "properties": {"name": _TEXT}})
        colour = turn.ask("Which colour?", {"type": "object", "properties": {"colour": _TEXT}})
        yield f"{name} {colour}"
    elif tool in FORMS:
        yield f"User response: {json.dumps(ask(turn, tool, called['arguments']))}"
    else:
        yield f"There is no {tool}."


def ask(turn: Turn, tool: str, arguments: dict[str, Any]) -> Any:
    """Ask what a tool asks."""
    properties = FORMS[tool]
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return turn.ask(arguments.get("message", "Please tell"), schema)


class Renaming:
    """Calls the tools of the suite by the host's one name."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer as WSGI asks."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            called = json.loads(body)
            name = called["params"]["name"]
        except (ValueError, KeyError, TypeError):
            name = ""
        if name.startswith("test_"):
            told = {"tool": name, "arguments": called["params"].get("arguments") or {}}
            called["params"]["name"] = "ask"
            called["params"]["arguments"] = {"message": json.dumps(told)}
            body = json.dumps(called).encode()
            if environ.get("HTTP_MCP_NAME") == name:
                environ["HTTP_MCP_NAME"] = "ask"
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        return self._app(environ, start_response)


def suite_app() -> Flask:
    """Mount the agent below /agents, for everybody: the suite shows no token."""
    app = Flask("site")
    AgentHost(agent, authenticate=lambda _: "suite").init_app(app, url_prefix="/agents")
    app.wsgi_app = Renaming(app.wsgi_app)  # type: ignore[method-assign] # as Flask documents it
    return app
