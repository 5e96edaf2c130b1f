"""A clean Debian to install things in, as root: a folder, a Docker engine, a running systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import (
    Process,
    child_pids,
    find_program,
    install_program,
    started,
    temporary_folder,
)
from tests.support.waiting import wait_for

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BOOTSTRAP_SECONDS = 600
START_SECONDS = 60
#: What pip needs on this machine to reach its index; an engine's builds know nothing of it.
PIP_CA = "PIP_CERT"
CA_IN_IMAGE = "/etc/build-ca.crt"


@contextmanager
def debian_root() -> Iterator[Path]:
    """A folder with Debian's smallest system, much as the image debian:bookworm-slim has it."""
    if os.geteuid() != 0:
        pytest.fail("this test makes a Debian root, which takes root: run it with sudo")
    program = install_program("debootstrap", "debootstrap")
    with temporary_folder() as folder:
        root = folder / "root"
        run([program, "--variant=minbase", RELEASE, str(root), MIRROR], BOOTSTRAP_SECONDS)
        yield root


def run(
    command: Sequence[str], seconds: float = 60, *, env: Mapping[str, str] | None = None
) -> str:
    """Run a program to its end; its output, or an AssertionError with it."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


class Docker:
    """A Docker engine. Used by one thread."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __call__(self, *args: str, seconds: float = 60) -> str:
        """Run ``docker`` with these arguments; what it printed."""
        return run(["docker", *args], seconds, env=self._env)

    def import_image(self, root: Path, name: str) -> None:
        """Make an image of a folder, with what pip needs on this machine."""
        changes = []
        if PIP_CA in os.environ:
            shutil.copy(os.environ[PIP_CA], root / CA_IN_IMAGE.lstrip("/"))
            changes = ["--change", f"ENV {PIP_CA}={CA_IN_IMAGE}"]
        archive = root.parent / "root.tar"
        run(["tar", "--directory", str(root), "--create", "--file", str(archive), "."])
        self("import", *changes, str(archive), name)
        archive.unlink()


@contextmanager
def docker_engine() -> Iterator[Docker]:
    """The machine's own Docker engine if one answers, else Debian's, for the length of the block.

    The latter keeps its images in a temporary folder, and changes nothing of the machine's network:
    containers run with ``--network host``.
    """
    install_program("docker", "docker.io")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        yield Docker({})
        return
    program = install_program("dockerd", "docker.io")
    with temporary_folder() as folder:
        address = f"unix://{folder}/socket"
        # What it mounts (the containers' networks) goes with it.
        own_mounts = [find_program("unshare", "util-linux"), "--mount"]
        command = [*own_mounts, program, "--host", address, "--data-root", str(folder / "data")]
        command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with started(command) as process:
            docker = Docker({"DOCKER_HOST": address, "DOCKER_BUILDKIT": "0"})
            process.wait_until(lambda: "API listen on" in process.log(), START_SECONDS)
            yield docker


class Systemd:
    """A systemd that runs as the first process of a container. Used by one thread."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def __call__(self, *command: str, seconds: float = 90) -> str:
        """Run a command beside it; what it printed."""
        [leader] = child_pids(self.process.pid)
        enter = ["nsenter", "--target", str(leader), "--all", "--root", "--wd=/"]
        return run([*enter, *command], seconds)


@contextmanager
def systemd(root: Path) -> Iterator[Systemd]:
    """Boot a Debian root that has systemd; it has this machine's network."""
    program = install_program("systemd-nspawn", "systemd-container")
    command = [program, f"--directory={root}", "--boot", "--register=no", "--keep-unit"]
    with started(command) as process:
        booted = Systemd(process)
        wait_for(lambda: child_pids(process.pid), "the container's first process", START_SECONDS)
        process.wait_until(lambda: "Multi-User System" in process.log(), START_SECONDS)
        yield booted
