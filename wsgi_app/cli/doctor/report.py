"""What a doctor found: findings, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Iterable
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
    """All that was looked at; ``checked`` names the groups, ``fine`` the checks without a finding.

    ``advice`` is for this site's own versions and server, and no fault.
    """

    findings: list[Finding] = []
    unchecked: list[Unchecked] = []
    checked: list[str] = []
    fine: list[str] = []
    advice: list[str] = []

    def add(self, name: str, findings: Iterable[Finding]) -> None:
        """Take what a check has found; one that has found nothing is fine."""
        found = list(findings)
        self.findings += found
        if not found:
            self.fine.append(name)

    def status(self) -> int:
        """The command's exit status."""
        if self.findings:
            return FOUND
        return UNCHECKED if self.unchecked else WELL

    def text(self, *, verbose: bool = False) -> str:
        """The report for people; ``verbose`` adds the advice, and what is fine."""
        lines: list[str] = []
        for finding in self.findings:
            lines += [f"{finding.where}: {finding.problem}", f"    -> {finding.change}", ""]
        for gap in self.unchecked:
            lines += [f"not checked: {gap.check}: {gap.reason}", ""]
        if verbose and self.advice:
            lines += ["for this site:", *(f"    {line}" for line in self.advice), ""]
        if verbose and self.fine:
            lines += ["fine:", *(f"    {name}" for name in self.fine), ""]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        found = _counted(len(self.findings), "finding") if self.findings else "no findings"
        return f"{found}, {_counted(len(self.fine), 'check')} fine"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
