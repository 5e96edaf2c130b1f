"""Which HTTP library the installed openai package builds on: httpx, or httpx2 from 3 on."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def http_package() -> Any:
    """The one that the openai package builds on; httpx without it."""
    try:
        limits = import_module("openai").DEFAULT_CONNECTION_LIMITS
    except ImportError:
        return import_module("httpx")
    return import_module(type(limits).__module__.partition(".")[0])
