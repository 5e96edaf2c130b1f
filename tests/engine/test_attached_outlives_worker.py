"""A turn with files of the shared directory goes on when its worker is killed."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import new_session
from tests.support.reading import ReadingClient
from tests.support.servers import gunicorn, redis_server
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
CONTENT = b"what was sent"
WORDS = Text(tuple("abcdefghijklmnop"), pace_seconds=0.2)


def killed(
    folder: Path, *, inside: bool, **settings: str
) -> tuple[dict[str, Any], list[Any], bytes]:
    """The end of a turn whose worker is killed, what the model was asked, and all of Redis."""
    with redis_server() as store, Upstream() as upstream:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_FILES_DIR": str(folder),
            "AGENT_TOKENS": "dev=tenant scopes=chat+read+cancel+admin",
            "AGENT_LEASE_SECONDS": "1",
            **settings,
        }
        app = "tests.support.file_app:app()"
        with gunicorn(app, workers=2, threads=8, env=env) as server:
            client, session = ReadingClient(server, prefix="/model"), new_session()
            text = scripted_message([WORDS], tag=session)
            if inside:
                begin(client, session, text)
            else:
                path = f"/files?session_id={session}&name=a.txt"
                headers = {"Content-Type": "text/plain"}
                file = client.call("POST", path, body=CONTENT, headers=headers).json
                body = {"message": text, "files": [file["id"]], "on_disconnect": "continue"}
                with client.stream("POST", f"/chat/{session}", body) as stream:
                    stream.until("token")
            os.kill(owner_pid(client, session), signal.SIGKILL)
            wait_for(lambda: client.session(session)["state"] == "idle", "the turn has ended", 60)
            end = [frame.data for frame in client.replay(session, "0-0")][-1]
            asked = [one.body["messages"][-1] for one in upstream.requests]
            with store.client() as redis:
                kept = b"".join(redis.dump(key) or b"" for key in redis.scan_iter())
            return end, asked, kept + server.log().encode()


def begin(client: ReadingClient, session: str, text: str) -> None:
    """Begin a turn with a file inside of its request."""
    url = f"data:text/plain;base64,{base64.b64encode(CONTENT).decode()}"
    parts = [
        {"type": "text", "text": text},
        {"type": "file", "mediaType": "text/plain", "url": url, "filename": "a.txt"},
    ]
    body = {"id": session, "messages": [{"id": "m", "role": "user", "parts": parts}]}
    with client.stream("POST", "/ai-sdk/chat", body) as stream:
        stream.until("text-delta")


def test_files_that_are_kept_reach_the_next_worker(tmp_path: Path) -> None:
    """Its model is shown the same file, and its bytes were never in Redis."""
    end, asked, kept = killed(tmp_path, inside=False)
    assert (end["type"], end["reply"]) == ("done", "abcdefghijklmnop")
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert base64.b64encode(CONTENT).decode() in json.dumps(asked[1])
    assert CONTENT not in kept
    assert base64.b64encode(CONTENT) not in kept


def test_files_inside_of_a_request_reach_the_next_worker(tmp_path: Path) -> None:
    """They are stored as others are, and never in Redis."""
    end, asked, kept = killed(tmp_path, inside=True)
    assert (end["type"], end["reply"]) == ("done", "abcdefghijklmnop")
    assert asked[0] == asked[1]
    assert base64.b64encode(CONTENT).decode() in json.dumps(asked[1])
    assert base64.b64encode(CONTENT) not in kept


def test_files_for_which_there_is_no_room_end_with_their_worker(tmp_path: Path) -> None:
    """The turn runs, is `worker_lost` with its worker, and the log says why."""
    end, asked, kept = killed(tmp_path, inside=True, AGENT_MAX_FILE_BYTES_PER_TENANT="1")
    assert (end["type"], end["code"], len(asked)) == ("error", "worker_lost", 1)
    assert b"files came inside the request" in kept
