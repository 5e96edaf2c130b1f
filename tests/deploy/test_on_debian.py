"""The image and the units, in a clean Debian of their own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import WANTS_JSON, chat_body
from tests.support.debian import Docker, Systemd, debian_root, docker_engine, run, systemd
from tests.support.deployed import SCRIPTED, debian_environment
from tests.support.processes import ROOT, free_port, temporary_folder
from tests.support.reading import ReadingClient
from tests.support.servers import Server, answers_http, redis_server
from tests.support.sse import Stream, open_stream, text_of
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BUILD_SECONDS = 900
BASE = "agent-host-base"
IMAGE = "agent-host-test"
#: What the image may add to its base.
MOST_MEGABYTES = 200
TOKEN = "change-me"
#: The first number that systemd gives an account of DynamicUser (systemd.exec(5)).
DYNAMIC_UID = 61184
#: A turn of four seconds, and what it says.
STEP = {"tokens": 40, "pause": 0.1}
WORDS = "".join(f"w{number} " for number in range(1, 41))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A clean Debian for all tests of this file."""
    with debian_root() as root:
        yield root


@pytest.fixture(scope="module")
def docker(root: Path) -> Iterator[Docker]:
    """An engine with the image built from deploy/Dockerfile.

    No registry of images is at hand, so Debian's smallest system stands in for the image
    debian:bookworm-slim, which is made of the same packages less their documentation.
    """
    with docker_engine() as docker:
        docker.import_image(root, BASE)
        try:
            docker(
                *("build", "--network", "host", "--file", "deploy/Dockerfile"),
                *("--build-arg", f"BASE={BASE}", "--tag", IMAGE, str(ROOT)),
                seconds=BUILD_SECONDS,
            )
            yield docker
        finally:
            docker("image", "rm", "--force", IMAGE, BASE)


@pytest.fixture
def container(docker: Docker) -> Iterator[tuple[str, int]]:
    """A container as compose.yaml runs it: its id, and the port it serves."""
    port = free_port()
    limits = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")  # noqa: S108 - not ours
    volume = ("--volume", "/home/agent-host/work")
    name = docker(
        *("run", "--detach", "--network", "host", *limits, *volume),
        *("--security-opt", "no-new-privileges:true"),
        *("--env", f"PORT={port}", "--env", f"AGENT_TOKENS={TOKEN}=my-tenant"),
        *("--health-interval", "1s", IMAGE),
    ).strip()
    try:
        yield name, port
    finally:
        docker("rm", "--force", "--volumes", name)


def inspect(docker: Docker, name: str) -> Any:
    """What the engine knows of an image or a container."""
    [found] = json.loads(docker("inspect", name))
    return found


def test_image_is_small(docker: Docker) -> None:
    """The image adds little to its base, and no tool that only its making needs."""
    added = (inspect(docker, IMAGE)["Size"] - inspect(docker, BASE)["Size"]) / 1e6
    assert added < MOST_MEGABYTES, f"{added:.0f} MB"
    inside = ("run", "--rm", "--entrypoint", "sh", IMAGE, "-c")
    assert docker(*inside, "command -v pip pip3 git curl cc || echo none").strip() == "none"
    assert docker(*inside, "ls -A /srv/agent-host").split() == ["gunicorn.conf.py"]


def test_container_is_healthy_and_no_root(docker: Docker, container: tuple[str, int]) -> None:
    """With a read-only root and no privileges it becomes healthy, and gunicorn is process 1."""
    name, _ = container
    health = ("inspect", "--format", "{{.State.Health.Status}}", name)
    wait_for(lambda: docker(*health).strip() == "healthy", "a healthy container", 60)
    status = docker("exec", name, "cat", "/proc/1/status")
    assert "Name:\tgunicorn" in status
    assert "Uid:\t10001\t10001\t10001\t10001" in status
    assert "NoNewPrivs:\t1" in status
    docker("exec", name, "sh", "-c", "touch $AGENT_WORKDIR/file")


def test_health_check_fails_without_the_app(docker: Docker) -> None:
    """The health check is one: where nothing serves, it fails."""
    _, *check = inspect(docker, IMAGE)["Config"]["Healthcheck"]["Test"]
    without_app = ("run", "--rm", "--network", "host", "--env", f"PORT={free_port()}", IMAGE)
    with pytest.raises(AssertionError, match="ended with 1"):
        docker(*without_app, *check)


def test_container_lets_streams_end(docker: Docker, container: tuple[str, int]) -> None:
    """SIGTERM, as `docker stop` sends it, lets a running stream end; the container ends with 0."""
    name, port = container
    wait_for(lambda: answers_http(port), "the app", 60)
    with ask(port) as stream:
        stream.until("token")
        docker("kill", "--signal", "TERM", name)
        assert list(stream)[-1].data["type"] == "done"
    assert docker("wait", name).strip() == "0"


def ask(port: int) -> Stream:
    """Start a turn of the demo agent."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{port}/chat/s-1"
    return open_stream("POST", url, json={"message": "what is 12*34?"}, headers=headers)


class Units(NamedTuple):
    """The units in a Debian that runs them."""

    systemd: Systemd
    server: Server
    instance: Server

    def main_pid(self, unit: str) -> int:
        """The unit's first process, as its systemd numbers it."""
        return int(self.show("MainPID", unit))

    def state(self, unit: str) -> str:
        """Such as active, deactivating, activating."""
        return self.show("ActiveState", unit)

    def show(self, name: str, unit: str) -> str:
        """One of the unit's properties."""
        return self.systemd("systemctl", "show", "--value", f"--property={name}", unit).strip()


@pytest.fixture(scope="module")
def units(root: Path) -> Iterator[Units]:
    """Debian with systemd, the units, what they expect in /srv and /etc, and a Redis beside it."""
    port = free_port()
    with temporary_folder() as folder, redis_server() as store:
        booted_root = folder / "root"
        run(["cp", "--archive", str(root), str(booted_root)])
        install = "apt-get update && apt-get install --yes --no-install-recommends"
        # procps has the `kill` of ExecReload; every Debian that is more than a container has it.
        packages = "systemd-sysv procps python3"
        run(["chroot", str(booted_root), "sh", "-c", f"{install} {packages}"], 600)
        for unit in ("agent-host.socket", "agent-host.service", "agent-host@.service"):
            text = (ROOT / "deploy" / unit).read_text().replace(":8000", f":{port}")
            (booted_root / "etc/systemd/system" / unit).write_text(text)
        settings = {**SCRIPTED, "AGENT_TOKENS": "dev=tenant", "AGENT_REDIS_URL": store.url}
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (booted_root / "etc/agent-host.env").write_text(lines)
        install_checkout(booted_root / "srv/agent-host")
        with systemd(booted_root) as booted:
            console = booted.process
            yield Units(booted, Server(console, port), Server(console, free_port()))


def install_checkout(folder: Path) -> None:
    """Copy what runs, and an environment of Debian's Python that knows its new place."""
    for name in ("wsgi_app", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(ROOT / "gunicorn.conf.py", folder)
    run(["cp", "--archive", str(debian_environment()), str(folder / ".venv")])
    program = folder / ".venv/bin/gunicorn"
    _, _, rest = program.read_text().partition("\n")
    program.write_text(f"#!/srv/agent-host/.venv/bin/python\n{rest}")


def test_connection_starts_the_service(units: Units) -> None:
    """The socket alone is enabled: the first request starts gunicorn, as an account of its own."""
    units.systemd("systemctl", "start", "agent-host.socket")
    client = ReadingClient(units.server, prefix="")
    assert client.call("GET", "/readyz", seconds=60).json["status"] == "ready"
    assert client.chat_json("first", {"text": "hello"}).json["reply"] == "hello"
    status = units.systemd("cat", f"/proc/{units.main_pid('agent-host')}/status")
    uid, gid = re.findall(r"^[UG]id:\t(\d+)", status, re.MULTILINE)
    assert int(uid) == int(gid) >= DYNAMIC_UID


def test_reload_keeps_streams(units: Units) -> None:
    """With `systemctl reload` a running stream goes on to its end, and new workers serve."""
    units.systemd("systemctl", "start", "agent-host")
    client = ReadingClient(units.server, prefix="")
    with client.chat("reloaded", STEP) as stream:
        frames = stream.until("token")
        units.systemd("systemctl", "reload", "agent-host")
        assert client.chat_json("meanwhile", {"text": "new"}).json["reply"] == "new"
        frames += list(stream)
    assert text_of(frames) == frames[-1].data["reply"] == WORDS


def test_restart_lets_streams_end_and_connections_wait(units: Units) -> None:
    """With `systemctl restart` a running stream ends in good order; who comes meanwhile waits.

    The old workers may still take a request and refuse it, but no connection is refused.
    """
    units.systemd("systemctl", "start", "agent-host")
    client = ReadingClient(units.server, prefix="")
    before = units.main_pid("agent-host")
    with client.chat("restarted", STEP) as stream:
        frames = stream.until("token")
        units.systemd("systemctl", "restart", "--no-block", "agent-host")
        wait_for(lambda: units.state("agent-host") != "active", "the restart begins", 30)
        patient = chat_body({"text": "x"})
        wait_for(lambda: is_answered(client, patient), "an answer for who came meanwhile", 60)
        frames += list(stream)
    assert text_of(frames) == frames[-1].data["reply"] == WORDS
    # An old worker that had not learnt of the restart may have answered.
    wait_for(lambda: units.main_pid("agent-host") not in (0, before), "the new service", 60)


def is_answered(client: ReadingClient, body: dict[str, Any]) -> bool:
    """Ask once; the only refusal that may come is that of a worker which drains."""
    answer = client.call("POST", "/chat/patient", body, headers=WANTS_JSON, seconds=60)
    assert answer.status == 200 or answer.json["code"] == "draining", answer.body
    return answer.status == 200


def test_instance_has_one_worker_and_a_port(units: Units) -> None:
    """An instance of the template serves its port with one worker, and stops without a fault."""
    unit = f"agent-host@{units.instance.port}"
    units.systemd("systemctl", "start", unit)
    wait_for(lambda: answers_http(units.instance.port), "the instance", 60)
    client = ReadingClient(units.instance, prefix="")
    assert client.chat_json("instance", {"text": "hello"}).json["reply"] == "hello"
    main = units.main_pid(unit)
    workers = units.systemd("cat", f"/proc/{main}/task/{main}/children").split()
    assert len(workers) == 1
    units.systemd("systemctl", "stop", unit)
    assert units.show("Result", unit) == "success"
