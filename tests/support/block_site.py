"""A site made of code blocks of docs/: what a page defines is mounted, with what it takes as given.

Each block is run as a page has it; the names that a reader would have are set before.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response

from tests.support.documentation import block
from wsgi_app import AgentHost, Turn, current_call


def said(turn: Turn) -> str:
    """Say the message again."""
    return f"You said {turn.message}."


def site() -> Flask:
    """Mount the agents of the pages."""
    app = Flask("site")
    mounted = {
        "agents": said,
        "steps": run(
            "docs/resuming.md",
            "turn.step",
            fetch=lambda url: f"<{url}>",
            mail=lambda _page, key: key,
            current_call=current_call,
        )["agent"],
        "files": run("docs/writing-agents.md", "turn.attachments")["agent"],
        "children": run(
            "docs/writing-agents.md",
            "turn.child",
            research=lambda child: [child.message],
            Turn=Turn,
        )["agent"],
        "steered": run(
            "docs/writing-agents.md", "@steerable", pages=str.split, summary=lambda page: page
        )["agent"],
    }
    for name, agent in mounted.items():
        AgentHost(agent).init_app(app, url_prefix=f"/{name}")
    app.add_url_rule("/page", "page", _page)
    return app


def run(name: str, holds: str, **given: Any) -> dict[str, Any]:
    """Run the one block of a page that holds these words; returns what it defines."""
    names = {**given}
    exec(block("python", holds, name), names)  # noqa: S102 - the page's own code
    return names


PAGE = """<!doctype html><title>Ask</title><p id="answer"></p>
<form id="form"><input name="message"><button>Send</button></form><button id="stop">Stop</button>
<script type="module">const [answer, form, stop] = ["answer", "form", "stop"].map(
  (id) => document.getElementById(id));
%s</script>"""


def _page() -> Response:
    """The page that docs/client.md's first example belongs to."""
    return Response(PAGE % block("js", "form.onsubmit", "docs/client.md"), mimetype="text/html")
