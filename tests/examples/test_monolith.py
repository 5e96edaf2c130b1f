"""The example monolith: a legacy site with a login, forms and a database that hosts an agent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.support.servers import Gunicorn
from tests.support.shop import ONE_CONNECTION, Customer, shop
from tests.support.sse import text_of
from tests.support.upstream import Upstream
from tests.support.upstream_script import Call, Stall, Text, ToolCalls, scripted_message

STREAMS = 20
PAGE_SECONDS = 2.0


@pytest.fixture(scope="module")
def site() -> Iterator[Gunicorn]:
    """The shop with the agent that needs no model."""
    with shop() as server:
        yield server


def test_tool_reads_the_database(site: Gunicorn) -> None:
    """The agent answers from the site's database, about the customer's own orders alone."""
    alice = Customer(site.url, "alice")
    with alice.ask("mine", "Where is order 1001?") as stream:
        frames = stream.until("done")
    kinds = [frame.data["type"] for frame in frames if frame.data["type"] != "token"]
    assert kinds == ["tool_call", "tool_result", "done"]
    result = next(frame.data for frame in frames if frame.data["type"] == "tool_result")
    order = {"found": True, "item": "Kettle", "state": "shipped", "due": "2030-06-03"}
    assert result["output"] == order
    assert text_of(frames) == "Order 1001 (Kettle) is shipped. It is due on 2030-06-03."
    with alice.ask("mine", "And 2001, which is bob's?") as stream:
        assert text_of(stream.until("done")) == "You have no order 2001."


def test_login_is_required(site: Gunicorn) -> None:
    """Who is not logged in gets the site's login page, and JSON from the agents."""
    page = requests.get(f"{site.url}/", timeout=10, allow_redirects=False)
    assert (page.status_code, page.headers["Location"]) == (302, "/login?next=%2F")
    for method, path in [
        ("POST", "/agents/chat/s-1"),
        ("GET", "/agents/chat/s-1/events"),
        ("POST", "/agents/chat/s-1/cancel"),
        ("GET", "/agents/session/s-1"),
        ("GET", "/agents/sessions"),
    ]:
        answer = requests.request(method, f"{site.url}{path}", json={"message": "1001"}, timeout=10)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "unauthorized"


def test_forms_stay_protected(site: Gunicorn) -> None:
    """The site's forms still want their CSRF token; the agents take JSON from the site alone."""
    alice = Customer(site.url, "alice")
    form = {"note": "Ring twice"}
    url = f"{site.url}/orders/1001"
    forged = requests.post(url, data=form, headers=alice.headers, timeout=10)
    assert forged.status_code == 400
    assert "CSRF" in forged.text
    assert alice.post_form("/orders/1001", alice.get("/orders/1001").text, **form).ok
    assert "Ring twice" in alice.get("/orders/1001").text
    body = {"message": "1001"}
    assert alice.post_json("/agents/chat/s-1", body, Origin=site.url).ok
    foreign = alice.post_json("/agents/chat/s-2", body, Origin="http://elsewhere.example")
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    chat = f"{site.url}/agents/chat/s-2"
    as_form = requests.post(chat, data={"message": "1001"}, headers=alice.headers, timeout=10)
    assert (as_form.status_code, as_form.json()["code"]) == (415, "unsupported_media_type")
    assert alice.get("/agents/session/s-2").status_code == 404


def test_each_side_has_its_own_not_found(site: Gunicorn) -> None:
    """An unknown page is the site's HTML, an unknown path below the prefix is JSON."""
    alice = Customer(site.url, "alice")
    page = alice.get("/nope")
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page." in page.text
    for path in ("/agents", "/agents/nope", "/agents/chat/s-1/nope", "/agents/session/unknown"):
        answer = alice.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
        assert answer.json()["code"] == "not_found"
    wrong = alice.get("/agents/chat/s-1")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


def test_sessions_belong_to_a_customer(site: Gunicorn) -> None:
    """Another customer's session looks exactly like one that does not exist."""
    alice, bob = Customer(site.url, "alice"), Customer(site.url, "bob")
    with alice.ask("secret", "Where is order 1001?") as stream:
        stream.until("done")
    assert alice.get("/agents/session/secret").json()["turn_id"] == "1"
    for name in ("secret", "unknown"):
        assert bob.get(f"/agents/session/{name}").status_code == 404
        assert bob.get(f"/agents/chat/{name}/events").status_code == 204
        assert bob.post_json(f"/agents/chat/{name}/cancel", {}).json()["cancelled"] is False
    listed = bob.get("/agents/sessions").json()["sessions"]
    assert "secret" not in [session["session_id"] for session in listed]
    with bob.ask("secret", "Where is order 2001?") as stream:
        assert "Garden hose" in text_of(stream.until("done"))
    assert len(alice.get("/agents/session/secret").json()["messages"]) == 2


def test_one_database_connection_serves_20_streams_and_the_site() -> None:
    """With a pool of one connection, 20 open streams leave the site's pages working."""
    with Upstream() as upstream, shop({**ONE_CONNECTION, **upstream.environment}) as site:
        alice = Customer(site.url, "alice")
        with ExitStack() as open_streams:
            streams = [
                open_streams.enter_context(alice.ask(f"s-{n}", _stalling(n)))
                for n in range(STREAMS)
            ]
            for stream in streams:
                result = stream.until("tool_result")[-1].data
                assert result["output"]["item"] == "Kettle", result
                stream.until("token")
            _assert_site_works(alice)
            for number, stream in enumerate(streams):
                alice.post_json(f"/agents/chat/s-{number}/cancel", {})
                assert stream.until("cancelled")[-1].data["reason"] == "user"
        _assert_site_works(alice)


@pytest.mark.slow
def test_one_database_connection_serves_20_json_requests_and_the_site() -> None:
    """With a pool of one connection, 20 requests that wait for JSON leave the pages working."""
    with Upstream() as upstream, shop({**ONE_CONNECTION, **upstream.environment}) as site:
        alice = Customer(site.url, "alice")

        def wait_for_answer(number: int) -> requests.Response:
            body = {"message": _stalling(number)}
            return alice.post_json(f"/agents/chat/s-{number}", body, Accept="application/json")

        with ThreadPoolExecutor(STREAMS) as pool:
            answers = [pool.submit(wait_for_answer, number) for number in range(STREAMS)]
            upstream.wait_request(2 * STREAMS)  # each turn has used its tool, and waits again
            _assert_site_works(alice)
            for number in range(STREAMS):
                alice.post_json(f"/agents/chat/s-{number}/cancel", {})
            assert {answer.result().json()["code"] for answer in answers} == {"cancelled"}


@pytest.mark.slow
def test_box_on_the_page(site: Gunicorn, page: Page) -> None:
    """The box on the site's pages streams an answer for whoever the cookie says."""
    page.goto(f"{site.url}/")
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("alice")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("table")).to_contain_text("Desk lamp")
    page.get_by_label("Your question").fill("Where is order 1002?")
    page.get_by_role("button", name="Ask").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("Order 1002 (Desk lamp) is being packed. It is due on 2030-06-07.")
    expect(page.get_by_role("button", name="Ask")).to_be_visible()


def _stalling(number: int) -> str:
    """A message whose model uses the tool, then says a word, then falls silent."""
    use_tool = [ToolCalls((Call("call-1", "find_order", '{"number": 1001}'),))]
    return scripted_message(use_tool, [Text(("Your ",)), Stall()], tag=str(number))


def _assert_site_works(customer: Customer) -> None:
    """Pages that read and write the database come in time, eight at once."""
    started = time.monotonic()
    paths = ["/", "/orders/1001"] * 4
    with ThreadPoolExecutor(len(paths)) as pool:
        pages = list(pool.map(customer.get, paths))
    assert [page.status_code for page in pages] == [200] * len(pages)
    note = f"seen at {started}"
    assert customer.post_form("/orders/1001", pages[1].text, note=note).ok
    assert note in customer.get("/orders/1001").text
    took = time.monotonic() - started
    assert took < PAGE_SECONDS, f"the pages took {took:.1f} s"
