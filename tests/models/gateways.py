"""Gateways: LiteLLM's proxy, Portkey's gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.models.rules import KEY
from tests.models.server import HERE, Program, running
from tests.sites.environments import environment
from tests.support.node import install_packages, node_program
from tests.support.processes import temporary_folder

LITELLM = "litellm[proxy]==1.108.7\n"


@contextmanager
def litellm(models: Mapping[str, Mapping[str, Any]]) -> Iterator[Program]:
    """Run LiteLLM's proxy with models of these names and ``litellm_params``."""
    made = environment("litellm", LITELLM, with_host=False)
    settings = {
        "model_list": [
            {"model_name": name, "litellm_params": dict(params)} for name, params in models.items()
        ],
        "general_settings": {"master_key": KEY},
    }
    with temporary_folder() as folder:
        config = folder / "config.yaml"
        config.write_text(json.dumps(settings))  # JSON is YAML
        command = [str(made / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
        env = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "PATH": f"{made / 'bin'}:/usr/bin:/bin",
        }
        program = Program([*command, "--port", "{port}"], env=env, ready_path="/health/liveliness")
        with running(program):
            yield program


@contextmanager
def portkey() -> Iterator[Program]:
    """Run Portkey's gateway, which is told in each request where the model is."""
    folder = HERE / "portkey"
    install_packages(folder)
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = [str(node_program()), str(script), "--port={port}", "--headless"]
    with running(Program(command, ready_path="/")) as program:
        yield program


def portkey_headers(base_url: str) -> dict[str, str]:
    """What a request through Portkey says."""
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": base_url}
