"""What a model gets of an MCP tool's result."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.mcp_odd_server import PICTURE
from tests.support.mcp_rig import ODD_PROGRAM, Rig, rigged, served, stdio
from wsgi_app.agents.mcp import McpServer
from wsgi_app.agents.mcp.messages import Messages
from wsgi_app.agents.mcp.results import NO_OUTPUT

MAX_BYTES = 300_000
MEDIA = {"type": "image", "mimeType": "image/png", "size_bytes": 5124}


@pytest.fixture(
    scope="module", params=["stdio", "http-old", pytest.param("http", marks=pytest.mark.slow)]
)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server whose messages may have `MAX_BYTES`."""
    notes = tmp_path_factory.mktemp("mcp") / "notes"
    env = {"LEGACY": "1"} if request.param == "http-old" else {}
    with ExitStack() as stack:
        if request.param == "stdio":
            server = stdio(notes, program=ODD_PROGRAM, max_result_bytes=MAX_BYTES)
        else:
            _, url = stack.enter_context(served(notes, env, program=ODD_PROGRAM))
            server = McpServer.http(url, max_result_bytes=MAX_BYTES)
        rig = stack.enter_context(rigged(notes, server))
        rig.turn(lambda _, tools: tools)  # connects, before a test looks what it leaves behind
        yield rig


def test_media_are_named_and_not_shown(rig: Rig) -> None:
    """Wherever base64 stands, the model gets a type and a size instead."""
    assert rig.call("media") == {"content": [MEDIA]}
    assert rig.call("picture") == {"content": [MEDIA]}
    size = MEDIA["size_bytes"]
    text = f'<img src="(image/png, {size} bytes)"> and (base64, {size} bytes) end'
    assert rig.call("page") == text
    assert PICTURE[:100] not in json.dumps([rig.call("media"), rig.call("page")])


def test_text_and_data_both_reach_the_model(rig: Rig) -> None:
    """Text that says something else stands beside the data; what they both say stands once."""
    text = "Ada has ordered three; the shop closes at six."
    assert rig.call("both") == {"content": text, "data": {"count": 3}}
    assert rig.call("same") == {"count": 3, "names": ["Ada", "Bob"]}


def test_a_result_without_the_data_that_were_promised_is_no_error(rig: Rig) -> None:
    """What has run has run: its text reaches the model, which does not do it again."""
    before = rig.noted().count("counted")
    assert json.loads(rig.call("counted")) == {"count": 3}
    assert rig.noted().count("counted") == before + 1


def test_no_result_is_said_in_words(rig: Rig) -> None:
    """A tool that gives nothing has not given an empty list."""
    assert rig.call("nothing") == NO_OUTPUT


def test_a_result_beyond_the_bound_is_an_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """It is not kept while it is read; the connection goes on."""
    pids = rig.pids()
    with caplog.at_level(logging.WARNING):
        error = rig.call("big", f'{{"size": {MAX_BYTES * 3}}}')
    assert isinstance(error, ValueError)
    assert f"more than the {MAX_BYTES} bytes that are read" in str(error)
    assert "Traceback" not in caplog.text
    kept = rig.call("big", f'{{"size": {MAX_BYTES - 10_000}}}')
    assert kept.endswith(f"(cut: {MAX_BYTES - 10_000} bytes)")
    assert rig.pids() == pids


def test_arrays_say_what_is_in_them(rig: Rig) -> None:
    """A schema's arrays of which only the first items are told have ``items`` as well."""
    schema = rig.turn(lambda _, tools: tools["pairs"].parameters)
    (inner,) = [schema["properties"]["items"]["items"]]
    assert inner["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"text":"%s"}}', 7),
        (b'data: {"jsonrpc":"2.0","id":"a-7","result":{"text":"%s"}}', "a-7"),
        (b'{"result":{"text":"%s"},"jsonrpc":"2.0","id":7}', 7),
        (b'{"id":7,"jsonrpc":"2.0","error":{"message":"%s"}}', 7),
        (b'{"jsonrpc":"2.0","method":"notifications/message","params":{"text":"%s"}}', None),
        (b'{"method":"x","params":{"text":"%s"},"jsonrpc":"2.0","id":7}', None),
        (b'{"result":{"text":"%s","id":7}}', None),
        (b'{"result":{"text":"\\"id\\":8}%s"},"jsonrpc":"2.0","id":7}', 7),
    ],
)
def test_what_a_long_message_answers_is_found(line: bytes, told: int | str | None) -> None:
    """A message that is too long fails the request that it answers, and no other."""
    messages = Messages("it", 1_000)
    whole = line % (b"y" * 5_000) + b"\n" + b'{"id":1}\n'
    made = [one for at in range(0, len(whole), 64) for one in messages.feed(whole[at : at + 64])]
    assert made[-1] == b'{"id":1}'
    ids = [json.loads(one.removeprefix(b"data: "))["id"] for one in made[:-1]]
    assert ids == ([] if told is None else [told])
