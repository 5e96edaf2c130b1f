"""The refusal of a reader that finds no slot, and what holds more of them."""

from __future__ import annotations

from wsgi_app.delivery.server import GUNICORN, ServerFacts
from wsgi_app.engine.runtime import green
from wsgi_app.errors import RequestError

_WITHOUT_THREADS = (
    "AGENT_DELIVERY=auto, which with the host's hooks in gunicorn.conf.py needs no thread a stream"
)


def no_stream_left(max_streams: int) -> RequestError:
    """A worker has all the streams that it may have, with a thread or without."""
    return _refusal("AGENT_MAX_STREAMS", max_streams, "a higher AGENT_MAX_STREAMS, or more workers")


def no_slot_left(slots: int, server: ServerFacts | None) -> RequestError:
    """All threads that may wait do; ``server`` is None if a setting says how many."""
    if server is None or server.threads is None:
        more = f"a higher AGENT_STREAM_SLOTS with as many threads, or {_WITHOUT_THREADS}"
        return _refusal("AGENT_STREAM_SLOTS", slots, more)
    if green.is_green():
        more = "more --worker-connections, or more workers"
        return _refusal("worker_connections", server.threads, more, slots=slots)
    more = f"more threads ({server.remedy})"
    if server.name == GUNICORN:
        more = f"more threads (--threads 64), or {_WITHOUT_THREADS}"
    return _refusal("threads", server.threads, more, slots=slots)


def _refusal(setting: str, value: int, more: str, **facts: int) -> RequestError:
    details = {"setting": setting, "value": value, **facts, "more_with": more}
    return RequestError("at_capacity", "All stream slots of this worker are taken.", details)
