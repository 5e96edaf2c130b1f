"""The recipes of examples/frameworks/, each with its framework as it is, on gunicorn."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.agents_real.shop_model import ShopModel
from tests.sites.environments import environment
from tests.support.processes import ROOT
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.sse import Stream
from tests.support.upstream import Request
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

FOLDER: Final = ROOT / "examples/frameworks"
PINS: Final = Path(__file__).parent / "recipes"
RECIPES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*_agent.py")))
APP: Final = "tests.agents_real.recipe_app:recipe_app()"
#: On a busy machine; docs/agents.md has what was seen.
STOP_MILLISECONDS: Final = 250
#: Of which the median counts.
STOPS: Final = 3
ORPHAN_MILLISECONDS: Final = 200
#: A framework may load modules for many seconds in its first turn, and start programs.
TURN_SECONDS: Final = 300
#: Some load modules for a minute on a busy machine.
START_SECONDS: Final = 300
CROWD: Final = 20
#: Their answers come whole.
WHOLE: Final = frozenset({"smolagents_agent"})


class Rig:
    """One recipe on two workers, its provider and its sessions. Used by any thread."""

    def __init__(self, name: str, server: Gunicorn, model: ShopModel) -> None:
        self.name = name
        self.model = model
        self.client = ReadingClient(server)
        self._numbers = iter(range(1, 10_000))

    def start(self, session: str, wish: str) -> tuple[int, Stream]:
        """Ask the next question."""
        number = next(self._numbers)
        body = {"message": f"Q{number}-{wish}"}
        stream = self.client.stream("POST", f"/chat/{session}", body, seconds=TURN_SECONDS)
        assert stream.status == 200, stream.status
        return number, stream

    def ask(self, session: str, wish: str) -> tuple[int, list[dict[str, Any]]]:
        """Ask the next question and read to its end."""
        number, stream = self.start(session, wish)
        with stream:
            return number, [frame.data for frame in stream]

    def reach(self, moment: str, session: str = "stop") -> tuple[int, Stream, Request]:
        """A turn that is at a moment, and the request that waits then."""
        number, stream = self.start(session, WISHES[moment])
        wait_for(lambda: number in self.model.waiting, moment, TURN_SECONDS)
        if moment == "mid-text" and self.name in WHOLE:
            time.sleep(0.5)  # nothing tells that it has read the half
        elif moment == "mid-text":
            wait_for(lambda: shows_text(stream), moment, TURN_SECONDS)
        return number, stream, self.model.waiting[number]

    def check_over(self, number: int, asked: int) -> None:
        """The turn has ended, and its model was not asked again."""
        wait_for(lambda: self.model.busy == 0, "no request is open", TURN_SECONDS)
        time.sleep(0.5)  # in which it would ask again
        assert len(self.model.asked[number]) == asked, "it was asked again"
        assert self.model.busy == 0


#: What the frameworks' own settings have to be.
SETTINGS: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched, by DSPy's and ADK's LiteLLM
    "CREWAI_DISABLE_TELEMETRY": "true",
    "ANTHROPIC_API_KEY": "sk-test",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    # How long its programs may take to start; twenty do on two cores.
    "CLAUDE_CODE_STREAM_CLOSE_TIMEOUT": "300000",
}
WISHES: Final = {
    "mid-text": "half",
    "before the first byte": "silent",
    "behind a tool": "behind",
    "inside a tool": "inside",
}


def shows_text(stream: Stream) -> bool:
    """Whether the next event is text."""
    frame = stream.next(TURN_SECONDS)
    return frame is not None and frame.data["type"] == "token"


def text_of(events: list[dict[str, Any]]) -> str:
    """The text in events."""
    return "".join(event["content"] for event in events if event["type"] == "token")


@pytest.fixture(scope="module", params=RECIPES)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A recipe's site: mounted, with two workers and Redis, in an environment of its own."""
    name = request.param
    own = PINS / f"{name}.txt"
    # Most agree on what they need.
    pins = own if own.exists() else PINS / "shared.txt"
    folder = environment(f"recipes-{pins.stem}", pins.read_text())
    with redis_server() as redis, ShopModel() as model:
        env = {
            **model.environment,
            "OPENAI_API_BASE": model.url,  # LlamaIndex's name of it
            "AGENT_MODEL": "gpt-4.1-mini",  # some know the names of OpenAI's models
            "AGENT_REDIS_URL": redis.url,
            "AGENT_ORPHAN_SECONDS": str(ORPHAN_MILLISECONDS / 1000),
            "AGENT_MAX_TURNS_PER_TENANT": "100",
            "AGENT_TURN_TIMEOUT_SECONDS": "600",
            "PYTHONPATH": f"{ROOT}:{FOLDER}",
            "RECIPE": name,
            **SETTINGS,
            "ANTHROPIC_BASE_URL": model.url.removesuffix("/v1"),
            "CLAUDE_CONFIG_DIR": str(folder / "claude"),
        }
        python = folder / "bin" / "python"
        options: dict[str, Any] = {"python": python, "start_seconds": START_SECONDS}
        with gunicorn(APP, workers=2, threads=32, env=env, **options) as server:
            yield Rig(name, server, model)


def test_three_turns_use_the_tool_and_remember(rig: Rig) -> None:
    """Each turn has the model's text, the tool ran, tokens count, and no turn is forgotten."""
    number = 0
    for turn in range(1, 4):
        number, events = rig.ask("talk", "tool")
        assert text_of(events).strip() == f"Answer {number}", events
        assert events[-1]["type"] == "done", events
        asked = rig.model.asked[number]
        assert events[-1]["usage"]["total_tokens"] == 7 * len(asked), events
        told = json.dumps(asked[-1].body)
        assert f" of tea-{number}" in told
        for before in range(number - turn + 1, number):
            assert f"Q{before}-tool" in told
            assert f"Answer {before}" in told


@pytest.mark.parametrize("moment", WISHES)
def test_a_stop_reaches_the_provider_at_once(rig: Rig, moment: str) -> None:
    """At each moment, that of a tool's own request too; nothing asks again."""
    took = sorted(stop(rig, moment) for _ in range(STOPS))
    print(f"\nSEEN {rig.name}: stop {moment}: {took} ms")  # noqa: T201 - for the table in the docs
    assert took[STOPS // 2] < STOP_MILLISECONDS


def stop(rig: Rig, moment: str) -> float:
    """Milliseconds from a stop to its sight at the provider."""
    number, stream, waits = rig.reach(moment)
    asked = len(rig.model.asked[number])
    began = time.monotonic()
    rig.client.cancel(stream.headers["x-session-id"])
    took = 1000 * (waits.connection.wait_closed(TURN_SECONDS) - began)
    with stream:
        assert [frame.data for frame in stream][-1]["type"] == "cancelled"
    rig.check_over(number, asked)
    return round(took, 1)


def test_a_hang_up_reaches_the_provider(rig: Rig) -> None:
    """Nobody reads on: the turn is cancelled after the time for orphans."""
    # A session of its own: a stop on the other worker counts as its reader for a lease.
    number, stream, waits = rig.reach("mid-text", "hang-up")
    began = time.monotonic()
    stream.close()
    took = 1000 * (waits.connection.wait_closed(TURN_SECONDS) - began)
    rig.check_over(number, len(rig.model.asked[number]))
    print(f"\nSEEN {rig.name}: hang-up: {took:.1f} ms")  # noqa: T201 - for the table in the docs
    assert ORPHAN_MILLISECONDS - 50 < took < ORPHAN_MILLISECONDS + STOP_MILLISECONDS


def test_an_answer_that_breaks_off_is_an_error(rig: Rig) -> None:
    """A stream without a finish reason ends no turn with ``done``."""
    number, events = rig.ask("broken", "broken")
    print(f"\nSEEN {rig.name}: broken: {len(rig.model.asked[number])} requests")  # noqa: T201 - for the table in the docs
    assert (events[-1]["type"], events[-1].get("code")) == ("error", "upstream_error"), events
    assert "HelloHello" not in text_of(events).replace(" ", "")


def test_twenty_sessions_at_once_never_mix(rig: Rig) -> None:
    """Each gets its own answer, and they run at the same time."""
    rig.model.most_at_once = 0
    with ThreadPoolExecutor(CROWD) as pool:
        runs = list(pool.map(lambda n: rig.ask(f"crowd-{n}", "crowd"), range(CROWD)))
    print(f"\nSEEN {rig.name}: {rig.model.most_at_once} requests at once")  # noqa: T201 - for the table in the docs
    for number, events in runs:
        assert events[-1]["type"] == "done", events
        assert text_of(events).strip() == f"Answer {number}"
    assert rig.model.most_at_once > 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short(name: str) -> None:
    """What is beside imports and docstrings is at most 25 lines."""
    lines = [line.strip() for line in (FOLDER / f"{name}.py").read_text().splitlines()]
    code = [line for line in lines if line and not line.startswith(("from ", "import ", '"""'))]
    assert len(code) <= 25
