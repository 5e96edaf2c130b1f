"""What a doctor found: findings, and what could not be looked at."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Exit statuses.
WELL: Final = 0
FOUND: Final = 1
UNCHECKED: Final = 2


class Finding(Struct, frozen=True):
    """One fault: what is wrong, what to change, and in which file or setting."""

    check: str
    problem: str
    change: str
    where: str


class Unchecked(Struct, frozen=True):
    """A group of checks that could not be made, and why."""

    check: str
    reason: str


class Report(Struct):
    """All that was looked at; ``checked`` names the groups that were.

    ``advice`` is for this site's own versions and server, and no fault.
    """

    findings: list[Finding] = []
    unchecked: list[Unchecked] = []
    checked: list[str] = []
    advice: list[str] = []

    def status(self) -> int:
        """The command's exit status."""
        if self.findings:
            return FOUND
        return UNCHECKED if self.unchecked else WELL

    def text(self) -> str:
        """The report for people."""
        lines: list[str] = []
        for finding in self.findings:
            lines += [f"{finding.where}: {finding.problem}", f"    -> {finding.change}", ""]
        for gap in self.unchecked:
            lines += [f"not checked: {gap.check}: {gap.reason}", ""]
        if self.advice:
            lines += ["for this site:", *(f"    {line}" for line in self.advice), ""]
        count = len(self.findings)
        verdict = "no findings" if not count else f"{count} finding{'s' if count > 1 else ''}"
        return "\n".join([*lines, f"{verdict}; checked: {', '.join(self.checked) or 'nothing'}"])
