"""The pages of docs/reference/, made of the code: a name that is missing here is missing there.

`docs/conf.py` writes them before Sphinx reads its pages; tests/test_documentation.py asks that each
route, event, error code, option, metric and public name is on its page.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from flask import Flask

import wsgi_app
from wsgi_app import AgentHost, Turn, events
from wsgi_app.cli import main as cli
from wsgi_app.config import Settings, setting_name
from wsgi_app.errors import STATUS_BY_CODE
from wsgi_app.metrics.definitions import PREFIX, Metrics, ProcessMetrics

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).parent.parent
#: Pages of the repository outside docs/, which the site holds too.
COPIES: Final = {
    "readme.md": "README.md",
    "deploy.md": "deploy/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security-policy.md": "SECURITY.md",
}


def moved_links(text: str, source: str, place: str = "docs/reference") -> str:
    """The text of a page with the links that it has in ``place``, a folder of docs/."""

    def moved(match: re.Match[str]) -> str:
        path, mark, heading = match[1].partition("#")
        target = os.path.normpath(Path(source).parent / path)
        for copy, original in COPIES.items():
            if target == original:
                target = f"docs/reference/{copy}"
        if target.startswith("findings/"):
            target = "docs/reference/findings.md"
        return f"]({os.path.relpath(target, place)}{mark}{heading})"

    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", moved, text)


def write_pages(folder: Path) -> None:
    """Write all pages; a page that is there already is replaced."""
    folder.mkdir(exist_ok=True)
    for name, source in COPIES.items():
        (folder / name).write_text(moved_links((ROOT / source).read_text(), source))
    for name, make in PAGES.items():
        (folder / name).write_text(make())
    (folder / "layers.svg").write_text(_layers_picture(_layers()))


def findings_page() -> str:
    """What each script of findings/ shows, by its first lines."""
    lines = ["---", "orphan: true", "---", ""]  # docs/findings.md leads here
    lines += ["# What each finding is", ""]
    for script in sorted((ROOT / "findings").glob("*.sh")):
        title, *rest = _head(script)
        lines += [f"## {title.rstrip('.')}", "", f"`findings/{script.name}`", ""]
        lines += ["\n".join(rest).strip(), ""]
    return "\n".join(lines)


def finding_rows() -> list[str]:
    """The rows of docs/findings.md: what each script shows, and with which versions."""
    rows = []
    for script in sorted((ROOT / "findings").glob("*.sh")):
        title, *rest = _head(script)
        seen = re.search(r"Seen with (.*?), (20[-\d]+)\.", " ".join(rest))
        if seen is None:
            raise ValueError(f"{script.name}: its head has no 'Seen with …, <date>.'")
        link = f"[{title.rstrip('.')}](../findings/{script.name})"
        rows.append(f"| {link} | {seen[1]} | {seen[2]} |")
    return rows


def _head(script: Path) -> list[str]:
    told = script.read_text().splitlines()[1:]
    end = next(number for number, line in enumerate(told) if not line.startswith("#"))
    return [line.lstrip("#").strip() for line in told[:end]]


def http_page() -> str:
    """Each route of the OpenAPI document: what it is for, its scopes, its statuses."""
    lines = ["# Routes", "", "What `GET /openapi.json` says of each, in short.", ""]
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "patch", "delete"):
                lines += [f"## `{method.upper()} {path}`", "", operation["summary"] + ".", ""]
                lines += [_scopes(operation), ""]
                lines += _table(("parameter", "in"), _parameters(operation))
                lines += _table(("status", "what it means"), _statuses(operation))
    return "\n".join(lines)


def _scopes(operation: dict[str, Any]) -> str:
    """Who may call it, as its row in the code has it."""
    scopes = [scope for one in operation["security"][:1] for scope in one["bearer"]]
    told = " and ".join(f"`{scope}`" for scope in scopes) or "no login"
    ticket = ", or a ticket" if any("ticket" in one for one in operation["security"]) else ""
    return f"Needs {told}{ticket}."


def openapi() -> dict[str, Any]:
    """The document of a host with all routes."""
    app = Flask("site")
    host = AgentHost(_say_nothing, tokens="token=tenant", admin=True, redis_url=None)
    host.init_app(app, url_prefix="/agents")
    answer = app.test_client().get("/agents/openapi.json")
    document: dict[str, Any] = answer.get_json()
    return document


def _say_nothing(turn: Turn) -> str:
    return turn.message


def _parameters(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for parameter in operation.get("parameters", []):
        yield f"`{parameter['name']}`", parameter["in"]


def _statuses(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for status, response in operation["responses"].items():
        yield status, response.get("description", "").replace("\n", " ")


def settings_page() -> str:
    """Each setting with its type and its default; docs/settings.md says what it is."""
    rows = []
    for field in msgspec.structs.fields(Settings):
        default = "" if field.default in (None, msgspec.NODEFAULT) else repr(field.default)
        rows.append((f"`{setting_name(field.name)}`", _type_name(field.type), default))
    lines = ["# Types of the settings", "", "[Settings](../settings.md) says what each is.", ""]
    return "\n".join([*lines, *_table(("setting", "type", "default"), rows)])


def _type_name(kind: Any) -> str:
    try:
        schema = msgspec.json.schema(kind)
    except TypeError:  # a path, or what a function of ours reads
        return "text"
    for one in schema.get("anyOf", [schema]):
        if one.get("type") == "null":
            continue
        if "enum" in one:
            return ", ".join(f"`{value}`" for value in one["enum"] if value is not None)
        names = {"string": "text", "array": "list", "object": "text", "boolean": "`0` or `1`"}
        bound = f", at least {one['minimum']}" if "minimum" in one else ""
        bound = f", above {one['exclusiveMinimum']}" if "exclusiveMinimum" in one else bound
        return str(names.get(one["type"], one["type"])) + bound
    return "text"


def events_page() -> str:
    """Each event with its fields, then each error code with its status."""
    lines = ["# Events and error codes", ""]
    for kind in event_types():
        config = kind.__struct_config__
        lines += [f"## `{config.tag}`", "", inspect.getdoc(kind) or "", ""]
        fields = [(f"`{field.name}`",) for field in msgspec.structs.fields(kind)]
        lines += _table(("field",), fields)
    lines += ["## Error codes", ""]
    codes = [(f"`{code}`", str(status)) for code, status in STATUS_BY_CODE.items()]
    return "\n".join([*lines, *_table(("code", "status"), codes)])


def event_types() -> list[type[events.Event]]:
    """The types of all events, in the order of the module."""
    found = [one for _, one in inspect.getmembers(events, inspect.isclass)]
    made = [one for one in found if issubclass(one, events.Event) and one is not events.Event]
    return sorted(made, key=lambda one: inspect.getsourcelines(one)[1])


def commands_page() -> str:
    """Each command's own help."""
    lines = ["# Commands", ""]
    with click.Context(cli, info_name="wsgi-agent-host") as parent:
        for name in cli.list_commands(parent):
            command = cli.get_command(parent, name) or cli
            with click.Context(command, info_name=name, parent=parent) as context:
                lines += [f"## `{name}`", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def metrics_page() -> str:
    """Each metric with its kind and meaning."""
    lines = ["# Metrics", "", f"Of a host and of a process; each name begins with `{PREFIX}`.", ""]
    return "\n".join([*lines, *_table(("metric", "kind", "what it is"), metric_rows())])


def metric_rows() -> list[tuple[str, str, str]]:
    """Name, kind and meaning of each metric."""
    registries = [holder.registry for holder in (Metrics("site"), ProcessMetrics())]
    families = [family for registry in registries for family in registry.collect()]
    return sorted((f"`{one.name}`", one.type, one.documentation) for one in families)


def python_page() -> str:
    """The package's public names, by their docstrings."""
    lines = ["# Python", "", "What `wsgi_app` exports.", ""]
    for name in wsgi_app.__all__:
        kind = "autoclass" if inspect.isclass(getattr(wsgi_app, name)) else "autofunction"
        options = "\n   :members:" if kind == "autoclass" else ""
        lines += [f"```{{eval-rst}}\n.. {kind}:: wsgi_app.{name}{options}\n```", ""]
    return "\n".join(lines)


def layers_page() -> str:
    """What may import what, as import-linter checks it."""
    lines = ["# Import contracts", "", "A part imports only from parts below it.", ""]
    lines += ["![The parts of the package, the highest first](layers.svg)", ""]
    return "\n".join(lines + [f"- {contract['name']}" for contract in _contracts()]) + "\n"


def _contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return contracts


def _layers() -> list[str]:
    layered = [contract for contract in _contracts() if contract["type"] == "layers"]
    layers: list[str] = layered[0]["layers"]
    return layers


def _layers_picture(layers: list[str]) -> str:
    boxes = [
        _box(part, 640 / len(parts), column, row)
        for row, parts in enumerate(layer.split(" | ") for layer in layers)
        for column, part in enumerate(parts)
    ]
    size = f'width="640" height="{len(layers) * 34}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(boxes)}</svg>\n'


def _box(part: str, width: float, column: int, row: int) -> str:
    x, y = column * width, row * 34
    return (
        f'<rect x="{x + 2:.0f}" y="{y + 2}" width="{width - 4:.0f}" height="28" rx="4"'
        ' fill="#eef2f7" stroke="#8796a8"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + 21}" text-anchor="middle"'
        f' font-family="monospace" font-size="13">{escape(part)}</text>'
    )


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    cells = [" | ".join(row) for row in rows]
    if not cells:
        return []
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {row} |" for row in cells),
        "",
    ]


PAGES: Final[dict[str, Callable[[], str]]] = {
    "findings.md": findings_page,
    "routes.md": http_page,
    "setting-types.md": settings_page,
    "events.md": events_page,
    "commands.md": commands_page,
    "metrics.md": metrics_page,
    "python.md": python_page,
    "layers.md": layers_page,
}
