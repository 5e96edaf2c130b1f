"""Turns of several steps, the workers that run them, and what of them counts."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.reading import ReadingClient
from tests.support.service import Service, owner_pid, service
from tests.support.sse import Frame, Stream, StreamCutError
from tests.support.upstream import Request, Upstream
from tests.support.upstream_script import (
    AnyStep,
    Call,
    Script,
    Stall,
    Text,
    ToolCalls,
    read_scripts,
    scripted_message,
)
from tests.support.waiting import wait_for
from wsgi_app.events import EventId

APP = "tests.support.resumed_app:app()"
ENDS = ("done", "error", "cancelled")


class StepUpstream(Upstream):
    """Gives the script of a request by the steps in it: one that is asked again gets the same.

    ``held``: what comes instead when a step of a turn is asked for the first time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, int], Sequence[AnyStep]] = {}

    def take_script(self, request: Request) -> Script:
        """See `Upstream.take_script`."""
        self.requests.append(request)
        messages = request.body["messages"]
        last = max(n for n, message in enumerate(messages) if message["role"] == "user")
        text = messages[last]["content"]
        number = sum(1 for message in messages[last:] if message.get("tool_calls"))
        scripts = read_scripts(text)
        assert scripts is not None
        held = self.held.pop((text, number), None)
        return tuple(held) if held is not None else scripts[min(number, len(scripts) - 1)]


def call(number: int, tool: str, name: str, how: str = "") -> ToolCalls:
    """One call of a tool."""
    arguments = json.dumps({"name": name, "how": how})
    return ToolCalls((Call(f"call-{number}", tool, arguments),))


def message(session: str, first: str = "", second: str = "") -> str:
    """A message that is answered in three steps with two tools; ``first``: what its tool does."""
    return scripted_message(
        [Text(("Let ", "me ", "see. ")), call(1, "charge", "a", first)],
        [Text(("And ", "now. ")), call(2, "look_up", "b", second)],
        [Text(("All ", "done."))],
        tag=session,
    )


STALL = Stall(60.0)
#: What `message` is answered with.
REPLY = "Let me see. And now. All done."


class Rig:
    """A service whose agent resumes, its provider, and its effects. Used by any thread."""

    def __init__(self, shared: Service, upstream: StepUpstream, effects: Path) -> None:
        self.shared = shared
        self.upstream = upstream
        self._effects = effects

    def effects(self, session: str) -> list[list[str]]:
        """What the tools of a session did: kind, session, name, key, attempt, pid."""
        lines = self._effects.read_text().splitlines() if self._effects.exists() else []
        return [parts for parts in map(str.split, lines) if parts[1] == session]

    def has_recorded(self, session: str, text: bytes) -> bool:
        """Whether a record of a session's turns holds this text."""
        with self.shared.store.client() as client:
            keys = client.scan_iter(match=f"*{session}*:r:*", count=1000)
            return any(text in record for key in keys for record in client.lrange(key, 0, -1))

    def names(self, session: str) -> list[str]:
        """The names of these effects."""
        return [effect[2] for effect in self.effects(session)]


@contextmanager
def resuming(  # noqa: PLR0913 - each is a part of the service, by keyword
    folder: Path,
    *,
    app: str = APP,
    hosts: int = 1,
    workers: int = 2,
    env: Mapping[str, str] | None = None,
    frameworks: bool = False,
) -> Iterator[Rig]:
    """Run it all; ``frameworks`` as `gunicorn` has it."""
    effects = folder / f"effects-{time.monotonic_ns()}"
    with StepUpstream() as upstream:
        settings = {**upstream.environment, "TEST_EFFECTS": str(effects), **(env or {})}
        settings.setdefault("AGENT_MAX_ATTEMPTS", "2")
        with service(
            app, hosts=hosts, workers=workers, env=settings, frameworks=frameworks
        ) as shared:
            yield Rig(shared, upstream, effects)


class Follower:
    """Reads a turn as an EventSource does: after each cut it comes back behind the last id."""

    def __init__(self, client: ReadingClient, session: str) -> None:
        self.client = client
        self.session = session
        self.frames: list[Frame] = []
        self.moments: list[float] = []
        self._thread: threading.Thread | None = None

    def start(self, text: str, **fields: Any) -> Follower:
        """Send a message and read in a thread of its own.

        A request whose worker is killed before it answers is sent again, under its key.
        """
        key = {"Idempotency-Key": self.session}
        path, body = f"/chat/{self.session}", {"message": text, **fields}
        deadline = time.monotonic() + 60
        while True:
            try:
                stream = self.client.stream("POST", path, body, headers=key)
                break
            except (StreamCutError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()
        return self

    def follow(self, after: str = "0-0") -> Follower:
        """Read what another one has started."""
        self._thread = threading.Thread(target=self._come_back, args=(after,), daemon=True)
        self._thread.start()
        return self

    @property
    def kinds(self) -> list[str]:
        """The types of all events so far."""
        return [frame.data["type"] for frame in list(self.frames)]

    def end(self, seconds: float = 60) -> Frame:
        """Wait for the turn's end."""
        assert self._thread is not None
        self._thread.join(seconds)
        kinds = self.kinds
        assert kinds, f"nothing was read of {self.session}"
        assert kinds[-1] in ENDS, kinds
        assert sum(kind in ENDS for kind in kinds) == 1
        return self.frames[-1]

    def counted(self) -> list[Frame]:
        """What counts in the end; ids grow."""
        kept: list[Frame] = []
        ids = [EventId.parse(frame.id or "") for frame in self.frames]
        assert ids == sorted(set(ids)), ids
        for frame in self.frames:
            if frame.data["type"] == "withdrawn":
                after = EventId.parse(frame.data["after"])
                kept = [one for one in kept if EventId.parse(one.id or "") <= after]
                again = frame.data.get("calls", ())
                kept = [one for one in kept if one.data.get("parent") not in again]
            else:
                kept.append(frame)
        return kept

    def text(self) -> str:
        """All tokens that count."""
        tokens = [frame.data for frame in self.counted() if frame.data["type"] == "token"]
        return "".join(token["content"] for token in tokens)

    def _read(self, stream: Stream) -> None:
        with stream:
            self._take(stream)
        if not self._ended():
            self._come_back(self.frames[-1].id or "0-0" if self.frames else "0-0")

    def _come_back(self, after: str) -> None:
        deadline = time.monotonic() + 60
        while not self._ended() and time.monotonic() < deadline:
            last = self.frames[-1].id if self.frames else after
            try:
                with self.client.events(self.session, last) as stream:
                    if stream.status == 200:
                        self._take(stream)
            except (StreamCutError, OSError):
                pass
            time.sleep(0.02)

    def _take(self, stream: Stream) -> None:
        try:
            for frame in stream:
                if frame.id and (not self.frames or frame.id != self.frames[-1].id):
                    self.frames.append(frame)
                    self.moments.append(time.monotonic())
        except (StreamCutError, OSError, AssertionError):
            return

    def _ended(self) -> bool:
        return bool(self.frames) and self.frames[-1].data["type"] in ENDS


def check_effects(rig: Rig, follower: Follower) -> None:
    """Each call of `message` has one key, and the first one has run once.

    Or never, where its worker was killed between its record and its first word: then the model
    heard that nobody knows.
    """
    names = rig.names(follower.session)
    results = [f.data for f in follower.counted() if f.data["type"] == "tool_result"]
    unknown = results[0]["status"] == "error"
    assert names.count("a") in ((0, 1) if unknown else (1,)), names
    assert len({effect[3] for effect in rig.effects(follower.session)}) == len(set(names))


def kill(pid: int, number: int) -> float:
    """Send a process a signal; when that was."""
    os.kill(pid, number)
    return time.monotonic()


def runs(rig: Rig, session: str, name: str) -> bool:
    """Whether a tool of a session has begun."""
    return name in rig.names(session)


def kill_owner(rig: Rig, follower: Follower) -> float:
    """Kill the worker that runs a turn."""
    pid = owner_pid(follower.client, follower.session)
    killed_at = kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in rig.shared.hosts[0].worker_pids(), "the worker is gone")
    return killed_at


def ended_well(follower: Follower, rig: Rig, names: list[str]) -> None:
    """The turn is done, with its whole reply, and each tool ran once."""
    end = follower.end()
    assert end.data["type"] == "done", end.data
    assert end.data["reply"] == REPLY
    assert follower.text() == REPLY
    assert rig.names(follower.session) == names
    messages = follower.client.session(follower.session)["messages"]
    assert messages[-1]["content"] == REPLY


#: Where a worker is killed: what comes instead of which step of the model.
BOUNDARIES: dict[str, tuple[int, Sequence[AnyStep]]] = {
    "before the first byte": (0, [STALL]),
    "behind the first byte": (0, [Text(("Let ",)), STALL]),
    "before the second step's first byte": (1, [STALL]),
    "behind the second step's first byte": (1, [Text(("And ", "no")), STALL]),
    "before the last step's first byte": (2, [STALL]),
    "before the end": (2, [Text(("All ", "done.")), STALL]),
}
