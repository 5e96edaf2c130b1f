"""The README's commands and code are run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from tests.support.client import Client
from tests.support.documentation import blocks, run_shell
from tests.support.processes import ROOT, free_port, started
from tests.support.reading import ReadingClient
from tests.support.servers import Server, answers_http, gunicorn
from tests.support.sse import text_of
from tests.support.waiting import wait_for

START_SECONDS = 240  # a fresh checkout makes its virtual environment first


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """What `make run` starts, on another port."""
    assert "make run\n" in blocks("sh")
    port = free_port()
    with started(["make", "run"], cwd=ROOT, env={"PORT": str(port)}) as process:
        found = Server(process, port)
        wait_for(lambda: answers_http(port) or not found.running(), "make run", START_SECONDS)
        yield found


def test_make_run_says_what_to_open_and_the_curl_streams(server: Server) -> None:
    """`make run` names the page and the README's curl, which streams what the README shows."""
    (curl,) = [block for block in blocks("sh") if "curl -N" in block]
    assert f"http://127.0.0.1:{server.port}/" in server.log()
    assert curl.strip().replace(":8000", f":{server.port}") in server.log()
    answer = run_shell(curl, server.port)
    (shown,) = blocks("text")
    for line in shown.splitlines():
        if not line.startswith("retry:"):
            assert line in answer.splitlines()
    assert '"type":"done"' in answer


def test_cancel_and_delete_commands_work(server: Server) -> None:
    """The README's cancel and delete answer as the contract says."""
    (commands,) = [block for block in blocks("sh") if "/cancel" in block]
    cancel, delete = commands.splitlines()
    client = ReadingClient(server, prefix="")
    with client.stream("POST", "/chat/s-1", {"message": "count to 200"}) as stream:
        stream.until("token")
        assert run_shell(cancel, server.port) == '{"ok":true,"cancelled":true,"turn_id":"2"}'
        assert stream.until("cancelled")
    assert run_shell(delete, server.port) == '{"ok":true,"deleted":true}'


def test_first_code_block_is_a_whole_app(tmp_path: Path) -> None:
    """The mounting example, saved as a module, answers below its prefix."""
    (tmp_path / "module.py").write_text(blocks("python")[0])
    with (
        gunicorn("module:app", cwd=tmp_path, args=["--pythonpath", str(tmp_path)]) as server,
        Client(server).stream("POST", "/chat/s-1", {"message": "hello you"}) as stream,
    ):
        assert text_of(list(stream)) == "HELLO YOU "


def test_second_code_block_mounts_a_model_behind_the_sites_login() -> None:
    """The example with login and tool runs in a site that has `app`, `db` and `Article`."""
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy(app)

    class Article(db.Model):  # type: ignore[name-defined,misc] # Flask-SQLAlchemy's own way
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        stock: Mapped[int]

    names = {"app": app, "db": db, "Article": Article}
    exec(blocks("python")[1], names)  # noqa: S102 - the README's own code
    with app.app_context():
        db.create_all()
        db.session.add(Article(name="nut", stock=3))
        db.session.commit()
        assert names["stock_of"]("nut") == 3  # type: ignore[operator] # defined by the block
        db.session.remove()
        db.engine.dispose()
    assert app.test_client().get("/agents/healthz").status_code == 200
