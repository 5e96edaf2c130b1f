"""The openai package for JavaScript, as it is, with the agent as its model."""

from __future__ import annotations

from tests.cli.cutting import cutting_proxy
from tests.clients.openai_host import openai_host, turns_started
from tests.support.node import run_node
from tests.support.reading import wait_observed
from wsgi_app.auth import DEVELOPMENT_TOKEN


def test_the_openai_package_for_javascript() -> None:
    """It lists, completes, streams, stops, fails, goes on, resumes, cancels, deletes, answers."""
    with openai_host() as server, cutting_proxy(server.port, 0) as proxy:
        lines = run_node("openai.mjs", url=server.url, dropping=proxy.url, token=DEVELOPMENT_TOKEN)
        made = {line["name"]: line["outcome"] for line in lines}
        wait_observed(server, "cancelled", made.pop("stopped"))
        assert turns_started(server) == 13
    types = ["reasoning", "message", "mcp_call", "message"]
    assert made == {
        "models": [["agent"], "agent"],
        "whole": ["Hello", "stop", 6],
        "streamed": [["Hel", "lo"], 3],
        "helper": "Hello",
        "failed": ["APIError", "upstream_error", None],
        "refused": ["BadRequestError", "invalid_request", "messages.0.content.0"],
        "dropped": "once",
        "socket": ["a", "one"],
        "response": {
            "text": "Hello",
            "types": types,
            "call": ["host", "add", '{"a":2}', "completed", '{"sum":5}'],
            "inOrder": True,
            "foundText": "Hello",
            "resumes": True,
        },
        "conversation": [
            "one",
            ["BadRequestError", "invalid_request", "previous_response_id"],
            ["NotFoundError", "not_found", None],
        ],
        "background": ["queued", "cancelled", "cancelled"],
        "question": ["completed", "ask_user", '{"prompt":"Which colour?"}', "blue"],
    }
