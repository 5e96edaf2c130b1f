"""The workflows of .github/: they keep to GitHub's schema, and run what the Makefile has."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.each import each
from tests.support.processes import ROOT

WORKFLOWS = each(sorted((ROOT / ".github" / "workflows").glob("*.yml")), 2)
SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"


@pytest.fixture(params=[path.name for path in WORKFLOWS])
def workflow(request: pytest.FixtureRequest) -> Any:
    """Each workflow in turn."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / request.param).read_text())


def test_workflows_are_valid(workflow: Any) -> None:
    """Each keeps to the schema of its kind; ``on`` is what YAML 1.1 reads as true."""
    document = {"on" if name is True else name: value for name, value in workflow.items()}
    schema = json.loads(SCHEMA.read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "job": {}}, schema)


def test_workflows_run_targets_of_the_makefile(workflow: Any) -> None:
    """Each ``make`` names a target, one of a matrix too, and may only read the repository."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert workflow["permissions"] == {"contents": "read"}
    for job in each(workflow["jobs"].values()):
        runs = [step["run"] for step in job["steps"] if "run" in step]
        for run in each(runs):
            named = re.fullmatch(r"make (\S+|\$\{\{.*?\}\}) PYTHON=python.*", run)
            assert named, run
            asked = named[1]
            is_each = asked == "${{ matrix.target }}"
            wanted = job["strategy"]["matrix"]["target"] if is_each else [asked]
            assert set(wanted) <= targets, wanted


def test_each_change_is_checked_on_two_pythons() -> None:
    """The check of a change is `make check`, with an older and a newer Python."""
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = ci["jobs"]["check"]
    assert job["steps"][-1]["run"].startswith("make check ")
    assert len(set(job["strategy"]["matrix"]["python"])) == 2
