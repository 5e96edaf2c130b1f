"""Files on the chat page: chosen, pasted and dropped, by mouse and by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FileChooser, FilePayload, Page, expect

from tests.support.chat import ChatPage
from tests.support.servers import Gunicorn, gunicorn

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cf"
    "c0f01f0005000201ff5b1f5e0e0000000049454e44ae426082"
)
PICTURE: FilePayload = {"name": "dot.png", "mimeType": "image/png", "buffer": PNG}
FAKE: FilePayload = {"name": "fake.png", "mimeType": "image/png", "buffer": b"<html></html>"}
#: Hands a file to the page as the clipboard, or a drag, does.
GIVE = """([kind, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], kind + ".txt", { type: "text/plain" }));
  const target = document.getElementById(kind === "paste" ? "message" : "chat");
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  target.dispatchEvent(event);
}"""


@pytest.fixture
def looking(tmp_path: Path) -> Iterator[Gunicorn]:
    """The stand-alone app with an agent that tells what came."""
    env = {
        "AGENT_FACTORY": "tests.support.file_app:Looking",
        "AGENT_FILES_DIR": str(tmp_path),
    }
    with gunicorn(env=env) as server:
        yield server


def test_files_go_with_a_message(looking: Gunicorn, page: Page) -> None:
    """Chosen by the button, pasted and dropped: shown with a preview, sent, and in the message."""
    page.on("filechooser", lambda _: None)  # given away from the start, see below
    chat = ChatPage(page, looking.url)
    attached = page.get_by_role("list", name="Files to send")
    with page.expect_file_chooser() as chooser:
        chat.button("Attach files").click()
    chooser.value.set_files([PICTURE])
    expect(attached.locator("img")).to_have_count(1)
    page.evaluate(GIVE, ["paste", "pasted text"])
    page.evaluate(GIVE, ["dragover", ""])
    expect(page.locator("#chat")).to_have_class("dropping")
    page.evaluate(GIVE, ["drop", "dropped text"])
    expect(page.locator("#chat")).not_to_have_class("dropping")
    expect(attached.get_by_role("listitem")).to_have_count(3)
    expect(attached).not_to_contain_text("Sending")
    chat.send("look")
    chat.wait_answers(1)
    for told in ("dot.png image/png", "paste.txt text/plain 11", "drop.txt text/plain 12"):
        assert told in chat.answer()
    expect(attached.get_by_role("listitem")).to_have_count(0)
    expect(page.locator(".user .file")).to_have_text(["dot.png", "paste.txt", "drop.txt"])
    chat.send("and now")
    chat.wait_answers(2)
    assert chat.answer() == "Nothing came."
    chat.assert_quiet()


def test_files_by_keyboard_and_ear(looking: Gunicorn, page: Page) -> None:
    """Without a mouse: what is attached is told, taken back by its button, and sent alone."""
    # From the start: the browser gives choosers away a moment after somebody wants them.
    choosers: list[FileChooser] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))  # noqa: PLW0108 - playwright wants a function
    chat = ChatPage(page, looking.url)
    expect(chat.button("Attach files")).to_be_visible()
    page.get_by_label("Message").focus()
    page.keyboard.press("Shift+Tab")
    expect(chat.button("Attach files")).to_be_focused()
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_event("filechooser")
    choosers[0].set_files([PICTURE])
    announcer = page.locator("#announcer")
    expect(announcer).to_have_text("dot.png is attached.")
    expect(page.get_by_label("Message")).to_be_focused()
    chat.button("Remove dot.png").press("Enter")
    expect(announcer).to_have_text("dot.png was removed.")
    page.locator("#files").set_input_files([PICTURE])
    expect(announcer).to_have_text("dot.png is attached.")
    page.keyboard.press("Enter")
    chat.wait_answers(1)
    assert "dot.png image/png" in chat.answer()
    chat.assert_quiet()


def test_a_refused_file_says_why(looking: Gunicorn, page: Page) -> None:
    """What is no image is told in its place and aloud, and the message goes without it."""
    chat = ChatPage(page, looking.url)
    expect(chat.button("Attach files")).to_be_visible()
    page.locator("#files").set_input_files([FAKE])
    expect(page.locator(".file.refused")).to_contain_text("Expected content that is image/png")
    expect(page.locator("#announcer")).to_contain_text("fake.png cannot be attached")
    chat.send("hello")
    chat.wait_answers(1)
    expect(page.locator(".file")).to_have_count(0)
    assert chat.answer() == "Nothing came."


def test_a_host_without_files_shows_no_button(page: Page) -> None:
    """Nothing to attach with, and what is pasted is left to the browser."""
    with gunicorn(env={"AGENT_FACTORY": "tests.support.file_app:Looking"}) as server:
        chat = ChatPage(page, server.url)
        chat.send("hello")
        chat.wait_answers(1)
        expect(page.locator("#attach")).to_be_hidden()
        page.evaluate(GIVE, ["paste", "text"])
        expect(page.locator(".file")).to_have_count(0)


def test_a_given_file_is_saved(looking: Gunicorn, page: Page) -> None:
    """By its button: the browser saves what the agent gave, under its name."""
    chat = ChatPage(page, looking.url)
    chat.send("give")
    chat.wait_answers(1)
    with page.expect_download() as download:
        chat.button("Save report.html (13 bytes)").click()
    assert download.value.suggested_filename == "report.html"
    assert download.value.path().read_bytes() == b"<b>report</b>"
    chat.assert_quiet()


def test_files_outlive_a_reload(looking: Gunicorn, page: Page) -> None:
    """A page that is loaded again shows what was sent, and saves what was given."""
    chat = ChatPage(page, looking.url)
    expect(chat.button("Attach files")).to_be_visible()
    page.locator("#files").set_input_files([PICTURE])
    expect(page.locator("#announcer")).to_have_text("dot.png is attached.")
    chat.send("give")
    chat.wait_answers(1)
    page.reload()
    expect(page.locator(".user .file")).to_have_text(["dot.png"])
    with page.expect_download() as download:
        chat.button("Save report.html (13 bytes)").click()
    assert download.value.path().read_bytes() == b"<b>report</b>"
    chat.assert_quiet()
