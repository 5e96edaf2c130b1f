"""The README and the pages of docs/, as the tests read them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.processes import ROOT, clean_environment


def page(name: str) -> str:
    """The text of a page: ``README.md``, or a name such as ``docs/http.md``."""
    return (ROOT / name).read_text()


def blocks(language: str, name: str = "README.md") -> list[str]:
    """A page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)


def block(language: str, holds: str, name: str) -> str:
    """The one code block of a page that holds these words."""
    (found,) = [one for one in blocks(language, name) if holds in one]
    return found


def run_shell(command: str, port: int, cwd: Path | None = None) -> str:
    """Run a page's curls against another port."""
    return subprocess.run(
        ["sh", "-ec", command.replace("curl ", "curl -s ").replace(":8000", f":{port}")],
        capture_output=True,
        check=True,
        cwd=cwd,
        env=clean_environment(),
        text=True,
        timeout=60,
    ).stdout


def run_commands(name: str, port: int, cwd: Path | None = None) -> int:
    """Run each curl of a page; it prints what the page shows below it. Returns how many lines."""
    printed = ""
    checked = 0
    for language, block in re.findall(
        r"^```(\w+)\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE
    ):
        if language == "sh" and block.startswith("curl"):
            request_id = re.search(r'"request_id":"([^"]+)"', printed)
            command = block.replace("REQUEST_ID", request_id[1]) if request_id else block
            printed = run_shell(command, port, cwd)
        elif language == "text":
            for line in block.splitlines():
                assert line in printed, (block, printed)
                checked += 1
    return checked
