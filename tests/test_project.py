"""Facts about the project's own files: what is shipped, locked, allowed and promised."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.security.routes import ROUTES, routes_of
from tests.support.apps import scripted_app
from tests.support.each import each
from tests.support.processes import ROOT, clean_environment, free_port, started

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_NAME = "wsgi-agent-host"
LOCKS = ("requirements.lock", "requirements-runtime.lock", "bench/requirements.lock")
MAX_LINES = 350
MAX_TEST_LINES = 400
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: A message, a report or a log line; an index, a position or a limit's share; text or steers.
AMBIGUOUS = {"told", "tell", "tells", "said", "heard", "hear", "place", "places"}

# Reads each module of the package, then reports what doing so started or opened.
IMPORT_ALL = """
import importlib, os, pkgutil, threading
descriptors = os.listdir("/proc/self/fd")
import wsgi_app
assert "app" not in vars(wsgi_app), "the app is built by the import"
for module in pkgutil.walk_packages(wsgi_app.__path__, "wsgi_app."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        # Frameworks that this Python is too old for.
        assert missing.name.partition(".")[0] in ("agentflow", "pydantic_ai"), missing
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert os.listdir("/proc/self/fd") == descriptors, "a file or socket stays open"
"""


def run(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the project's folder to its end."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def locked(name: str) -> dict[str, list[Requirement]]:
    """The requirements of a lock file by package; some have one per Python version."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if re.match(r"\w", line):
            requirement = Requirement(line.rstrip("\\ "))
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def project() -> dict[str, Any]:
    """What pyproject.toml holds."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def modules() -> list[Path]:
    """The modules of the package."""
    return each(sorted((ROOT / "wsgi_app").rglob("*.py")), 400)


def asked(extras: Sequence[str], groups: Sequence[str]) -> list[Requirement]:
    """What pyproject.toml asks for: the core's packages, and those of extras and groups."""
    table = project()
    lines = list(table["project"]["dependencies"])
    for extra in extras:
        lines += table["project"]["optional-dependencies"][extra]
    for group in groups:
        lines += [line for line in table["dependency-groups"][group] if isinstance(line, str)]
    found = [Requirement(line) for line in lines]
    own = {extra for one in found if one.name == OWN_NAME for extra in one.extras}
    if own:
        found += asked(sorted(own), ())
    return [one for one in found if one.name != OWN_NAME]


def test_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    """The wheel ships every file of the package, py.typed among them, and no other folder."""
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    package = [path for path in (ROOT / "wsgi_app").rglob("*") if path.is_file()]
    sources = {str(path.relative_to(ROOT)) for path in package if path.suffix != ".pyc"}
    assert shipped == sources
    assert "wsgi_app/py.typed" in shipped


@pytest.mark.slow
def test_importing_builds_nothing() -> None:
    """Importing any module starts no thread, opens no file, builds no app, gives no warning."""
    done = run(sys.executable, "-W", "error", "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr


def test_imports_go_one_way() -> None:
    """Each part imports only from the parts before it."""
    done = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_and_no_addresses(lock: str) -> None:
    """Every locked package has one version and a hash, and nothing says where to fetch it."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.findall(r"^-.*", text, re.MULTILINE)
    for entry in each(re.split(r"\n(?=\w)", text)[1:], 50):
        assert "--hash=sha256:" in entry, entry
    requirements = [one for versions in locked(lock).values() for one in versions]
    for requirement in each(requirements, 50):
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), str(requirement)


@pytest.mark.parametrize(
    ("lock", "extra", "groups"),
    [
        (LOCKS[0], "all", ("build", "test", "lint")),
        (LOCKS[1], "standalone", ("build",)),
        (LOCKS[2], "standalone", ("build", "bench")),
    ],
)
def test_lock_holds_what_pyproject_asks_for(lock: str, extra: str, groups: tuple[str, ...]) -> None:
    """Every package of pyproject.toml is locked, in a version within its bounds."""
    versions = locked(lock)
    for wanted in each(asked([extra], groups), 25):
        for found in each(versions[canonicalize_name(wanted.name)]):
            version = str(found.specifier).removeprefix("==")
            assert wanted.specifier.contains(version), f"{found} is not {wanted}"


def test_core_asks_for_little() -> None:
    """A mounted generator agent brings two packages that a Flask site may not have."""
    flasks_own = {"flask", "werkzeug", "itsdangerous", "blinker"}
    assert {one.name for one in asked((), ())} - flasks_own == {"redis", "msgspec"}


def test_all_is_every_extra() -> None:
    """`[all]` holds what each extra does, and `[standalone]` no framework."""
    extras = project()["project"]["optional-dependencies"]
    every = {str(one) for one in asked(["all"], ())}
    assert every == {str(one) for one in asked(sorted(extras), ())}
    frameworks = {"langgraph", "mcp", "agentao", "openai-agents", "pydantic-ai-slim"}
    assert frameworks.isdisjoint(one.name for one in asked(["standalone"], ()))


def test_missing_packages_name_extras_that_exist() -> None:
    """The extra that a message names is one of pyproject.toml's."""
    texts = [path.read_text() for path in modules()]
    named = {
        extra
        for text in texts
        for extra in re.findall(r'\b(?:needs|missing_text)\("([\w-]+)"', text)
    }
    assert {"openai", "tools", "jwt", "cors", "websocket", "metrics"} <= named
    assert named <= set(project()["project"]["optional-dependencies"])


def test_locks_agree() -> None:
    """A production host, and the bench, run the versions that the tests ran with."""
    everything, runtime, bench = (locked(lock) for lock in LOCKS)
    shared = {name: versions for name, versions in bench.items() if name in everything}
    for name, versions in [*each(runtime.items(), 50), *each(shared.items(), 50)]:
        assert {str(one.specifier) for one in versions} == {
            str(one.specifier) for one in everything[name]
        }


def test_ci_calls_the_readmes_test_command_alone() -> None:
    """The CI runs what README.md tells people to run, so that one cannot rot unseen."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines == ["#!/usr/bin/env bash", "set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert re.search(r"\bmake test\b(?!-)", (ROOT / "README.md").read_text())


def test_modules_stay_small() -> None:
    """No module of the package grows beyond what one can read at a sitting."""
    sizes = {path: len(path.read_text().splitlines()) for path in modules()}
    assert not {path: size for path, size in sizes.items() if size > MAX_LINES}


def test_tests_stay_small() -> None:
    """Nor does a module of tests."""
    tests = each((ROOT / "tests").glob("**/test_*.py"), 300)
    own = [path for path in tests if "node_modules" not in path.parts]
    sizes = {path: len(path.read_text().splitlines()) for path in own}
    assert not {path: size for path, size in sizes.items() if size > MAX_TEST_LINES}


def test_names_are_the_glossarys() -> None:
    """No name of the package is a word that stood for several things, see docs/glossary.md."""
    parts = {part for path in modules() for name in names_of(path) for part in name.split("_")}
    assert len(parts) > 1000
    assert not parts & AMBIGUOUS


def names_of(path: Path) -> set[str]:
    """What a module defines, by name, but for names that are kept for an older version."""
    if path.name == "old_names.py":
        return set()
    nodes = list(ast.walk(ast.parse(path.read_text())))
    named = [node.name for node in nodes if isinstance(node, DEFINITIONS)]
    stored = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    held = [n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
    return {*named, *stored, *held, *(node.arg for node in nodes if isinstance(node, ast.arg))}


def test_threads_start_in_one_place() -> None:
    """Only engine/runtime/threads.py makes threads; a thread pool would hang a worker's exit.

    asyncio.to_thread takes the loop's executor, which makes its threads there, too.
    """
    maker = re.compile(r"\b(Thread|threading\.Timer|ThreadPoolExecutor)\(")
    makers = [path for path in modules() if maker.search(path.read_text())]
    assert makers == [ROOT / "wsgi_app/engine/runtime/threads.py"]


def test_no_test_is_switched_off() -> None:
    """A missing server or a known bug is a failure."""
    switch = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    tests = each(ROOT.glob("tests/**/*.py"), 400)
    off = [path for path in tests if switch.search(path.read_text())]
    assert off == []


def test_gunicorns_command_line_beats_the_projects_configuration() -> None:
    """The documented command means what it says, though gunicorn.conf.py lies in the folder."""
    options = "--worker-class gthread --threads 8 --workers 2 --bind 0.0.0.0:8000 --print-config"
    shown = run(sys.executable, "-m", "gunicorn", *options.split(), "wsgi_app:app")
    assert shown.returncode == 0, shown.stderr
    for setting in ("threads += 8", "workers += 2", r"bind += \['0.0.0.0:8000'\]"):
        assert re.search(f"^{setting}$", shown.stdout, re.MULTILINE), shown.stdout


def test_gunicorn_waits_longer_than_the_drain_and_logs_no_ticket() -> None:
    """The server gives the drain its time, and query strings, which may open sessions, no line."""
    command = (sys.executable, "-m", "gunicorn", "--print-config", "wsgi_app:app")
    shown = run(*command, AGENT_DRAIN_SECONDS="90", PORT="1234")
    settings = dict(re.findall(r"^(\w+) += (.*)$", shown.stdout, re.MULTILINE))
    assert int(settings["graceful_timeout"]) > 90
    assert settings["bind"] == "['127.0.0.1:1234']"
    assert settings["workers"] == "1"
    assert not re.search(r"%\((r|q|f)\)s", settings["access_log_format"])


def test_missing_packages_are_named_with_their_reason(tmp_path: Path) -> None:
    """Without apt, the set-up says which packages are missing and what each is for."""
    for tool in ("sh", "cat", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    done = run(str(tmp_path / "sh"), "scripts/debian-packages", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "apt-get install redis-server" in done.stderr
    assert re.search(r"chromium\S+ +chromium-headless-shell +the chat page", done.stderr)


def test_too_old_a_python_is_refused(tmp_path: Path) -> None:
    """The set-up names the versions it needs instead of failing somewhere in pip."""
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3.9\n")
    old.chmod(0o755)
    done = run("scripts/virtualenv", str(tmp_path / "venv"), LOCKS[1], PYTHON=str(old))
    assert done.returncode == 1
    assert "is Python 3.9, but this needs 3.10 to 3.13" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_make_run_serves_from_a_fresh_copy(tmp_path: Path) -> None:
    """In a folder without any set-up `make run` says what to open, and serves it."""
    made = shutil.ignore_patterns(
        ".venv*", ".git", "__pycache__", ".*_cache", "dist", "node_modules"
    )
    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=made)
    port = free_port()
    env = {"PORT": str(port), "PYTHONPATH": "", "PYTHON": sys.executable}
    with started(["make", "--no-print-directory", "run"], env=env, cwd=copy) as process:
        process.wait_until(lambda: "Listening at" in process.log(), seconds=500)
        health = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30)
        assert health.status_code == 200
        assert f"http://127.0.0.1:{port}/" in process.log()
        assert "curl -N" in process.log()


def test_every_route_is_attacked() -> None:
    """A route has its case in tests/security/routes.py, from which the security suite starts."""
    assert routes_of(scripted_app()) == set(each(ROUTES, 80))


def test_what_is_read_at_run_time_suits_python_3_9() -> None:
    """Fields of messages say Optional and Union, which msgspec reads on Python 3.9 too."""
    classes = [
        (node, {getattr(base, "attr", getattr(base, "id", "")) for base in node.bases})
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    structs = {"Struct"}
    while more := {node.name for node, bases in classes if bases & structs} - structs:
        structs |= more
    assert "Settings" in structs
    fields = [
        f"{node.name}.{ast.unparse(field)}"
        for node, bases in classes
        if bases & structs
        for field in node.body
        if isinstance(field, ast.AnnAssign) and "|" in ast.unparse(field.annotation)
    ]
    assert fields == []
