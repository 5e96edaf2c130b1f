"""Judges the settings: what stops the start, and what is likely a slip."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from wsgi_app.cli.doctor.facts import HostFacts
from wsgi_app.cli.doctor.report import Finding
from wsgi_app.config import NAMES, PREFIX, load_settings, setting_name
from wsgi_app.errors import ConfigError

ENVIRONMENT: Final = "environment"
_KNOWN: Final = {setting_name(name) for name in NAMES}


def check_environment(environ: Mapping[str, str]) -> list[Finding]:
    """Find all malformed settings at once, and names that are a letter off."""
    findings = []
    for key in sorted(environ):
        if not key.startswith(PREFIX) or not environ[key]:
            continue
        if key in _KNOWN:
            problem = _malformed(key, environ[key])
            if problem:
                findings.append(_finding(key, problem, f"correct {key}, or unset it"))
            continue
        meant = difflib.get_close_matches(key, _KNOWN, n=1, cutoff=0.85)
        if meant:
            findings.append(_finding(key, f"{key} is no setting", f"rename it: {meant[0]}"))
    return findings


def check_app(config_error: str, known: list[Finding]) -> list[Finding]:
    """Report what stops the app's start, unless the environment's findings say so already."""
    if not config_error or any(finding.problem == config_error for finding in known):
        return []
    return [
        Finding(
            "settings",
            config_error,
            "correct this setting: the app does not start",
            "environment, app.config or AgentHost",
        )
    ]


def check_login(hosts: list[HostFacts]) -> list[Finding]:
    """Find hosts in development mode, which answer 401 to all but this machine."""
    return [
        Finding(
            "login",
            f"the host at {host.prefix} is in development mode: what comes through a proxy or"
            " from another machine gets 401",
            "AGENT_TOKENS_FILE (see `wsgi-agent-host token`), AGENT_TOKENS, or authenticate= of"
            " AgentHost",
            ENVIRONMENT,
        )
        for host in hosts
        if host.development
    ]


def _malformed(key: str, value: str) -> str:
    try:
        load_settings({}, {}, {key: value})
    except ConfigError as error:
        return str(error)
    return ""


def _finding(key: str, problem: str, change: str) -> Finding:
    return Finding("settings", problem, change, f"{ENVIRONMENT} ({key})")
