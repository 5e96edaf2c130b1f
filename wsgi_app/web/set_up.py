"""Warnings about a host's set-up."""

from __future__ import annotations

from typing import Final

from wsgi_app.config import Settings, setting_name
from wsgi_app.delivery.server import ServerFacts
from wsgi_app.delivery.server.warnings import server_warnings
from wsgi_app.metrics import are_counted

UNKNOWN_SERVER: Final = (
    "this server is not a known one: streams are not limited and may keep other requests waiting"
    f" (set {setting_name('stream_slots')}), and hang-ups are noticed at the next write"
)


def warnings_of(server: ServerFacts, slots: int | None, *, shared_store: bool) -> list[str]:
    """Warnings about a known server; ``slots`` is how many streams it may have."""
    found = server_warnings(server, slots)
    if server.workers > 1 and not shared_store:
        found.append(
            f"{server.workers} workers without {setting_name('redis_url')}: cancel,"
            " reconnect, poll and session data work only when the request lands on the worker"
            " that runs the turn; set it, or run one worker"
        )
    return found


def unused_logins(settings: Settings) -> str:
    """Which settings are not used where the site's own login decides; '' for none."""
    given = {
        "tokens": settings.tokens,
        "tokens_file": settings.tokens_file,
        "jwt_jwks": settings.jwt_jwks,
    }
    unused = [setting_name(name) for name, value in given.items() if value]
    reason = "not used, since the host's authenticate= decides who asks"
    return f"{', '.join(unused)}: {reason}" if unused else ""


def metrics_warnings(server: ServerFacts | None, *, shared_store: bool) -> list[str]:
    """Warnings about the metrics of many workers."""
    if not are_counted():
        return []
    from wsgi_app.metrics.text import are_shared  # noqa: PLC0415 - see its package

    many = server is not None and server.workers > 1
    if not many or not shared_store or are_shared():
        return []
    reason = (
        "GET /metrics covers one worker alone: import the hooks of wsgi_app.gunicorn_hooks in"
        " gunicorn.conf.py; where the app is loaded before the fork and uses prometheus_client"
        " itself, set PROMETHEUS_MULTIPROC_DIR too"
    )
    return [reason]
