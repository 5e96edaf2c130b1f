"""Conversations on the chat page: streamed, stopped, reloaded, cut off, refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Site
from tests.support.chat import ChatPage
from tests.support.processes import child_pids
from tests.support.servers import STREAMING_PROXY, Gunicorn, gunicorn, nginx
from tests.support.service import owner_pid
from tests.support.waiting import wait_for

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def counted(end: int) -> str:
    """What the demo agent says when it counts."""
    return " ".join(map(str, range(1, end + 1)))


COUNT = counted(40)


@pytest.fixture
def echo_server() -> Iterator[Gunicorn]:
    """The stand-alone app with an agent that says the message everywhere, and asks."""
    with gunicorn(env={"AGENT_FACTORY": "tests.support.page_agent:echo"}) as server:
        yield server


def test_conversation(site: Site, page: Page) -> None:
    """An answer is streamed with its thoughts and its tool call, and no other server is asked."""
    chat = ChatPage(page, site.url)
    chat.send("what is 12*34?")
    chat.wait_answers(1)
    answer = page.locator(".agent").last
    expect(answer.locator(".thinking")).to_contain_text("I use the calculator")
    expect(answer.locator(".tool[data-state=complete] summary")).to_contain_text("calculator")
    expect(answer.locator(".tool-output")).to_have_text("408")
    expect(page.locator(".user")).to_contain_text("what is 12*34?")
    assert "12*34 = 408" in chat.answer()
    chat.send("what time is it?")
    chat.wait_answers(2)
    roles = [message["role"] for message in chat.session()["messages"]]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert chat.answer() == chat.said()
    chat.assert_quiet()


def test_stop(site: Site, page: Page) -> None:
    """The stop button ends the answer, keeps what came, and the chat goes on."""
    chat = ChatPage(page, site.url)
    chat.send("tell me a long story")
    chat.wait_text("Once there was")
    chat.button("Stop").click()
    chat.wait_answers(1)
    expect(page.locator(".agent .note")).to_have_text("You stopped this answer.")
    assert chat.session()["state"] == "idle"
    assert chat.answer() == chat.said()
    chat.send("what is 2*3?")
    chat.wait_answers(2)
    assert "2*3 = 6" in chat.answer()
    chat.assert_quiet()


def test_reload_in_mid_answer(site: Site, page: Page) -> None:
    """After reloads in mid-answer the answer comes to its end without a lost or doubled word.

    What the agent thought is told of a running answer alone; this one runs until it is answered.
    """
    chat = ChatPage(page, site.url)
    chat.send("pause")
    for word in ("3 ", " 10 ", " 25 "):
        chat.wait_text(word)
        page.reload()
    chat.button("Yes").wait_for()
    expect(page.locator(".agent .thinking")).to_have_count(1)
    chat.button("Yes").click()
    chat.wait_answers(1)
    assert chat.answer() == f"{counted(40)} and that is all." == chat.said()
    expect(page.locator(".user")).to_have_count(1)
    page.reload()
    page.locator(".agent").wait_for()
    assert chat.answer() == chat.said()
    chat.assert_quiet()


def test_what_is_withdrawn_is_taken_back(site: Site, page: Page) -> None:
    """When another worker goes on, the page shows once what counts, as a reloaded page does."""
    chat = ChatPage(page, site.url)
    chat.send("outlive")
    chat.wait_text("This is taken back. Waiting.")
    expect(page.locator(".tool[data-state=running]")).to_have_count(1)
    os.kill(owner_pid(site.client, urlsplit(page.url).fragment), signal.SIGKILL)
    chat.wait_answers(1)
    assert chat.answer() == "I begin. And I end." == chat.said()
    expect(page.locator(".agent .thinking")).to_have_count(1)
    expect(page.locator(".agent .tool")).to_have_count(0)
    page.reload()
    page.locator(".agent").wait_for()
    assert chat.answer() == chat.said()


@pytest.mark.slow
def test_drops_behind_a_proxy_below_a_path(page: Page) -> None:
    """The page works below a path, and goes on by itself when its connection breaks."""
    conf = STREAMING_PROXY.replace("location /", "location /tools/agent/")
    conf = conf.replace("proxy_pass http://app", "proxy_pass http://app/")
    with (
        gunicorn(env={"AGENT_TOKENS": "dev=somebody"}) as server,
        nginx(conf, upstreams=[server]) as proxy,
    ):
        chat = ChatPage(page, f"{proxy.url}/tools/agent")
        chat.send("count to 40")
        for word in (" 5 ", " 15 ", " 30 "):
            chat.wait_text(word)
            for worker in child_pids(proxy.pid):
                os.kill(worker, signal.SIGKILL)
        chat.wait_answers(1)
        assert f"I count: {COUNT} and that is all." in chat.answer()
        assert chat.answer() == chat.said()
        attached = [url for url in chat.requested if "/events" in url]
        assert len(attached) >= 3


@pytest.mark.slow
def test_lost_answer_to_the_post(site: Site, page: Page) -> None:
    """A message whose answer is lost is sent again, and still starts only one turn."""
    keys: list[str | None] = []

    def lose_first(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/chat/*", lose_first)
    chat = ChatPage(page, site.url)
    chat.send("what is 12*34?")
    chat.wait_answers(1)
    assert len(keys) == 2
    assert keys[0] is not None
    assert keys[0] == keys[1]
    assert "12*34 = 408" in chat.answer()
    assert len(chat.session()["messages"]) == 2
    assert chat.session()["turn_id"] == "1"


def test_markup_is_text(echo_server: Gunicorn, page: Page) -> None:
    """Markup in whatever the user or the agent says is shown, not run; a question is answered."""
    chat = ChatPage(page, echo_server.url)
    chat.send(MARKUP)
    expect(page.locator(".tool[data-state=running]")).to_contain_text("onerror")
    question = page.get_by_label(MARKUP)
    question.fill(f"yes {MARKUP}")
    chat.button("Answer").click()
    chat.wait_answers(1)
    expect(page.locator(".tool[data-state=complete] .tool-output")).to_contain_text(f"yes {MARKUP}")
    assert chat.answer() == f"{MARKUP}, and you said yes {MARKUP}"
    chat.send(f"fail {MARKUP}")
    chat.wait_answers(2)
    expect(page.locator(".agent").last.locator(".fault")).to_have_text(f"fail {MARKUP}")
    page.reload()
    expect(page.locator(".user").first).to_contain_text(MARKUP)
    assert page.locator("#log :is(img, script)").count() == 0
    assert page.title() == "Agent"
    chat.assert_quiet()


@pytest.mark.slow
def test_asks_for_a_token(page: Page) -> None:
    """A host with tokens of its own makes the page ask, and the tab remembers."""
    with gunicorn(env={"AGENT_TOKENS": "open-sesame=ali"}) as server:
        chat = ChatPage(page, server.url)
        dialog = page.get_by_role("dialog", name="Token needed")
        field = dialog.get_by_label("Access token")
        field.fill("wrong")
        chat.button("Use this token").click()
        expect(dialog).to_contain_text("This token was refused.")
        field.fill("open-sesame")
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        chat.send("what is 12*34?")
        chat.wait_answers(1)
        page.reload()
        expect(page.locator(".agent")).to_contain_text("12*34 = 408")
        assert len(chat.session("open-sesame")["messages"]) == 2


def test_refusal_in_words(site: Site, page: Page) -> None:
    """A refused message is given back to its writer with the reason in words."""
    message = "too long a message " * 2000
    chat = ChatPage(page, site.url)
    chat.send(message)
    notice = page.locator("#notice")
    expect(notice).not_to_be_empty()
    assert "422" not in notice.inner_text()
    expect(page.get_by_label("Message")).to_have_value(message.strip())
    expect(page.locator(".message")).to_have_count(0)


@pytest.mark.slow
def test_chats_have_addresses(site: Site, page: Page) -> None:
    """A new chat begins empty, and the browser's way back leads to the old one."""
    chat = ChatPage(page, site.url)
    chat.send("what is 12*34?")
    chat.wait_answers(1)
    chat.button("New chat").click()
    expect(page.locator(".message")).to_have_count(0)
    chat.send("what is 2*3?")
    chat.wait_answers(1)
    assert "2*3 = 6" in chat.answer()
    page.go_back()
    expect(page.locator(".user")).to_have_text(["Youwhat is 12*34?"])
    wait_for(lambda: "408" in chat.answer(), "the old answer is shown again")
    chat.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_narrow_screen(site: Site, page: Page, scheme: Literal["light", "dark"]) -> None:
    """On the narrowest phone nothing is cut off at the side, whatever the theme."""
    page.set_viewport_size({"width": 320, "height": 560})
    page.emulate_media(color_scheme=scheme)
    chat = ChatPage(page, site.url)
    chat.send("w" * 300)
    chat.wait_answers(1)
    chat.send("what is 12345678901*98765432109876543210?")
    chat.wait_answers(2)
    too_wide = page.evaluate(
        "() => [...document.querySelectorAll('body, body *:not(.visually-hidden)')]"
        ".filter((node) => node.getBoundingClientRect().right > innerWidth + 1)"
        ".map((node) => node.outerHTML)"
    )
    assert too_wide == []
    expect(chat.button("Send")).to_be_in_viewport()
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    red = int(background.removeprefix("rgb(").partition(",")[0])
    assert (red > 128) == (scheme == "light")


def test_policy(site: Site) -> None:
    """The page's policy allows no inline code, no other origin and no frame around it."""
    answer = requests.get(f"{site.url}/", timeout=10)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert " on" not in answer.text.split("<body>")[0]


def test_parser_cut_anywhere(site: Site, page: Page) -> None:
    """The stream parser gives the same events wherever the network cuts the text."""
    ChatPage(page, site.url)
    text = (
        ": hello\nretry: 1500\nid: 1-1\ndata: {}\n\n: keep-alive\nid: 1-2\r\ndata:a\r\ndata: b\r\r"
        "event: x\n\ndata\n\nid: 1-3\ndata: cut off"
    )
    found = page.evaluate(
        """async (text) => {
            const { SseParser } = await import(new URL("agent-client.js", document.baseURI));
            return Array.from({ length: text.length }, (_, at) => {
                const parser = new SseParser();
                const events = [text.slice(0, at), text.slice(at)].flatMap((x) => parser.push(x));
                return JSON.stringify([events, parser.retryMs]);
            });
        }""",
        text,
    )
    expected = [
        [{"id": "1-1", "data": "{}"}, {"id": "1-2", "data": "a\nb"}, {"id": None, "data": ""}],
        1500,
    ]
    assert [json.loads(one) for one in set(found)] == [expected]


def test_copied_and_empty_chats(site: Site, page: Page) -> None:
    """What LangGraph's clients copy or make without a message is a chat as any other."""
    chat = ChatPage(page, site.url)
    chat.send("say the first")
    chat.wait_answers(1)
    threads = f"{site.url}/langgraph/threads"
    login = {"X-Api-Key": "dev"}
    own = urlsplit(page.url).fragment
    copy = requests.post(f"{threads}/{own}/copy", headers=login, timeout=20).json()["thread_id"]
    empty = requests.post(threads, json={}, headers=login, timeout=20).json()["thread_id"]
    page.goto(f"{site.url}/#{copy}")
    page.reload()
    expect(page.locator(".user")).to_contain_text("say the first")
    expect(page.locator(".agent")).to_have_count(1)
    chat.send("say the second")
    chat.wait_answers(2)
    expect(page.locator(".user")).to_have_count(2)
    page.goto(f"{site.url}/#{empty}")
    page.reload()
    expect(page.locator(".message")).to_have_count(0)
    chat.send("say the third")
    chat.wait_answers(1)
    chat.assert_quiet()
