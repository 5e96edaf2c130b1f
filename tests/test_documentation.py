"""The pages of docs/ are true: their code runs, their tables are whole, their links lead on."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

import wsgi_app
from docs import reference_pages
from docs.pictures import PICTURES
from tests.support.code_blocks import ROWS as BLOCKS
from tests.support.code_blocks import pages, rows_of
from tests.support.documentation import blocks, page
from tests.support.each import each
from tests.support.processes import ROOT
from wsgi_app import OpenAIAgent
from wsgi_app.cli import COMMANDS
from wsgi_app.config import Settings, setting_name
from wsgi_app.errors import STATUS_BY_CODE
from wsgi_app.web.blueprint import ADMIN, OWN
from wsgi_app.wires import find_wires

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROWS = [row for wire in (OWN, ADMIN, *find_wires()) for row in wire.routes]
#: Folders that `make docs` makes.
MADE = ("reference", "_build")
DOCS = ROOT / "docs"
PAGES = [
    "README.md",
    *(
        str(path.relative_to(ROOT))
        for path in sorted(DOCS.rglob("*.md"))
        if path.parts[-2] not in MADE
    ),
]


def test_readme_is_short() -> None:
    """The README takes five minutes: at most 150 lines of at most 250 characters."""
    lines = page("README.md").splitlines()
    assert len(lines) <= 150
    assert max(len(line) for line in lines if "curl" not in line) <= 250


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    """Each relative link names a file of the repository, and a heading that is in it."""
    for target in _links(name):
        path, _, heading = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert heading in {_anchor(title) for title in titles}, target


def _links(name: str) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)#\s]*(?:#[^)\s]*)?)\)", page(name))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_each_page_is_in_an_index() -> None:
    """A reader finds each page from docs/index.md, or from the README.md of its folder there."""
    for name in each(PAGES, 60):
        folder = (ROOT / name).parent
        index = folder / "README.md" if (folder / "README.md").exists() else DOCS / "index.md"
        if index in (ROOT / name, ROOT / "README.md"):
            index = DOCS / "index.md"
        path = os.path.relpath(ROOT / name, index.parent)
        assert f"({path})" in index.read_text() or path == "index.md", name


def test_reference_pages_hold_all_names() -> None:
    """The pages that are made of the code name each route, event, code, command and metric."""
    routes = reference_pages.http_page()
    for row in each(ROWS, 80):
        path = re.sub(r"<(?:path:)?(\w+)>", r"{\1}", row.path)
        assert row.method == "WS" or f"`{row.method} {path}`" in routes, row.path
    told = reference_pages.events_page()
    for kind in each(reference_pages.event_types(), 14):
        assert f"`{kind.__struct_config__.tag}`" in told
    for code in each(STATUS_BY_CODE, 30):
        assert f"`{code}`" in told
    commands = reference_pages.commands_page()
    for command in each(COMMANDS, 12):
        assert f"## `{command}`" in commands
    metrics = reference_pages.metrics_page()
    for name, _, _ in each(reference_pages.metric_rows(), 20):
        assert name in metrics
    for name in each(wsgi_app.__all__, 20):
        assert f":: wsgi_app.{name}" in reference_pages.python_page()
    for field in each(msgspec.structs.fields(Settings), 50):
        assert f"`{setting_name(field.name)}`" in reference_pages.settings_page()


def test_each_picture_is_small_and_shown() -> None:
    """docs/pictures.py takes what docs/chat-page.md shows, each below 60 kB."""
    shown = set(re.findall(r"\(pictures/([\w-]+)\.png\)", page("docs/chat-page.md")))
    files = {path.stem: path for path in (DOCS / "pictures").iterdir()}
    assert shown == set(files) == set(PICTURES)
    assert not [path for path in files.values() if path.stat().st_size > 60_000]


def test_each_finding_has_its_row() -> None:
    """docs/findings.md has a row for each script, with what its head says, and no other."""
    rows = re.findall(r"^\| \[.*$", page("docs/findings.md"), re.MULTILINE)
    assert rows == reference_pages.finding_rows()


def test_an_example_gives_a_model_tools() -> None:
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
    exec(blocks("python", "docs/writing-agents.md")[0], names)  # noqa: S102 - the page's own code
    assert isinstance(names["agent"], OpenAIAgent)


def test_pages_have_links_and_code() -> None:
    """The patterns that find them on a page have not stopped to do so."""
    each((link for name in PAGES for link in _links(name)), 150)
    for kind, at_least in (("python", 30), ("sh", 25), ("json", 1), ("toml", 1)):
        each((code for name in PAGES for code in blocks(kind, name)), at_least)


@pytest.mark.parametrize("name", PAGES)
def test_code_on_pages_is_code(name: str) -> None:
    """Each block is what it says: it can be read, and what it imports of the package is there."""
    for code in blocks("python", name):
        for node in ast.walk(ast.parse(textwrap.dedent(code))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsgi_app"):
                source = _source_of(str(node.module))
                for one in node.names:
                    assert re.search(rf"\b{re.escape(one.name)}\b", source), one.name
    for code in blocks("json", name):
        json.loads(code)
    for code in blocks("toml", name):
        tomllib.loads(code)
    for code in blocks("sh", name):
        subprocess.run(["sh", "-nc", code], check=True, timeout=10)


def _source_of(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    if not path.is_dir():
        return path.with_suffix(".py").read_text()
    return "\n".join([(path / "__init__.py").read_text(), *(one.stem for one in path.iterdir())])


@pytest.mark.parametrize("name", pages())
def test_each_block_is_run_or_says_why_not(name: str) -> None:
    """Each block of a page has a row in tests/support/code_blocks.py: a test, or a reason."""
    found = re.findall(r"^ *```(\w*)\n.*?^ *```$", page(name), re.DOTALL | re.MULTILINE)
    assert [row.language for row in rows_of(name)] == found


@pytest.mark.parametrize("name", BLOCKS)
def test_what_runs_a_block_exists_and_reads_the_page(name: str) -> None:
    """A row's test is in its file, which names the page; a reason is a sentence."""
    for row in rows_of(name):
        path, _, test = row.test.partition("::")
        if path:
            source = (ROOT / path).read_text()
            assert f"def {test}(" in source, row
            assert any(words in source for words in _names_of(name)), row
        else:
            assert row.reason.endswith("."), row


def _names_of(name: str) -> list[str]:
    """How a test's file names a page: by its path, or by what reads it."""
    reads = {"README.md": ("blocks(", '"README.md"'), "deploy/README.md": ("read_block(",)}
    stem = Path(name).stem
    return [*reads.get(name, ()), f'"{name}"', f'"{Path(name).name}"', f'"{stem}"']


def test_settings_table_is_the_settings() -> None:
    """Every setting is in docs/settings.md, with its real default."""
    rows = dict(
        re.findall(r"^\| `(AGENT_\w+)` \|([^|]*)\|", page("docs/settings.md"), re.MULTILINE)
    )
    known = {setting_name(field.name): field for field in msgspec.structs.fields(Settings)}
    assert set(rows) == set(known)
    numbers = [(name, float(text)) for name, text in rows.items() if text.strip().isdigit()]
    for name, default in each(numbers, 20):
        assert known[name].default == default, name


def test_contract_table_is_the_routes() -> None:
    """Every route is in docs/http.md or docs/wires.md, and no other."""
    told_on = page("docs/http.md") + page("docs/wires.md")
    cells = re.findall(r"^\| (`(?:GET|POST|PATCH|DELETE|WS) .*?) \|", told_on, re.MULTILINE)
    told = {
        (method, path.split("?")[0])
        for cell in cells
        for method, path in re.findall(r"`(GET|POST|PATCH|DELETE|WS) (/[^` ]*)", cell)
    }
    assert told == {(row.method, row.path) for row in ROWS}


def test_error_table_is_the_codes() -> None:
    """Every error code is in docs/http.md, with its status."""
    rows = re.findall(r"^\| ([0-9, ]+) \| (`.*) \|$", page("docs/http.md"), re.MULTILINE)
    told = set()
    for statuses, codes in each(rows, 5):
        allowed = {int(status) for status in statuses.split(",")}
        for code in each(re.findall(r"`(\w+)`", codes)):
            assert STATUS_BY_CODE[code] in allowed, code
            told.add(code)
    assert told == set(STATUS_BY_CODE)


def test_module_map_names_what_exists() -> None:
    """Every file and folder in the module map exists, and every module group is in it."""
    table = page("docs/architecture.md").split("| module | what lives there |")[1].split("\n\n")[0]
    for line in each(table.strip().splitlines()[1:], 15):
        places, what = line.strip("|").split("|", 1)
        groups = re.findall(r"`([\w/.]+)`", places)
        for group in each(groups):
            assert (ROOT / "wsgi_app" / group).exists(), group
        folder = groups[0] if groups[0].endswith("/") else ""
        for name in re.findall(r"`([\w]+\.py|page/|base/|memory/|redis/)`", what):
            assert (ROOT / "wsgi_app" / folder / name).exists(), name
    for place in (ROOT / "wsgi_app").iterdir():
        if place.is_dir() and not place.name.startswith("__"):
            assert f"`{place.name}/`" in table, place.name


#: Habits that keep a reader from the sense; what to write instead.
HABITS = {
    r"\banew\b": "again",
    r"; answers (?=[a-z`'])": "returns",
    r"\bwhoever has\b": "who it is",
    r"\bshall\b": "should, must, or is to",
    r"\bbears\b": "has",
    r"\bmend(s|ed|ing)?\b": "repair, correct or fix",
    r"\blies (below|behind|beside)\b": "is",
    r"\b(go|goes|gone|went|going) on with\b": "continue",
    r"\bhand(s|ed)? on\b": "pass on",
    r"\btells? of (?:its|their|itself)\b": "reports",
    r"\bany more\b": "no longer",
    r"\bnot wrong but not right\b": "a warning",
    r"\bnothing done\b": "does nothing",
    r"\b[Tt]ell what\b": "report what",
    r"\b[Tt]ells\b(?! the model\b)": "reports, says, has, shows or distinguishes",
}
#: The same in the names and docstrings of tests.
HABITS_OF_TESTS = {
    r"(?:\b|_)anew(?:\b|_)": "again",
    r"\bWhoever\b": "who it is: a reader, a client, a worker",
}


def test_language_is_plain() -> None:
    """No page, docstring or message has the habits that the project has given up."""
    places = (
        ("wsgi_app", "*.py", HABITS),
        ("docs", "*.md", HABITS),
        ("examples", "*.py", HABITS),
        ("tests", "test_*.py", HABITS_OF_TESTS),
    )
    found = []
    for folder, kinds, habits in places:
        for path in each((ROOT / folder).rglob(kinds), 15):
            left_out = path.parts[-2] in MADE or path == Path(__file__)
            text = "" if left_out else path.read_text()
            found += [
                f"{path.relative_to(ROOT)}: {one[0]!r}: write {better!r}"
                for habit, better in habits.items()
                if (one := re.search(habit, text))
            ]
    assert not found, "\n".join(found)
