"""Plain functions as tools: their JSON schema, the check of their arguments, and their run."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python
from typing_extensions import NotRequired, TypedDict

from wsgi_app.engine import Turn
from wsgi_app.errors import TurnError
from wsgi_app.events import ToolCall, ToolResult, encode_json

#: A longer output is cut: it would come back with every later step of the turn.
MAX_OUTPUT_BYTES: Final = 65_536
#: A longer error text is cut: it is a hint for the model, not a log.
MAX_ERROR_CHARS: Final = 500
#: What providers of the chat-completions API accept (their reference, "tools").
MAX_DESCRIPTION_CHARS: Final = 1024
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class CallRequest(NamedTuple):
    """A tool call as the model wrote it; ``arguments`` should be a JSON object."""

    call_id: str
    tool: str
    arguments: str


class Tool:
    """A function that the model may call.

    Read by any thread; nothing changes after construction. Raises TypeError for a function that
    cannot be described: no usable name, an annotation that pydantic does not know, parameters
    that cannot be given by name.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = _name_of(function)
        self.description = (inspect.getdoc(function) or "")[:MAX_DESCRIPTION_CHARS]
        hints = _hints_of(function, self.name)
        parameters = inspect.signature(function).parameters.values()
        self._turn_names = [p.name for p in parameters if hints.get(p.name) is Turn]
        fields = [p for p in parameters if p.name not in self._turn_names]
        self._arguments = _adapter(self.name, fields, hints)
        self.parameters = _schema(self._arguments, fields)

    @property
    def openai_schema(self) -> dict[str, Any]:
        """The tool as the chat-completions API wants it described."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}

    def run(self, turn: Turn, arguments: str) -> Any:
        """Check the arguments, call the function, and give its output as a JSON value.

        A sync function runs in the calling thread and an app context of its own, an async one on
        the ``agents`` loop. Raises ValueError, with a text for the model, for bad arguments, and
        whatever the function raises.
        """
        values = self._validate(arguments)
        values.update(dict.fromkeys(self._turn_names, turn))
        result = turn.call(partial(self.function, **values))
        if inspect.iscoroutine(result):
            result = turn.run_async(result)
        return bounded_json(result)

    def _validate(self, arguments: str) -> dict[str, Any]:
        try:
            return self._arguments.validate_json(arguments.strip() or "{}")
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            texts = [f"{'.'.join(map(str, f['loc'])) or 'arguments'}: {f['msg']}" for f in faults]
            raise ValueError("bad arguments: " + "; ".join(texts)) from error


class Toolbox:
    """The tools of one agent; read by any thread.

    Raises ValueError when two tools bear the same name.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        tools = [Tool(function) for function in functions]
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            raise ValueError(f"two tools have the same name: {sorted(t.name for t in tools)}")

        #: All tools as the chat-completions API wants them described.
        self.schemas = [tool.openai_schema for tool in tools]

    def run(
        self, turn: Turn, call: CallRequest
    ) -> Generator[ToolCall | ToolResult, None, ToolResult]:
        """Yield the call's event, run the tool, then yield and return its result.

        Whatever is wrong with the call, and every exception of the tool but a TurnError, becomes
        a result of status ``error`` that the model can mend.
        """
        yield ToolCall(call.tool, call.call_id, parse_object(call.arguments) or {})
        try:
            result = ToolResult(call.tool, call.call_id, self._run(turn, call))
        except TurnError:
            raise  # the tool ends the turn on purpose
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
            output = {"error": describe_error(error)}
            result = ToolResult(call.tool, call.call_id, output, status="error")
        yield result
        return result

    def _run(self, turn: Turn, call: CallRequest) -> Any:
        tool = self._tools.get(call.tool)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise ValueError(f"there is no tool {call.tool!r}; the tools are: {known}")
        return tool.run(turn, call.arguments)


def bounded_json(value: Any) -> Any:
    """Turn any value into a JSON value of at most about ``MAX_OUTPUT_BYTES``.

    What JSON has no form for becomes its ``str``; what is too long becomes the start of its text.
    """
    value = to_jsonable_python(value, fallback=str)
    text = as_text(value)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_OUTPUT_BYTES:
        return value
    kept = encoded[:MAX_OUTPUT_BYTES].decode("utf-8", "ignore")
    return f"{kept}… (cut: {len(encoded)} bytes)"


def as_text(value: Any) -> str:
    """The text of a JSON value for the model: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()


def parse_object(arguments: str) -> dict[str, Any] | None:
    """Read a call's arguments; None when they are no JSON object."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def describe_error(error: Exception) -> str:
    """One short line for the model: the exception's type and text, never a traceback."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error itself
        text = ""
    line = f"{type(error).__name__}: {' '.join(text.split())}".removeprefix("ValueError: ")
    return line.rstrip(": ")[:MAX_ERROR_CHARS]


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
