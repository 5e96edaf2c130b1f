"""Each page of the tutorial does what it says: its code is served, its commands are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documentation import blocks, run_commands
from tests.support.servers import gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Script, Text, ToolCalls

SCRIPTS: dict[str, list[Script]] = {
    "first-agent": [],
    "tools": [
        (ToolCalls((Call("call_1", "stock_of", '{"article":"nut"}'),)),),
        (Text(("Three ", "nuts.")),),
    ],
    "approval": [
        (ToolCalls((Call("call_1", "delete_article", '{"article":"nut"}'),)),),
        (Text(("Done.",)),),
    ],
    "history": [],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    """The app of the page is served by its command, and each curl prints what the page shows."""
    (code,) = blocks("python", f"docs/tutorial/{name}.md")
    (tmp_path / "app.py").write_text(code)
    with Upstream() as upstream:
        for script in SCRIPTS[name]:
            upstream.script(*script)
        args = ["--pythonpath", str(tmp_path)]
        with gunicorn("app:app", cwd=tmp_path, args=args, env=upstream.environment) as server:
            assert run_commands(f"docs/tutorial/{name}.md", server.port) >= 1


def test_pages_serve_by_one_command() -> None:
    """Each page serves its app by the same command, which the fixture's is."""
    for name in SCRIPTS:
        serving = [one for one in blocks("sh", f"docs/tutorial/{name}.md") if "gunicorn" in one]
        assert serving == ["gunicorn --worker-class gthread --threads 8 app:app\n"], name
