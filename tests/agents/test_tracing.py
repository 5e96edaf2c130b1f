"""Spans of turns, model steps and tools, by OpenTelemetry's own SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from tests.agents.bench import AgentBench, Host
from tests.support.conversation import FAILURE, pick_colour, read_file
from tests.support.each import each
from tests.support.python import run_python
from tests.support.upstream import Upstream
from tests.support.upstream_script import Refuse
from tests.support.waiting import wait_for
from wsgi_app import OpenAIAgent, ToolCall, ToolResult, Turn, TurnError

SECRET = "secret-in-the-text"
#: As where opentelemetry-api is not installed, and where it is there and nobody collects spans.
WITHOUT = ('import sys; sys.modules["opentelemetry"] = None', "from opentelemetry import trace")
USE = """
from wsgi_app import tracing
assert tracing.begin_span("a", {}) is None
with tracing.spanned("a", {}) as found:
    found["b"] = 1
span = tracing.begin_span("a", {})
with tracing.inside(span):
    tracing.end_span(span, {}, "error")
"""


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Where this process's spans go; a provider can be set once."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(provider)
    return kept


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Callable[[], list[ReadableSpan]]:
    """The spans of one test, in the order of their ends."""
    exporter.clear()
    return lambda: list(exporter.get_finished_spans())


@pytest.fixture
def openai_host(host: Host, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Puts agents on the engine that find the scripted provider by their environment."""
    for name, value in upstream.environment.items():
        monkeypatch.setenv(name, value)
    return host


def traced_add(a: int, b: int) -> int:
    """Add two integers."""
    with trace.get_tracer("site").start_as_current_span("site's own"):
        return a + b


async def traced_later(a: int, b: int) -> int:
    """Add two integers on the loop."""
    return traced_add(a, b)


def sync_agent(_turn: Turn) -> Iterator[Any]:
    """Call a tool that fails, then fail."""
    yield ToolCall("t", "c", {"input": SECRET})
    yield ToolResult("t", "c", SECRET, "error")
    raise ValueError(SECRET)


async def async_agent(_turn: Turn) -> AsyncIterator[Any]:
    """Call a tool and work on, in a span of its own."""
    yield ToolCall("t", "c", {})
    with trace.get_tracer("site").start_as_current_span("site's own"):
        yield ToolResult("t", "c", SECRET)
    raise TurnError(SECRET)


def by_name(found: list[ReadableSpan]) -> dict[str, ReadableSpan]:
    """The spans by their names, of which there is one each."""
    named = {span.name: span for span in found}
    assert len(named) == len(found), [span.name for span in found]
    return named


def id_of(span: ReadableSpan) -> int:
    """A span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def parent_id(span: ReadableSpan) -> int | None:
    """The id of the span that it hangs below."""
    return None if span.parent is None else span.parent.span_id


def check_no_secret(found: list[ReadableSpan]) -> None:
    """Fail if a span tells what was said, or an exception."""
    told = "".join(span.to_json() for span in found)
    assert not [word for word in (SECRET, FAILURE, "Traceback", "exception") if word in told], told


@pytest.mark.parametrize("agent", [sync_agent, async_agent])
def test_turn_hangs_below_its_request(
    host: Host, spans: Callable[[], list[ReadableSpan]], agent: Any
) -> None:
    """A turn's span is the request's child, ends with the turn, and tells its error's code."""
    bench: AgentBench = host(agent)
    with trace.get_tracer("site").start_as_current_span("request") as request:
        bench.talk()
    count = 4 if agent is async_agent else 3
    wait_for(lambda: len(spans()) == count, "all spans")
    found = by_name(spans())
    turn, tool = found["invoke_agent"], found["execute_tool t"]
    assert parent_id(turn) == request.get_span_context().span_id
    assert parent_id(tool) == id_of(turn)
    assert turn.attributes is not None
    assert turn.attributes["agent_host.outcome"] == "error"
    assert turn.attributes["error.type"] == "agent_error"
    assert turn.status.description == "agent_error"
    assert turn.attributes["gen_ai.conversation.id"]
    assert tool.status.is_ok is (agent is async_agent)
    if agent is async_agent:
        assert parent_id(found["site's own"]) == id_of(turn)
    check_no_secret(list(found.values()))


@pytest.mark.parametrize("tool", [traced_add, traced_later])
def test_model_steps_and_tools_hang_below_the_turn(
    openai_host: Host, spans: Callable[[], list[ReadableSpan]], tool: Any
) -> None:
    """Each model step and each tool has its span; what a tool traces hangs below its own."""
    tool.__name__ = "add"
    bench = openai_host(OpenAIAgent("model-1", tools=[tool, read_file, pick_colour]))
    bench.transcript()
    wait_for(lambda: len(spans()) == 7, "all spans")
    found = spans()
    (turn,) = [span for span in found if span.name == "invoke_agent"]
    steps = [span for span in found if span.name == "chat model-1"]
    tools = {span.name: span for span in found if span.name.startswith("execute_tool")}
    (own,) = [span for span in found if span.name == "site's own"]
    assert len(steps) == 2
    assert set(tools) == {f"execute_tool {name}" for name in ("add", "read_file", "pick_colour")}
    for span in (*steps, *tools.values()):
        assert parent_id(span) == id_of(turn), span.name
    assert parent_id(own) == id_of(tools["execute_tool add"])
    assert not tools["execute_tool read_file"].status.is_ok
    assert turn.attributes is not None
    for kind in ("input", "output"):
        name = f"gen_ai.usage.{kind}_tokens"
        summed = sum(int(str((step.attributes or {})[name])) for step in steps)
        assert turn.attributes[name] == summed > 0
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    used = {name for span in found for name in span.attributes or {} if name.startswith("gen_ai")}
    assert used <= known, "OpenTelemetry's own names"
    check_no_secret(found)


def test_failed_model_step_has_its_code(
    openai_host: Host, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """A provider's failure is the code of the step and the turn, without the provider's words."""
    bench = openai_host(OpenAIAgent("model-1"))
    bench.talk((Refuse(400),))
    wait_for(lambda: len(spans()) == 2, "all spans")
    found = by_name(spans())
    for span in each(found.values(), 2):
        assert (span.attributes or {})["error.type"] == "upstream_error"
        assert not span.events


def test_cancelled_turn_ends_its_spans(host: Host, spans: Callable[[], list[ReadableSpan]]) -> None:
    """A turn that is cancelled in a tool ends its span and the tool's, though the agent goes on."""

    def agent(turn: Turn) -> Iterator[Any]:
        yield ToolCall("t", "c", {})
        while not turn.cancelled:
            yield from ()

    bench = host(agent)
    run = bench.start()
    wait_for(lambda: run.log.last_seq == 1, "the call")
    bench.turns.runner.cancel(run.fence.key, None, "user")
    wait_for(lambda: len(spans()) == 2, "all spans")
    found = by_name(spans())
    assert (found["invoke_agent"].attributes or {})["agent_host.outcome"] == "cancelled"
    assert (found["execute_tool t"].attributes or {})["error.type"] == "unanswered"


@pytest.mark.parametrize("without", WITHOUT)
def test_nothing_is_needed(without: str) -> None:
    """Without the package, or a provider, there are no spans, and nothing fails."""
    run_python("-c", without + USE)
