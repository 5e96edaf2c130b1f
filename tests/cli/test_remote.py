"""The commands that ask a running host: sessions, show, cancel, delete, ticket, tail, workers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
import requests
from click.testing import CliRunner, Result

from tests.cli.command import COMMAND, OWN_SETTINGS
from tests.support.client import new_session
from tests.support.processes import started
from tests.support.reading import ReadingClient
from tests.support.service import NAMESPACE, Service, service
from tests.support.waiting import wait_for
from wsgi_app.cli import main

APP = "tests.cli.agents:obedient_app()"


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A host of two workers that share a Redis."""
    with service(APP, hosts=1) as started_service:
        yield started_service


@pytest.fixture
def client(running: Service) -> ReadingClient:
    """Another client of the same tenant."""
    return running.client


def run(running: Service, *arguments: str) -> Result:
    """Run a command with the host's address and token in its environment."""
    env = {"WSGI_AGENT_HOST_URL": f"{running.proxy.url}/agents", "WSGI_AGENT_HOST_TOKEN": "dev"}
    return CliRunner().invoke(main, arguments, env=env)


def say(client: ReadingClient, session_id: str, message: str) -> None:
    """Have one turn answered."""
    assert client.call(
        "POST", f"/chat/{session_id}", {"message": message}, headers={"Accept": "application/json"}
    ).json["reply"]


def test_sessions_are_listed(running: Service, client: ReadingClient) -> None:
    """The newest come first, as many as asked for, over the pages of the host; or as JSON."""
    names = [new_session() for _ in range(3)]
    for name in names:
        say(client, name, "hello")
    table = run(running, "sessions", "--limit", "2")
    head, *rows = table.stdout.splitlines()
    assert head.split() == ["SESSION", "ID", "STATE", "TURN", "ID", "UPDATED", "AT"]
    assert [row.split()[:3] for row in rows] == [[n, "idle", "1"] for n in (names[2], names[1])]
    lines = run(running, "sessions", "--json").stdout.splitlines()
    assert [json.loads(line)["session_id"] for line in lines[:3]] == names[::-1]


def test_a_session_is_shown(running: Service, client: ReadingClient) -> None:
    """State and messages are shown, control characters as escapes; an unknown one is an error."""
    name = new_session()
    say(client, name, "bell \x07")
    shown = run(running, "show", name)
    assert "state: idle" in shown.stdout
    assert "user:\nbell \\x07\n" in shown.stdout
    assert "assistant:\nYou said: bell \\x07" in shown.stdout
    assert json.loads(run(running, "show", name, "--json").stdout)["turn_id"] == "1"
    unknown = run(running, "show", "unknown")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "not_found" in unknown.stderr


def test_a_turn_is_cancelled(running: Service, client: ReadingClient) -> None:
    """What runs is ended, on whichever worker it is; with nothing to end it says so."""
    name = new_session()
    with client.stream("POST", f"/chat/{name}", json={"message": '[{"hold": 1}]'}) as stream:
        stream.wait_comments(1)
        assert "nothing runs" in run(running, "cancel", name, "--turn", "2").stdout
        assert "turn 1 is cancelled" in run(running, "cancel", name).stdout
        assert stream.until("cancelled")
    assert "nothing runs" in run(running, "cancel", name).stdout


def test_a_session_is_deleted(running: Service, client: ReadingClient) -> None:
    """A session is forgotten, once."""
    name = new_session()
    say(client, name, "hello")
    assert run(running, "delete", name).stdout == "deleted\n"
    assert run(running, "delete", name).stdout == "there is no such session\n"


def test_a_ticket_opens_the_session(running: Service, client: ReadingClient) -> None:
    """The printed ticket reads the session without a header."""
    name = new_session()
    say(client, name, "hello")
    ticket = run(running, "ticket", name).stdout.strip()
    url = f"{running.proxy.url}/agents/chat/{name}/poll"
    answer = requests.get(url, {"ticket": ticket, "after": "0-0"}, timeout=10)
    assert answer.json()["events"][-1]["type"] == "done"


def test_what_is_refused_is_reported_in_a_line(running: Service) -> None:
    """A wrong token and a host that is not there are one line on stderr and status 1."""
    refused = run(running, "sessions", "--token", "wrong")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "unauthorized" in refused.stderr
    bad = run(running, "show", "no/session")
    assert bad.exit_code == 2


def test_tail_goes_on_over_turns(running: Service, client: ReadingClient) -> None:
    """A session that begins later is followed from turn to turn, whoever runs it, until Ctrl-C."""
    name = new_session()
    url = f"{running.proxy.url}/agents"
    with started([COMMAND, "tail", name, "--url", url], env=OWN_SETTINGS) as process:
        process.wait_until(lambda: "Ctrl-C ends" in process.log())
        for number in (1, 2):
            say(client, name, f"word-{number}")
            process.wait_until(lambda n=number: f"You said: word-{n}\n" in process.log())  # type: ignore[misc] # mypy cannot infer a lambda's defaults
        assert "turn 1" in process.log()
        process.signal(signal.SIGINT)
        wait_for(lambda: not process.running(), "it has ended")
        assert "Traceback" not in process.log()


def test_tail_prints_native_events(running: Service, client: ReadingClient) -> None:
    """With --json each event is a line with its id, from the start of the turn that runs."""
    name = new_session()
    url = f"{running.proxy.url}/agents"
    message = '[{"say": "a"}, {"hold": 1}]'
    with client.stream("POST", f"/chat/{name}", json={"message": message}) as stream:
        assert stream.until("token")
        with started([COMMAND, "tail", name, "--json", "--url", url], env=OWN_SETTINGS) as process:
            process.wait_until(lambda: '"content":"a"' in process.log())
            client.cancel(name)
            process.wait_until(lambda: '"type":"cancelled"' in process.log())
            lines = [line for line in process.log().splitlines() if line.startswith("{")]
    told = [(event["id"], event["type"]) for event in map(json.loads, lines)]
    assert told == [("1-1", "token"), ("1-2", "cancelled")]


def test_workers_are_listed(running: Service) -> None:
    """All workers of the store, with host, pid, turns and slots; without a store it says so."""
    env = {"AGENT_REDIS_URL": running.store.url, "AGENT_NAMESPACE": NAMESPACE}
    [host] = running.hosts

    def rows() -> list[list[str]]:
        table = CliRunner().invoke(main, ["workers"], env=env)
        found = [line.split() for line in table.stdout.splitlines()[1:]]
        return found if len(found) == 2 else []

    found = wait_for(rows, "both workers are listed")
    assert sorted(int(row[1]) for row in found) == host.worker_pids()
    assert all(row[3].split("/")[1] == "42" for row in found)
    lines = CliRunner().invoke(main, ["workers", "--json"], env=env).stdout.splitlines()
    assert {json.loads(line)["info"]["pid"] for line in lines} == set(host.worker_pids())
    other = CliRunner().invoke(main, ["workers"], env={**env, "AGENT_NAMESPACE": "other"})
    assert "AGENT_NAMESPACE" in other.stderr
    alone = CliRunner().invoke(main, ["workers"], env={"AGENT_REDIS_URL": "", "REDIS_URL": ""})
    assert alone.exit_code == 1
    assert "AGENT_REDIS_URL" in alone.stderr
