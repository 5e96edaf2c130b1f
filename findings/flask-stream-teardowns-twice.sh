#!/usr/bin/env bash
# A streamed response runs the site's teardown functions twice from Flask 3.1.2 on.
#
# Behaviour: with stream_with_context() and a generator, teardown_request and teardown_appcontext
# functions run once before the first chunk and once more after the last. Up to 3.1.1 they ran
# once, after the last; a view that does not stream still runs them once. So what a teardown gives
# back is gone while the stream goes on, and is given back again at its end: one that pops, closes
# or counts (a database session, a gauge of requests in flight, a lock) meets its second call.
# A guess would be "once, at the end of the stream", which is what the documentation describes, and
# that a third number of a version changes nothing of the kind.
#
# Seen with Flask 3.1.1, 3.1.2 and 3.1.3 (Werkzeug 3.1.3) on Python 3.11, 2026-11-29.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/see.py" <<'PYTHON'
from importlib.metadata import version

from flask import Flask, Response, stream_with_context

app, order = Flask("site"), []
app.teardown_request(lambda _: order.append("request"))
app.teardown_appcontext(lambda _: order.append("app"))

@app.get("/stream")
def stream():
    def chunks():
        order.append("first chunk")
        yield "a"
        order.append("last chunk")
        yield "b"

    return Response(stream_with_context(chunks()))

@app.get("/plain")
def plain():
    return "x"

def seen(path):
    order.clear()
    app.test_client().get(path).get_data()
    return list(order)

once = ["request", "app"]
early = [] if version("flask") == "3.1.1" else once
found = {path: seen(path) for path in ("/stream", "/plain")}
print(version("flask"), found)
assert found == {"/stream": [*early, "first chunk", "last chunk", *once], "/plain": once}
PYTHON

for flask in 3.1.1 3.1.2 3.1.3; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "flask==$flask" werkzeug==3.1.3
    "$folder/venv/bin/python" "$folder/see.py"
done
