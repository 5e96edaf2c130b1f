"""The formats on the network: a folder each, with what it reads, what it sends, and its routes."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.util import find_spec

from wsgi_app.web.route import Wire


def find_wires() -> list[Wire]:
    """All wires: the folders here that have routes, by their names."""
    names = sorted(f"{__name__}.{module.name}.routes" for module in pkgutil.iter_modules(__path__))
    found: list[Wire] = [import_module(name).WIRE for name in names if find_spec(name)]
    return found
