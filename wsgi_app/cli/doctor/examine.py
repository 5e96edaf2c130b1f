"""Learns the facts and has them judged, group by group."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from wsgi_app.cli.doctor.advice import advise
from wsgi_app.cli.doctor.facts import HostFacts
from wsgi_app.cli.doctor.files_checks import check_files, check_files_of_machines
from wsgi_app.cli.doctor.gunicorn_checks import gunicorn_checks
from wsgi_app.cli.doctor.remote import RemoteFacts, RemoteHost
from wsgi_app.cli.doctor.remote_checks import REMOTE_CHECKS
from wsgi_app.cli.doctor.report import Report, Unchecked
from wsgi_app.cli.doctor.set_up import CannotTellError, read_set_up
from wsgi_app.cli.doctor.settings_checks import check_app, check_environment, check_login
from wsgi_app.cli.doctor.store_checks import REDIS_CHECKS, check_clocks, check_refusal
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
    report.add("settings", settings)
    report.checked.append("settings")
    try:
        found = read_set_up(default_app, arguments)
    except CannotTellError as error:
        report.unchecked.append(Unchecked("gunicorn", str(error)))
        return
    report.findings += check_app(found.config_error, settings)
    for check in gunicorn_checks(found.gunicorn):
        report.add(f"gunicorn: {_words(check)}", check(found))
    report.checked.append("gunicorn")
    report.advice += advise(found.gunicorn)
    if found.load_error:
        report.unchecked.append(Unchecked("app", found.load_error))
    elif not found.config_error:
        report.add("login", check_login(found.hosts))
        report.checked.append("app")
    folders = sorted({host.files_dir for host in found.hosts} - {""})
    for folder in folders:
        report.add(f"files: {folder}", check_files(folder))
    if folders:
        report.checked.append("files")
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
    for check in REDIS_CHECKS:
        found = [finding for server in servers for finding in check(server)]
        report.add(f"redis: {_words(check)}", found)
    here = socket.gethostname()
    report.add("clocks", check_clocks(servers, workers, here))
    if host.files_dir:
        report.add("files: machines", check_files_of_machines(host.files_dir, workers, here))
    report.checked.append(f"redis, and the clocks of {len(workers)} workers")


def _words(check: Callable[..., object]) -> str:
    """What a check is about, by its name."""
    return check.__name__.strip("_").replace("_", " ")


def examine_connection(report: Report, url: str, token: str, *, thorough: bool) -> None:
    """Measure the connection to a running host; ``thorough`` waits for as long as a turn may."""
    host, facts = RemoteHost(url, token), RemoteFacts()
    try:
        host.reach()
    except HostError as error:
        report.unchecked.append(Unchecked(f"the connection to {url}", str(error)))
        return
    measurements: dict[str, Callable[[], object]] = {
        "warnings": host.warnings,
        "pace": host.pace,
        "encoding": host.encoding,
        "hangup_seconds": host.hangup,
        "upgrade_status": host.upgrade,
        "silence": host.silence,
    }
    if thorough:
        measurements["patience"] = host.patience
    measured, faults = _at_once(measurements)
    for name, value in measured.items():
        setattr(facts, name, value)
    if faults:
        names = ", ".join(faults)
        reason = str(next(iter(faults.values())))
        report.unchecked.append(Unchecked(f"the connection to {url} ({names})", reason))
    report.checked.append(f"the connection to {url}")
    for name in measured:
        report.add(f"connection: {_words(REMOTE_CHECKS[name])}", REMOTE_CHECKS[name](facts))


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
