"""Plain functions as tools: their JSON schema, the check of their arguments, and their call."""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

from wsgi_app.agents.tool_call import CallRefused, CallRequest, PreparedCall
from wsgi_app.agents.tool_schema import strict_schema, with_items
from wsgi_app.engine import Turn
from wsgi_app.extras import needs

if TYPE_CHECKING:
    from wsgi_app.agents.tool_values import Arguments

#: A longer error text is cut: it is a hint for the model, not a log.
MAX_ERROR_CHARS: Final = 500
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


OnCrash = Literal["tell", "retry", "ask"]


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

    @property
    def has_new_tools(self) -> bool:
        """Whether `tools` would list others than it did last."""

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

    def approved(self) -> ToolServer:
        """The same server, each call of which asks the user first."""


class Tool:
    """A function that the model may call.

    ``timeout_seconds``: how long a call may take; without it, as long as the turn. A sync function
    that takes longer continues unheeded, in a thread of its own. ``strict``: have the provider keep
    the model to the schema, where it can (OpenAI, vLLM); the model then gives every argument, also
    one that has a default. ``on_crash``: what happens to a call whose worker died before its result
    was recorded, when another worker continues the turn: with ``"tell"`` the model hears that
    the outcome is unknown, with ``"retry"`` it runs again, with the same key (see `current_call`),
    with ``"ask"`` the user decides.

    Read by any thread; nothing changes after construction. Raises TypeError for a function that
    cannot be described: no usable name, an annotation that pydantic does not know, parameters
    that cannot be given by name, or with ``strict`` a type that strict mode does not know. Raises
    ConfigError without pydantic (the extra ``tools``).
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        timeout_seconds: float | None = None,
        strict: bool = False,
        on_crash: OnCrash = "tell",
    ) -> None:
        if on_crash not in ("tell", "retry", "ask"):
            raise ValueError(f"on_crash is tell, retry or ask: {on_crash!r}")
        self.function = function
        self.on_crash: OnCrash = on_crash
        self.timeout_seconds = timeout_seconds
        self.strict = strict
        self.name = _name_of(function)
        self.description = inspect.getdoc(function) or ""
        hints = _hints_of(function, self.name)
        parameters = inspect.signature(function).parameters.values()
        self._turn_names = [p.name for p in parameters if hints.get(p.name) is Turn]
        fields = [p for p in parameters if p.name not in self._turn_names]
        self._arguments, self._as_json = _values_of(self.name, fields, hints)
        try:
            self.parameters = (strict_schema if strict else with_items)(self._arguments.schema)
        except ValueError as error:
            raise TypeError(f"tool {self.name}: {error}") from error

    def prepare(self, turn: Turn, call: CallRequest) -> PreparedCall:
        """See `AnyTool.prepare`.

        A sync function runs in the calling thread, or in one of its own if it has a timeout, in an
        app context of its own; an async one on the ``agents`` loop.
        """
        values = self._arguments.validate(call.arguments)
        given = {**values, **dict.fromkeys(self._turn_names, turn)}
        return PreparedCall(values, lambda: self._run(turn, partial(self.function, **given)))

    def _run(self, turn: Turn, function: Callable[[], Any]) -> Any:
        seconds = self.timeout_seconds
        result = turn.call(function) if seconds is None else turn.run_in_thread(function, seconds)
        if inspect.iscoroutine(result):
            result = turn.run_async(result if seconds is None else _within(result, seconds))
        return self._as_json(result)


def lane_of(tool: AnyTool | None) -> object:
    """What a tool's calls share with others that run one after the other; None: with none."""
    return getattr(tool, "lane", None)


def on_crash_of(tool: AnyTool | None) -> OnCrash:
    """What happens to a call in flight, see `Tool`; for tools of other sources it is "tell"."""
    found: OnCrash = getattr(tool, "on_crash", "tell")
    return found


def is_strict(tool: AnyTool) -> bool:
    """Whether a provider should keep the model to the tool's schema."""
    return isinstance(tool, Tool) and tool.strict


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


def _values_of(
    name: str, fields: Sequence[inspect.Parameter], hints: dict[str, Any]
) -> tuple[Arguments, Callable[[Any], Any]]:
    """The check of a tool's arguments, and what makes its result JSON."""
    with needs("tools", "a tool"):
        from wsgi_app.agents.tool_values import Arguments, bounded_json  # noqa: PLC0415 - see there

    return Arguments(name, fields, hints), bounded_json
