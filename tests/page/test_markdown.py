"""Markdown on the page: what it becomes, while it grows too, and what it can never become."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.page.conftest import Site
from tests.support.page_agent import MARKDOWN
from tests.support.processes import ROOT

#: Draws a text whole, and returns its HTML.
DRAW = """async (text) => {
    const { Prose } = await import(new URL("page/prose.js", document.baseURI));
    const prose = new Prose();
    prose.append(text);
    prose.end();
    return prose.node.innerHTML;
}"""
#: Draws a text as it grows by one character, and says whether that comes to the same.
GROW = """async (text) => {
    const { Prose } = await import(new URL("page/prose.js", document.baseURI));
    const [whole, growing] = [new Prose(), new Prose()];
    whole.append(text);
    whole.end();
    const made = new Set();
    for (const char of text) {
        growing.append(char);
        growing.end({ isOpen: true });
        for (const node of growing.node.children) made.add(node);
    }
    growing.end();
    return [growing.node.innerHTML === whole.node.innerHTML, made.size, whole.node.children.length];
}"""
CASES = [
    ("a **b** *c* `d` ~~e~~", "<p>a <strong>b</strong> <em>c</em> <code>d</code> <del>e</del></p>"),
    ("***a*** snake_case_name", "<p><em><strong>a</strong></em> snake_case_name</p>"),
    ("2 * 3 * 4 and 2**3", "<p>2 * 3 * 4 and 2**3</p>"),
    ("`**a**` \\*b\\*", "<p><code>**a**</code> *b*</p>"),
    ("# a\n## b ##\n####### c", "<h3>a</h3><h4>b</h4><p>####### c</p>"),
    ("- a\n- b\n  1. c", "<ul><li>a</li><li>b<ol><li>c</li></ol></li></ul>"),
    ("- [ ] a\n- [x] b", "<ul><li>☐ a</li><li>☑ b</li></ul>"),
    ("- [x] a\n\n  b", "<ul><li><p>☑ a</p><p>b</p></li></ul>"),
    ("a\n---\nb", "<p>a</p><hr><p>b</p>"),
    ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("> a\n> - b\n\nc", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote><p>c</p>"),
    ("a\nb  \nc", "<p>a\nb<br>c</p>"),
    ("a\n***\nb", "<p>a</p><hr><p>b</p>"),
    ("&lt;b&gt; <b>x</b> &copy;", "<p>&lt;b&gt; &lt;b&gt;x&lt;/b&gt; ©</p>"),
    ("![a](b.png) [c](/d) [e](javascript:f)", "<p>![a](b.png) [c](/d) [e](javascript:f)</p>"),
    ("a | b", "<p>a | b</p>"),
]
LINKS = [
    ("[a](https://b.example/c_(d))", "https://b.example/c_(d)", "a"),
    ("(see https://b.example/c.)", "https://b.example/c", "https://b.example/c"),
    ("<mailto:a@b.example>", "mailto:a@b.example", "mailto:a@b.example"),
    ("![a](https://b.example/c.png)", "https://b.example/c.png", "a"),
]
HOSTILE = ["[" * 50_000, "*a " * 20_000, "`" + "a``" * 20_000, "> " * 20_000, "- " * 20_000]
HOSTILE += [
    "|" * 50_000 + "\n" + "|-" * 25_000,
    "**a*" * 10_000,
    "[a](" * 10_000,
    "https://" * 9_000,
]


#: Of the npm package's ``dist/browser/markdown-it.esm.min.mjs``, without the line of its map.
VENDORED = "66743187094a0f1e03b0ebe3e9f21ff7f026a9740325cbe81e19808d29610d7e"


def test_the_library_is_the_published_one() -> None:
    """What reads Markdown is the package's own file; `vendor/README.md` says how to renew it."""
    data = (ROOT / "wsgi_app/web/page/vendor/markdown-it.js").read_bytes()
    assert hashlib.sha256(data).hexdigest() == VENDORED


@pytest.fixture
def blank(site: Site, page: Page) -> Page:
    """The page, whose modules are used on their own."""
    page.goto(site.url)
    return page


def test_becomes_elements(blank: Page) -> None:
    """Each construct becomes its element, and what is no Markdown stays text."""
    assert [blank.evaluate(DRAW, text) for text, _ in CASES] == [html for _, html in CASES]


def test_links(blank: Page) -> None:
    """Links to web and mail addresses open in a tab that knows nothing of this one."""
    for text, url, shown in LINKS:
        link = (
            f'<a href="{url}" title="{url}" target="_blank" rel="noopener noreferrer">{shown}</a>'
        )
        assert link in blank.evaluate(DRAW, text)


def test_tables_and_code(blank: Page) -> None:
    """Tables keep their columns' sides, code its text and language."""
    table = blank.evaluate(DRAW, "| a | b |\n|---|--:|\n| c\\|d |\n\nend")
    assert '<thead><tr><th>a</th><th class="right">b</th></tr></thead>' in table
    assert '<tbody><tr><td>c|d</td><td class="right"></td></tr></tbody>' in table
    code = blank.evaluate(DRAW, "~~~js\n<b>\n\n  x\n~~~\n\n    y")
    assert "<span>js</span>" in code
    assert "<code>&lt;b&gt;\n\n  x</code>" in code
    assert "<code>y</code>" in code


@pytest.mark.parametrize("text", [MARKDOWN, "\n\n".join(text for text, _ in CASES)])
def test_grows_to_the_same(blank: Page, text: str) -> None:
    """Character by character it comes to what it is as a whole, and blocks are not made again."""
    same, made, wanted = blank.evaluate(GROW, text)
    assert same
    # A table begins as a paragraph, a list item may end one: no more than that.
    assert made <= 2 * wanted


def test_no_text_hangs_the_page(blank: Page) -> None:
    """Whatever an agent sends is drawn within a moment."""
    for text in HOSTILE:
        taken: Any = blank.evaluate(
            f"async (text) => {{ const start = performance.now(); await ({DRAW})(text);"
            " return performance.now() - start; }",
            text,
        )
        assert taken < 5_000, text[:20]
