"""Images and files as front ends send them, for a model behind the built-in agent."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import Client, new_session
from tests.support.node import run_node
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()


class Rig(NamedTuple):
    """A host with two workers, and its model."""

    server: Gunicorn
    upstream: Upstream


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig."""
    with redis_server() as store, Upstream() as upstream:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_FILES_DIR": str(tmp_path_factory.mktemp("files")),
            "AGENT_TOKENS": "dev=tenant",
        }
        app = "tests.support.openai_apps:tools_app()"
        with gunicorn(app, workers=2, threads=16, env=env) as server:
            yield Rig(server, upstream)


@pytest.mark.parametrize("client", ["ai-5", "ai-6", "ai-7", "ag-ui"])
def test_a_front_end_sends_media(rig: Rig, client: str) -> None:
    """Content within the message, and a stored file by its name, reach the model."""
    rig.upstream.script(Text(("A heart.",)))
    session = new_session()
    (made,) = run_node(
        "media.mjs", scenario=client, url=rig.server.url, token="dev", session=session
    )
    told: Any = made
    assert told == ["A heart.", "ready", None]
    content = rig.upstream.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "file"]
    assert content[0]["text"] == "What is it?"
    assert content[1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert content[2]["file"]["filename"] in ("stored.txt", "file.plain")
    stored = content[2]["file"]["file_data"].partition(",")[2]
    assert base64.b64decode(stored) == b"a stored text"


def ai_sdk(session: str, part: dict[str, Any]) -> dict[str, Any]:
    """A message of the AI SDK with this part alone."""
    return {"id": session, "messages": [{"id": "m", "role": "user", "parts": [part]}]}


def ag_ui(session: str, part: dict[str, Any]) -> dict[str, Any]:
    """A run of AG-UI with this part alone."""
    message = {"id": "m", "role": "user", "content": [part]}
    return {"threadId": session, "runId": session, "messages": [message]}


BAD = {
    "no image": (
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,PGh0bWw+"},
        {"type": "image", "source": {"type": "data", "value": "PGh0bWw+", "mimeType": "image/png"}},
    ),
    "elsewhere": (
        {"type": "file", "mediaType": "application/pdf", "url": "https://example.org/a.pdf"},
        {"type": "document", "source": {"type": "url", "value": "https://example.org/a.pdf"}},
    ),
    "unknown": (
        {"type": "file", "mediaType": "image/png", "url": "/files/none"},
        {"type": "image", "source": {"type": "file", "value": "none"}},
    ),
    "sound": (
        {"type": "file", "mediaType": "audio/mpeg", "url": "data:audio/mpeg;base64,PGh0bWw+"},
        {"type": "audio", "source": {"type": "data", "value": "PA==", "mimeType": "audio/mpeg"}},
    ),
}


@pytest.mark.parametrize("why", BAD)
def test_what_cannot_be_taken_is_refused(rig: Rig, why: str) -> None:
    """With 422, before there is a turn: nothing is left out in silence."""
    client, (file_part, media_part) = Client(rig.server), BAD[why]
    for path, make, part in (
        ("/ai-sdk/chat", ai_sdk, file_part),
        ("/ag-ui", ag_ui, media_part),
    ):
        session = new_session()
        answer = client.call("POST", path, make(session, part))
        assert answer.status == 422, (path, answer.body)
        assert client.call("GET", f"/session/{session}").status == 404


def test_an_agent_of_text_refuses_media(tmp_path: Path) -> None:
    """It is told, as OpenAI's wires tell it."""
    part = {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{PNG}"}
    source = {"type": "data", "value": PNG, "mimeType": "image/png"}
    env = {"AGENT_FILES_DIR": str(tmp_path)}
    with gunicorn("tests.support.apps:scripted_app()", env=env) as server:
        client = Client(server)
        for path, body in (
            ("/ai-sdk/chat", ai_sdk(new_session(), part)),
            ("/ag-ui", ag_ui(new_session(), {"type": "image", "source": source})),
        ):
            assert client.call("POST", path, body).status == 422
