"""Files that the agent gives, and files that are sent, with OpenAI's own clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from openai import OpenAI

from tests.clients.openai_host import new_client
from tests.clients.test_attachments import FILE, IMAGE
from tests.support.node import run_node
from tests.support.servers import Gunicorn, gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text

TITLES = ["report.html", "a_b.bin"]
LINKS = ["[report.html", r"[a\_b.bin"]
GIVE: Any = [{"role": "user", "content": "give"}]


class Rig(NamedTuple):
    """A host with an agent that gives files, one that is a model, and the model."""

    server: Gunicorn
    upstream: Upstream
    client: OpenAI


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig."""
    with Upstream() as upstream:
        folder = tmp_path_factory.mktemp("files")
        env = {**upstream.environment, "AGENT_FILES_DIR": str(folder)}
        with gunicorn("tests.support.file_app:app()", threads=8, env=env) as server:
            yield Rig(server, upstream, new_client(server.url, "dev", max_retries=0))


def saved(link: str) -> bytes:
    """What a link leads to."""
    return requests.get(link, headers={"Authorization": "Bearer dev"}, timeout=10).content


def linked(text: str, place: Any) -> str:
    """What an annotation points to, without the address."""
    return text[place.start_index : place.end_index].partition("](")[0]


def test_a_completion_shows_the_agents_files(rig: Rig) -> None:
    """As links in the text, with an annotation each, whole and streamed by the SDK's helper."""
    whole = rig.client.chat.completions.create(model="any", messages=GIVE).choices[0].message
    with rig.client.chat.completions.stream(model="any", messages=GIVE) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for message in (whole, streamed):
        notes = message.annotations or []
        text = message.content or ""
        assert [note.url_citation.title for note in notes] == TITLES
        assert [linked(text, note.url_citation) for note in notes] == LINKS
        assert saved(notes[0].url_citation.url) == b"<b>report</b>"


def test_a_response_shows_the_agents_files(rig: Rig) -> None:
    """The same, while it comes, when it has come, and when it is read again."""
    with rig.client.responses.stream(model="any", input="give") as stream:
        events = list(stream)
        final = stream.get_final_response()
    added: list[Any] = [e for e in events if e.type == "response.output_text.annotation.added"]
    assert [event.annotation.title for event in added] == TITLES
    for response in (final, rig.client.responses.retrieve(final.id)):
        message: Any = response.output[0]
        part = message.content[0]
        assert [note.title for note in part.annotations] == TITLES
        assert [linked(part.text, note) for note in part.annotations] == LINKS
        assert saved(part.annotations[1].url) == b"\0" * 100_000


def test_the_package_for_javascript_sends_and_gets_files(rig: Rig) -> None:
    """Images and files reach the model; what the agent gives is linked and annotated."""
    for text in ("A heart.", "A star."):
        rig.upstream.script(Text((text,)))
    lines = run_node(
        "openai_files.mjs",
        url=f"{rig.server.url}/model",
        given=f"{rig.server.url}/agents",
        token="dev",
        image=IMAGE,
        file=FILE,
    )
    assert {line["name"]: line["outcome"] for line in lines} == {
        "chat": "A heart.",
        "responses": "A star.",
        "refused": ["BadRequestError", "input.0.content.0"],
        "givenInChat": [LINKS, "<b>report</b>"],
        "givenInStream": [link[1:] for link in LINKS],
        "givenInResponse": [TITLES, LINKS, "<b>report</b>"],
    }
    for asked in rig.upstream.requests:
        content = asked.body["messages"][-1]["content"]
        assert content == [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": IMAGE, **more(content)}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
        ]


def more(content: list[Any]) -> dict[str, str]:
    """What else an image's part says."""
    return {"detail": "auto"} if "detail" in content[1]["image_url"] else {}
