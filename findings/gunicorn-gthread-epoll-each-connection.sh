#!/usr/bin/env bash
# From 25 on gunicorn's gthread opens an epoll of its own for each new connection.
#
# Behaviour: a gthread worker of gunicorn 27 gives a new connection to a thread at once, and that
# thread waits for the first byte with `selectors.DefaultSelector()`, made and closed for this one
# wait. With a client that opens a connection for each request (nginx without upstream keep-alive)
# each request costs an epoll_create1, epoll_ctl, epoll_wait and close beside its accept, four
# switches between blocking and not, and one more file open at the same time. gunicorn 23 waits for
# all connections with the one selector of its main thread, and makes none. Requests on a connection
# that is kept alive make none in either.
# A guess would be that one selector watches all connections of a worker, as the class's docstring
# and every release up to 23 have it.
#
# Seen with gunicorn 23.0.0 and 27.0.1 on Python 3.11, Linux, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

cat >"$folder/app.py" <<'PYTHON'
import selectors

begin = selectors.EpollSelector.__init__
made = []

def counted(self):
    made.append(self.__class__)
    begin(self)

selectors.EpollSelector.__init__ = counted

def app(environ, start_response):
    told = str(len(made)).encode()
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]
PYTHON

cat >"$folder/see.py" <<'PYTHON'
import http.client
import sys
import time

REQUESTS = 50

def ask(connection):
    connection.request("GET", "/")
    return int(connection.getresponse().read())

def connect():
    return http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))

for tries in range(100):
    try:
        ask(connect())
        break
    except OSError:
        time.sleep(0.1)

before = ask(connect())
for _ in range(REQUESTS):
    after = ask(connect())
kept = connect()
first = ask(kept)
for _ in range(REQUESTS):
    last = ask(kept)
version = sys.argv[1]
found = {"new connections": after - before, "one kept alive": last - first}
print(version, f"epolls made for {REQUESTS} requests:", found)
assert found == {"new connections": REQUESTS if version == "27.0.1" else 0, "one kept alive": 0}
PYTHON

cd "$folder"  # no configuration of anybody else's
port=18741
for version in 23.0.0 27.0.1; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "gunicorn==$version"
    "$folder/venv/bin/gunicorn" --worker-class gthread --threads 4 \
        --bind "127.0.0.1:$port" --log-level warning app:app &
    "$folder/venv/bin/python" "$folder/see.py" "$version" "$port"
    kill $!
    wait $! || true
    port=$((port + 1))
done
