"""Functions as tools: schema, arguments, output, errors, and where they run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tests.support.turns import TurnBench, events_of
from tests.support.waiting import wait_for
from wsgi_app.agents.tool_call import CallRequest
from wsgi_app.agents.tool_values import MAX_OUTPUT_BYTES, bounded_json
from wsgi_app.agents.toolbox import Toolbox
from wsgi_app.agents.tools import MAX_ERROR_CHARS, Tool
from wsgi_app.engine import Turn
from wsgi_app.errors import TurnError
from wsgi_app.events import AnyEvent, Done, Error, ToolCall, ToolResult, encode_event


class Point(BaseModel):
    """A tool parameter with fields."""

    x: int
    y: int = 0


@dataclass
class Place:
    """A tool output that JSON has a form for."""

    name: str
    since: date


def search(
    query: Annotated[str, Field(description="what to look for")],
    limit: int = 10,
    *,
    order: Literal["new", "old"] = "new",
    near: Point | None = None,
    turn: Turn,
) -> str:
    """Search the site.

    Gives the titles found.
    """
    return f"{query} {limit} {order} {near} {turn.message}"


@pytest.fixture(scope="module")
def bench() -> TurnBench:
    """An engine for the module's turns."""
    return TurnBench()


def call_tool(
    bench: TurnBench, function: Callable[..., Any], arguments: str = "{}", name: str | None = None
) -> list[AnyEvent]:
    """Run a turn that calls one tool, and give its events."""
    toolbox = Toolbox([function])
    call = CallRequest("call-1", name or toolbox.tools[0].name, arguments)
    return bench.run(lambda turn: toolbox.run(turn, [call]))


def result_of(events: list[AnyEvent]) -> ToolResult:
    """The tool's result, between its call and a proper end."""
    started, result, ended = events
    assert isinstance(started, ToolCall)
    assert isinstance(result, ToolResult)
    assert isinstance(ended, Done)
    return result


def test_a_functions_signature_and_docstring_become_the_schema() -> None:
    """Types, defaults, descriptions and the docstring are told to the model, the turn is not."""
    tool = Tool(search)
    assert tool.name == "search"
    assert tool.description == "Search the site.\n\nGives the titles found."
    parameters = tool.parameters
    assert parameters["required"] == ["query"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"] == {
        "query": {"type": "string", "description": "what to look for"},
        "limit": {"type": "integer", "default": 10},
        "order": {"type": "string", "enum": ["new", "old"], "default": "new"},
        "near": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
    }
    json.dumps(parameters)


def test_a_parameter_may_bear_any_name() -> None:
    """Names that pydantic models or the schema use themselves are ordinary parameters."""

    def odd(schema: str, model_config: int, title: str, _hidden: int, self: int) -> None:
        """Take odd names."""

    names = ["schema", "model_config", "title", "_hidden", "self"]
    assert list(Tool(odd).parameters["properties"]) == names
    assert all("title" not in field for field in Tool(odd).parameters["properties"].values())


class Unknown:
    """A type that pydantic cannot read from JSON."""


def _variadic(*values: int) -> None:
    """Take any number."""


def _by_position(value: int, /) -> None:
    """Take a value by position only."""


def _of_unknown(value: Unknown) -> None:
    """Take what JSON cannot hold."""


def _unresolvable(value: Missing) -> None:  # type: ignore[name-defined] # noqa: F821 - the point
    """Take what is not there."""


@pytest.mark.parametrize(
    "function", [lambda: None, _variadic, _by_position, _of_unknown, _unresolvable, Point(x=1)]
)
def test_a_function_that_cannot_be_a_tool_is_refused_at_once(function: Any) -> None:
    """What has no schema stops the start of the application, not a turn."""
    with pytest.raises(TypeError, match="tool"):
        Tool(function)


def test_two_tools_of_the_same_name_are_refused() -> None:
    """The model could not tell them apart."""
    with pytest.raises(ValueError, match="search"):
        Toolbox([search, search])


def test_arguments_are_checked_and_converted(bench: TurnBench) -> None:
    """A tool gets values of its annotated types, its own defaults, and the turn."""
    events = call_tool(bench, search, '{"query": "tea", "near": {"x": "4"}}')
    assert events[0] == ToolCall("search", "call-1", {"query": "tea", "near": {"x": "4"}})
    assert result_of(events).output == "tea 10 new x=4 y=0 hi"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "query"),
        ("{}", "query: Field required"),
        ('{"query": 5}', "query"),
        ('{"query": "x", "limit": "many"}', "limit"),
        ('{"query": "x", "order": "best"}', "order"),
        ('{"query": "x", "near": {"y": 1}}', "near.x"),
        ('{"query": "x", "colour": 1}', "colour"),
        ('{"query": "x", "turn": 1}', "turn"),
        ("[]", "arguments"),
        ('"x"', "arguments"),
        ('{"query": "x"', "Invalid JSON"),
        ("{" * 100_000, "Invalid JSON"),
        ('{"a":' * 100_000, "Invalid JSON"),
    ],
)
def test_bad_arguments_go_back_to_the_model(bench: TurnBench, arguments: str, told: str) -> None:
    """The result names what is wrong, so that the model can mend its call."""
    result = result_of(call_tool(bench, search, arguments))
    assert result.status == "error"
    assert told in result.output["error"]
    assert len(result.output["error"]) <= MAX_ERROR_CHARS


def test_an_unknown_tool_is_reported_with_the_known_ones(bench: TurnBench) -> None:
    """A tool that the model made up is an error that it can mend."""
    result = result_of(call_tool(bench, search, name="find"))
    assert result.status == "error"
    assert result.output == {"error": "there is no tool 'find'; the tools are: search"}


def _raiser(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        """Fail."""
        raise error

    return fail


class UnprintableError(Exception):
    """An exception that fails once more when it is printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("the table\n is   missing"), "RuntimeError: the table is missing"),
        (KeyError("id"), "KeyError: 'id'"),
        (ValueError("no such day"), "no such day"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (UnprintableError(), "UnprintableError"),
        (RuntimeError("x" * 10_000), "RuntimeError: " + "x" * (MAX_ERROR_CHARS - 14)),
    ],
)
def test_an_exception_becomes_a_short_result(bench: TurnBench, error: Exception, told: str) -> None:
    """The model gets the exception's type and text in one line, never a traceback."""
    result = result_of(call_tool(bench, _raiser(error)))
    assert result.status == "error"
    assert result.output == {"error": told}


def test_a_turn_error_of_a_tool_ends_the_turn(bench: TurnBench) -> None:
    """A tool may end the turn on purpose."""
    events = call_tool(bench, _raiser(TurnError("The account is closed.")))
    assert isinstance(events[0], ToolCall)
    assert events[1:] == [Error("agent_error", "The account is closed.")]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (None, None),
        (True, True),
        (408, 408),
        (2**200, 2**200),
        ("text", "text"),
        ([1, {"a": None}], [1, {"a": None}]),
        ({1: {2}}, {"1": [2]}),
        ((1, Decimal("1.5")), [1, "1.5"]),
        (b"bytes", "bytes"),
        (Place("x", date(2026, 1, 2)), {"name": "x", "since": "2026-01-02"}),
        (Point(x=1), {"x": 1, "y": 0}),
        pytest.param(threading.current_thread, str(threading.current_thread), id="function"),
    ],
)
def test_any_output_becomes_a_json_value(value: Any, output: Any) -> None:
    """What JSON has a form for keeps its shape, anything else becomes its text."""
    assert bounded_json(value) == output
    encode_event(ToolResult("tool", "call-1", bounded_json(value)))


@pytest.mark.parametrize("value", ["é" * 1_000_000, ["x" * 100] * 10_000, {"a": "x" * 1_000_000}])
def test_a_large_output_is_cut(value: Any) -> None:
    """An output's size is bounded, and the cut is visible."""
    cut = bounded_json(value)
    assert isinstance(cut, str)
    assert MAX_OUTPUT_BYTES - 10 < len(cut.encode()) < MAX_OUTPUT_BYTES + 100
    assert "cut" in cut[-40:]


def test_an_output_without_an_end_is_an_error(bench: TurnBench) -> None:
    """A value that contains itself ends neither the turn nor the worker."""

    def loop() -> list[Any]:
        """Give a list that contains itself."""
        endless: list[Any] = []
        endless.append(endless)
        return endless

    assert result_of(call_tool(bench, loop)).status == "error"


def test_sync_tools_run_in_the_turns_thread_with_an_app_context_of_their_own(
    bench: TurnBench,
) -> None:
    """What a tool opens in its app context is given back before the next tool runs."""
    open_contexts: list[int] = []
    seen: list[tuple[str, list[int]]] = []

    @contextmanager
    def app_context() -> Iterator[None]:
        open_contexts.append(len(open_contexts))
        yield
        open_contexts.pop()

    def look() -> None:
        """Note where this runs."""
        seen.append((threading.current_thread().name, list(open_contexts)))

    def agent(turn: Turn) -> Iterator[AnyEvent]:
        look()
        for number in range(2):
            yield from toolbox.run(turn, [CallRequest(str(number), "look", "{}")])

    toolbox = Toolbox([look])
    run = bench.start(agent, app_context=app_context)
    assert run.wait_ended(10)
    wait_for(lambda: run.thread and not run.thread.is_alive(), "the turn's thread has ended")
    assert seen == [("wsgi_app-turn", [0]), ("wsgi_app-turn", [0, 1]), ("wsgi_app-turn", [0, 1])]
    assert open_contexts == []
    assert isinstance(events_of(run)[-1], Done)


def test_async_tools_run_on_the_agents_loop(bench: TurnBench) -> None:
    """An async function is awaited on the loop for users' code."""

    async def where(turn: Turn) -> str:
        """Tell where this runs."""
        return f"{threading.current_thread().name} {turn.message}"

    assert result_of(call_tool(bench, where)).output == "wsgi_app-loop-agents hi"


@settings(deadline=None)  # what else the machine does says nothing here
@given(
    arguments=st.text()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_no_arguments_break_a_turn(arguments: str) -> None:
    """Whatever a model writes as arguments, the call ends with a result."""
    result = result_of(call_tool(_fuzz_bench, search, arguments))
    assert result.status in {"complete", "error"}


_fuzz_bench = TurnBench()


def arrays(
    pair: tuple[float, str],
    same: tuple[int, int],
    any_list: list[Any],
    nested: dict[str, tuple[int, ...]],
) -> None:
    """Take arrays of all kinds."""


def test_every_array_says_what_is_in_it() -> None:
    """OpenAI refuses a tool, and so each request, whose schema has an array without ``items``."""
    properties = Tool(arrays).parameters["properties"]
    assert properties["pair"]["items"] == {"anyOf": [{"type": "number"}, {"type": "string"}]}
    assert properties["same"]["items"] == {"type": "integer"}
    assert properties["any_list"]["items"] == {}
    assert properties["nested"]["additionalProperties"]["items"] == {"type": "integer"}


class Spot(BaseModel):
    """A place and its size."""

    name: str
    size: tuple[float, float] = (0, 0)


def test_a_strict_tool_names_and_requires_all_of_its_fields() -> None:
    """So that the provider keeps the model to the schema."""

    def go(place: Spot, fast: bool = False) -> None:  # noqa: FBT001, FBT002 - a tool's argument
        """Go somewhere."""

    tool = Tool(go, strict=True)
    assert tool.strict
    assert tool.parameters["required"] == ["place", "fast"]
    assert tool.parameters["additionalProperties"] is False
    place = tool.parameters["$defs"]["Spot"]
    assert (place["required"], place["additionalProperties"]) == (["name", "size"], False)
    size = place["properties"]["size"]
    assert size["items"] == {"type": "number"}
    assert not {"prefixItems", "default"} & size.keys()


@pytest.mark.parametrize("kind", [dict[str, int], Any, list[Any]])
def test_what_strict_mode_cannot_say_is_refused_at_once(kind: Any) -> None:
    """When the tool is made, and not by the provider in each turn."""

    def take(value: Any) -> None:
        """Take a value."""

    take.__annotations__["value"] = kind
    with pytest.raises(TypeError, match="strict mode"):
        Tool(take, strict=True)
