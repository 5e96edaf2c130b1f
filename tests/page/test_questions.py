"""Questions of the agent: the form that fits, answered by mouse and by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Site
from tests.support.chat import ChatPage


@pytest.mark.parametrize(
    ("kind", "button", "said"), [("bool", "Yes", "True"), ("enum", "green", "'green'")]
)
def test_buttons(site: Site, page: Page, kind: str, button: str, said: str) -> None:
    """What can be chosen at once has a button for each choice."""
    chat = ChatPage(page, site.url)
    chat.send(f"ask {kind}")
    chat.button(button).click()
    chat.wait_answers(1)
    assert chat.answer() == f"I need to know more. You said {said}."
    expect(page.locator(".question .note")).to_have_text(f"You answered: {button}")
    expect(page.get_by_label("Message")).to_be_focused()
    chat.assert_quiet()


def test_by_keyboard(site: Site, page: Page) -> None:
    """A question takes the keyboard from an empty message field, and gives it back."""
    chat = ChatPage(page, site.url)
    chat.send("ask text")
    expect(page.get_by_label("Which text?")).to_be_focused()
    page.keyboard.type("none")
    page.keyboard.press("Enter")
    chat.wait_answers(1)
    assert chat.answer().endswith("You said 'none'.")
    expect(page.get_by_label("Message")).to_be_focused()


@pytest.mark.slow
def test_question_does_not_take_the_keyboard_from_a_writer(site: Site, page: Page) -> None:
    """Who is writing goes on writing when a question comes."""
    chat = ChatPage(page, site.url)
    chat.send("ask many")
    page.get_by_label("Message").fill("and then")
    chat.button("Answer").wait_for()
    page.get_by_label("Message").focus()
    page.keyboard.type("…")
    expect(page.get_by_label("Message")).to_have_value("and then…")
    page.get_by_label("Which many?").select_option("7")
    chat.button("Answer").click()
    chat.wait_text("You said 7.")


@pytest.mark.slow
def test_fields(site: Site, page: Page) -> None:
    """An object has a field for each property; what is not required may be left out."""
    chat = ChatPage(page, site.url)
    chat.send("ask object")
    question = page.get_by_role("group", name="Which object?")
    question.get_by_label("Name").fill("Ada")
    question.get_by_label("count").fill("0")
    chat.button("Answer").click()
    question.get_by_label("count").fill("2")  # 0 is below the minimum: nothing was sent
    question.get_by_label("size").select_option("M")
    chat.button("Answer").click()
    chat.wait_answers(1)
    assert chat.answer().endswith("You said {'name': 'Ada', 'count': 2, 'size': 'M'}.")


@pytest.mark.slow
def test_question_is_there_after_a_reload(site: Site, page: Page) -> None:
    """A question that waits is asked again by a page that comes later; a number is a number."""
    chat = ChatPage(page, site.url)
    chat.send("ask number")
    page.get_by_label("Which number?").wait_for()
    page.reload()
    page.get_by_label("Which number?").fill("2.5")
    page.keyboard.press("Enter")
    chat.wait_answers(1)
    assert chat.answer() == "I need to know more. You said 2.5."
