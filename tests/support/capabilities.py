"""Which client does what: the facts that the clients' tests prove, as the README's table.

``python -m tests.support.capabilities`` writes the table into the README.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.support.node import CLIENTS
from tests.support.processes import ROOT

README: Final = ROOT / "README.md"
BEGIN: Final = (
    "| client | streams | tools | stop | resume | questions |\n|---|---|---|---|---|---|\n"
)
SKILLS: Final = ("streams", "tools", "stop", "resume", "questions")


def facts() -> dict[str, dict[str, Any]]:
    """Each client's skills, and the test that proves them."""
    found: dict[str, dict[str, Any]] = json.loads((CLIENTS / "capabilities.json").read_text())
    return found


def table() -> str:
    """The README's table."""
    rows = [
        f"| {' | '.join([client, *(_cell(skills[name]) for name in SKILLS)])} |"
        for client, skills in sorted(facts().items(), key=lambda row: row[0].lower())
    ]
    return BEGIN + "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The README's text with the table as it has to be; raises ValueError if it has none."""
    start = readme.index(BEGIN)
    end = readme.find("\n\n", start)
    return readme[:start] + table() + readme[len(readme) if end < 0 else end + 1 :]


def _cell(skill: bool | str) -> str:  # noqa: FBT001 - as it stands in the file
    if isinstance(skill, bool):
        return "yes" if skill else "no"
    return skill


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
