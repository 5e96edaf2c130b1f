"""Command line agents with the host as their model: Codex, opencode."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.openai_host import openai_host
from tests.clients.said import CLOSED, Turn, turns, turns_of
from tests.support.node import CLIENTS, install_packages
from tests.support.processes import started, temporary_folder
from tests.support.reading import wait_observed
from tests.support.servers import Gunicorn
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS: Final = 120
MACHINE: Final = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Command:
    """A command line agent, in a home of its own."""

    def __init__(self, home: Path, program: Path, ask: list[str], again: list[str]) -> None:
        self.home = home
        self.env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "HOST_KEY": DEVELOPMENT_TOKEN}
        self._program = str(program)
        self._ask = ask
        self._again = again

    def words(self, message: str, *, goes_on: bool = False) -> list[str]:
        """The command that says this, in a new conversation or in the last one."""
        return [self._program, *(self._again if goes_on else self._ask), message]

    def say(self, message: str, *, goes_on: bool = False) -> str:
        """Say this; returns all that is printed."""
        done = subprocess.run(
            self.words(message, goes_on=goes_on),
            cwd=self.home,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return f"{done.stdout}\n{done.stderr}"


def codex(home: Path, url: str) -> Command:
    """`codex exec`, with a provider of its own on the Responses API."""
    (home / ".codex").mkdir()
    settings = [
        'model = "agent"',
        'model_provider = "host"',
        "[model_providers.host]",
        'name = "Host"',
        f'base_url = "{url}/agents/v1"',
        'env_key = "HOST_KEY"',
        'wire_api = "responses"',
    ]
    (home / ".codex" / "config.toml").write_text("\n".join(settings))
    (program,) = _installed(f"@openai/codex-linux-{MACHINE}").glob("vendor/*/bin/codex")
    ask = ["exec", "--skip-git-repo-check", "--json"]
    return Command(home, program, ask, [*ask, "resume", "--last"])


def opencode(home: Path, url: str) -> Command:
    """`opencode run`, with @ai-sdk/openai-compatible on the chat API."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/agents/v1", "apiKey": DEVELOPMENT_TOKEN},
        "models": {"agent": {}},
    }
    settings = {
        "provider": {"host": provider},
        "model": "host/agent",
        "small_model": "host/agent",
        "autoupdate": False,
        "share": "disabled",
    }
    folder = home / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.json").write_text(json.dumps(settings))
    ask = ["run", "--format", "json"]
    program = _installed(f"opencode-linux-{MACHINE}") / "bin" / "opencode"
    command = Command(home, program, ask, [*ask, "--continue"])
    command.env["OPENCODE_DISABLE_MODELS_FETCH"] = "1"
    return command


def _installed(package: str) -> Path:
    folder = CLIENTS / "commands"
    install_packages(folder)
    return folder / "node_modules" / package


@contextmanager
def talking(command: Command, message: str) -> Iterator[None]:
    """Say this, and be interrupted at the end of the block."""
    with started(command.words(message), env=command.env, cwd=command.home):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """The host."""
    with openai_host("tests.support.said_agent:said_app") as server:
        yield server


@pytest.fixture(params=[codex, opencode])
def command(request: pytest.FixtureRequest, server: Gunicorn) -> Iterator[Command]:
    """Each command, in a home of its own."""
    with temporary_folder() as home:
        yield request.param(home, server.url)


def own_turns(server: Gunicorn, message: str, before: int) -> list[Turn]:
    """The turns that answer this message; opencode asks for a title beside them."""
    found = turns_of(turns(server)[before:], message)
    return [turn for turn in found if "title generator" not in str(turn.messages[0])]


def test_a_conversation_goes_on(command: Command, server: Gunicorn) -> None:
    """The second message's turn knows the first and its answer; each is one turn."""
    before = len(turns(server))
    assert "Hello world" in command.say("one to begin with")
    assert "Hello world" in command.say("two to go on", goes_on=True)
    assert len(own_turns(server, "one to begin with", before)) == 1
    (second,) = own_turns(server, "two to go on", before)
    told: list[dict[str, Any]] = second.messages[-3:]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert "one to begin with" in told[0]["content"]
    assert told[1]["content"] == "Hello world"


@pytest.mark.parametrize("word", ["BREAK", "FALTER"])
def test_a_failure_is_reported_and_not_repeated(
    command: Command, server: Gunicorn, word: str
) -> None:
    """A turn that fails for good is shown with its text, and run once."""
    before = len(turns(server))
    assert CLOSED in command.say(f"{word} it")
    assert len(own_turns(server, f"{word} it", before)) == 1


def test_a_command_that_ends_has_its_turn_cancelled(command: Command, server: Gunicorn) -> None:
    """Who interrupts the command has the turn cancelled."""
    before = len(turns(server))
    with talking(command, "WAIT for me"):
        (turn,) = wait_for(
            lambda: own_turns(server, "WAIT for me", before), "the turn has begun", SECONDS
        )
    wait_observed(server, "cancelled", turn.session_id)
