"""Runs the doctor and reads its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.command import run_command
from tests.support.processes import ROOT

#: What makes the stand-alone app a service.
TOKENS = {"AGENT_TOKENS": "dev=demo-tenant", "WSGI_AGENT_HOST_TOKEN": "dev"}


class Diagnosis(NamedTuple):
    """What the doctor said."""

    status: int
    findings: dict[str, dict[str, str]]
    unchecked: dict[str, str]
    checked: list[str]
    #: All findings, of which a check may have several.
    all: list[dict[str, str]]

    @property
    def names(self) -> set[str]:
        """The checks that found something."""
        return set(self.findings)


def run_doctor(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Diagnosis:
    """Run ``wsgi-agent-host doctor --json`` as an operator would; ``env`` adds to `TOKENS`."""
    done = run_command("doctor", "--json", *arguments, env={**TOKENS, **(env or {})}, cwd=cwd)
    try:
        report: dict[str, list[Any]] = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"status {done.returncode}:\n{done.stdout}\n{done.stderr}") from None
    return Diagnosis(
        done.returncode,
        {finding["check"]: finding for finding in report["findings"]},
        {gap["check"]: gap["reason"] for gap in report["unchecked"]},
        report["checked"],
        report["findings"],
    )
