"""The commands that set a host up: init, serve, token, and all of them as `flask agent …`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.command import COMMAND
from tests.support.client import Client
from tests.support.processes import clean_environment, free_port, run_module, started
from tests.support.servers import Server, answers_http, gunicorn
from tests.support.service import project_nginx
from wsgi_app.cli import main
from wsgi_app.tokens import Principal, parse_tokens_file

SITE = "tests.cli.doctor.sites:quiet_site"


def flask(*arguments: str, site: str = SITE) -> subprocess.CompletedProcess[str]:
    """Run ``flask agent …`` inside a site."""
    return run_module("flask", "--app", site, "agent", *arguments)


def reply_of(server: Server, token: str) -> str:
    """Have the host below /agents answer one message."""
    headers = {"Accept": "application/json"}
    answer = Client(server, token).call("POST", "/chat", {"message": "hello you"}, headers=headers)
    assert answer.status == 200, answer.body
    return str(answer.json["reply"])


def test_what_init_writes_runs(tmp_path: Path) -> None:
    """The written app is served by the written configuration, behind the written nginx.conf."""
    folder = tmp_path / "new"
    done = CliRunner().invoke(main, ["init", str(folder)])
    assert done.exit_code == 0, done.output
    token = CliRunner().invoke(main, ["token", "acme"])
    (folder / "tokens").write_text(token.stdout)
    env = {"AGENT_TOKENS_FILE": str(folder / "tokens")}
    config = folder / "gunicorn.conf.py"
    with (
        gunicorn(
            "app:create_app()", workers=None, threads=None, config=config, cwd=folder, env=env
        ) as server,
        project_nginx([server], conf=folder / "nginx.conf") as proxy,
    ):
        assert reply_of(proxy, token.stderr.split()[-1]) == "You said: hello you"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """If one of the files is there, none is written."""
    (tmp_path / "nginx.conf").write_text("mine")
    done = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert done.exit_code == 1
    assert "nginx.conf" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["nginx.conf"]
    assert (tmp_path / "nginx.conf").read_text() == "mine"


def test_serve_becomes_gunicorn(tmp_path: Path) -> None:
    """It turns into gunicorn with the package's configuration, passes options on, obeys SIGTERM."""
    port = free_port()
    command = [COMMAND, "serve", "--bind", f"127.0.0.1:{port}", "--threads", "9"]
    with started(command, cwd=tmp_path) as process:
        process.wait_until(lambda: answers_http(port))
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert b"gunicorn" in arguments
        assert b"wsgi_app:app" in arguments
        assert process.stop() == 0
        assert '"GET /healthz HTTP/1.1" 200' in process.log(), "the configuration's access log"


def test_serve_leaves_the_folders_configuration_alone(tmp_path: Path) -> None:
    """A gunicorn.conf.py of the folder is what gunicorn reads, and its wsgi_app what it serves."""
    (tmp_path / "gunicorn.conf.py").write_text('wsgi_app = "no_such_app:app"\n')
    done = subprocess.run(
        [COMMAND, "serve", "--bind", f"127.0.0.1:{free_port()}"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "no_such_app" in done.stderr


@pytest.mark.parametrize(
    ("options", "scopes"),
    [
        ([], {"chat", "read", "cancel"}),
        (["--scope", "admin", "--scope", "read"], {"admin", "read"}),
    ],
)
def test_token_and_its_line(options: list[str], scopes: set[str]) -> None:
    """The line holds the token's hash, tenant and scopes; the token itself is told once, aside."""
    done = CliRunner().invoke(main, ["token", "acme", *options])
    token = done.stderr.split()[-1]
    assert token not in done.stdout
    principals = parse_tokens_file(done.stdout)
    assert list(principals.values()) == [Principal("acme", frozenset(scopes))]
    assert parse_tokens_file(f"{token}=x").keys() == principals.keys()
    assert CliRunner().invoke(main, ["token", "a=b"]).exit_code == 2


def test_commands_inside_a_flask_app() -> None:
    """`flask agent` has the same commands; an app of several hosts asks which one is meant."""
    done = flask("workers")
    assert done.returncode == 2
    assert "/a.b, /slow" in done.stderr
    done = flask("workers", "--prefix", "/slow")
    assert done.returncode == 1
    assert "no store to ask" in done.stderr
    done = flask("chat", "--message", "hello")
    assert done.returncode == 2
    assert "/a.b, /slow" in done.stderr
    done = flask("sessions", "--prefix", "a.b", "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


@pytest.mark.slow
def test_doctor_inside_a_flask_app() -> None:
    """`flask agent doctor` looks at the app that flask serves."""
    done = flask("doctor")
    assert "AGENT_DRAIN_SECONDS 60 s" in done.stdout, done.stderr
    assert "graceful_timeout" in done.stdout


@pytest.mark.slow
def test_serve_inside_a_flask_app() -> None:
    """`flask agent serve` serves the app that flask names."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", SITE, "agent", "serve"]
    with started([*command, "--bind", f"127.0.0.1:{port}"]) as process:
        process.wait_until(lambda: answers_http(port))
        server = Server(process, port)
        answer = Client(server, "t", prefix="/a.b").call("GET", "/sessions")
        assert answer.json == {"sessions": []}
