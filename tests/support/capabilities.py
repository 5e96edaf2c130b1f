"""Which client does what: the facts that the clients' tests prove, as the table of docs/clients.md.

``python -m tests.support.capabilities`` writes the table into that page.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.support.node import CLIENTS
from tests.support.processes import ROOT

PAGE: Final = ROOT / "docs" / "clients.md"
BEGIN: Final = (
    "| client | streams | tools | stop | resume | questions |\n|---|---|---|---|---|---|\n"
)
SKILLS: Final = ("streams", "tools", "stop", "resume", "questions")


def facts() -> dict[str, dict[str, Any]]:
    """Each client's skills, and the test that proves them."""
    found: dict[str, dict[str, Any]] = json.loads((CLIENTS / "capabilities.json").read_text())
    return found


def table() -> str:
    """The page's table."""
    rows = [
        f"| {' | '.join([client, *(_cell(skills[name]) for name in SKILLS)])} |"
        for client, skills in sorted(facts().items(), key=lambda row: row[0].lower())
    ]
    return BEGIN + "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The page's text with the table as it has to be; raises ValueError if it has none."""
    start = text.index(BEGIN)
    end = text.find("\n\n", start)
    return text[:start] + table() + text[len(text) if end < 0 else end + 1 :]


def _cell(skill: bool | str) -> str:  # noqa: FBT001 - as it stands in the file
    if isinstance(skill, bool):
        return "yes" if skill else "no"
    return skill


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
