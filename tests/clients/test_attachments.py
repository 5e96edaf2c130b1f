"""Images and files inside of requests, for a model behind the built-in agent."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import openai
import pytest
from openai import OpenAI

from tests.clients.openai_host import new_client
from tests.support.servers import gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text
from wsgi_app.attachments import read_base64

PNG: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
PDF: Final = base64.b64encode(b"%PDF-1.7 and more").decode()
IMAGE: Final = f"data:image/png;base64,{PNG}"
FILE: Final = f"data:application/pdf;base64,{PDF}"


class Rig(NamedTuple):
    """A host with its model and a client."""

    url: str
    upstream: Upstream
    client: OpenAI

    def newest(self) -> list[Any]:
        """The contents of the user's messages in the model's newest request."""
        messages = self.upstream.requests[-1].body["messages"]
        return [message["content"] for message in messages if message["role"] == "user"]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """The rig."""
    with Upstream() as upstream:
        app = "tests.support.openai_apps:tools_app()"
        with gunicorn(app, threads=8, env=upstream.environment) as it:
            yield Rig(it.url, upstream, new_client(it.url, max_retries=0))


def test_a_response_shows_its_model_what_came_with_it(rig: Rig) -> None:
    """Images and files reach the model as its API has them, and a later turn has the text alone."""
    for text in ("A heart.", "Red."):
        rig.upstream.script(Text((text,)))
    parts: Any = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": IMAGE},
        {"type": "input_file", "filename": "a.pdf", "file_data": FILE},
    ]
    first = rig.client.responses.create(model="any", input=[{"role": "user", "content": parts}])
    assert first.output_text == "A heart."
    assert rig.newest() == [
        [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": IMAGE}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
        ]
    ]
    rig.client.responses.create(model="any", input="Colour?", previous_response_id=first.id)
    assert rig.newest() == ["What is it?", "Colour?"]


def test_a_chat_completion_shows_its_newest_messages_images(rig: Rig) -> None:
    """As LibreChat sends them; earlier ones are a note, and an image needs no text."""
    rig.upstream.script(Text(("Yes.",)))
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "First"}, image]},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": [linked]},
    ]
    rig.client.chat.completions.create(model="any", messages=messages)
    first, second = rig.newest()
    assert first == "First\n(attached: image/png)"
    assert second == [{"type": "text", "text": "(attached: image/*)"}, linked]


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/jpeg;base64,{PNG}",
        f"data:text/html;base64,{PNG}",
        f"data:image/svg+xml;base64,{PNG}",
        FILE,
        "data:image/png,plain",
        "file:///etc/passwd",
        "data:image/png;base64,%%%",
    ],
)
def test_what_is_not_what_it_says_is_refused(rig: Rig, url: str) -> None:
    """An image is told by its content; nothing but a data URL or one of http is taken."""
    begun = len(rig.upstream.requests)
    parts: Any = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError) as refused:
        rig.client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": parts}]
        )
    assert refused.value.param == "messages.0.content.1"
    assert len(rig.upstream.requests) == begun


def test_a_message_brings_few(rig: Rig) -> None:
    """More than ten with one message are refused."""
    parts: Any = 11 * [{"type": "input_image", "image_url": IMAGE}]
    with pytest.raises(openai.BadRequestError) as refused:
        rig.client.responses.create(model="any", input=[{"role": "user", "content": parts}])
    assert refused.value.param == "input.0.content"


def test_an_attachment_is_read_like_a_file() -> None:
    """Its bytes come by `open`, its size is theirs."""
    read = read_base64(base64.b64encode(b"a,b").decode(), "text/csv", "table.csv")
    assert (read.open().read(), read.size, read.name, read.is_image) == (
        b"a,b",
        3,
        "table.csv",
        False,
    )


def test_an_agent_of_text_refuses_them() -> None:
    """One that a factory makes, too: the first turn fails, later requests are refused at once."""
    image: Any = {"type": "image_url", "image_url": {"url": IMAGE}}
    parts: Any = [{"type": "text", "text": "?"}, image]
    messages: Any = [{"role": "user", "content": parts}]
    with gunicorn("tests.support.openai_apps:made_app()", threads=8) as server:
        client = new_client(server.url, max_retries=0)
        with pytest.raises(openai.InternalServerError) as failed:
            client.chat.completions.create(model="any", messages=messages)
        assert failed.value.code == "agent_error"
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="any", messages=messages)
