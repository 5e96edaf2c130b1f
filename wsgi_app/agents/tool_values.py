"""What pydantic does for tools: the schema and the check of arguments, and any value as JSON.

Apart from `Tool`, so that a host without tools neither loads pydantic nor needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python
from typing_extensions import NotRequired, TypedDict

from wsgi_app.agents.tool_call import CallRefused
from wsgi_app.engine.turn.history import as_text
from wsgi_app.engine.turn.valid_messages import parse_object
from wsgi_app.nesting import check_data_depth

#: A longer output is cut: it would come back with every later step of the turn.
MAX_OUTPUT_BYTES: Final = 65_536
#: More faults of a call's arguments are only counted: pydantic takes 10 us for each to tell it,
#: while no other thread runs, and a call has room for hundreds of thousands.
MAX_FAULTS_SHOWN: Final = 100

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Arguments:
    """The arguments of one tool, by its function's parameters; read by any thread.

    Raises TypeError for parameters that cannot be described.
    """

    def __init__(
        self, name: str, fields: Sequence[inspect.Parameter], hints: dict[str, Any]
    ) -> None:
        self._adapter = _adapter(name, fields, hints)
        self.schema = _schema(self._adapter, fields)

    def validate(self, arguments: str) -> dict[str, Any]:
        """Read what the model wrote; raises CallRefused for what does not fit."""
        text = arguments.strip() or "{}"
        try:
            values = self._adapter.validate_json(text)
        except ValidationError as error:
            if error.error_count() > MAX_FAULTS_SHOWN:
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


class _PlainSchema(GenerateJsonSchema):
    """Leaves the generated titles out, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


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
        if isinstance(parameter.default, (bool, int, float, str)):
            schema["properties"][parameter.name]["default"] = parameter.default
    return schema
