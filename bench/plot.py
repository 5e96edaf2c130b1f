"""The picture of a run: delivered tokens per second and p99 latency over streams, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.report import Rows, median, names_in, numbers_in
from bench.servers import PEERS

#: Works that are drawn, the first of them that a run has.
DRAWN: Final = ("tokens", "generator", "journal")
WIDTH: Final = 900
HEIGHT: Final = 420
PANEL_WIDTH: Final = 350
PANEL_HEIGHT: Final = 260
TOP: Final = 50
LEGEND_COLUMNS: Final = 3
#: Told apart by those who see few colours too (Okabe and Ito).
COLORS: Final[Mapping[str, str]] = {
    "host": "#56b4e9",
    "host-parked": "#0072b2",
    "host-memory": "#b3a2d8",
    "host-parked-memory": "#7d5fb2",
    "wsgi": "#000000",
    "flask": "#999999",
    "fastapi": "#d55e00",
    "fastapi-sse": "#e69f00",
    "fastapi-aiohttp": "#a33c00",
    "express": "#009e73",
}


class Panel(NamedTuple):
    """One diagram: what it shows, where, and how a value becomes a height from 0 to 1."""

    title: str
    figure: str
    left: float
    ticks: Sequence[float]
    height_of: Callable[[float], float]


def save(path: Path, works: Mapping[str, Any]) -> None:
    """Draw the first work of a run that has lines; nothing if it has none."""
    name = next((name for name in DRAWN if name in works), None)
    if name is None:
        return
    rows = [row for row in works[name]["rows"] if row["server"] in PEERS]
    path.write_text(draw(rows))


def draw(rows: Rows) -> str:
    """Draw one line per server, its medians over the rounds."""
    loads, servers = numbers_in(rows, "streams"), names_in(rows, "server")
    panels = [_throughput(rows), _latency(rows)]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for panel in panels:
        parts += _frame(panel, loads)
        for server in servers:
            parts.append(_line(panel, rows, server, loads))
    for place, server in enumerate(servers):
        parts += _legend(place, server)
    return "\n".join([*parts, "</svg>\n"])


def _throughput(rows: Rows) -> Panel:
    top = max(row["tokens_per_second"] for row in rows)
    step = 10 ** math.floor(math.log10(top)) / 2
    step = step if top / step <= 6 else step * 2  # noqa: PLR2004 - lines enough
    ticks = [step * n for n in range(math.ceil(top / step) + 1)]
    return Panel("tokens/s delivered", "tokens_per_second", 75, ticks, lambda v: v / ticks[-1])


def _latency(rows: Rows) -> Panel:
    """Its scale is logarithmic: servers differ by orders of magnitude."""
    values = [max(row["p99_ms"], 0.1) for row in rows]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    return Panel(
        "p99 latency in ms",
        "p99_ms",
        525,
        [10.0**n for n in range(low, high + 1)],
        lambda v: (math.log10(max(v, 10**low)) - low) / (high - low),
    )


def _frame(panel: Panel, loads: Sequence[int]) -> list[str]:
    right = panel.left + PANEL_WIDTH
    parts = [f'<text x="{panel.left}" y="30" font-size="14" fill="#222">{panel.title}</text>']
    for tick in panel.ticks:
        y = _y(panel, tick)
        place = f'x="{panel.left - 6}" y="{y + 4:.1f}" text-anchor="end"'
        parts += [
            f'<path d="M{panel.left},{y:.1f}H{right}" stroke="#dddddd"/>',
            f'<text {place} fill="#555">{tick:,g}</text>',
        ]
    parts += [
        f'<text x="{_x(panel, load, loads):.1f}" y="{TOP + PANEL_HEIGHT + 18}" '
        f'text-anchor="middle" fill="#555">{load:,}</text>'
        for load in loads
    ]
    middle = panel.left + PANEL_WIDTH / 2
    parts.append(
        f'<text x="{middle}" y="{TOP + PANEL_HEIGHT + 34}" text-anchor="middle" fill="#555">'
        "streams at once</text>"
    )
    return parts


def _line(panel: Panel, rows: Rows, server: str, loads: Sequence[int]) -> str:
    points = []
    for load in loads:
        own = [row for row in rows if (row["server"], row["streams"]) == (server, load)]
        if own:
            y = _y(panel, median(own, panel.figure))
            points.append(f"{_x(panel, load, loads):.1f},{y:.1f}")
    width = 3 if server.startswith("host") else 1.5
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="3" fill="{COLORS[server]}"/>'
        for x, y in (point.split(",") for point in points)
    )
    return (
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLORS[server]}" '
        f'stroke-width="{width}"/>{dots}'
    )


def _legend(place: int, server: str) -> list[str]:
    x = 75 + place % LEGEND_COLUMNS * 275
    y = TOP + PANEL_HEIGHT + 62 + place // LEGEND_COLUMNS * 20
    return [
        f'<path d="M{x},{y - 4}h22" stroke="{COLORS[server]}" stroke-width="3"/>',
        f'<text x="{x + 28}" y="{y}" fill="#222">{escape(PEERS[server].label)}</text>',
    ]


def _x(panel: Panel, load: int, loads: Sequence[int]) -> float:
    span = max(loads) - min(loads) or 1
    return panel.left + 10 + (load - min(loads)) / span * (PANEL_WIDTH - 20)


def _y(panel: Panel, value: float) -> float:
    return TOP + PANEL_HEIGHT * (1 - panel.height_of(value))
