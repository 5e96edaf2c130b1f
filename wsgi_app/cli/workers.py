"""`wsgi-agent-host workers`: who serves, on all machines."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import click
import msgspec

from wsgi_app.cli.hosts import pick_mount
from wsgi_app.cli.options import json_option, prefix_option
from wsgi_app.cli.table import print_table
from wsgi_app.config import NO_NAMESPACE, Settings, load_settings, with_namespace
from wsgi_app.errors import ConfigError, StoreUnavailable
from wsgi_app.store.base import StoreLimits, WorkerView
from wsgi_app.store.redis import RedisStore

ANSWER_SECONDS = 5.0
#: The import name of the stand-alone app.
STANDALONE = "wsgi_app.standalone"


@click.command()
@prefix_option
@json_option
def workers(*, prefix: str | None, as_json: bool) -> None:
    """List the living workers that share a store, by asking the store itself.

    It is the one of AGENT_REDIS_URL, or in `flask agent` of the app's host; those of the
    AGENT_NAMESPACE, by default of the stand-alone app, or of the app's host. Turns and slots are
    those of each worker's last heartbeat, a few seconds old at the most.
    """
    mount = pick_mount(prefix)
    try:
        settings = _own_settings() if mount is None else mount[1].settings
        if settings.redis_url is None:
            raise click.ClickException(
                "Without AGENT_REDIS_URL each worker keeps its sessions to itself: there is no"
                " store to ask."
            )
        limits = StoreLimits.from_settings(settings)
        store = RedisStore(
            settings.redis_url,
            limits,
            namespace=settings.host,
            timeout_seconds=ANSWER_SECONDS,
        )
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    try:
        found = store.workers()
    except StoreUnavailable:
        raise click.ClickException("Redis does not answer (AGENT_REDIS_URL).") from None
    finally:
        store.close()
    if not found:
        name = settings.host or NO_NAMESPACE
        message = f"No worker lives in the namespace {name} (AGENT_NAMESPACE)."
        click.echo(f"{message} For a host in a site: flask --app SITE agent workers", err=True)
    if as_json:
        for view in found:
            click.echo(msgspec.json.encode(view))
        return
    columns = ("host", "pid", "turns", "slots", "since", "state", "worker")
    print_table(columns, [_row(view) for view in found])


def _own_settings() -> Settings:
    """Those of the stand-alone app."""
    return with_namespace(load_settings({}, {}, os.environ), STANDALONE, None)


def _row(view: WorkerView) -> list[str]:
    info = view.info
    since = datetime.fromtimestamp(info.started_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    return [
        info.hostname,
        str(info.pid),
        str(info.turns),
        f"{info.slots_used}/{'-' if info.slots is None else info.slots}",
        since,
        "draining" if info.draining else "serving",
        view.worker_id,
    ]
