"""compose.yaml, kubernetes.yaml and the systemd units: valid, and true to what they deploy."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.support.client import Client
from tests.support.each import each
from tests.support.processes import ROOT, find_program, install_program
from tests.support.servers import gunicorn, redis_server
from wsgi_app.config import Settings, setting_name

DEPLOY = ROOT / "deploy"
UNITS = ("agent-host.socket", "agent-host.service", "agent-host@.service")
#: The oldest and the newest that the schemas are looked up for.
KUBERNETES_VERSIONS = ("1.30", "1.37")
SETTINGS = {setting_name(name) for name in Settings.__struct_fields__}
INGRESS_NGINX = "nginx.ingress.kubernetes.io/"


@pytest.fixture(scope="module")
def compose() -> Any:
    """Read compose.yaml."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def kinds() -> dict[str, Any]:
    """Read kubernetes.yaml; its objects by their kind."""
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def graceful_seconds() -> int:
    """After how long gunicorn kills a worker that drains."""
    return int(runpy.run_path(str(ROOT / "gunicorn.conf.py"))["graceful_timeout"])


def test_compose_file_is_valid(compose: Any) -> None:
    """compose.yaml keeps to the schema of the Compose specification."""
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(vendored.read_text()))
    compose["services"]["app"]["stop_grace_periods"] = "1s"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose, json.loads(vendored.read_text()))
    del compose["services"]["app"]["stop_grace_periods"]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_kubernetes_objects_are_valid(kinds: dict[str, Any], version: str) -> None:
    """Each object keeps to Kubernetes' own schema, without a field that it does not know."""
    assert set(kinds) == {"Deployment", "Service", "PodDisruptionBudget", "Ingress"}
    for document in kinds.values():
        kubernetes_validate.validate(document, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**kinds["Service"], "specs": {}}, version, strict=True)


def test_nothing_is_killed_while_it_drains(compose: Any, kinds: dict[str, Any]) -> None:
    """Whatever stops the app waits longer than gunicorn does."""
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [_, pause_seconds] = container["lifecycle"]["preStop"]["exec"]["command"]
    patience = [pod["terminationGracePeriodSeconds"] - int(pause_seconds)]
    periods = (compose["services"][name]["stop_grace_period"] for name in ("app", "nginx"))
    patience += [int(period.removesuffix("s")) for period in periods]
    for unit in UNITS[1:]:
        [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", (DEPLOY / unit).read_text(), re.MULTILINE)
        patience.append(int(seconds))
    assert min(patience) > graceful_seconds(), patience


def test_memory_is_bounded_everywhere(compose: Any, kinds: dict[str, Any]) -> None:
    """What an attack makes one part hold takes no memory from the others, nor from the machine."""
    assert [name for name, one in compose["services"].items() if "mem_limit" not in one] == []
    containers = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert all("memory" in one["resources"]["limits"] for one in containers)
    services = [unit for unit in UNITS if unit.endswith(".service")]
    assert all("\nMemoryMax=" in (DEPLOY / unit).read_text() for unit in services)


def test_variables_are_settings(compose: Any, kinds: dict[str, Any]) -> None:
    """Each AGENT_ variable that a file sets is one that the host reads."""
    [container] = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    names = {one["name"] for one in container["env"]} | set(
        compose["services"]["app"]["environment"]
    )
    for name in (*UNITS, "Dockerfile", "kubernetes.yaml", "compose.yaml", "uwsgi.ini"):
        names |= set(re.findall(r"\b(AGENT_[A-Z_]+)=", (DEPLOY / name).read_text()))
    names = {name for name in names if name.startswith("AGENT_")}
    assert {"AGENT_REDIS_URL", "AGENT_WORKDIR", "AGENT_TOKENS"} <= names <= SETTINGS


def test_image_gets_what_the_package_links_to() -> None:
    """Each file outside the package that it links to is copied, and not kept from Docker."""
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    allowed = set((ROOT / ".dockerignore").read_text().splitlines())
    links = [path for path in (ROOT / "wsgi_app").rglob("*") if path.is_symlink()]
    assert links
    needed = {str(link.resolve().relative_to(ROOT)) for link in links}
    assert needed <= sources
    assert {f"!{source}" for source in sources} <= allowed


def test_probes_are_answered(kinds: dict[str, Any]) -> None:
    """The paths that Kubernetes asks answer 200 without a token."""
    [container] = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = ("livenessProbe", "readinessProbe", "startupProbe")
    with gunicorn("wsgi_app:app") as server:
        client = Client(server, token=None, prefix="")
        for probe in probes:
            assert client.call("GET", container[probe]["httpGet"]["path"]).status == 200


def test_parts_of_the_deployment_find_each_other(kinds: dict[str, Any]) -> None:
    """Ingress, Service and budget find the pods, which have the image's port and user."""
    spec = kinds["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    service = kinds["Service"]
    assert spec["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    [rule] = kinds["Ingress"]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    [port] = service["spec"]["ports"]
    backend = {"name": service["metadata"]["name"], "port": {"name": port["name"]}}
    assert path["backend"]["service"] == backend
    [container] = spec["template"]["spec"]["containers"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert container["ports"] == [{"name": port["targetPort"], "containerPort": 8000}]
    assert re.findall(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE) == ["8000"]
    user = spec["template"]["spec"]["securityContext"]["runAsUser"]
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == [str(user)]


def test_ingress_does_what_nginx_conf_does(kinds: dict[str, Any]) -> None:
    """Each annotation for ingress-nginx has the value of the directive of its name."""
    directives = dict(
        re.findall(r"^ +([a-z_]+) ([^;]+);$", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    )
    annotations = kinds["Ingress"]["metadata"]["annotations"]
    for name in each((one for one in annotations if one.startswith(INGRESS_NGINX)), 5):
        directive = name.removeprefix(INGRESS_NGINX).replace("-", "_")
        directive = directive.replace("proxy_body_size", "client_max_body_size")
        assert directives[directive].removesuffix("s") == annotations[name], name


def test_composed_redis_keeps_sessions(compose: Any) -> None:
    """Redis takes the options of its command, drops no key, and answers its health check."""
    service = compose["services"]["redis"]
    program, *args = service["command"]
    assert program == "redis-server"
    with redis_server(args=args) as store, store.client() as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes"}
        assert client.config_get(*wanted) == wanted
        kind, *command = service["healthcheck"]["test"]
        assert kind == "CMD"
        asked = [command[0], "-p", str(store.port), *command[1:]]
        assert subprocess.run(asked, capture_output=True, check=True).stdout == b"PONG\n"


def test_composed_nginx_asks_the_app(compose: Any, tmp_path: Path) -> None:
    """It gets the project's file with the app's address and the container's logs."""
    [shell, option, command] = compose["services"]["nginx"]["command"]
    mounted, made = tmp_path / "agents.conf", tmp_path / "default.conf"
    shutil.copy(DEPLOY / "nginx.conf", mounted)
    sed, _, serve = command.partition(" && ")
    assert serve == "exec nginx -g 'daemon off;'"
    places = {"/agents.conf": mounted, "/etc/nginx/conf.d/default.conf": made}
    for place, path in places.items():
        sed = sed.replace(place, str(path))
    subprocess.run([shell, option, sed], check=True)
    before, after = (path.read_text().splitlines() for path in (mounted, made))
    changed = {
        old.strip(): new.strip() for old, new in zip(before, after, strict=True) if old != new
    }
    assert changed == {
        "server 127.0.0.1:8000;": "server app:8000;",
        "access_log /var/log/nginx/agents.log agents;": "access_log /dev/stdout agents;",
        "error_log /var/log/nginx/agents-error.log crit;": "error_log /dev/stderr crit;",
    }


@pytest.mark.slow
def test_systemd_knows_each_line_of_the_units(tmp_path: Path) -> None:
    """systemd-analyze finds nothing to complain of, but for the place of the checkout."""
    program = install_program("systemd-analyze", "systemd")
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        text = text.replace("/srv/agent-host/.venv/bin/gunicorn", find_program("true", "coreutils"))
        (tmp_path / unit).write_text(text)
    names = [unit.replace("@", "@8001") for unit in UNITS]
    done = subprocess.run(
        [program, "verify", *names], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
