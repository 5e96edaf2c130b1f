"""The WSGI servers beside gunicorn, each with its file of deploy/ as it is but for its addresses.

The stand-alone app hosts the scripted agent in them, so its routes are at the root.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import (
    ROOT,
    clean_environment,
    find_program,
    free_port,
    install_missing,
    install_program,
    started,
    temporary_folder,
)
from tests.support.servers import Server, answers_http

UWSGI_INI = ROOT / "deploy" / "uwsgi.ini"
APACHE_CONF = ROOT / "deploy" / "apache-mod_wsgi.conf"
#: Where deploy/apache-mod_wsgi.conf expects the checkout.
APACHE_HOME = "/srv/agent-host"
SCRIPTED = {"AGENT_FACTORY": "tests.support.agents:scripted"}
#: Kept between runs: what the lock has not changed is not fetched again.
DEBIAN_VENV = ROOT / ".venv-apache"
SETUP_SECONDS = 1200
MODULES = Path("/usr/lib/apache2/modules")
#: What Debian enables by itself, as far as a site can feel it.
DEBIAN_MODULES = ("authz_core", "deflate", "env", "filter", "mpm_event", "reqtimeout", "setenvif")


@contextmanager
def uwsgi(*, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run uWSGI with deploy/uwsgi.ini."""
    port = free_port()
    program = Path(sys.executable).parent / "uwsgi"
    with temporary_folder() as folder:
        ini = folder / "uwsgi.ini"
        ini.write_text(replace(UWSGI_INI.read_text(), {"127.0.0.1:8000": f"127.0.0.1:{port}"}))
        with started([str(program), "--ini", str(ini)], env={**SCRIPTED, **(env or {})}) as process:
            process.wait_until(lambda: answers_http(port))
            yield Server(process, port)


@contextmanager
def apache(*, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run Debian's Apache with deploy/apache-mod_wsgi.conf, in a server that compresses events."""
    program = install_program("apache2", "apache2-bin")
    # Of its own: the test of Apache as a proxy may have installed the program alone.
    install_missing((MODULES / "mod_wsgi.so").exists, "libapache2-mod-wsgi-py3")
    port = free_port()
    with temporary_folder() as folder:
        folder.chmod(0o777)  # for the account below
        main = folder / "apache2.conf"
        main.write_text(apache_main(folder, port, _wsgi_site(folder, port)))
        settings = {**SCRIPTED, **(env or {}), "APACHE_LOG_DIR": str(folder)}
        command = [*as_another_account(), program, "-f", str(main), "-D", "FOREGROUND"]
        with started(command, env=settings) as process:
            process.wait_until(lambda: answers_http(port))
            yield Server(process, port)


def replace(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each key by its value; fails if one is not there."""
    for old, new in replacements.items():
        assert old in text, f"{old!r} is not in the file any more"
        text = text.replace(old, new)
    return text


def apache_main(folder: Path, port: int, site: str) -> str:
    """A server around a site: as Debian makes it, as far as a site can feel it."""
    loads = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in DEBIAN_MODULES]
    return "\n".join(
        [
            *loads,
            f"ServerRoot {folder}",
            f"PidFile {folder}/pid",
            f"Listen 127.0.0.1:{port}",
            "ServerName localhost",
            'ErrorLog "|/bin/cat"',
            "AddOutputFilterByType DEFLATE text/event-stream application/json",
            site,
        ]
    )


def _wsgi_site(folder: Path, port: int) -> str:
    places = {
        "*:80": f"*:{port}",
        f"{APACHE_HOME}/.venv": str(debian_environment()),
        APACHE_HOME: str(ROOT),
    }
    load = f"LoadModule wsgi_module {MODULES}/mod_wsgi.so\nWSGISocketPrefix {folder}/wsgi\n"
    return load + replace(APACHE_CONF.read_text(), places)


def as_another_account() -> list[str]:
    """What to put before a command: as root, Apache refuses to run the app.

    The other account reads what root reads, wherever the checkout lies.
    """
    if os.geteuid() != 0:
        return []
    account = [find_program("setpriv", "util-linux"), "--reuid=nobody", "--regid=nogroup"]
    reads_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [*account, "--clear-groups", *reads_all, "--"]


def debian_environment() -> Path:
    """A virtual environment of the Python that Debian builds mod_wsgi for.

    Runs of tests at the same time wait for the first: another would use it half made.
    """
    script = ROOT / "scripts" / "virtualenv"
    with script.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [script, DEBIAN_VENV, "requirements-runtime.lock"],
            cwd=ROOT,
            env=clean_environment({"PYTHON": "/usr/bin/python3"}),
            check=True,
            timeout=SETUP_SECONDS,
        )
    return DEBIAN_VENV
