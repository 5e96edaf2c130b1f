#!/usr/bin/env bash
# gunicorn 27 reads a body a megabyte at a time, whatever the application asks for, and copies it.
#
# Behaviour: an application that reads wsgi.input in pieces of 64 KiB, to keep a large upload out of
# memory, needs some 4 MiB more in its worker while one comes in with a Content-Length. Each recv()
# takes up to 1 MiB (SocketUnreader.max_body_chunk), what is beyond the piece goes back into a
# buffer, and each read of a piece copies all of it: 16 times for each megabyte. A chunked body,
# and gunicorn 23, which reads 8 KiB at a time, need less than 1 MiB. It can be set for one request:
# environ["wsgi.input"].reader.unreader.max_body_chunk.
# A guess would be that read(65536) reads 65,536 bytes, or that a release that reads more at once
# hands it out without copies; a bound on memory that was measured on 23 does not hold on 27.
#
# Seen with gunicorn 23.0.0 and 27.0.1 on Python 3.11, Linux, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

cat >"$folder/app.py" <<'PYTHON'
import os

PIECE = 65_536

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

def app(environ, start_response):
    smaller = environ["PATH_INFO"] == "/smaller"
    unreader = getattr(environ["wsgi.input"].reader, "unreader", None)
    if smaller and hasattr(unreader, "max_body_chunk"):
        unreader.max_body_chunk = PIECE
    with open("/proc/self/clear_refs", "w") as forget:
        forget.write("5")  # the peak is what there is now
    before, size = peak(), 0
    while data := environ["wsgi.input"].read(PIECE):
        size += len(data)
    told = f"{size} {peak() - before}".encode()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
PYTHON

cat >"$folder/see.py" <<'PYTHON'
import http.client
import statistics
import sys
import time

SIZE = 32 * 1_048_576

def send(path, chunked):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
    body = (bytes(65_536) for _ in range(SIZE // 65_536)) if chunked else bytes(SIZE)
    connection.request("POST", path, body, encode_chunked=chunked)
    size, more = map(int, connection.getresponse().read().split())
    assert size == SIZE
    return more

for tries in range(100):
    try:
        send("/", False)
        break
    except OSError:
        time.sleep(0.1)

def kib(path, chunked=False):
    return statistics.median(send(path, chunked) for _ in range(7))

version = sys.argv[1]
found = {"a length": kib("/"), "chunked": kib("/", True), "smaller reads": kib("/smaller")}
print(version, {name: f"{value:.0f} KiB more" for name, value in found.items()})
large = {name for name, value in found.items() if value > 1024}
assert large == ({"a length"} if version == "27.0.1" else set()), large
PYTHON

cd "$folder"  # no configuration of anybody else's
port=18731
for version in 23.0.0 27.0.1; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "gunicorn==$version"
    "$folder/venv/bin/gunicorn" --bind "127.0.0.1:$port" --log-level warning \
        app:app &
    "$folder/venv/bin/python" "$folder/see.py" "$version" "$port"
    kill $!
    wait $! || true
    port=$((port + 1))
done
