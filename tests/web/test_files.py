"""Files that users send: kept for their session, in pieces, for their tenant alone."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support.client import WANTS_JSON, Answer, new_session
from tests.support.reading import ReadingClient
from tests.support.refusals import check_refusal
from tests.support.servers import Gunicorn, gunicorn, redis_server
from tests.support.shared_servers import SharedServers
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, scripted_message
from tests.support.waiting import wait_for
from wsgi_app.attachments import ContentCheck
from wsgi_app.compat.python import zip_strict

APP = "tests.support.file_app:app()"

CHANCE = random.Random(7)  # noqa: S311 - no secrets

PNG = b"\x89PNG\r\n\x1a\n" + CHANCE.randbytes(5000)

HTML = b"<!doctype html><script>alert(1)</script>"

LARGE_BYTES = 15 * 1_048_576

#: What a worker may need more while such a file comes in or goes out.
MOST_MORE_BYTES = 1_048_576

BROKEN = 1000

#: Files that are sent before those that are measured, and those.
WARM, MEASURED = 6, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are kept."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """The model's provider."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def server(folder: Path, upstream: Upstream) -> Iterator[Gunicorn]:
    """Two workers on one Redis and one directory."""
    with redis_server() as store:
        env = {
            **upstream.environment,
            "AGENT_REDIS_URL": store.url,
            "AGENT_FILES_DIR": str(folder),
            "AGENT_TOKENS": "dev=alpha,other=beta",
            "AGENT_MAX_FILE_BYTES_PER_TENANT": str(40 * 1_048_576),
        }
        with gunicorn(APP, workers=2, threads=16, env=env) as running:
            yield running


@pytest.fixture
def client(server: Gunicorn) -> ReadingClient:
    """A client of the agent that looks at files; each request goes to any worker."""
    return ReadingClient(server)


def upload(
    client: ReadingClient, session: str, data: bytes, media_type: str = "", name: str = "a.bin"
) -> Answer:
    """Send a file as the body itself."""
    path = f"/files?session_id={session}&name={name}"
    headers = {"Content-Type": media_type} if media_type else {}
    return client.call("POST", path, body=data, headers=headers, seconds=60)


def files_in(folder: Path) -> list[Path]:
    """All files below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def ask(client: ReadingClient, session: str, *ids: str) -> Answer:
    """Send a message with files."""
    body = {"message": "look", "files": list(ids)}
    return client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON)


def test_a_file_reaches_the_turn(client: ReadingClient) -> None:
    """Sent as the body or in a form, it is there whole for the turn, on whichever worker."""
    session = new_session()
    form = (
        b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="C:\\\\tmp\\\\b.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + "grün\r\n--x-\r\n".encode() + b"\r\n--x--\r\n"
    )
    one = upload(client, session, PNG, "image/png", "caf%C3%A9.png")
    two = upload(client, session, form, "multipart/form-data; boundary=x")
    assert (one.status, two.status) == (201, 201), two.json
    assert one.json == {
        "id": one.json["id"],
        "session_id": session,
        "name": "café.png",
        "media_type": "image/png",
        "size": len(PNG),
    }
    assert (two.json["name"], two.json["media_type"]) == ("b.txt", "text/plain")
    text = "grün\r\n--x-\r\n".encode()
    for _ in range(4):  # both workers
        told = ask(client, session, one.json["id"], two.json["id"])
        assert told.status == 200, told.json
        assert told.json["reply"].splitlines() == [
            f"café.png image/png {len(PNG)} {hashlib.sha256(PNG).hexdigest()}",
            f"b.txt text/plain {len(text)} {hashlib.sha256(text).hexdigest()}",
        ]


def test_a_file_is_shown_to_the_model(server: Gunicorn, upstream: Upstream) -> None:
    """The built-in agent's provider gets it as part of the message."""
    client, session = ReadingClient(server, prefix="/model"), new_session()
    file_id = upload(client, session, PNG).json["id"]
    text = scripted_message([Text(("Seen.",))], tag=session)
    body = {"message": text, "files": [file_id]}
    answer = client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON)
    assert answer.json["reply"] == "Seen."
    (asked,) = [one for one in upstream.requests if session in json.dumps(one.body)]
    kinds = [part["type"] for part in asked.body["messages"][-1]["content"]]
    assert kinds == ["text", "image_url"]


def test_a_file_is_given_back_to_be_saved(client: ReadingClient) -> None:
    """Its bytes, under a type that no browser runs, as an attachment that is not sniffed."""
    session = new_session()
    file_id = upload(client, session, PNG, "image/png", "a.png").json["id"]
    got = client.call("GET", f"/files/{file_id}")
    assert (got.status, got.body) == (200, PNG)
    assert got.headers["Content-Type"] == "image/png"
    assert got.headers["Content-Length"] == str(len(PNG))
    assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a.png"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in got.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("media_type", "data"),
    [
        ("image/png", HTML),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("application/pdf", HTML),
        ("text/html", PNG),
        ("text/plain", b"half a char \xc3"),
        ("", b"zero \0 byte"),
        ("application/zip", b"PK\x03\x04"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    client: ReadingClient, folder: Path, media_type: str, data: bytes
) -> None:
    """The content decides: 415, and nothing is kept."""
    before = len(files_in(folder))
    answer = upload(client, new_session(), data, media_type)
    check_refusal(answer, 415, "unsupported_media_type")
    assert len(files_in(folder)) == before


def test_html_is_never_html(client: ReadingClient) -> None:
    """What says that it is HTML is kept as text, and given back as plain text."""
    for media_type in ("text/html", "", "text/plain"):
        file_id = upload(client, new_session(), HTML, media_type, "a.html").json["id"]
        got = client.call("GET", f"/files/{file_id}")
        assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert got.headers["Content-Disposition"].startswith("attachment")
        assert got.headers["X-Content-Type-Options"] == "nosniff"


def test_a_tenant_never_reads_anothers(client: ReadingClient, server: Gunicorn) -> None:
    """To read, to send along and to delete: as an unknown file, even in a session of one name."""
    session, other = new_session(), ReadingClient(server, "other")
    file_id = upload(client, session, b"a secret").json["id"]
    unknown = f"{file_id.partition('_')[0]}_{'0' * 32}"
    theirs, none = (other.call("GET", f"/files/{one}") for one in (file_id, unknown))
    assert (theirs.status, theirs.body) == (404, none.body)
    check_refusal(ask(other, session, file_id), 422, "invalid_request")
    assert other.call("DELETE", f"/files/{file_id}").json == {"ok": True, "deleted": False}
    assert client.call("GET", f"/files/{file_id}").body == b"a secret"
    for hostile in ("..", "%2e%2e", "a%2Fb", f"{file_id}.json", "about", f"{file_id}%0A"):
        assert client.call("GET", f"/files/{hostile}").status in (404, 405), hostile


def test_a_file_belongs_to_its_session(client: ReadingClient, folder: Path) -> None:
    """Another session of the tenant does not have it, and it goes with its own."""
    session = new_session()
    file_id = upload(client, session, b"here alone").json["id"]
    check_refusal(ask(client, new_session(), file_id), 422, "invalid_request")
    assert ask(client, session, file_id).status == 200
    before = len(files_in(folder))
    assert client.call("DELETE", f"/session/{session}").json["deleted"]
    assert client.call("GET", f"/files/{file_id}").status == 404
    assert len(files_in(folder)) == before - 3


def test_a_file_is_deleted(client: ReadingClient) -> None:
    """Once, by its id."""
    file_id = upload(client, new_session(), b"gone soon").json["id"]
    deleted = [client.call("DELETE", f"/files/{file_id}").json["deleted"] for _ in range(2)]
    assert deleted == [True, False]
    assert client.call("GET", f"/files/{file_id}").status == 404


def test_files_are_bounded(client: ReadingClient) -> None:
    """In bytes each, in number per message, and in bytes of a tenant: clear refusals."""
    session = new_session()
    too_large = upload(client, session, b"x" * (20 * 1_048_576 + 1))
    check_refusal(too_large, 413, "too_large")
    ids = [upload(client, session, b"x%d" % number).json["id"] for number in range(11)]
    check_refusal(ask(client, session, *ids), 422, "invalid_request")
    other = new_session()
    kept = [upload(client, other, b"y" * 15_000_000).status for _ in range(2)]
    assert kept == [201, 201]
    check_refusal(upload(client, other, b"y" * 15_000_000), 429, "too_many_files")
    assert client.call("DELETE", f"/session/{other}").status == 200
    assert upload(client, other, b"y" * 15_000_000).status == 201
    client.call("DELETE", f"/session/{other}")
    check_refusal(upload(client, "", b"x"), 422, "invalid_request")
    check_refusal(upload(client, session, b""), 415, "unsupported_media_type")


def test_an_agent_of_text_refuses_them(server: Gunicorn) -> None:
    """With 422, and the message is not taken."""
    client, session = ReadingClient(server, prefix="/text"), new_session()
    file_id = upload(client, session, b"hi").json["id"]
    check_refusal(ask(client, session, file_id), 422, "invalid_request")
    assert client.call("GET", f"/session/{session}").status == 404


def test_without_a_directory_there_are_none(servers: SharedServers) -> None:
    """Each of the routes says what is not set."""
    client = ReadingClient(servers.get(APP))
    answers = [
        upload(client, new_session(), b"hi"),
        client.call("GET", "/files/x"),
        ask(client, new_session(), "x"),
    ]
    for answer in answers:
        assert answer.status == 404
        assert "AGENT_FILES_DIR" in answer.json["message"]


def test_an_agent_gives_files(client: ReadingClient, folder: Path) -> None:
    """Told by events, kept in the session, and given to its owner as any other file."""
    session = new_session()
    with client.stream("POST", f"/chat/{session}", {"message": "give"}) as stream:
        events = [frame.data for frame in stream]
    given = [event for event in events if event["type"] == "file"]
    assert [(one["name"], one["media_type"], one["size"]) for one in given] == [
        ("report.html", "text/html", 13),
        ("a_b.bin", "application/octet-stream", 100_000),
    ]
    got = [client.call("GET", f"/files/{one['file_id']}") for one in given]
    assert [len(one.body) for one in got] == [13, 100_000]
    assert [one.headers["Content-Type"] for one in got] == [
        "text/plain; charset=utf-8",
        "application/octet-stream",
    ]
    before = len(files_in(folder))
    client.call("DELETE", f"/session/{session}")
    assert len(files_in(folder)) == before - 5


def test_the_history_names_files(client: ReadingClient) -> None:
    """What came with a message and what was given with its answer, for who reads it later."""
    session = new_session()
    file_id = upload(client, session, b"hi", "text/plain", "a.txt").json["id"]
    body = {"message": "give", "files": [file_id]}
    assert client.call("POST", f"/chat/{session}", body, headers=WANTS_JSON).status == 200
    asked, answered = client.call("GET", f"/session/{session}").json["messages"]
    about = {"name": "a.txt", "media_type": "text/plain", "size": 2}
    assert asked["files"] == [{"file_id": file_id, **about}]
    assert [(one["name"], one["size"]) for one in answered["files"]] == [
        ("report.html", 13),
        ("a_b.bin", 100_000),
    ]
    got = client.call("GET", f"/files/{answered['files'][0]['file_id']}")
    assert got.body == b"<b>report</b>"


def test_front_ends_are_told_of_given_files(client: ReadingClient) -> None:
    """A file part of the AI SDK, with the path that has it, and a custom event of AG-UI."""
    parts = [{"type": "text", "text": "give"}]
    body: dict[str, Any] = {"id": new_session(), "messages": [{"role": "user", "parts": parts}]}
    answer = client.call("POST", "/ai-sdk/chat", body)
    chunks = [json.loads(line[6:]) for line in answer.body.splitlines() if line[6:7] == b"{"]
    (one, _) = [chunk for chunk in chunks if chunk["type"] == "file"]
    assert one["mediaType"] == "text/html"
    assert client.call("GET", one["url"].removeprefix("/agents")).body == b"<b>report</b>"
    message = {"id": "m", "role": "user", "content": "give"}
    body = {"threadId": new_session(), "runId": "r", "messages": [message]}
    told = client.call("POST", "/ag-ui", body).body
    assert told.count(b'"name":"file"') == 2


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    """Let the peak be what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("form", [False, True], ids=["body", "form"])
def test_a_large_file_costs_little_memory(tmp_path: Path, form: bool) -> None:  # noqa: FBT001 - a parameter
    """15 MiB come in and go out in pieces: less than 1 MiB more in the worker."""
    data = b"\x89PNG\r\n\x1a\n" + CHANCE.randbytes(LARGE_BYTES - 8)
    media_type = "image/png"
    if form:
        head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
        data, media_type = head + data + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
    with gunicorn(APP, workers=1, env={"AGENT_FILES_DIR": str(tmp_path)}) as server:
        client, session = ReadingClient(server), new_session()
        (pid,) = server.worker_pids()
        costs = [measured(client, pid, session, data, media_type) for _ in range(WARM + MEASURED)]
    # Each of the pool's threads has memory of its own, which it takes once.
    came_in, went_out = (median(cost) for cost in zip_strict(*costs[WARM:]))
    assert (came_in < MOST_MORE_BYTES, went_out < MOST_MORE_BYTES) == (True, True), costs


def measured(
    client: ReadingClient, pid: int, session: str, data: bytes, media_type: str
) -> tuple[int, int]:
    """What a file costs while it comes in, and while it goes out."""
    forget_peak(pid)
    before = peak_bytes(pid)
    file_id = upload(client, session, data, media_type).json["id"]
    came_in = peak_bytes(pid) - before
    forget_peak(pid)
    before = peak_bytes(pid)
    got = client.call("GET", f"/files/{file_id}", seconds=60)
    assert len(got.body) == LARGE_BYTES
    return came_in, peak_bytes(pid) - before


def break_off(port: int, number: int) -> None:
    """Begin to send a file, and hang up in the middle of it."""
    length, form = 200_000, number % 2
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' if form else b""
    media_type = "multipart/form-data; boundary=x" if form else "text/plain"
    request = (
        f"POST /agents/files?session_id=broken-{number % 20} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer dev\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(request.encode() + head + b"x" * CHANCE.randrange(150_000))


def test_uploads_that_break_off_leave_nothing(server: Gunicorn, folder: Path) -> None:
    """A thousand of them: no file more than before, and no place that is still taken."""
    client = ReadingClient(server)
    kept = upload(client, new_session(), b"kept").json["id"]
    before = sorted(files_in(folder))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: break_off(server.port, number), range(BROKEN)))
    wait_for(lambda: sorted(files_in(folder)) == before, "nothing is left", 30)
    # The last ones' threads may still be about to give theirs back.
    wait_for(lambda: client.call("GET", f"/files/{kept}").status == 200, "places are free", 10)
    assert client.call("GET", f"/files/{kept}").body == b"kept"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_content_is_known_however_it_is_cut(size: int) -> None:
    """A character, or a file's beginning, may come in pieces."""
    for declared, data, found in (
        ("", "größer ".encode() * 50, "text/plain"),
        ("text/markdown; charset=utf-8", "ä".encode(), "text/markdown"),
        ("application/octet-stream", PNG, "image/png"),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ):
        check = ContentCheck(declared)
        for start in range(0, len(data), size):
            check.feed(data[start : start + size])
        assert check.finish() == found
