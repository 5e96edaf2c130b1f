"""What docs/clients.md says of clients is what their tests prove."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.support.capabilities import PAGE, SKILLS, facts, with_table
from tests.support.node import CLIENTS
from tests.support.processes import ROOT


def test_the_page_has_the_table() -> None:
    """The page's table is made of capabilities.json; tests.support.capabilities writes it."""
    text = PAGE.read_text()
    assert with_table(text) == text


@pytest.mark.parametrize("client", facts())
def test_a_test_stands_behind_each_row(client: str) -> None:
    """A row tells of each skill, and names a test that there is."""
    row = facts()[client]
    assert set(row) == {*SKILLS, "test"}
    for skill in SKILLS:
        assert isinstance(row[skill], (bool, str)), skill
        assert "|" not in str(row[skill])
    place, name = row["test"].split("::")
    functions = ast.walk(ast.parse((ROOT / place).read_text()))
    assert name in {one.name for one in functions if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("client", facts())
def test_a_rows_version_is_the_locked_one(client: str) -> None:
    """A package's version in the table is the one that its tests run."""
    named = re.match(r"(\S+) ([0-9][0-9.]*)(?= |,|$)", client)
    if named is None:
        return  # no package
    package, version = named.groups()
    packages = [*_named_in(CLIENTS / "package.json")]
    packages += _named_in(CLIENTS / "commands" / "package.json")
    packages += _named_in(ROOT / "tests" / "langgraph" / "page" / "package.json")
    npm = [f"{name}@{there}".removeprefix("npm:") for name, there in packages]
    npm += [there.removeprefix("npm:") for _, there in packages]
    locks = (ROOT / "requirements.lock", CLIENTS / "frameworks" / "requirements.txt")
    pins = "\n".join(lock.read_text() for lock in locks)
    python = re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", pins, re.MULTILINE)
    assert f"{package}@{version}" in npm or (package, version) in python


def _named_in(package: Path) -> list[tuple[str, str]]:
    """What a folder's clients are, opencode's program by its name alone."""
    found = json.loads(package.read_text())
    named = {**found["dependencies"], **found.get("optionalDependencies", {})}
    return [
        (name.replace("opencode-linux-x64", "opencode"), there) for name, there in named.items()
    ]
