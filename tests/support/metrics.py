"""What GET /metrics tells, and sites with metrics of their own."""

from __future__ import annotations

from typing import Any

import requests
from flask import Flask, Response
from prometheus_client.parser import text_string_to_metric_families

from tests.support.apps import scripted_app
from tests.support.servers import Server
from tests.support.waiting import wait_for

PREFIX = "agent_host_"
Samples = dict[str, float]


def scrape(server: Server, path: str = "/agents/metrics") -> Samples:
    """All samples of the page by their names, without their prefix, and labels but the host's.

    Raises OSError when the connection breaks off.
    """
    answer = requests.get(server.url + path, timeout=20)
    assert answer.status_code == 200, answer.text
    return samples_of(answer.text)


def samples_of(page: str) -> Samples:
    """All samples of a page, as `scrape` has them."""
    return {
        _name(sample): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def _name(sample: Any) -> str:
    labels = ",".join(
        f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if name != "host"
    )
    name = str(sample.name).removeprefix(PREFIX)
    return f"{name}{{{labels}}}" if labels else name


def told(server: Server, expected: Samples, seconds: float = 20) -> Samples:
    """What the page tells of these samples, once it is as expected or time is over."""

    def now() -> Samples:
        page = scrape(server)
        return {name: page.get(name, 0) for name in expected}

    try:
        wait_for(lambda: now() == expected, "the metrics as expected", seconds)
    except AssertionError:
        return now()
    return expected


def counting_site() -> Flask:
    """Mount the scripted agent in a site that counts its requests, for all its workers."""
    from prometheus_client import CollectorRegistry, Counter, generate_latest  # noqa: PLC0415 - in the worker
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - the same

    site_requests = Counter("site_requests", "Requests of the site.", registry=CollectorRegistry())
    app = scripted_app()

    @app.before_request
    def _count() -> None:
        site_requests.inc()

    @app.get("/site-metrics")
    def _metrics() -> Response:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return Response(generate_latest(registry), content_type="text/plain")

    return app
