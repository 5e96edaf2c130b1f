"""Run llama.cpp's server: ``python run_llama_cpp.py MODEL PORT SLOTS CONTEXT``, with xllamacpp."""

from __future__ import annotations

import signal
import sys

from xllamacpp import CommonParams, Server


def _run(model: str, port: int, slots: int, context: int) -> None:
    params = CommonParams()
    params.model.path = model
    params.model_alias = {"scripted"}
    params.port = port
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_slots = True
    params.warmup = params.fit_params = False
    server = Server(params)
    signal.sigwait({signal.SIGTERM})
    del server


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _run(sys.argv[1], *(int(number) for number in sys.argv[2:]))
