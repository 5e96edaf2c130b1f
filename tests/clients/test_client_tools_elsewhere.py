"""Tools of the client where a turn is stopped, read again, or answered on another host."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.clients.client_tools import (
    APPS,
    ONE,
    PAINT,
    PAINT_CHAT,
    SCHEMA,
    TWO,
    Rig,
    native,
    output,
    outputs,
    serving,
)
from tests.clients.openai_host import new_client
from tests.support.node import run_node
from tests.support.reading import ReadingClient
from tests.support.servers import redis_server
from tests.support.service import owner_pid
from tests.support.upstream import Upstream
from tests.support.upstream_script import Text, ToolCalls
from tests.support.waiting import wait_for


@pytest.mark.slow
@pytest.mark.parametrize("agent", list(APPS))
def test_a_killed_worker_leaves_its_page_to_another(agent: str, tmp_path: Path) -> None:
    """As with a question: what the page was asked to run stays asked, and another goes on."""
    with redis_server() as store, Upstream() as upstream:
        env = {
            **upstream.environment,
            "AGENT_TOKENS": "dev=tenant scopes=chat+read+cancel+admin",
            "AGENT_LEASE_SECONDS": "1",
        }
        with serving(agent, tmp_path, store, workers=2, threads=8, env=env) as server:
            rig = Rig(server, upstream, new_client(server.url, max_retries=0))
            upstream.script(ToolCalls((ONE,)))
            upstream.script(Text(("Painted.",)))
            tools = [{"name": "paint", "parameters": SCHEMA}]
            session = secrets.token_hex(8)
            body = {"message": "paint", "tools": tools, "on_disconnect": "continue"}
            asked = native(rig, f"chat/{session}", body, Accept="application/json").json()
            os.kill(owner_pid(ReadingClient(server), session), signal.SIGKILL)
            results = [{"call_id": "c1", "output": "wet"}]
            given = {"request_id": asked["details"]["request_id"], "results": results}
            assert native(rig, f"chat/{session}/tool_result", given).status_code == 200
            reader = ReadingClient(server)
            reader.wait_idle(session, 20)
            assert reader.session(session)["messages"][-1]["content"] == "Painted."
            assert outputs(rig) == ["wet"]


@pytest.fixture(scope="module", params=list(APPS))
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rig, str]]:
    """Two hosts of one store: the rig at the one, and where the other is."""
    folder = tmp_path_factory.mktemp("hosts")
    with redis_server() as store, Upstream() as upstream:
        given: dict[str, Any] = {"threads": 8, "env": upstream.environment}
        with (
            serving(request.param, folder, store, **given) as one,
            serving(request.param, folder, store, **given) as two,
        ):
            yield Rig(one, upstream, new_client(one.url, max_retries=0)), two.url


def run_page(
    hosts: tuple[Rig, str], script: str, how: str, at_stop: str | None, **given: Any
) -> None:
    """Check that a page's client gets the answer at the other host, or the end behind a stop.

    ``at_stop`` is what the client reports of a turn that was stopped, for which no model is asked.
    """
    rig, other = hosts
    before = len(rig.upstream.requests)
    rig.upstream.script(ToolCalls((ONE, TWO)))
    if how != "stop":
        rig.upstream.script(Text(("Painted.",)))
    reports: list[Any] = run_node(script, how=how, url=rig.url, other=other, token="dev", **given)
    asked = len(rig.upstream.requests) - before
    if how == "stop":
        assert (reports, asked) == ([[at_stop]], 1)
    else:
        assert (reports, asked) == ([["Painted."]], 2)
        assert outputs(rig) == ["wall 1 is blue", "wall 2 is blue"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["elsewhere", "reload", "stop"])
@pytest.mark.parametrize("client", ["ai-5", "ai-6", "ai-7", "ag-ui"])
def test_a_front_end_is_stopped_reloaded_and_answers_elsewhere(
    hosts: tuple[Rig, str], client: str, how: str
) -> None:
    """What its page gives is taken by the other host, also after a reload.

    After a stop it gets the turn's end once more, as with a question, and no model is asked.
    """
    session = secrets.token_hex(8)
    run_page(hosts, "client_tools.mjs", how, None, scenario=client, session=session)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["elsewhere", "reload", "stop"])
@pytest.mark.parametrize("client", ["chat", "responses", "socket"])
def test_a_page_with_the_openai_package_is_stopped_reloaded_and_answers_elsewhere(
    hosts: tuple[Rig, str], client: str, how: str
) -> None:
    """The same for JavaScript: completions, responses, and responses over WebSockets.

    A page that kept nothing of a completion sends its request once more, and gets the calls.
    """
    text, script = f"paint {secrets.token_hex(8)}", "client_tools_openai.mjs"
    run_page(hosts, script, how, "no_pending_input", scenario=client, input=text)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["elsewhere", "reload", "stop"])
def test_a_response_is_stopped_read_again_and_answered_elsewhere(
    hosts: tuple[Rig, str], how: str
) -> None:
    """The same with the Responses API: read again by its id, cancelled by its id."""
    rig, other = hosts
    rig.upstream.script(ToolCalls((ONE,)))
    asked = rig.client.responses.create(model="any", input=f"paint {how}", tools=[PAINT])
    with new_client(other, max_retries=0) as there:
        if how == "reload":
            asked = there.responses.retrieve(asked.id)
        told: Any = [output(asked.output[-1], "wet")]
        if how == "stop":
            assert native(rig, f"chat/{session_of(rig)}/cancel", {}).json()["cancelled"]
            with pytest.raises(openai.ConflictError):
                there.responses.create(model="any", input=told, previous_response_id=asked.id)
            return
        rig.upstream.script(Text(("Painted.",)))
        made = there.responses.create(model="any", input=told, previous_response_id=asked.id)
    assert made.output_text == "Painted."
    assert outputs(rig) == ["wet"]


def session_of(rig: Rig) -> str:
    """The newest session of the rig's tenant."""
    return str(ReadingClient(rig.server).call("GET", "/sessions").json["sessions"][0]["session_id"])


@pytest.mark.slow
def test_a_completions_calls_are_answered_elsewhere(hosts: tuple[Rig, str]) -> None:
    """The calls' ids say which turn waits, whichever host gets their results."""
    rig, other = hosts
    rig.upstream.script(ToolCalls((ONE,)))
    said: Any = [{"role": "user", "content": "paint it elsewhere"}]
    asked = rig.client.chat.completions.create(model="any", messages=said, tools=[PAINT_CHAT])
    message = asked.choices[0].message
    calls = message.tool_calls or []
    said += [message.to_dict(), {"role": "tool", "tool_call_id": calls[0].id, "content": "wet"}]
    rig.upstream.script(Text(("Painted.",)))
    with new_client(other, max_retries=0) as there:
        made = there.chat.completions.create(model="any", messages=said, tools=[PAINT_CHAT])
    assert made.choices[0].message.content == "Painted."
    assert outputs(rig) == ["wet"]


@pytest.mark.slow
@pytest.mark.parametrize("agent", list(APPS))
def test_a_page_waits_out_its_stores_outage(agent: str, tmp_path: Path) -> None:
    """As with a question: a result that comes meanwhile is refused, and taken when it is over."""
    with (
        redis_server() as store,
        Upstream() as upstream,
        serving(agent, tmp_path, store, threads=8, env=upstream.environment) as server,
    ):
        rig = Rig(server, upstream, new_client(server.url, max_retries=0))
        upstream.script(ToolCalls((ONE,)))
        upstream.script(Text(("Painted.",)))
        session = secrets.token_hex(8)
        tools = [{"name": "paint", "parameters": SCHEMA}]
        body = {"message": "paint", "tools": tools, "on_disconnect": "continue"}
        asked = native(rig, f"chat/{session}", body, Accept="application/json").json()
        results = [{"call_id": "c1", "output": "wet"}]
        given = {"request_id": asked["details"]["request_id"], "results": results}
        path = f"chat/{session}/tool_result"
        store.signal(signal.SIGSTOP)
        try:
            refused = native(rig, path, given)
        finally:
            store.signal(signal.SIGCONT)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        wait_for(lambda: native(rig, path, given).status_code in (200, 409), "taken", 20)
        reader = ReadingClient(server)
        reader.wait_idle(session, 20)
        assert reader.session(session)["messages"][-1]["content"] == "Painted."
        assert outputs(rig) == ["wet"]


@pytest.mark.slow
def test_a_page_that_is_loaded_from_another_host_runs_what_waits(hosts: tuple[Rig, str]) -> None:
    """agent-client.js reads the turn of the one host at the other, and gives its result there."""
    rig, other = hosts
    rig.upstream.script(ToolCalls((ONE,)))
    rig.upstream.script(Text(("Done.",)))
    given: dict[str, Any] = {"url": f"{rig.url}/agents", "other": f"{other}/agents"}
    (made,) = run_node(
        "agent_client.mjs", scenario="tools", again=True, session=secrets.token_hex(8), **given
    )
    kinds = [event["type"] for event in made["events"]]
    assert kinds == ["tool_request", "tool_result", "token", "done"]
