"""Code blocks of the docs that no other test runs; tests/support/code_blocks.py has them all."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from types import ModuleType, SimpleNamespace
from typing import Any

import a2wsgi
import pytest
from flask import Flask, redirect
from flask_login import LoginManager, UserMixin, login_user
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from playwright.sync_api import Browser, expect

from tests.cli.command import COMMAND
from tests.support.block_site import run, said
from tests.support.browser import chromium
from tests.support.client import Client
from tests.support.documentation import block
from tests.support.processes import clean_environment
from tests.support.servers import Gunicorn, gunicorn
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Text, ToolCalls
from wsgi_app import AgentHost, OpenAIAgent, Principal
from wsgi_app.agents.langgraph import LangGraphAgent

BEARER = {"Authorization": "Bearer dev"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """The site of the pages' agents."""
    env = {"AGENT_FILES_DIR": str(tmp_path_factory.mktemp("files"))}
    with gunicorn("tests.support.block_site:site()", threads=16, env=env) as running:
        yield running


def test_one_line_serves_by_asgi(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/servers.md: the bridge takes the app."""
    shop = ModuleType("shop")
    shop.app = Flask("shop")  # type: ignore[attr-defined] # a module made here
    monkeypatch.setitem(sys.modules, "shop", shop)
    names = run("docs/servers.md", "a2wsgi")
    assert isinstance(names["application"], a2wsgi.WSGIMiddleware)


def test_the_agents_card_is_at_the_root() -> None:
    """docs/a2a.md: the view serves the card."""
    app = Flask("site")
    run("docs/a2a.md", "host.agent_card", AgentHost=AgentHost, agent=said, app=app)
    card = app.test_client().get("/.well-known/agent-card.json")
    assert card.json is not None
    assert "/agents/a2a" in card.get_data(as_text=True)


def test_a_login_lets_operators_programs_in() -> None:
    """docs/authentication.md: the token is the operators', the cookie a user's, else nobody."""
    app = Flask("site")
    app.secret_key = "for tests"
    user = UserMixin()
    user.id = "anna"
    LoginManager(app).user_loader(lambda _: user)
    who = run("docs/authentication.md", "OPERATORS_TOKEN", OPERATORS_TOKEN="x1")["who"]
    with app.test_request_context(headers={"Authorization": "Bearer x1"}) as context:
        assert who(context.request) == Principal("operators", frozenset({"read", "admin"}))
    with app.test_request_context() as context:
        assert who(context.request) is None
        login_user(user)
        assert who(context.request) == "anna"


def test_a_blueprint_in_a_list() -> None:
    """docs/mounting.md: the site registers what the lists hold."""
    names = run("docs/mounting.md", "BLUEPRINTS", agent=said, who=lambda _: "someone")
    for listed in ("BLUEPRINTS", "flask_blueprints"):
        app = Flask("site")
        for one in names[listed]:
            app.register_blueprint(one)
        assert app.test_client().get("/agents/healthz").status_code == 200


def test_a_guard_lets_agents_pass() -> None:
    """docs/mounting.md: strangers are sent to the login, but from the host's routes."""
    app = Flask("site")
    given = {"app": app, "redirect_strangers": lambda: redirect("/login")}
    run("docs/mounting.md", "log_in_first", **given)
    AgentHost(said).init_app(app, url_prefix="/agents")
    client = app.test_client()
    assert client.get("/").status_code == 302
    assert client.get("/agents/sessions").status_code == 401


def test_gevents_configuration_has_the_hooks() -> None:
    """docs/gevent.md: the names are there, and those of the other page."""
    names = run("docs/gevent.md", "worker_class")
    other = block("python", "worker_class", "deploy/README.md")
    for hook in re.findall(
        r"^    (\w+),$", block("python", "gevent", "docs/gevent.md"), re.MULTILINE
    ):
        assert callable(names[hook])
        assert hook in other


def test_the_signature_is_the_built_in_agents() -> None:
    """docs/writing-agents.md: the parameters, in their order."""
    shown = re.findall(r"(\w+)(?:=|,)", block("text", "OpenAIAgent(", "docs/writing-agents.md"))
    assert shown == list(inspect.signature(OpenAIAgent).parameters)


def test_a_charge_has_its_calls_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/resuming.md: the tool pays with the key of its call."""
    paid = []

    def charge(amount: int, idempotency_key: str) -> str:
        paid.append((amount, idempotency_key))
        return "paid"

    with Upstream() as upstream:
        upstream.script(ToolCalls((Call("call_1", "charge", '{"amount":7}'),)))
        upstream.script(Text(("Paid.",)))
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        names: dict[str, Any] = {"payments": SimpleNamespace(charge=charge)}
        code = block("python", "payments.charge", "docs/resuming.md")
        exec(code.replace("OpenAIAgent(", "agent = OpenAIAgent("), names)  # noqa: S102 - the page's own code
        app = Flask("site")
        AgentHost(names["agent"]).init_app(app, url_prefix="/agents")
        headers = {**BEARER, "Accept": "application/json"}
        answer = app.test_client().post("/agents/chat/s", json={"message": "pay"}, headers=headers)
    assert answer.json is not None
    assert answer.json["reply"] == "Paid."
    ((amount, key),) = paid
    assert amount == 7
    assert key


def test_a_graph_says_what_a_crash_does() -> None:
    """docs/resuming.md: the adapter takes what is to happen with each tool."""
    graph = StateGraph(MessagesState).add_node("n", lambda state: state).add_edge(START, "n")
    run(
        "docs/resuming.md",
        "LangGraphAgent(graph",
        LangGraphAgent=LangGraphAgent,
        graph=graph.compile(),
    )


def test_a_frameworks_client_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/agents.md: a framework's model asks by a client whose requests end with the turn."""
    with Upstream() as upstream:
        for name, value in upstream.environment.items():
            monkeypatch.setenv(name, value)
        names = run("docs/agents.md", "http.openai_client()", ChatOpenAI=ChatOpenAI)
        upstream.script(Text(("Hello",)))
        assert "".join(part.text for part in names["model"].stream("hi")) == "Hello"
        names["client"].close()
        names["model"].http_client.close()


def reply(server: Gunicorn, prefix: str, message: str, **fields: Any) -> str:
    """What an agent of the site says to this."""
    client = Client(server, prefix=f"/{prefix}")
    answer = client.call(
        "POST", "/chat/s-1", {"message": message, **fields}, headers={"Accept": "application/json"}
    )
    assert answer.status == 200, answer.body
    return str(answer.json["reply"])


def test_steps_run(server: Gunicorn) -> None:
    """docs/resuming.md: an agent of two steps."""
    assert reply(server, "steps", "page") == "Read 6 characters. Sent."


def test_an_agent_looks_at_files(server: Gunicorn) -> None:
    """docs/writing-agents.md: it says what was attached."""
    client = Client(server, prefix="/files")
    sent = client.call(
        "POST",
        "/files?session_id=s-1&name=a.txt",
        body=b"hello",
        headers={"Content-Type": "text/plain"},
    )
    told = reply(server, "files", "look", files=[sent.json["id"]])
    assert told == "a.txt: 5 bytes of text/plain. "


def test_an_agent_has_another_work_for_it(server: Gunicorn) -> None:
    """docs/writing-agents.md: what the other says is no part of the answer."""
    assert reply(server, "children", "nuts") == "Here is what we found. "


def test_an_agent_that_can_be_steered(server: Gunicorn) -> None:
    """docs/writing-agents.md: without a word in between it says its pages."""
    assert reply(server, "steered", "one two") == "onetwo"


def test_langgraphs_clients(server: Gunicorn) -> None:
    """docs/langgraph.md: the SDK's thread, its older calls, and a graph of a graph."""
    name = "docs/langgraph.md"
    url = f"{server.url}/agents/langgraph"
    new = block("python", "thread.run.start", name).replace(
        "https://example.com/agents/langgraph", url
    )
    old = block("python", "RemoteGraph", name).replace("https://example.com/agents/langgraph", url)
    hello = {"messages": [{"role": "user", "content": "hi"}]}
    names: dict[str, Any] = {"token": "dev", "hello": hello, "thread_id": "s-2"}
    with redirect_stdout(StringIO()) as printed:
        exec(new, names)  # noqa: S102 - the page's own code
        exec(old, names)  # noqa: S102 - the page's own code
    assert "You said hello." in printed.getvalue()
    assert names["agent"].get_state({"configurable": {"thread_id": "s-2"}}).values["messages"]
    names["client"].close()
    names["agent"].sync_client.close()


@pytest.mark.slow
def test_the_command_line_talks() -> None:
    """docs/command-line.md: each of its lines starts a chat, of the service or of another."""
    lines = block("sh", "wsgi-agent-host chat", "docs/command-line.md").splitlines()
    with gunicorn() as service:
        env = {"WSGI_AGENT_HOST_URL": service.url}
        for line in lines:
            command = line.replace("https://app.example/agents", service.url)
            done = subprocess.run(
                ["sh", "-ec", command.replace("wsgi-agent-host", COMMAND, 1)],
                input="what is 12*34?\n",
                env=clean_environment(env),
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert "12*34 = 408\n" in done.stdout


@pytest.mark.slow
def test_the_pages_form_asks(server: Gunicorn) -> None:
    """docs/client.md: the form sends, and the page shows the answer."""
    with chromium() as browser:
        _ask(browser, server.url)


def _ask(browser: Browser, url: str) -> None:
    opened = browser.new_page(extra_http_headers=BEARER)
    opened.goto(f"{url}/page")
    opened.locator("input").fill("hi")
    opened.locator("button", has_text="Send").click()
    expect(opened.locator("#answer")).to_have_text("You said hi.")
