"""Files that come inside of a request are stored as others are, where workers share a store."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn, redis_server
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for

CONTENT = b"what was sent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[ReadingClient]:
    """A client of a host with files, a model and Redis."""
    with redis_server() as store, Upstream() as upstream:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_FILES_DIR": str(folder),
            "AGENT_TOKENS": "dev=tenant",
        }
        with gunicorn("tests.support.file_app:app()", threads=8, env=env) as server:
            yield ReadingClient(server, prefix="/model")


def files_in(folder: Path) -> int:
    """How many files with this content there are."""
    return sum(CONTENT in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def chat(session: str, message_id: str, *, pace_seconds: float = 0.0) -> dict[str, Any]:
    """A message with a file inside of it, as the AI SDK sends it."""
    text = scripted_message([Text(("some", " words"), pace_seconds=pace_seconds)], tag=message_id)
    url = f"data:text/plain;base64,{base64.b64encode(CONTENT).decode()}"
    parts = [
        {"type": "text", "text": text},
        {"type": "file", "mediaType": "text/plain", "url": url, "filename": "a.txt"},
    ]
    return {"id": session, "messages": [{"id": message_id, "role": "user", "parts": parts}]}


def test_a_file_inside_is_the_sessions_until_that_is_deleted(
    client: ReadingClient, folder: Path
) -> None:
    """The history names it, it can be fetched by its id, and it goes with its session."""
    session, before = new_session(), files_in(folder)
    with client.stream("POST", "/ai-sdk/chat", chat(session, f"{session}-1")) as stream:
        stream.until("finish")
    (file,) = client.session(session)["messages"][0]["files"]
    assert (file["name"], file["media_type"], file["size"]) == ("a.txt", "text/plain", len(CONTENT))
    assert client.call("GET", f"/files/{file['file_id']}").body == CONTENT
    assert files_in(folder) == before + 1
    assert client.call("DELETE", f"/session/{session}").status == 200
    wait_for(lambda: files_in(folder) == before, "the file is gone")


def test_a_start_that_is_repeated_or_refused_leaves_no_file(
    client: ReadingClient, folder: Path
) -> None:
    """A repetition attaches to the turn that has the file, and another message is refused."""
    session, before = new_session(), files_in(folder)
    body = chat(session, f"{session}-1", pace_seconds=0.5)
    with client.stream("POST", "/ai-sdk/chat", body) as first:
        first.until("text-delta")
        with client.stream("POST", "/ai-sdk/chat", body) as again:
            again.until("text-delta")
        refused = client.call("POST", "/ai-sdk/chat", chat(session, f"{session}-2"))
        assert refused.status == 409
        assert files_in(folder) == before + 1
        first.until("finish")
