"""The recipes of examples/frameworks/, each with its framework as it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.sites.environments import environment
from tests.support.processes import ROOT, clean_environment

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

FOLDER: Final = ROOT / "examples/frameworks"
RECIPES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*_agent.py")))
#: On a busy machine; docs/agents.md has what was seen.
STOP_MILLISECONDS: Final = 250


@pytest.fixture(scope="module", params=RECIPES)
def seen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a recipe's run saw."""
    # One environment: at these versions they agree on what they need.
    pins = (Path(__file__).parent / "recipes.txt").read_text()
    python = environment("recipes", pins) / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", "tests.agents_real.recipe_run", request.param],
        cwd=ROOT,
        env={**clean_environment(), "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    print(request.param, done.stdout)  # noqa: T201 - for the table in the docs
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    told: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return told


def test_three_turns_use_the_tool_and_remember(seen: dict[str, Any]) -> None:
    """Each turn has the model's text, the tool ran, tokens count, and no turn is forgotten."""
    assert seen["talk"] == {
        "texts": ["Answer 0", "Answer 1", "Answer 2"],
        "ends": ["Done", "Done", "Done"],
        "requests": 6,
        "tool_ran": 1,  # in the last turn: earlier ones give what was said
        "remembers": True,
        "tokens": 14,
    }


def test_a_stop_reaches_the_provider_at_once(seen: dict[str, Any]) -> None:
    """In mid-text, before the first byte and behind a tool; none asks again."""
    assert set(seen["stops"]) == {"mid-text", "silent", "behind a tool"}
    assert max(seen["stops"].values()) < STOP_MILLISECONDS, seen["stops"]


def test_an_answer_that_breaks_off_is_an_error(seen: dict[str, Any]) -> None:
    """A stream without a finish reason ends no turn with ``done``."""
    assert not seen["broken"]["done"]
    assert seen["broken"]["code"] == "upstream_error"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short(name: str) -> None:
    """What is beside imports and the docstring is at most twenty lines."""
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    code = [x for x in lines if x.strip() and not x.startswith(("from ", "import ", '"""'))]
    assert len(code) <= 20
