"""Faults of the proxies between a host and its clients, measured through a real nginx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.cli.doctor.running import TOKENS, Diagnosis, run_doctor
from tests.support.servers import Gunicorn, gunicorn
from tests.support.service import project_nginx, service

#: Short, so that silences are short.
SETTINGS = {**TOKENS, "AGENT_KEEPALIVE_SECONDS": "1", "AGENT_TURN_TIMEOUT_SECONDS": "20"}

#: nginx's defaults, but for a header that it is told not to heed. Towards an upstream that speaks
#: HTTP/1.1 it passes every chunk on, whatever its buffering.
BUFFERING = {
    "proxy_buffering off;": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
    "proxy_http_version 1.1;": "proxy_http_version 1.0;",
}
GZIP = {"gzip off;": "gzip on; gzip_types text/event-stream; gzip_min_length 1;"}


@pytest.fixture(scope="module")
def host() -> Iterator[Gunicorn]:
    """A host of one worker."""
    with gunicorn(threads=32, env=SETTINGS) as server:
        yield server


def look_through_nginx(host: Gunicorn, changes: Mapping[str, str], *options: str) -> Diagnosis:
    """Have the doctor look through the project's nginx.conf with some lines changed."""
    with project_nginx([host], changes=changes) as proxy:
        return run_doctor("--url-only", "--url", proxy.url, *options)


@pytest.mark.slow
def test_good_set_up_has_no_findings() -> None:
    """The project's gunicorn.conf.py, deploy/nginx.conf and Redis are well: the status is 0."""
    with service("wsgi_app:app", hosts=1, env=SETTINGS, prefix="") as running:
        env = {**SETTINGS, "AGENT_REDIS_URL": running.store.url, "WEB_CONCURRENCY": "2"}
        found = run_doctor("--url", running.proxy.url, env=env)
    assert (found.status, found.findings, found.unchecked) == (0, {}, {})
    assert found.checked == [
        *("settings", "gunicorn", "app", "redis, and the clocks of 2 workers"),
        f"the connection to {running.proxy.url}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "changes"),
    [
        ({"buffering"}, BUFFERING),
        ({"compression"}, GZIP),
        ({"read_timeout"}, {"proxy_read_timeout 200s;": "proxy_read_timeout 500ms;"}),
        ({"upgrade"}, {"proxy_set_header Upgrade $http_upgrade;": ""}),
        ({"upgrade"}, {"proxy_set_header Connection $connection_upgrade;": ""}),
    ],
)
def test_each_fault_of_nginx(host: Gunicorn, names: set[str], changes: dict[str, str]) -> None:
    """A fault of nginx.conf is found, alone."""
    found = look_through_nginx(host, changes)
    assert found.names == names
    assert (found.status, found.unchecked) == (1, {})


@pytest.mark.slow
def test_proxy_that_keeps_a_hang_up_to_itself() -> None:
    """A host that learns of a hang-up by its next keep-alive at the earliest is found."""
    changes = {"proxy_ignore_client_abort off;": "proxy_ignore_client_abort on;"}
    with gunicorn(env={**SETTINGS, "AGENT_KEEPALIVE_SECONDS": "15"}) as server:
        assert look_through_nginx(server, changes).names == {"hang_up"}


@pytest.mark.slow
def test_proxy_that_is_too_impatient_for_json(host: Gunicorn) -> None:
    """A read timeout below the longest turn is found by waiting for as long as one may take."""
    changes = {"proxy_read_timeout 200s;": "proxy_read_timeout 6s;"}
    found = look_through_nginx(host, changes, "--thorough")
    assert found.names == {"json_timeout"}
    assert "with status 504" in found.findings["json_timeout"]["problem"]


@pytest.mark.slow
def test_what_is_no_host_could_not_be_checked(host: Gunicorn) -> None:
    """A wrong address, prefix or token makes the status 2, and says which."""
    for url, token, told in (
        ("http://127.0.0.1:1", "dev", "does not answer"),
        (f"{host.url}/elsewhere", "dev", "not_found"),
        (host.url, "wrong", "unauthorized"),
    ):
        found = run_doctor("--url-only", "--url", url, "--token", token)
        assert (found.status, found.names) == (2, set())
        [reason] = found.unchecked.values()
        assert told in reason
