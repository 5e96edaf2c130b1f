"""Sphinx's configuration of the documentation: `make docs`."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # Sphinx runs this file by itself

from docs.reference_pages import PAGES, moved_links, write_pages  # noqa: E402 - see above

write_pages(HERE / "reference")

project = "wsgi-agent-host"
author = "the wsgi-agent-host project"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = "wsgi-agent-host"
# The inventories are fetched from the projects' own sites, so they are asked for by name.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "flask": ("https://flask.palletsprojects.com/en/stable", None),
        "gunicorn": ("https://docs.gunicorn.org/en/stable", None),
    }
    if os.environ.get("DOCS_INTERSPHINX") == "1"
    else {}
)


def read_page(_app: Any, name: str, source: list[str]) -> None:
    """Give a page the links that hold on the site, and the index its table of contents."""
    if not name.startswith("reference/"):
        place = f"docs/{name}.md"
        source[0] = moved_links(source[0], place, str(Path(place).parent))
    if name == "index":
        source[0] += "".join(_contents(part) for part in source[0].split("\n## ")[1:])
    elif name.endswith("/README"):  # the list of a folder's pages
        source[0] += _contents(source[0].lstrip("# "))


def _contents(section: str) -> str:
    title = section.splitlines()[0]
    pages = re.findall(r"\]\(((?!https?:)[^)#]+)\.md\)", section)
    if title == "Look up":
        pages += [
            f"reference/{name.removesuffix('.md')}" for name in PAGES if name != "findings.md"
        ]
    lines = [
        "",
        "```{toctree}",
        ":hidden:",
        f":caption: {title}",
        "",
        *dict.fromkeys(pages),
        "```",
        "",
    ]
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Sphinx calls this once."""
    text_lexer = importlib.import_module("pygments.lexers").TextLexer  # comes with Sphinx
    app.add_lexer("haproxy", text_lexer)  # Pygments has none
    app.connect("source-read", read_page)
