"""deploy/grafana.json: each query asks for what GET /metrics tells, and nothing is forgotten."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.each import each
from tests.support.processes import ROOT
from wsgi_app.metrics.definitions import HOST_LABEL, PREFIX, Metrics, ProcessMetrics

DASHBOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text())
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
#: The samples of a metric end so, by its type (Prometheus' text format).
ENDINGS = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
#: The labels of PromQL's own making.
OWN_LABELS = {"le"}


def samples() -> dict[str, set[str]]:
    """The names of all samples, and the labels that each may have."""
    return {
        metric.name + ending: set(labels) | OWN_LABELS
        for metric, labels in _metrics()
        for ending in ENDINGS[metric.type]
    }


def _metrics() -> list[tuple[Any, tuple[str, ...]]]:
    found = []
    for made in (Metrics("a-host"), ProcessMetrics()):
        for collector in made.registry._collector_to_names:  # noqa: SLF001 - told nowhere else
            (metric,) = collector.collect()
            found.append((metric, collector._labelnames))  # type: ignore[attr-defined] # noqa: SLF001 - the same
    return each(found, 20)


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Each name in a query is a sample's, and each label is one that it has."""
    known = samples()
    names = re.findall(rf"\b{PREFIX}\w+", query)
    assert names
    assert set(names) <= set(known), query
    asked = [
        label for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")
    ]
    asked += re.findall(r"[{,]\s*(\w+)\s*=", query)
    for label in asked:
        assert label.strip() in known[names[0]], (label, query)
    assert (HOST_LABEL in asked) == (HOST_LABEL in known[names[0]]), "of the chosen hosts alone"


def test_every_metric_is_shown() -> None:
    """No metric is without a panel."""
    asked = {name for query in QUERIES for name in re.findall(rf"\b{PREFIX}\w+", query)}
    missing = [
        metric.name
        for metric, _ in _metrics()
        if not asked & {metric.name + ending for ending in ENDINGS[metric.type]}
    ]
    assert missing == []


def test_panels_have_a_place_and_a_name() -> None:
    """Panels do not lie over each other, and each has an id and a title of its own."""
    squares: set[tuple[int, int]] = set()
    for panel in each(DASHBOARD["panels"], 20):
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & squares, panel["title"]
        assert max(x for x, _ in own) < 24
        squares |= own
    for name in ("id", "title"):
        values = [panel[name] for panel in DASHBOARD["panels"]]
        assert len(set(values)) == len(values)


def test_metrics_are_described_for_operators() -> None:
    """deploy/README.md names each metric."""
    text = (ROOT / "deploy" / "README.md").read_text()
    for metric, labels in _metrics():
        ending = "_total" if metric.type == "counter" else ""
        told = metric.name.removeprefix(PREFIX) + ending
        named = ",".join(label for label in labels if label != HOST_LABEL)
        told += f"{{{named}}}" if named else ""
        assert f"`{told}`" in text, told
