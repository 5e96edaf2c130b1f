"""Learns the facts and has them judged, group by group."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from wsgi_app.cli.doctor.advice import advise
from wsgi_app.cli.doctor.facts import HostFacts
from wsgi_app.cli.doctor.gunicorn_checks import check_gunicorn
from wsgi_app.cli.doctor.report import Report, Unchecked
from wsgi_app.cli.doctor.set_up import CannotTellError, read_set_up
from wsgi_app.cli.doctor.settings_checks import check_app, check_environment, check_login
from wsgi_app.cli.doctor.store_checks import check_clocks, check_redis, check_refusal
from wsgi_app.cli.doctor.way import Way, WayFacts
from wsgi_app.cli.doctor.way_checks import check_way
from wsgi_app.cli.faults import HostError
from wsgi_app.engine.runtime.threads import start_thread
from wsgi_app.errors import ConfigError, StoreUnavailable
from wsgi_app.store.base import StoreLimits
from wsgi_app.store.redis import RedisStore
from wsgi_app.store.redis.facts import examine_redis


def examine_set_up(
    report: Report,
    default_app: str,
    arguments: Sequence[str],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Look at settings, gunicorn, app and Redis."""
    settings = check_environment(environ)
    report.findings += settings
    report.checked.append("settings")
    try:
        found = read_set_up(default_app, arguments)
    except CannotTellError as error:
        report.unchecked.append(Unchecked("gunicorn", str(error)))
        return
    report.findings += check_app(found.config_error, settings)
    report.findings += check_gunicorn(found)
    report.checked.append("gunicorn")
    report.advice += advise(found.gunicorn)
    if found.load_error:
        report.unchecked.append(Unchecked("app", found.load_error))
    elif not found.config_error:
        report.findings += check_login(found.hosts)
        report.checked.append("app")
    for host in {(host.redis_url, host.namespace): host for host in found.hosts}.values():
        if host.redis_url is not None:
            _examine_store(report, host.redis_url, host)


def _examine_store(report: Report, url: str, host: HostFacts) -> None:
    limits = StoreLimits(lease_seconds=host.lease_seconds)
    store = RedisStore(url, limits, namespace=host.namespace, timeout_seconds=2.0)
    try:
        store.ping()
        store.check_listening()
        servers = examine_redis(url)
        workers = store.workers()
    except ConfigError as error:
        report.unchecked.append(Unchecked("redis", str(error)))
        return
    except StoreUnavailable as error:
        if error.reason:
            report.findings.append(check_refusal(error.reason, host.prefix))
            return
        reason = f"the Redis of the host at {host.prefix} does not answer (AGENT_REDIS_URL)"
        report.unchecked.append(Unchecked("redis", reason))
        return
    finally:
        store.close()
    report.findings += check_redis(servers)
    report.findings += check_clocks(servers, workers, socket.gethostname())
    report.checked.append(f"redis, and the clocks of {len(workers)} workers")


def examine_way(report: Report, url: str, token: str, *, thorough: bool) -> None:
    """Measure the way to a running host; ``thorough`` also waits for as long as a turn may."""
    way, facts = Way(url, token), WayFacts()
    try:
        way.reach()
    except HostError as error:
        report.unchecked.append(Unchecked(f"the way to {url}", str(error)))
        return
    measurements: dict[str, Callable[[], object]] = {
        "warnings": way.warnings,
        "pace": way.pace,
        "encoding": way.encoding,
        "hangup_seconds": way.hangup,
        "upgrade_status": way.upgrade,
        "silence": way.silence,
    }
    if thorough:
        measurements["patience"] = way.patience
    measured, faults = _at_once(measurements)
    for name, value in measured.items():
        setattr(facts, name, value)
    if faults:
        names = ", ".join(faults)
        reason = str(next(iter(faults.values())))
        report.unchecked.append(Unchecked(f"the way to {url} ({names})", reason))
    report.checked.append(f"the way to {url}")
    report.findings += check_way(facts)


def _at_once(
    measurements: Mapping[str, Callable[[], object]],
) -> tuple[dict[str, object], dict[str, HostError]]:
    """Make all measurements at the same time; returns what came of them, and why of others not."""
    measured: dict[str, object] = {}
    faults: dict[str, HostError] = {}

    def make(name: str, measure: Callable[[], object]) -> None:
        try:
            measured[name] = measure()
        except HostError as fault:
            faults[name] = fault

    threads = [
        start_thread(partial(make, name, measure), f"measure-{name}")
        for name, measure in measurements.items()
    ]
    for thread in threads:
        thread.join()
    return measured, faults
