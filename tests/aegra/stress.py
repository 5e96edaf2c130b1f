"""Runs aegra's stress scenarios against a server: its url, and the file that holds them."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import sys

#: Those that need neither a model nor a cluster of containers to break.
SCENARIOS = ("high_concurrency", "long_running", "error_handling", "mixed_workload", "cancel_storm")


def main(url: str, path: str) -> None:
    """Run each scenario, and print what came of it as a JSON line."""
    spec = importlib.util.spec_from_file_location("aegra_stress", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    setattr(module, "BASE_URL", url)  # noqa: B010 - mypy knows nothing of the module
    for name in SCENARIOS:
        result = asyncio.run(getattr(module, f"stress_{name}")())
        print(json.dumps({"scenario": name, **dataclasses.asdict(result)}), flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:])
