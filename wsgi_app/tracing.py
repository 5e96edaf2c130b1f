"""Spans for OpenTelemetry, where its API is installed (the extra ``opentelemetry``); else none.

Names and attributes are those of OpenTelemetry's semantic conventions for generative AI, as of
opentelemetry-semantic-conventions 0.66b2; the host's own begin with ``agent_host.``. No
span holds a message, an answer, a tool's input or output, or an exception's text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Union

from wsgi_app.errors import AgentHostError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span

_INSTRUMENTATION: Final = "wsgi_app"
Attributes = Mapping[str, Union[str, int]]


@functools.cache
def _api() -> Any:
    """The API, loaded with the first span: what traces a site has loaded it before; else None."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 - as said
    except ImportError:
        return None
    return trace


@functools.cache
def _tracer() -> Any:
    """The host's tracer: the API's own stands in until the site has set one, and finds it then."""
    return _api().get_tracer(_INSTRUMENTATION)


def begin_span(name: str, attributes: Attributes, parent: Span | None = None) -> Span | None:
    """Begin a span below ``parent``, or below the caller's current one.

    None without the API, and where nobody has set a tracer provider: spans that go nowhere take a
    thirtieth of a short turn's CPU time, and other packages bring the API along (measured).
    """
    trace = _api()
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    context = None if parent is None else trace.set_span_in_context(parent)
    span: Span = _tracer().start_span(name, context=context, attributes=attributes)
    return span


def end_span(span: Span | None, attributes: Attributes | None = None, error: str = "") -> None:
    """End a span, with what has come of it; ``error`` is a code, never an exception's text."""
    if span is None:
        return
    span.set_attributes(dict(attributes or {}))
    if error:
        span.set_attribute("error.type", error)
        span.set_status(_api().StatusCode.ERROR, error)
    span.end()


def inside(span: Span | None) -> AbstractContextManager[Any]:
    """Make a span the caller's current one, which what is traced inside hangs below."""
    if span is None:
        return nullcontext()
    used: AbstractContextManager[Any]
    used = _api().use_span(span, record_exception=False, set_status_on_exception=False)
    return used


@contextmanager
def spanned(name: str, attributes: Attributes) -> Iterator[dict[str, str | int]]:
    """A span around a block, which may add attributes to what it is given."""
    span = begin_span(name, attributes)
    found: dict[str, str | int] = {}
    error = ""
    try:
        with inside(span):
            yield found
    except BaseException as fault:
        error = fault.code if isinstance(fault, AgentHostError) else type(fault).__name__
        raise
    finally:
        end_span(span, found, error)
