"""Faults of gunicorn's configuration, of settings and of the app, found without a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.command import run_command
from tests.cli.doctor.running import TOKENS, run_doctor
from wsgi_app.cli.doctor.facts import ForkFacts, GunicornFacts, HostFacts, SetUp
from wsgi_app.cli.doctor.gunicorn_checks import gunicorn_checks
from wsgi_app.cli.doctor.report import Finding

SITES = "tests.cli.doctor.sites"
GOOD = SetUp(
    gunicorn=GunicornFacts(
        version="27.0.1",
        config_file="gunicorn.conf.py",
        worker_class="gthread",
        workers=1,
        threads=64,
        worker_connections=1000,
        timeout=60,
        graceful_timeout=35,
        keepalive=75,
        preload_app=False,
        patched=False,
        missing_hooks=[],
    ),
    before_fork=ForkFacts(),
    hosts=[
        HostFacts(
            prefix="/agents",
            redis_url=None,
            namespace="site/agents",
            drain_seconds=25,
            lease_seconds=10,
            stream_slots=None,
            parked_streams=0,
            development=False,
        )
    ],
)


def check_gunicorn(found: SetUp) -> list[Finding]:
    """What all checks find."""
    return [finding for check in gunicorn_checks(found.gunicorn) for finding in check(found)]


@pytest.mark.slow
def test_the_projects_own_configuration_is_well() -> None:
    """gunicorn.conf.py with tokens has no findings; the status is 0."""
    found = run_doctor()
    assert (found.status, found.findings, found.unchecked) == (0, {}, {})
    assert found.checked == ["settings", "gunicorn", "app"]


FAULTS = [
    ("worker_class", {"worker_class": "sync"}, "worker_class is sync"),
    ("worker_class", {"worker_class": "eventlet"}, "worker_class is eventlet"),
    ("keepalive", {"worker_class": "gevent"}, "keepalive is 75 s"),
    ("preload", {"worker_class": "gevent", "keepalive": 2, "preload_app": True}, "preload_app"),
    (
        "worker_connections",
        {"worker_class": "gevent", "keepalive": 2, "worker_connections": 10},
        "no more than 8 streams",
    ),
    ("worker_class", {"worker_class": "tornado"}, "in bursts"),
    ("worker_class", {"worker_class": "asgi"}, "only through a bridge"),
    ("http2", {"http2": True}, "one after the other"),
    ("threads", {"threads": 2}, "threads is 2"),
    ("threads", {"threads": 8}, "no more than 6 streams"),
    ("graceful_timeout", {"graceful_timeout": 20}, "graceful_timeout is 20 s"),
    ("timeout", {"timeout": 20}, "timeout is 20 s"),
    ("worker_connections", {"worker_connections": 20000}, "20000 with 64 threads"),
    ("worker_connections", {"worker_connections": 64}, "64 with 64 threads"),
    ("no_redis", {"workers": 2}, "2 workers without AGENT_REDIS_URL"),
    ("hooks", {"missing_hooks": ["child_exit"]}, "child_exit"),
]


@pytest.mark.parametrize(("name", "facts", "told"), FAULTS)
def test_each_fault_of_gunicorn_is_reported(name: str, facts: dict[str, Any], told: str) -> None:
    """A fault in gunicorn's configuration is found, alone, and says where to change what."""
    assert check_gunicorn(GOOD) == []
    gunicorn = msgspec.structs.replace(GOOD.gunicorn, **facts)
    [finding] = check_gunicorn(msgspec.structs.replace(GOOD, gunicorn=gunicorn))
    assert finding.check == name
    assert told in finding.problem
    assert finding.change
    assert finding.where


def test_faults_are_read_as_gunicorn_reads_them() -> None:
    """All faults of a command line are found in one run, and its status is 1."""
    options = "--worker-class sync --threads 1 --graceful-timeout 20 --timeout 20 --workers 2"
    found = run_doctor(*options.split(), "--worker-connections", "20000")
    assert found.names == {
        *("worker_class", "graceful_timeout", "timeout", "worker_connections", "no_redis")
    }
    assert found.findings["no_redis"]["where"].startswith("settings of the host at /")
    assert found.findings["worker_class"]["where"] == "gunicorn.conf.py"
    assert found.status == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("worker_class", "--worker-class sync --threads 1"),
        ("threads", "--threads 2"),
        ("graceful_timeout", "--graceful-timeout 20"),
        ("timeout", "--timeout 20"),
        ("worker_connections", "--worker-connections 20000"),
        ("no_redis", "--workers 2"),
        ("hooks", "--config /dev/null -k gthread --threads 8 --graceful-timeout 40"),
    ],
)
def test_each_option_alone(name: str, arguments: str) -> None:
    """One wrong option is one finding."""
    assert run_doctor(*arguments.split()).names == {name}


@pytest.mark.parametrize("slots", [63, 64, 100])
def test_threads_below_the_slots(slots: int) -> None:
    """As many stream slots as threads leave none for a cancel."""
    [host] = GOOD.hosts
    hosts = [msgspec.structs.replace(host, stream_slots=slots)]
    [finding] = check_gunicorn(msgspec.structs.replace(GOOD, hosts=hosts))
    assert finding.check == "stream_slots"
    assert "AGENT_STREAM_SLOTS = 56" in finding.change
    hosts = [msgspec.structs.replace(host, stream_slots=62)]
    assert check_gunicorn(msgspec.structs.replace(GOOD, hosts=hosts)) == []


@pytest.mark.slow
def test_threads_below_the_slots_that_a_setting_names() -> None:
    """The setting is the host's own, wherever it is made."""
    found = run_doctor("--threads", "16", env={"AGENT_STREAM_SLOTS": "16"})
    assert found.names == {"stream_slots"}


def test_a_loop_that_is_preloaded() -> None:
    """What a preloaded app starts is found before the fork; in a worker it may do so."""
    looping = f"{SITES}:looping_site()"
    settings = ("--graceful-timeout", "70", "--timeout", "90")
    found = run_doctor("--preload", *settings, looping)
    assert found.names == {"before_fork"}
    assert "the thread site-loop" in found.findings["before_fork"]["problem"]
    assert "1 event loops" in found.findings["before_fork"]["problem"]


@pytest.mark.slow
def test_a_loop_that_each_worker_starts() -> None:
    """Without preloading an app may start what it likes, and with it what starts nothing."""
    settings = ("--graceful-timeout", "70", "--timeout", "90")
    assert run_doctor(*settings, f"{SITES}:looping_site()").status == 0
    assert run_doctor("--preload", *settings, f"{SITES}:quiet_site()").status == 0


@pytest.mark.slow
def test_settings_of_the_sites_own(tmp_path: Path) -> None:
    """The longest drain of all hosts counts; gunicorn's file is named where it is to be changed."""
    config = tmp_path / "conf.py"
    config.write_text(
        "from wsgi_app.gunicorn_hooks import *\n"
        "from wsgi_app.gunicorn_hooks import (child_exit, post_worker_init, pre_fork, worker_exit,"
        " worker_int)\n"
        'worker_class = "gthread"\nthreads = 64\ngraceful_timeout = 40\ntimeout = 90\n'
    )
    found = run_doctor("--config", str(config), f"{SITES}:quiet_site()")
    assert found.names == {"graceful_timeout"}
    assert "AGENT_DRAIN_SECONDS 60 s" in found.findings["graceful_timeout"]["problem"]
    assert found.findings["graceful_timeout"]["where"].endswith("conf.py")


def test_malformed_settings_are_all_reported() -> None:
    """Each malformed setting of the environment is a finding, and a name that is a letter off."""
    env = {
        "AGENT_LEASE_SECONDS": "ten",
        "AGENT_STREAM_SLOTS": "0",
        "AGENT_REDIS_ULR": "redis://127.0.0.1:1",
        "AGENT_OF_SOMEBODY_ELSE": "x",
    }
    done = run_command("doctor", env={**TOKENS, **env})
    assert done.returncode == 1, done.stdout
    assert "(AGENT_LEASE_SECONDS): AGENT_LEASE_SECONDS is malformed" in done.stdout
    assert "(AGENT_STREAM_SLOTS): AGENT_STREAM_SLOTS is malformed" in done.stdout
    assert "rename it: AGENT_REDIS_URL" in done.stdout
    assert "SOMEBODY" not in done.stdout
    assert "3 findings" in done.stdout


APP = """\
from flask import Flask
from wsgi_app import AgentHost

app = Flask(__name__)
AgentHost(lambda turn: turn.message).init_app(app, url_prefix="/agents")
"""


def test_a_fresh_project_is_told_little(tmp_path: Path) -> None:
    """A newcomer reads what to do, twice, and one line for the rest; --verbose has it all."""
    (tmp_path / "app.py").write_text(APP)

    def told(*options: str) -> list[str]:
        done = run_command("doctor", *options, "app:app", cwd=tmp_path)
        assert done.returncode == 1, done.stdout
        return done.stdout.splitlines()

    quiet = told()
    assert len(quiet) == 7
    assert quiet[0].startswith("gunicorn.conf.py, which is missing: gunicorn has no configuration")
    assert "wsgi-agent-host serve" in quiet[1]
    assert "the host at /agents is in development mode" in quiet[3]
    assert re.fullmatch(r"2 findings, \d+ checks fine", quiet[-1])
    verbose = told("--verbose")
    assert set(quiet) <= set(verbose)
    assert "    gunicorn: timeouts" in verbose
    assert any("worker class sync" in line for line in verbose)


@pytest.mark.slow
def test_a_malformed_setting_of_the_app() -> None:
    """A setting in app.config that stops the start is a finding too."""
    found = run_doctor(f"{SITES}:misconfigured_site()")
    assert found.names == {"settings"}
    assert "AGENT_LEASE_SECONDS is malformed" in found.findings["settings"]["problem"]


@pytest.mark.slow
def test_development_mode() -> None:
    """Without tokens and without the site's own login nobody else gets in."""
    found = run_doctor(env={"AGENT_TOKENS": ""})
    assert found.names == {"login"}


@pytest.mark.parametrize(
    ("arguments", "check", "reason"),
    [
        ([f"{SITES}:broken_site()"], "app", "LookupError: no database here"),
        pytest.param(["no_such_module:app"], "app", "no_such_module", marks=pytest.mark.slow),
        pytest.param(["-c", "/no/such"], "gunicorn", "/no/such", marks=pytest.mark.slow),
        pytest.param(["--no-such"], "gunicorn", "--no-such", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_checked(arguments: list[str], check: str, reason: str) -> None:
    """Without findings, what could not be looked at makes the status 2 and says why."""
    found = run_doctor(*arguments)
    assert (found.status, found.names) == (2, set())
    assert reason in found.unchecked[check]


@pytest.mark.slow
def test_redis_that_does_not_answer() -> None:
    """A Redis that cannot be reached from here could not be checked."""
    found = run_doctor(env={"AGENT_REDIS_URL": "redis://:secret@127.0.0.1:1/0"})
    assert (found.status, found.names) == (2, set())
    assert "AGENT_REDIS_URL" in found.unchecked["redis"]
    assert "secret" not in str(found)
