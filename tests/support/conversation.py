"""The conversation that every kind of agent is put through: two steps, three tools, one question.

The model calls ``add``, ``read_file``, which fails, and ``pick_colour``, which asks the user; then
it answers. An agent under test gives these three functions to its framework as tools.
"""

from __future__ import annotations

from typing import Any, Final

from tests.support.upstream_script import Call, Script, Text, ToolCalls, Usage
from wsgi_app import current_turn

MESSAGE: Final = "Add 2 and 3, read notes.txt, and ask me for a colour."
PROMPT: Final = "Which colour?"
ANSWER: Final = "blue"
REPLY: Final = "Let me look. The sum is 5, the colour blue."
FAILURE: Final = "no such file: notes.txt"

FIRST_STEP: Final[Script] = (
    Text(("Let me", " look. ")),
    ToolCalls(
        (
            Call("c1", "add", '{"a": 2, "b": 3}'),
            Call("c2", "read_file", '{"name": "notes.txt"}'),
            Call("c3", "pick_colour", "{}"),
        )
    ),
    Usage(11, 5),
)
_TOOLS: Final = ("add", "read_file", "pick_colour")
SECOND_STEP: Final[Script] = (
    Text(("The sum", " is 5,", " the colour", " blue.")),
    Usage(23, 7),
)
SCRIPTS: Final = (FIRST_STEP, SECOND_STEP)
USAGE: Final = {"input_tokens": 34, "output_tokens": 12, "total_tokens": 46}
#: What every kind of agent should say; tests/agents/test_contract.py says where one differs.
GOLDEN: Final[list[dict[str, Any]]] = [
    {"type": "token", "content": "Let me look. "},
    {
        "type": "tool_call",
        "tool": "add",
        "call_id": "call-1",
        "input": {"a": 2, "b": 3},
        "status": "running",
    },
    {
        "type": "tool_call",
        "tool": "read_file",
        "call_id": "call-2",
        "input": {"name": "notes.txt"},
        "status": "running",
    },
    {
        "type": "tool_call",
        "tool": "pick_colour",
        "call_id": "call-3",
        "input": {},
        "status": "running",
    },
    {"type": "input_request", "request_id": "request-1", "prompt": PROMPT},
    {"type": "tool_result", "tool": "add", "call_id": "call-1", "output": 5, "status": "complete"},
    {
        "type": "tool_result",
        "tool": "read_file",
        "call_id": "call-2",
        "output": {"error": f"FileNotFoundError: {FAILURE}"},
        "status": "error",
    },
    {
        "type": "tool_result",
        "tool": "pick_colour",
        "call_id": "call-3",
        "output": "blue",
        "status": "complete",
    },
    {"type": "token", "content": "The sum is 5, the colour blue."},
    {
        "type": "done",
        "reply": REPLY,
        "session_id": "session-1",
        "turn_id": "1",
        "usage": USAGE,
    },
]


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def read_file(name: str) -> str:
    """Read a file."""
    raise FileNotFoundError(f"no such file: {name}")


def pick_colour() -> str:
    """Ask the user for a colour."""
    return str(current_turn().ask(PROMPT))


def transcript(events: list[dict[str, Any]], *, calls_race: bool = False) -> list[dict[str, Any]]:
    """What a golden transcript holds of a turn's native events.

    With ``calls_race`` the framework reports a step's calls from threads of their own, in no
    particular order: they are put into the model's.

    Tokens and thinking are joined where they follow each other, ids that are made again each time
    are replaced by numbers in their order, and what parallel tools send between two tokens is
    sorted: calls as they came, then the question, then results by their call's number.
    """
    numbered = _with_numbers(_in_model_order(events) if calls_race else _joined(events))
    lines: list[dict[str, Any]] = []
    block: list[dict[str, Any]] = []
    for event in numbered:
        if event["type"] in _TOOL_ORDER:
            block.append(event)
            continue
        lines += [*sorted(block, key=_tool_order), event]
        block = []
    return lines + sorted(block, key=_tool_order)


_TOOL_ORDER: Final = {"tool_call": 0, "input_request": 1, "tool_result": 2}


def _tool_order(event: dict[str, Any]) -> tuple[int, str]:
    name = event["call_id"] if event["type"] == "tool_result" else ""
    return _TOOL_ORDER[event["type"]], name


def _in_model_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = _joined(events)
    calls = [line for line in lines if line["type"] == "tool_call"]
    ordered = iter(sorted(calls, key=lambda call: _TOOLS.index(call["tool"])))
    return [next(ordered) if line["type"] == "tool_call" else line for line in lines]


def _joined(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for event in events:
        joins = event["type"] in ("token", "thinking")
        if joins and lines and lines[-1]["type"] == event["type"]:
            lines[-1]["content"] += event["content"]
        else:
            lines.append({name: value for name, value in event.items() if name != "id"})
    return lines


def _with_numbers(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    numbers: dict[str, str] = {}
    for event in events:
        for field in ("call_id", "request_id", "session_id"):
            if field in event:
                prefix = field.removesuffix("_id")
                known = sum(name.startswith(prefix) for name in numbers.values())
                event[field] = numbers.setdefault(event[field], f"{prefix}-{known + 1}")
    return events
