"""What a host without the packages of the extras does: it mounts, streams, and names what lacks."""

from __future__ import annotations

import re
import sys

import pytest

from tests.support.python import run_python

#: By import names; the core's own are flask's, msgspec and, with AGENT_REDIS_URL, redis.
OPTIONAL = (
    *("openai", "httpx", "httpx2", "aiohttp", "anyio", "pydantic", "pydantic_core", "jwt"),
    *("cryptography", "flask_cors", "simple_websocket", "wsproto", "prometheus_client", "limits"),
    *("requests", "gunicorn", "opentelemetry"),
)
MOUNT = """
from flask import Flask
from wsgi_app import AgentHost, ConfigError, Turn

def shout(turn: Turn):
    for word in turn.message.split():
        yield word.upper() + " "

def mounted(**settings):
    app = Flask("site")
    tokens = "t=acme scopes=chat+read+admin"
    AgentHost(shout, tokens=tokens, **settings).init_app(app, url_prefix="/agents")
    return app

BEARER = {"Authorization": "Bearer t", "Connection": "Upgrade"}

def refused(make):
    try:
        make()
    except ConfigError as error:
        print(error)
"""


def run(program: str, *, without: tuple[str, ...] = ()) -> str:
    """Run a program as if these packages were not installed; returns what it printed."""
    block = f"import sys; sys.modules.update(dict.fromkeys({without!r}))\n"
    return run_python("-c", block + MOUNT + program)


@pytest.mark.parametrize("settings", ["", "redis_url='redis://127.0.0.1:1/0'"])
def test_mount_loads_what_it_needs(settings: str) -> None:
    """A generator agent's mount loads no optional package, and Redis' client only to use it."""
    loaded = run(f"mounted({settings})\nprint(*sys.modules)").split()
    wanted = {*OPTIONAL, *(() if settings else ("redis",))}
    if settings:
        wanted -= {"opentelemetry", "cryptography", "requests", "jwt"}  # redis-py's own
    assert not wanted.intersection(loaded)
    assert not [name for name in loaded if name.startswith("wsgi_app.agents.openai")]
    assert ("redis" in loaded) == bool(settings)


def cpu_seconds(program: str) -> float:
    """The least CPU time of some processes that run this."""
    measured = (
        "import os\n"
        f"command = [{sys.executable!r}, '-c', {program!r}]\n"
        "times = []\n"
        "for _ in range(5):\n"
        "    _, status, used = os.wait4(os.spawnv(os.P_NOWAIT, command[0], command), 0)\n"
        "    assert status == 0\n"
        "    times.append(used.ru_utime + used.ru_stime)\n"
        "print(min(times))"
    )
    return float(run(measured).split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["", "redis_url='redis://127.0.0.1:1/0'"])
def test_mount_costs_a_third_of_what_it_did(settings: str) -> None:
    """A start and mount takes a third of the CPU time that it took while all packages were loaded.

    That was 6.9 times what `import flask` takes, with Redis and without (least of seven processes,
    Python 3.11, Flask 3.1.3, redis-py 8.1, without OpenTelemetry, which redis-py loads if it can).
    """
    block = "import sys; sys.modules.update(dict.fromkeys(('opentelemetry',)))\n"
    mount = cpu_seconds(f"{block}{MOUNT}mounted({settings})")
    assert mount / cpu_seconds("import flask") < 6.9 / 3


def test_generator_agent_needs_no_extra() -> None:
    """Without any extra a turn streams and answers as JSON, and is counted by nobody."""
    told = run(
        """
client = mounted().test_client()
bearer = {"Authorization": "Bearer t"}
answer = client.post("/agents/chat/s-1", json={"message": "a b"}, headers=bearer)
print(answer.get_data(as_text=True))
bearer["Accept"] = "application/json"
print(client.post("/agents/chat/s-1", json={"message": "c d"}, headers=bearer).json["reply"])
print(client.get("/agents/readyz").json)
""",
        without=OPTIONAL,
    )
    assert '"reply":"A B "' in told
    assert "\nC D \n" in told
    assert "'status': 'ready'" in told
    assert "metrics" not in told


@pytest.mark.parametrize(
    ("make", "user", "extra"),
    [
        ("from wsgi_app import OpenAIAgent; OpenAIAgent(model='m')", "OpenAIAgent", "openai"),
        ("from wsgi_app import Tool; Tool(mounted)", "a tool", "tools"),
        ("from wsgi_app import approve; approve(mounted)", "a tool", "tools"),
        ("mounted(cors_origins='https://shop.example')", "AGENT_CORS_ORIGINS", "cors"),
        (
            "mounted(jwt_jwks='k', jwt_audience='a', jwt_issuer='i')",
            "AGENT_JWT_JWKS",
            "jwt",
        ),
    ],
)
def test_missing_extra_is_named_at_the_start(make: str, user: str, extra: str) -> None:
    """What is configured and not installed stops the start with the command that installs it."""
    told = run(f"def make():\n    {make}\nrefused(make)", without=OPTIONAL)
    assert told.startswith(f"{user} needs the extra {extra}: ")
    assert f"pip install 'wsgi-agent-host[{extra}]'" in told


def test_importing_all_names_needs_no_extra() -> None:
    """`from wsgi_app import *` works in the smallest environment."""
    assert run("from wsgi_app import *\nprint(OpenAIAgent.__name__)", without=OPTIONAL)


@pytest.mark.parametrize(
    ("request_", "extra"),
    [
        ("get('/agents/metrics', headers=BEARER)", "metrics"),
        (
            "get('/agents/ws/chat/s-1', headers={**BEARER, 'Upgrade': 'websocket'})",
            "websocket",
        ),
    ],
)
def test_route_that_lacks_its_package_says_so(request_: str, extra: str) -> None:
    """Metrics and WebSocket are 404 in the host's own shape, and name the extra."""
    program = f"answer = mounted().test_client().{request_}\nprint(answer.status_code, answer.json)"
    told = run(program, without=OPTIONAL)
    assert told.startswith("404 ")
    assert "'code': 'not_found'" in told
    assert f"wsgi-agent-host[{extra}]" in told


@pytest.mark.parametrize(("command", "extra"), [("chat", "cli"), ("serve", "gunicorn")])
def test_command_that_lacks_its_package_says_so(command: str, extra: str) -> None:
    """The command line lists all commands; one that lacks a package names its extra, status 1."""
    call = """
from wsgi_app.cli import main
try:
    main({arguments!r}, "wsgi-agent-host")
except SystemExit as end:
    print("status", end.code)
"""
    listed = run(call.format(arguments=["--help"]), without=OPTIONAL)
    assert re.search(rf"^  {command} +", listed, re.MULTILINE)
    assert "status 0" in listed
    refused = run(
        "sys.stderr = sys.stdout\n" + call.format(arguments=[command, "--token", "t"]),
        without=OPTIONAL,
    )
    assert f"wsgi-agent-host[{extra}]" in refused
    assert "status 1" in refused
