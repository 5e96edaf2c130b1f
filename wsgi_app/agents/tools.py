"""Plain functions as tools: their JSON schema, the check of their arguments, and their call."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python
from typing_extensions import NotRequired, TypedDict

from wsgi_app.engine import Turn
from wsgi_app.engine.history import as_text
from wsgi_app.engine.output import check_data_depth

#: A longer output is cut: it would come back with every later step of the turn.
MAX_OUTPUT_BYTES: Final = 65_536
#: A longer error text is cut: it is a hint for the model, not a log.
MAX_ERROR_CHARS: Final = 500
#: More faults of a call's arguments are only counted: pydantic takes 10 us for each to tell it,
#: while no other thread runs, and a call has room for hundreds of thousands.
MAX_FAULTS_TOLD: Final = 100
#: What providers of the chat-completions API accept (their reference, "tools").
MAX_DESCRIPTION_CHARS: Final = 1024
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class CallRefused(ValueError):  # noqa: N818 - a refusal is no fault
    """A call is refused, with a text for the model, before the tool itself has done anything."""


class CallRequest(NamedTuple):
    """A tool call as the model wrote it; ``arguments`` should be a JSON object."""

    call_id: str
    tool: str
    arguments: str


class PreparedCall(NamedTuple):
    """A call whose arguments are in order."""

    #: What the tool will get.
    arguments: dict[str, Any]
    #: Runs the call and answers a JSON value; may block, and raise anything.
    run: Callable[[], Any]


@runtime_checkable
class AnyTool(Protocol):
    """What the model may call: a `Tool`, or a tool of another source."""

    @property
    def name(self) -> str:
        """As the model knows it."""

    @property
    def description(self) -> str:
        """What it is for, for the model."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """Check a call; raises ValueError, with a text for the model, for bad arguments."""


class ToolConnections(Protocol):
    """The connections of one session to its servers of tools."""

    def tools(self, turn: Turn) -> Sequence[AnyTool]:
        """All tools as they are now, for this turn; raises TurnError when there is a fault."""

    def close(self) -> None:
        """End the connections."""


@runtime_checkable
class ToolServer(Protocol):
    """What has tools of its own, such as an MCP server; one description for all sessions."""

    @staticmethod
    def connect(servers: Any, taken: Collection[str]) -> ToolConnections:
        """Connect a session to several servers of a kind; ``taken`` are the names of others."""


class Tool:
    """A function that the model may call.

    ``timeout_seconds``: how long a call may take; without it, as long as the turn. A sync function
    that takes longer goes on unheeded, in a thread of its own.

    Read by any thread; nothing changes after construction. Raises TypeError for a function that
    cannot be described: no usable name, an annotation that pydantic does not know, parameters
    that cannot be given by name.
    """

    def __init__(
        self, function: Callable[..., Any], *, timeout_seconds: float | None = None
    ) -> None:
        self.function = function
        self.timeout_seconds = timeout_seconds
        self.name = _name_of(function)
        self.description = (inspect.getdoc(function) or "")[:MAX_DESCRIPTION_CHARS]
        hints = _hints_of(function, self.name)
        parameters = inspect.signature(function).parameters.values()
        self._turn_names = [p.name for p in parameters if hints.get(p.name) is Turn]
        fields = [p for p in parameters if p.name not in self._turn_names]
        self._arguments = _adapter(self.name, fields, hints)
        self.parameters = _schema(self._arguments, fields)

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """See `AnyTool.prepare`.

        A sync function runs in the calling thread, or in one of its own if it has a timeout, in an
        app context of its own; an async one on the ``agents`` loop.
        """
        values = self._validate(call.arguments)
        given = {**values, **dict.fromkeys(self._turn_names, turn)}
        return PreparedCall(values, lambda: self._run(turn, partial(self.function, **given)))

    def _run(self, turn: Turn, function: Callable[[], Any]) -> Any:
        seconds = self.timeout_seconds
        result = turn.call(function) if seconds is None else turn.run_in_thread(function, seconds)
        if inspect.iscoroutine(result):
            result = turn.run_async(result if seconds is None else _within(result, seconds))
        return bounded_json(result)

    def _validate(self, arguments: str) -> dict[str, Any]:
        text = arguments.strip() or "{}"
        try:
            values = self._arguments.validate_json(text)
        except ValidationError as error:
            if error.error_count() > MAX_FAULTS_TOLD:
                raise CallRefused(f"bad arguments: {error.error_count()} faults") from error
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            texts = [f"{'.'.join(map(str, f['loc'])) or 'arguments'}: {f['msg']}" for f in faults]
            raise CallRefused("bad arguments: " + "; ".join(texts)) from error
        if parse_object(text) is None:
            raise CallRefused("bad arguments: nested too deep")
        return values


def bounded_json(value: Any) -> Any:
    """Turn any value into a JSON value of at most about ``MAX_OUTPUT_BYTES``.

    What JSON has no form for becomes its ``str``; what is too long becomes the start of its text.
    Raises ValueError for what is nested too deep for an event.
    """
    value = to_jsonable_python(value, fallback=str)
    text = as_text(value)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_OUTPUT_BYTES:
        check_data_depth(value)
        return value
    kept = encoded[:MAX_OUTPUT_BYTES].decode("utf-8", "ignore")
    return f"{kept}… (cut: {len(encoded)} bytes)"


def parse_object(arguments: str) -> dict[str, Any] | None:
    """Read a call's arguments; None when they are no JSON object, or one nested too deep."""
    try:
        value = json.loads(arguments)
        check_data_depth(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def describe_error(error: BaseException) -> str:
    """One short line for the model: the exception's type and text, never a traceback."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error itself
        text = ""
    name = "" if type(error) in (ValueError, CallRefused) else f"{type(error).__name__}: "
    line = f"{name}{' '.join(text.split())}"
    return line.rstrip(": ")[:MAX_ERROR_CHARS]


async def _within(coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """The coroutine's result; asyncio.wait_for would wait for one that ignores its cancel."""
    task = asyncio.ensure_future(coroutine)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError(f"no result within {seconds:g} s")
    return task.result()


class _PlainSchema(GenerateJsonSchema):
    """Leaves the generated titles out, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    if not _TOOL_NAME.fullmatch(name):
        raise TypeError(f"a tool is a function with a name of letters, digits and _: {function!r}")
    return name


def _hints_of(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"tool {name}: cannot resolve an annotation: {error}") from error


def _adapter(
    name: str, fields: Sequence[inspect.Parameter], hints: dict[str, Any]
) -> TypeAdapter[dict[str, Any]]:
    types: dict[str, Any] = {}
    for parameter in fields:
        if parameter.kind not in _BY_NAME:
            raise TypeError(f"tool {name}: {parameter} cannot be given by name")
        hint = hints.get(parameter.name, Any)
        required = parameter.default is parameter.empty
        types[parameter.name] = hint if required else NotRequired[hint]
    make_typed_dict: Any = TypedDict  # mypy wants the fields written out
    arguments = make_typed_dict(name, types)
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        return TypeAdapter(arguments)
    except Exception as error:
        raise TypeError(f"tool {name}: pydantic does not know an annotation: {error}") from error


def _schema(
    adapter: TypeAdapter[dict[str, Any]], fields: Sequence[inspect.Parameter]
) -> dict[str, Any]:
    schema = adapter.json_schema(schema_generator=_PlainSchema)
    schema.pop("title", None)
    for parameter in fields:
        if isinstance(parameter.default, bool | int | float | str):
            schema["properties"][parameter.name]["default"] = parameter.default
    return schema
