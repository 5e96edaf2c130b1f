#!/usr/bin/env bash
# Every function that wrapt 2 wraps says that it is an async context manager.
#
# Behaviour: a function under a decorator made by wrapt has __aenter__ and __aexit__ from wrapt 2.0
# on, with a wrapped `def` as much as with an object that has them: the proxy's class defines both.
# hasattr(f, "__aenter__") and isinstance(f, contextlib.AbstractAsyncContextManager) are true, and
# `async with f` fails only when it calls what the function has not. With 1.17 both are false.
# __anext__ and __await__ are not there, so that the same question about iterators and awaitables is
# answered as before. f.__class__ is the function's, so hasattr(f.__class__, "__aenter__") is right.
# A guess would be that a transparent proxy has what it stands for, as it does for __await__. A
# framework that enters what has __aenter__ enters agents that New Relic's agent has decorated.
#
# Seen with wrapt 1.17.3, 2.0.0 and 2.5.2 on Python 3.11, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
from contextlib import AbstractAsyncContextManager

import wrapt

@wrapt.decorator
def same(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)

@same
def f():
    pass

seen = {name: hasattr(f, name) for name in ("__aenter__", "__aexit__", "__anext__", "__await__")}
seen["an async context manager"] = isinstance(f, AbstractAsyncContextManager)
print(wrapt.__version__, seen)
is_new = not wrapt.__version__.startswith("1.")
assert seen["__aenter__"] is seen["__aexit__"] is seen["an async context manager"] is is_new
assert not seen["__anext__"] and not seen["__await__"]
assert not hasattr(f.__class__, "__aenter__")
PYTHON

for version in 1.17.3 2.0.0 2.5.2; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" --quiet --disable-pip-version-check install "wrapt==$version"
    "$folder/venv/bin/python" "$folder/see.py"
done
