"""``useStream`` of @langchain/react, in a page that Vite has built and Chromium shows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.langgraph.pages import build_page
from tests.langgraph.site import FOLDER_VARIABLE
from tests.support.browser import new_profile
from tests.support.reading import ReadingClient
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

HERE: Final = Path(__file__).parent / "page"
TOOL: Final = {"tool": {"name": "add", "input": {"a": 1}, "output": {"sum": 2}}}
PAGES_TOOL: Final = {"page": {"call_id": "c1", "tool": "paint", "input": {"wall": 2}}}
WORDS: Final = [f"w{number} " for number in range(1, 41)]
SLOW: Final = {"tokens": len(WORDS), "pause": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as Vite makes it of its source."""
    return build_page(HERE, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Gunicorn]:
    """Two workers that share a store."""
    with redis_server() as store:
        env = {
            "AGENT_REDIS_URL": store.url,
            "AGENT_LEASE_SECONDS": "2",
            "AGENT_TOKENS": "dev=acme,operator=acme scopes=admin+read+chat",
            FOLDER_VARIABLE: str(folder),
        }
        with gunicorn("tests.langgraph.site:site()", workers=2, threads=24, env=env) as server:
            yield server


@pytest.fixture
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile for several tabs."""
    with new_profile(browser) as profile:
        yield profile


class Tab:
    """A tab with the page; its state is what it shows."""

    def __init__(self, page: Page, server: Gunicorn, query: str = "") -> None:
        self.page = page
        page.goto(f"{server.url}/{query}")
        page.wait_for_function("typeof window.send === 'function'")

    def send(self, text: str, *steps: dict[str, Any]) -> None:
        """Say something, and have the agent do these steps."""
        self.page.evaluate("([text, steps]) => window.send(text, steps)", [text, list(steps)])

    @property
    def query(self) -> str:
        """What another tab opens for the same thread."""
        return "?" + self.page.url.partition("?")[2]

    @property
    def thread(self) -> str:
        """The thread's id."""
        return self.page.url.partition("thread=")[2]

    def shown(self) -> list[list[str]]:
        """Each message's id, kind and text."""
        rows: list[list[str]] = self.page.eval_on_selector_all(
            "ol li", "all => all.map(one => [one.dataset.id, one.className, one.innerText])"
        )
        return rows

    def texts(self) -> list[str]:
        """Each message's kind and text."""
        return [f"{kind}: {text}" for _, kind, text in self.shown()]

    def wait_text(self, text: str) -> None:
        """Wait until the newest message holds this."""
        expect(self.page.locator("ol li").last).to_contain_text(text)

    def wait_idle(self) -> None:
        """Wait until nothing runs."""
        expect(self.page.locator("#loading")).to_have_text("false")

    def error(self) -> str:
        """The error that the page shows."""
        return self.page.locator("#error").inner_text()


def test_text_and_tools(server: Gunicorn, profile: BrowserContext) -> None:
    """Text and calls come as they are said, and a reload shows the same under the same ids."""
    tab = Tab(profile.new_page(), server)
    tab.send("hello", {"text": "Let me add. "}, TOOL, {"text": "It is 2."})
    tab.wait_text("It is 2.")
    tab.wait_idle()
    assert tab.texts() == [
        "human: hello",
        'ai: Let me add. add({"a":1})',
        'tool: {"sum":2}',
        "ai: It is 2.",
    ]
    expect(tab.page.locator("#tools li")).to_have_text(['add finished {"sum":2}'])
    assert tab.error() == ""
    before = tab.shown()
    tab.page.reload()
    tab.wait_text("It is 2.")
    assert tab.shown() == before
    tab.send("and again", {"text": "Once more."})
    tab.wait_text("Once more.")
    tab.wait_idle()
    assert tab.texts()[4:] == ["human: and again", "ai: Once more."]
    assert tab.shown()[:4] == before


def test_sub_agents_have_cards(server: Gunicorn, profile: BrowserContext) -> None:
    """What a sub-agent says is shown by its call while it works, and not among the messages."""
    finder = {"name": "finder", "steps": [{"text": "I look. "}, TOOL, {"ask": "Where?"}]}
    tab = Tab(profile.new_page(), server)
    tab.send("find", {"child": finder}, {"text": "Done."})
    cards = tab.page.locator("#cards li")
    expect(cards).to_have_text(["finder / add finished / I look."])
    expect(tab.page.locator("#interrupt")).to_have_text('{"prompt":"Where?"}')
    tab.page.evaluate("window.respond('here')")
    tab.wait_text("Done.")
    tab.wait_idle()
    shown = ["finder / add finished / I look. / here"]
    expect(cards).to_have_text(shown)
    messages = tab.texts()
    assert messages[0] == "human: find"
    assert [one.partition(":")[0] for one in messages] == ["human", "ai", "tool", "ai"]
    assert messages[3] == "ai: Done."
    tab.page.reload()
    tab.wait_text("Done.")
    expect(cards).to_have_text(shown)
    assert tab.texts() == messages
    assert tab.error() == ""


def test_deep_agents_tasks_are_subagents(server: Gunicorn, profile: BrowserContext) -> None:
    """Who works for a call of the tool ``task`` is where pages for deep agents look."""
    given = {"subagent_type": "researcher", "description": "Find it"}
    child = {"name": "researcher", "steps": [{"text": "Found."}]}
    tab = Tab(profile.new_page(), server)
    tab.send("find", {"tool": {"name": "task", "input": given, "child": child}}, {"text": "Done."})
    tab.wait_text("Done.")
    shown = ["researcher complete / Found."]
    expect(tab.page.locator("#subagents li")).to_have_text(shown)
    tab.wait_idle()
    tab.page.reload()
    expect(tab.page.locator("#subagents li")).to_have_text(shown)


@pytest.mark.slow
def test_text_comes_while_it_is_said(server: Gunicorn, profile: BrowserContext) -> None:
    """A page that is loaded again in mid-turn goes on with the text, and loses no word of it."""
    tab = Tab(profile.new_page(), server)
    tab.send("slowly", SLOW)
    tab.wait_text("w3 ")
    assert "w40" not in tab.shown()[-1][2]
    tab.page.reload()
    tab.wait_text("w40")
    tab.wait_idle()
    assert tab.texts() == ["human: slowly", f"ai: {''.join(WORDS)}".strip()]


def test_interrupt_answered_after_a_reload(server: Gunicorn, profile: BrowserContext) -> None:
    """A question is an interrupt, also for a page that comes later; its answer goes on."""
    tab = Tab(profile.new_page(), server)
    tab.send("paint", {"text": "Which? "}, {"ask": "The color?"}, {"text": "!"})
    interrupt = tab.page.locator("#interrupt")
    expect(interrupt).to_have_text('{"prompt":"The color?"}')
    tab.wait_idle()
    tab.page.reload()
    expect(interrupt).to_have_text('{"prompt":"The color?"}')
    tab.page.evaluate("window.respond('red')")
    tab.wait_text("red!")
    tab.wait_idle()
    expect(interrupt).to_have_text("")
    assert tab.texts() == ["human: paint", "ai: Which? red!"]
    tab.page.reload()
    tab.wait_text("red!")
    assert tab.texts() == ["human: paint", "ai: Which? red!"]


def test_a_tool_of_the_page_is_run_by_the_hook(server: Gunicorn, profile: BrowserContext) -> None:
    """The hook's ``tools`` answer the call, whoever else reads, and a reload shows the same."""
    tab = Tab(profile.new_page(), server)
    tab.send("paint", {"text": "So. "}, PAGES_TOOL, {"text": "!"})
    tab.wait_text("wall 2 is blue!")
    tab.wait_idle()
    assert tab.page.evaluate("window.painted") == 1
    assert tab.error() == ""
    messages = tab.texts()
    tab.page.reload()
    tab.wait_text("wall 2 is blue!")
    assert tab.texts() == messages
    assert tab.page.evaluate("window.painted ?? 0") == 0


def test_a_page_that_is_loaded_again_runs_its_tool(
    server: Gunicorn, profile: BrowserContext
) -> None:
    """The call waits for the next page where the one that ran it is gone."""
    tab = Tab(profile.new_page(), server)
    tab.page.evaluate("window.held = true")
    tab.send("paint", PAGES_TOOL, {"text": "!"})
    tab.page.wait_for_function("window.painted === 1")
    tab.page.reload()
    tab.wait_text("wall 2 is blue!")
    tab.wait_idle()
    assert tab.error() == ""


@pytest.mark.slow
def test_stop_ends_the_turn(server: Gunicorn, profile: BrowserContext) -> None:
    """The stop button ends the turn on whatever worker it is, and the thread takes the next."""
    tab = Tab(profile.new_page(), server)
    tab.send("count", {"text": "begun "}, {"hold": True})
    tab.wait_text("begun")
    tab.page.get_by_role("button", name="Stop").click()
    tab.wait_idle()
    client = ReadingClient(server)
    client.wait_idle(tab.thread)
    assert client.poll(tab.thread, "0-0", 0)["events"][-1]["type"] == "cancelled"
    tab.send("next", {"text": "I am here."})
    tab.wait_text("I am here.")
    tab.wait_idle()
    assert tab.error() == ""


@pytest.mark.slow
def test_two_tabs(server: Gunicorn, profile: BrowserContext) -> None:
    """A second tab follows the turn of the first, and the first that of the second."""
    first = Tab(profile.new_page(), server)
    first.send("slowly", SLOW)
    first.wait_text("w3 ")
    second = Tab(profile.new_page(), server, first.query)
    for tab in (first, second):
        tab.wait_text("w40")
        tab.wait_idle()
    assert first.shown() == second.shown()
    second.send("you too", {"text": "Yes, I do."})
    for tab in (first, second):
        tab.wait_text("Yes, I do.")
        tab.wait_idle()
    assert first.shown() == second.shown()
    assert len(first.shown()) == 4


def test_a_worker_killed_in_mid_turn(server: Gunicorn, profile: BrowserContext) -> None:
    """The page is told of the loss, whichever worker it read from, and goes on with the next."""
    tab = Tab(profile.new_page(), server)
    tab.send("slowly", SLOW)
    tab.wait_text("w3 ")
    client = ReadingClient(server, "operator")
    os.kill(owner_pid(client, tab.thread), signal.SIGKILL)
    expect(tab.page.locator("#error")).to_have_text("The worker that ran this turn is gone.")
    tab.wait_idle()
    wait_for(lambda: len(server.worker_pids()) == 2, "a new worker")
    tab.send("next", {"text": "I am here."})
    tab.wait_text("I am here.")
    tab.wait_idle()
    said = "".join(WORDS)
    kept = tab.shown()[1][2]
    assert said.startswith(kept)
    assert tab.texts()[2:] == ["human: next", "ai: I am here."]


@pytest.mark.slow
def test_the_sdks_own_hook(server: Gunicorn, profile: BrowserContext) -> None:
    """``useStream`` of @langchain/langgraph-sdk, by the older routes: text, calls, a reload."""
    tab = Tab(profile.new_page(), server, "old.html")
    tab.send("hello", {"text": "Let me add. "}, TOOL, {"text": "It is 2."})
    tab.wait_text("It is 2.")
    tab.wait_idle()
    said = ["human: hello", 'ai: Let me add. add({"a":1})', 'tool: {"sum":2}', "ai: It is 2."]
    assert tab.texts() == said
    assert tab.error() == ""
    tab.page.reload()
    tab.wait_text("It is 2.")
    assert tab.texts() == said
    tab.send("slowly", SLOW)
    tab.wait_text("w3 ")
    tab.page.reload()
    tab.wait_text("w40")
    tab.wait_idle()
    assert tab.texts() == [*said, "human: slowly", f"ai: {''.join(WORDS)}".strip()]


@pytest.mark.slow
def test_the_sdks_own_hook_asks_and_stops(server: Gunicorn, profile: BrowserContext) -> None:
    """An interrupt is answered after a reload, and the stop button ends the turn."""
    tab = Tab(profile.new_page(), server, "old.html")
    tab.send("paint", {"text": "Which? "}, {"ask": "The color?"}, {"text": "!"})
    interrupt = tab.page.locator("#interrupt")
    expect(interrupt).to_have_text('{"prompt":"The color?"}')
    tab.wait_idle()
    tab.page.reload()
    expect(interrupt).to_have_text('{"prompt":"The color?"}')
    tab.page.evaluate("window.respond('red')")
    tab.wait_text("red!")
    tab.wait_idle()
    assert tab.texts() == ["human: paint", "ai: Which? red!"]
    tab.send("count", {"text": "begun "}, {"hold": True})
    tab.wait_text("begun")
    tab.page.get_by_role("button", name="Stop").click()
    tab.wait_idle()
    client = ReadingClient(server)
    client.wait_idle(tab.thread)
    assert client.poll(tab.thread, "0-0", 0)["events"][-1]["type"] == "cancelled"
