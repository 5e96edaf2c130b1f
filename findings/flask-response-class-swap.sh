#!/usr/bin/env bash
# A view's own Response subclass loses its class, in place, in an app that has a response_class.
#
# Behaviour: Flask hands what a view returns to the app's response_class. If it is an instance of
# another subclass of flask.Response, it is not wrapped, copied or refused: the very object gets a
# new __class__. It keeps its attributes and its identity, and everything that its own class
# defined is gone: overridden methods, __call__, isinstance. No warning, on every Flask from 2.0 on.
# A guess would be that a Response is left as it is (so it is in an app without a response_class),
# or that it is wrapped. A library that puts behaviour into a Response subclass works in its own
# tests and fails in applications such as OctoPrint 1.11, which set a response_class.
#
# Seen with Flask 2.0.3 (Werkzeug 2.0.3) and Flask 3.1.3 (Werkzeug 3.1.9) on Python 3.11,
# 2026-11-29.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
from flask import Flask, Response

class Ours(Response):
    def __call__(self, environ, start_response):
        self.headers["X-Called"] = "ours"
        return super().__call__(environ, start_response)

class Sites(Response):
    pass

def seen(response_class):
    app, kept = Flask("site"), []
    if response_class is not None:
        app.response_class = response_class

    @app.route("/")
    def view():
        kept.append(Ours("body"))
        return kept[0]

    @app.after_request
    def look(response):
        kept.append(response)
        return response

    answer = app.test_client().get("/")
    return {
        "same object": kept[0] is kept[1],
        "its class": type(kept[0]).__name__,
        "own __call__ ran": answer.headers.get("X-Called") == "ours",
    }

plain, own = seen(None), seen(Sites)
print("without a response_class:", plain)
print("with a response_class:   ", own)
assert plain == {"same object": True, "its class": "Ours", "own __call__ ran": True}
assert own == {"same object": True, "its class": "Sites", "own __call__ ran": False}
PYTHON

for pins in "flask==2.0.3 werkzeug==2.0.3" "flask==3.1.3 werkzeug==3.1.9"; do
    python3 -m venv "$folder/venv" --clear
    # shellcheck disable=SC2086 # two words each
    "$folder/venv/bin/pip" --quiet --disable-pip-version-check install $pins
    echo "$pins"
    "$folder/venv/bin/python" "$folder/see.py"
done
