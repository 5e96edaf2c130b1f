"""The README's commands and code are run, and its tables are true."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from tests.support.client import Client
from tests.support.processes import ROOT, clean_environment, free_port, started
from tests.support.reading import ReadingClient
from tests.support.servers import Server, answers_http, gunicorn
from tests.support.sse import text_of
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent
from wsgi_app.config import Settings, setting_name
from wsgi_app.errors import STATUS_BY_CODE
from wsgi_app.web import admin
from wsgi_app.web.blueprint import ROUTES

README = (ROOT / "README.md").read_text()
START_SECONDS = 240  # a fresh checkout makes its virtual environment first


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """What `make run` starts, on another port."""
    assert "make run\n" in blocks("sh")
    port = free_port()
    with started(["make", "run"], cwd=ROOT, env={"PORT": str(port)}) as process:
        found = Server(process, port)
        wait_for(lambda: answers_http(port) or not found.running(), "make run", START_SECONDS)
        yield found


def run_shell(command: str, port: int) -> str:
    """Run one of the README's curls against another port."""
    return subprocess.run(
        ["sh", "-ec", command.replace("curl ", "curl -s ").replace(":8000", f":{port}")],
        capture_output=True,
        check=True,
        env=clean_environment(),
        text=True,
        timeout=60,
    ).stdout


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


def test_third_code_block_gives_a_model_tools() -> None:
    """The example of a timeout and an approval makes an agent of three tools."""

    def stock_of(article: str) -> int:
        """How many pieces of an article are in stock."""
        return len(article)

    def search(words: str) -> list[str]:
        """Search the articles."""
        return [words]

    def delete_article(article: str) -> None:
        """Delete an article."""

    names = {
        "OpenAIAgent": OpenAIAgent,
        "stock_of": stock_of,
        "search": search,
        "delete_article": delete_article,
    }
    exec(blocks("python")[2], names)  # noqa: S102 - the README's own code
    assert isinstance(names["agent"], OpenAIAgent)


def test_settings_table_is_the_settings() -> None:
    """Every setting is in the README, and every default that it tells is the real one."""
    rows = dict(re.findall(r"^\| `(AGENT_\w+)` \|([^|]*)\|", README, re.MULTILINE))
    known = {setting_name(field.name): field for field in msgspec.structs.fields(Settings)}
    assert set(rows) == set(known)
    for name, default in rows.items():
        if default.strip().isdigit():
            assert known[name].default == float(default), name


def test_contract_table_is_the_routes() -> None:
    """Every route is in the README, and no other."""
    cells = re.findall(r"^\| (`(?:GET|POST|DELETE|WS) .*?) \|", README, re.MULTILINE)
    told = {
        (method, path.split("?")[0])
        for cell in cells
        for method, path in re.findall(r"`(GET|POST|DELETE|WS) (/[^` ]*)", cell)
    }
    assert told == {(method, rule) for method, rule, _ in (*ROUTES, *admin.ROUTES)}


def test_error_table_holds_known_codes() -> None:
    """Every error code in the README has the status it says there."""
    for statuses, codes in re.findall(r"^\| ([0-9, ]+) \| (`.*`) \|$", README, re.MULTILINE):
        allowed = {int(status) for status in statuses.split(",")}
        for code in re.findall(r"`(\w+)`", codes):
            assert STATUS_BY_CODE[code] in allowed, code


def test_module_map_names_what_exists() -> None:
    """Every file and folder in the module map exists, and every module group is in it."""
    table = README.split("| module | what lives there |")[1].split("\n\n")[0]
    for line in table.strip().splitlines()[1:]:
        places, what = line.strip("|").split("|", 1)
        groups = re.findall(r"`([\w/.]+)`", places)
        for group in groups:
            assert (ROOT / "wsgi_app" / group).exists(), group
        folder = groups[0] if groups[0].endswith("/") else ""
        for name in re.findall(r"`([\w]+\.py|page/|base/|memory/|redis/)`", what):
            assert (ROOT / "wsgi_app" / folder / name).exists(), name
    for place in (ROOT / "wsgi_app").iterdir():
        if place.is_dir() and not place.name.startswith("__"):
            assert f"`{place.name}/`" in table, place.name
