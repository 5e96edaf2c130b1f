"""Routes are rows, and a wire is a folder: what follows from each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsgi_app.wires
from tests.support.client import Client, new_session
from tests.support.contract import STREAM, Contract
from tests.support.each import each
from tests.support.servers import Gunicorn, gunicorn
from wsgi_app.wires import find_wires

TOKENS = "all=acme,reader=acme scopes=read"
WIRES = Path(wsgi_app.wires.__file__).parent
#: Other names of the native events, and what wires share: neither has routes.
WITHOUT_ROUTES = {"agentflow", "shared"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gunicorn]:
    """A host with one folder of a wire more."""
    env = {"AGENT_TOKENS": TOKENS}
    with gunicorn("tests.support.toy_wire_app:toy_app()", env=env) as server:
        yield server


def said(*steps: dict[str, Any]) -> dict[str, Any]:
    """The toy's body, which has the scripted agent do ``steps``."""
    return {"say": "hi", "metadata": {"steps": list(steps)}}


def test_each_folder_of_a_wire_is_found() -> None:
    """The wires are the folders, each with its encoder and its requests apart from its routes."""
    folders = {one.name for one in WIRES.iterdir() if (one / "__init__.py").exists()}
    assert {wire.name for wire in find_wires()} == folders - WITHOUT_ROUTES
    for folder in each(folders - WITHOUT_ROUTES, 7):
        for part in ("encode", "request", "routes", "describe"):
            found = [(WIRES / folder / part).is_dir(), (WIRES / folder / f"{part}.py").exists()]
            assert any(found), (folder, part)


def test_a_new_wire_is_served(server: Gunicorn) -> None:
    """Its frames come while the agent speaks, in its own form, with a session and a turn."""
    with Client(server, "all").stream(
        "POST", "/toy/s-1", said({"text": "one"}, {"wait": 0.5}, {"text": "two"})
    ) as stream:
        frames = list(stream)
    assert [one.data for one in frames] == [{"said": "one"}, {"said": "two"}]
    assert frames[1].at - frames[0].at > 0.4
    assert stream.headers["x-session-id"] == "s-1"


def test_a_new_wire_has_the_login_and_scopes_of_its_row(server: Gunicorn) -> None:
    """Strangers get 401, who may only read 403, each in the wire's own envelope."""
    path = f"/toy/{new_session()}"
    for token, status, code in ((None, 401, "unauthorized"), ("reader", 403, "forbidden")):
        refused = Client(server, token).call("POST", path, said())
        assert (refused.status, refused.json) == (status, {"oops": {"code": code}})


def test_a_new_wire_refuses_in_its_envelope(server: Gunicorn) -> None:
    """Bad bodies, wrong methods, and what lies below its root and is no route."""
    client = Client(server, "all")
    for method, path, body, code in (
        ("POST", "/toy/s-1", {"say": 1}, "invalid_request"),
        ("GET", "/toy/s-1", None, "method_not_allowed"),
        ("GET", "/toy/a/b/c", None, "not_found"),
    ):
        assert client.call(method, path, body).json == {"oops": {"code": code}}
    assert client.call("GET", "/toys", None).json["code"] == "not_found"


def test_a_new_wire_is_described(server: Gunicorn) -> None:
    """The OpenAPI document has its route, with its scopes, its errors and its frames' type."""
    contract = Contract(Client(server, None).call("GET", "/openapi.json").json)
    operation = contract.operation("POST", "/toy/s-1")
    assert operation["security"] == [{"bearer": ["chat"]}]
    refused = Client(server, "reader").call("POST", "/toy/s-1", said())
    contract.check(operation, refused.status, refused.headers, refused.body)
    item = operation["responses"]["200"]["content"][STREAM]["schema"]
    assert contract.check_stream(item, b'data: {"said":"one"}\n\n')
    with pytest.raises(AssertionError):
        contract.check_stream(item, b'data: {"told":"one"}\n\n')
