"""llama.cpp's server, from the wheel of xllamacpp, with the scripted model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.models.server import HERE, ModelServer, Program, run_once, running
from tests.sites.environments import environment
from tests.support.processes import temporary_folder

REQUIREMENTS = """\
xllamacpp==2026.10.11549
gguf==0.19.0
"""
SLOTS = 2
CONTEXT_TOKENS = 8192


@contextmanager
def llama_cpp() -> Iterator[ModelServer]:
    """Run the server."""
    python = str(environment("llama-cpp", REQUIREMENTS, with_host=False) / "bin" / "python")
    with temporary_folder() as folder:
        model = str(folder / "scripted.gguf")
        run_once([python, str(HERE / "make_gguf.py"), model])
        script = str(HERE / "run_llama_cpp.py")
        command = [python, script, model, "{port}", str(SLOTS), str(CONTEXT_TOKENS)]
        with running(Program(command)) as program:
            yield ModelServer(program, count_busy)


def count_busy(program: Program) -> int:
    """How many slots have a request."""
    return sum(slot["is_processing"] for slot in program.get("/slots"))
