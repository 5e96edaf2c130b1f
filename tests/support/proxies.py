"""Apache and HAProxy in front of a server, with what deploy/README.md tells people to write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.deployed import MODULES, apache_main, as_another_account, replace
from tests.support.processes import ROOT, free_port, install_program, started, temporary_folder
from tests.support.servers import Server, answers_http

MODULES_NEEDED = ("headers", "proxy", "proxy_http")


def read_block(language: str) -> str:
    """The one code block of deploy/README.md in this language."""
    text = (ROOT / "deploy/README.md").read_text()
    [block] = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(block)


@contextmanager
def apache_proxy(host: Server, site: str = "") -> Iterator[Server]:
    """Run Apache before ``host``, in a server that compresses events.

    ``site`` is a virtual host in place of deploy/README.md's.
    """
    program = install_program("apache2", "apache2-bin")
    port = free_port()
    addresses = {"*:80": f"*:{port}", "127.0.0.1:8000": f"127.0.0.1:{host.port}"}
    with temporary_folder() as folder:
        folder.chmod(0o777)  # for the account below
        loads = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in MODULES_NEEDED]
        site = replace(site or read_block("apache"), addresses)
        main = folder / "apache2.conf"
        main.write_text(apache_main(folder, port, "\n".join([*loads, site])))
        command = [*as_another_account(), program, "-f", str(main), "-D", "FOREGROUND"]
        with started(command) as process:
            process.wait_until(lambda: answers_http(port))
            yield Server(process, port)


@contextmanager
def haproxy(host: Server, conf: str = "") -> Iterator[Server]:
    """Run HAProxy before ``host``; ``conf`` is used in place of deploy/README.md's."""
    program = install_program("haproxy", "haproxy")
    port = free_port()
    addresses = {" :80\n": f" 127.0.0.1:{port}\n", "127.0.0.1:8000": f"127.0.0.1:{host.port}"}
    # Where the tests mount the host.
    conf = conf or replace(read_block("haproxy"), {"/healthz": "/agents/healthz"})
    with temporary_folder() as folder:
        config = folder / "haproxy.cfg"
        config.write_text(replace(conf, addresses))
        with started([program, "-db", "-f", str(config)]) as process:
            process.wait_until(lambda: answers_http(port))
            yield Server(process, port)
