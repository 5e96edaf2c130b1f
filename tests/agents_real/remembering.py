"""The application of all memories as it is deployed, and what its models are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.postgres import Postgres, postgres
from tests.support.processes import ROOT, clean_environment, temporary_folder
from tests.support.reading import ReadingClient
from tests.support.service import Service, service
from tests.support.upstream import Upstream
from tests.support.upstream_refusals import each_call_has_its_result, messages_of, roles_take_turns
from tests.support.upstream_script import Script, scripted_message

APP = "tests.support.remembering_app:remembering_app()"


class Remembering(NamedTuple):
    """The parts of the deployment."""

    service: Service
    database: Postgres
    upstream: Upstream
    folder: Path

    def client(self, name: str) -> ReadingClient:
        """A client of one of the agents."""
        return ReadingClient(self.service.hosts[0], prefix=f"/{name}")

    def worker_pids(self) -> set[int]:
        """The workers that run now."""
        return set(self.service.hosts[0].worker_pids())


@contextmanager
def remembering(*, workers: int = 2, **env: str) -> Iterator[Remembering]:
    """Run it, before a provider that is as strict as the strictest."""
    with temporary_folder() as folder, postgres() as database, Upstream() as upstream:
        upstream.refusals = (each_call_has_its_result, roles_take_turns)
        settings = {
            **upstream.environment,
            "DATABASE_URL": f"postgresql://{database.address}",
            "MEMORY_FOLDER": str(folder),
            "AGENT_WORKDIR": str(folder / "work"),
            "AGENT_LEASE_SECONDS": "3",
            # What is left of a turn that ends with its worker.
            "AGENT_MAX_ATTEMPTS": "1",
            **env,
        }
        subprocess.run(
            [sys.executable, "-m", "tests.support.remembering_app"],
            cwd=ROOT,
            env=clean_environment(settings),
            check=True,
            timeout=300,
        )
        os.environ.pop("MEMORY_FOLDER", None)
        with service(APP, hosts=1, workers=workers, env=settings, prefix="") as running:
            yield Remembering(running, database, upstream, folder)


class View(NamedTuple):
    """What a request tells the model, of either API."""

    users: list[str]
    said: list[str]
    calls: list[str]
    results: list[str]


def view_of(body: dict[str, Any]) -> View:
    """Read a request."""
    view = View([], [], [], [])
    for message in messages_of(body):
        kind, role = message.get("type"), message.get("role")
        if kind == "function_call":
            view.calls.append(message["arguments"])
        elif kind == "function_call_output" or role == "tool":
            view.results.append(text_of(message.get("output", message.get("content"))))
        elif role == "user":
            view.users.append(text_of(message["content"]))
        elif role == "assistant":
            if message.get("content"):
                view.said.append(text_of(message["content"]))
            view.calls.extend(c["function"]["arguments"] for c in message.get("tool_calls") or ())
    return view


def text_of(content: Any) -> str:
    """The text of a content, in whichever form it is."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def start_turn(client: ReadingClient, session: str, message: str) -> None:
    """Start a turn that nobody reads."""
    body = {"message": message, "on_disconnect": "continue"}
    with client.stream("POST", f"/chat/{session}", body) as stream:
        assert stream.status == 200, stream.status


def events_of(client: ReadingClient, session: str) -> list[dict[str, Any]]:
    """What the session's journal holds."""
    found: list[dict[str, Any]] = client.poll(session, "0-0", 0)["events"]
    return found


def say(client: ReadingClient, session: str, *scripts: Script, tag: str) -> Any:
    """Run a turn to its end; its answer."""
    body = {"message": scripted_message(*scripts, tag=tag)}
    headers = {"Accept": "application/json"}
    return client.call("POST", f"/chat/{session}", body, headers=headers, seconds=60)


def check_view(view: View, events: list[dict[str, Any]], tag: str) -> None:
    """The model's view holds what the user saw of the turns before, and nothing twice."""
    for event in events:
        if event["type"] == "tool_call":
            mark = event["input"]["article"]
            assert sum(mark in call for call in view.calls) == 1, (mark, view)
        elif event["type"] == "tool_result" and event["status"] == "complete":
            assert view.results.count(event["output"]) == 1, (event, view)
    shown = "".join(event["content"] for event in events if event["type"] == "token")
    for word in shown.split():
        assert sum(text.split().count(word) for text in view.said) == 1, (word, view)
    assert len(view.calls) == len(view.results)
    assert max(Counter(view.users).values()) == 1, view
    assert all(tag in user for user in view.users)
