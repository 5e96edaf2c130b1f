"""`wsgi-agent-host chat` in scripts: one message, or lines through a pipe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.canned import canned, refusal
from tests.cli.command import COMMAND, OWN_SETTINGS, chat, steps
from tests.cli.cutting import cutting_proxy
from tests.support.client import Client, new_session
from tests.support.documentation import block
from tests.support.processes import clean_environment, started
from tests.support.python import run_python
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, Redis, gunicorn
from tests.support.service import CONFIG, OPERATOR, owner_pid
from tests.support.waiting import wait_for
from wsgi_app.auth import DEVELOPMENT_TOKEN
from wsgi_app.cli.options import DEFAULT_TOKEN

APP = "tests.cli.agents:obedient_app()"
#: Clears a screen, sets its title, moves the cursor, rings, and does the like with one character.
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b2J\x08\x00\x7f\u202e"
HARMLESS = r"\x1b[2J\x1b]0;owned\x07\x9b2J\x08\x00\x7f\u202e"
WORDS = "".join(f"w{number} " for number in range(1, 151))


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host with the obedient agent."""
    with gunicorn(APP, threads=16) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Gunicorn) -> str:
    """Where it is mounted."""
    return f"{server.url}/agents"


@pytest.fixture(scope="module")
def client(server: Gunicorn) -> ReadingClient:
    """Another client of the same tenant."""
    return ReadingClient(server)


def test_stdout_is_the_answer(url: str) -> None:
    """The answer's text goes to stdout, ended by a line end; all else to stderr; status 0."""
    done = chat(
        url,
        "--message",
        steps(
            {"think": "Let me "},
            {"think": "see."},
            {"status": "at work"},
            {"say": "Two"},
            {"tool": "find", "input": {"name": "nut"}, "output": [1, {"a": None}]},
            {"tool": "sell", "output": "no\n  money", "failed": True},
            {"say": " words"},
        ),
    )
    assert done.returncode == 0
    assert done.stdout == "Two words\n"
    assert done.stderr.splitlines() == [
        "Let me see.",
        "at work",
        '-> find {"name": "nut"}',
        '<- find [1, {"a": null}]',
        "-> sell",
        "<- sell failed: no money",
    ]


def test_long_tool_data_is_one_short_line(url: str) -> None:
    """However large a tool's input and output are, each takes one line of bounded length."""
    large = ["x" * 40] * 500
    message = steps({"tool": "t" * 500, "input": {"a": "line\n" * 200}, "output": large})
    lines = chat(url, "--message", message).stderr.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) < 350


def test_json_prints_the_native_events(url: str, client: ReadingClient) -> None:
    """With --json each event is a line, as it came, under its id."""
    session = new_session()
    message = steps({"think": "hm"}, {"say": f"one{ESCAPES}"}, {"tool": "t", "output": 1})
    done = chat(url, "--json", "--session", session, "--message", message)
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    frames = client.replay(session, "1-0")
    assert events == [{"id": frame.id, **frame.data} for frame in frames]
    assert re.fullmatch(r"[\n\x20-\x7e]+", done.stdout.replace("\x7f", ""))


@pytest.mark.parametrize("as_json", [False, True])
def test_errors_and_refusals_are_printed(url: str, client: Client, as_json: bool) -> None:  # noqa: FBT001 - a parameter
    """An error event, a refusal and a missing host each give code and message, and status 1."""
    session = new_session()
    options = ["--json"] if as_json else []
    with client.stream("POST", f"/chat/{session}", {"message": steps({"hold": 1})}):
        refused = chat(url, *options, "--session", session, "--message", "hi")
    failed = chat(url, *options, "--message", steps({"say": "x"}, {"fail": "Closed today."}))
    for done, code, text in (
        (refused, "session_busy", ""),
        (failed, "agent_error", "Closed today."),
    ):
        assert done.returncode == 1
        if as_json:
            last = json.loads(done.stdout.splitlines()[-1])
            assert (last["type"], last["code"]) == ("error", code)
            assert text in last["message"]
        else:
            assert f"error {code}: {text}" in done.stderr


def test_token_is_never_shown(url: str) -> None:
    """Whatever is wrong with it, the token itself appears nowhere, and neither does a traceback."""
    for token, told in (
        ("wröng-token", "error unauthorized: "),
        ("wrong-token\n", "Expected printable characters"),
    ):
        for done in (
            chat(url, "--token", token, "--message", "hi"),
            chat(url, "--session", "s", env={"WSGI_AGENT_HOST_TOKEN": token}),
        ):
            assert done.returncode in (1, 2)
            assert told in done.stderr
            shown = done.stdout + done.stderr
            assert token.strip() not in shown
            assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("url", "session"),
    [
        ("127.0.0.1:8000", "s"),
        ("http://[::1", "s"),
        ("http://127.0.0.1:1", ".."),
    ],
)
def test_wrong_arguments_are_named(url: str, session: str) -> None:
    """A URL or a session id that cannot be one is refused before anything is sent."""
    done = chat(url, "--session", session)
    assert done.returncode == 2
    assert re.search(r"Invalid value for '(\[URL\]|--session)': Expected ", done.stderr)


def test_cancelled_elsewhere_is_status_130(url: str, client: ReadingClient) -> None:
    """An answer that is cancelled ends a script with 130, and says so."""
    session = new_session()
    message = steps({"say": "x"}, {"hold": 1})
    command = [COMMAND, "chat", url, "--session", session, "--message", message]
    with started(["sh", "-c", '"$@"; echo "status $?"', "sh", *command], env=OWN_SETTINGS) as run:
        run.wait_until(lambda: "x" in run.log())
        assert client.cancel(session)["cancelled"]
        wait_for(lambda: "status" in run.log(), "the end")
        assert run.log() == "x\ncancelled\nstatus 130\n"


def test_terminal_escapes_are_made_harmless(url: str) -> None:
    """Nothing that an agent or a host sends reaches the terminal as a control character."""
    evil = f"a{ESCAPES}b"
    done = chat(
        url,
        "--message",
        steps(
            *({"think": evil}, {"status": evil}, {"say": evil}, {"say": "c\r\nd\te\n"}),
            {"tool": evil, "input": {evil: evil}, "output": evil},
            {"tool": evil, "output": {evil: [evil]}, "failed": True},
            {"ask": evil, "schema": {"enum": [evil, "x"]}},
            {"fail": evil},
        ),
        typed="2\n",
    )
    with canned(refusal(f"403 {evil}", evil, evil)) as host:
        refused = chat(host.url, "--message", "hi")
    shown = done.stdout + done.stderr + refused.stdout + refused.stderr
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown) == []
    assert f"a{HARMLESS}bc\nd\te\n" in done.stdout
    assert shown.count(HARMLESS) >= 12
    assert f"error a{HARMLESS}b: a{HARMLESS}b" in refused.stderr


def test_questions_are_answered_through_the_pipe(url: str) -> None:
    """Each kind of question takes the next line; what does not fit is asked again."""
    boolean = {"type": "boolean"}
    typed = 'perhaps\nyes\nn\n{"a": [1]}\nplain words\n5\n5\n'
    done = chat(
        url,
        "--message",
        steps(
            *({"ask": "Sure?", "schema": boolean}, {"ask": "Really?", "schema": boolean}),
            *({"ask": "What?"}, {"ask": "And?"}, {"ask": "Number?"}),
            {"ask": "Text?", "schema": {"type": "string"}},
        ),
        typed=typed,
    )
    assert done.returncode == 0
    assert done.stdout == 'truefalse{"a": [1]}"plain words"5"5"\n'
    assert "Answer with y or n." in done.stderr


def test_question_without_an_answer_cancels(url: str) -> None:
    """A script that has no answer to a question ends at once, cancelled."""
    done = chat(url, "--message", steps({"ask": "Sure?"}))
    assert (done.returncode, done.stderr) == (130, "? Sure?\ncancelled\n")


def test_lines_of_a_pipe_are_messages(url: str) -> None:
    """Each line is a message of one conversation, without prompts; the first failure is the end."""
    done = chat(url, typed=f"one\n\n{steps({'fail': 'No.'})}\nnever\n")
    assert done.returncode == 1
    assert done.stdout == "You said: one\n"
    assert done.stderr == "error agent_error: No.\n"
    assert chat(url, typed="one\ntwo").stdout == "You said: one\nYou said: two\n"


def test_cut_connections_lose_and_double_nothing(server: Gunicorn) -> None:
    """A lost answer and a cut in mid-event leave the text exact, and there is one turn."""
    session = new_session()
    message = steps({"count": 150, "pause": 0.005})
    with cutting_proxy(server.port, 0, 2345) as proxy:
        url = f"{proxy.url}/agents"
        done = chat(url, "--session", session, "--message", message)
    assert (done.returncode, done.stdout) == (0, f"{WORDS}\n")
    session_view = ReadingClient(server).session(session)
    assert [m["content"] for m in session_view["messages"]] == [message, WORDS]


@pytest.mark.slow
def test_killed_worker(redis: Redis) -> None:
    """After kill -9 of the worker in mid-answer the turn's end is told, and no word twice."""
    env = {"AGENT_REDIS_URL": redis.url, "AGENT_TOKENS": OPERATOR, "WEB_CONCURRENCY": "2"}
    session = new_session()
    message = steps({"count": 2000, "pause": 0.01})
    with gunicorn(APP, workers=None, threads=8, config=CONFIG, env=env) as server:
        command = [COMMAND, "chat", f"{server.url}/agents"]
        with started([*command, "--session", session, "--message", message], env=OWN_SETTINGS) as r:
            r.wait_until(lambda: "w50 " in r.log())
            os.kill(owner_pid(ReadingClient(server), session), signal.SIGKILL)
            wait_for(lambda: not r.running(), "the end")
            text, _, error = r.log().partition("\n")
    words = text.split()
    assert words == [f"w{number}" for number in range(1, len(words) + 1)]
    assert error.startswith("error worker_lost: ")


def test_import_is_light() -> None:
    """The command loads neither the host nor what hosts need."""
    code = "import sys, wsgi_app.cli, wsgi_app.cli.chat; print(*sys.modules)"
    loaded = run_python("-c", code).split()
    modules = {name.split(".")[0] for name in loaded}
    assert "requests" in modules
    assert not modules & {"flask", "werkzeug", "openai", "redis", "gunicorn", "msgspec", "pydantic"}
    ours = {name for name in loaded if name.startswith("wsgi_app.")}
    # Beside itself, what names the extra that it lacks.
    others = {name for name in ours if not name.startswith("wsgi_app.cli")}
    assert others == {"wsgi_app.errors", "wsgi_app.extras"}


def test_default_token_is_development_modes() -> None:
    """Without settings the command talks to a host without settings."""
    assert DEFAULT_TOKEN == DEVELOPMENT_TOKEN


def test_readmes_commands_work() -> None:
    """The README's lines do what it says, against the stand-alone app."""
    commands = block("sh", "wsgi-agent-host chat", "README.md")
    with gunicorn() as server:
        env: dict[str, Any] = {**OWN_SETTINGS, "WSGI_AGENT_HOST_URL": server.url}
        done = subprocess.run(
            ["sh", "-ec", commands.replace(".venv/bin", str(Path(COMMAND).parent))],
            input="what is 2*3?\n",
            env=clean_environment(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "2*3 = 6\n" in done.stdout
    assert "12*34 = 408\n" in done.stdout
    assert "<- calculator 408" in done.stderr
