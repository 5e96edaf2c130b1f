#!/usr/bin/env bash
# gunicorn[fast] installs an older gunicorn: the newest asks for a parser that was never released.
#
# Behaviour: gunicorn 27.0.0 and 27.0.1 declare the extra `fast` as gunicorn_h1c>=0.6.14. The newest
# gunicorn_h1c on PyPI is 0.6.10. "gunicorn[fast]" without a version therefore resolves, without a
# word, to gunicorn 26.2.0 (which asks for 0.6.9), "gunicorn[fast]==27.0.1" does not resolve at all.
# The code of 27.0.1 itself takes any gunicorn_h1c from 0.4.1 on: installed by its own name beside
# it, 0.6.10 is what http_parser = "auto", the default, uses, and "fast" starts too.
# A guess would be that the extra brings the parser to the newest gunicorn, or fails.
#
# Seen with gunicorn 26.2.0, 27.0.1 and gunicorn_h1c 0.6.10 on Python 3.11, 2026-11-30. Building the parser needs a C compiler.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install 'pip>=25'

report() { # what would be installed for $1
    pip install --dry-run --ignore-installed --report "$folder/report.json" "$1" >"$folder/out" 2>&1 || return 1
    "$folder/venv/bin/python" - "$folder/report.json" <<'PYTHON'
import json, sys
for item in sorted(json.load(open(sys.argv[1]))["install"], key=lambda item: item["metadata"]["name"]):
    print(item["metadata"]["name"], item["metadata"]["version"])
PYTHON
}

echo 'gunicorn[fast]:'
report 'gunicorn[fast]' | tee "$folder/free"
grep -qx 'gunicorn 26.2.0' "$folder/free"
grep -qx 'gunicorn_h1c 0.6.10' "$folder/free"

echo 'gunicorn[fast]==27.0.1:'
if report 'gunicorn[fast]==27.0.1'; then exit 1; fi
grep -q 'gunicorn_h1c>=0.6.14' "$folder/out"
echo 'does not resolve'

pip install gunicorn==27.0.1 gunicorn_h1c==0.6.10
cat >"$folder/app.py" <<'PYTHON'
from gunicorn.http.message import Request

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SERVER_SOFTWARE"].encode()]

inner = Request._parse_fast

def noted(self, *arguments):
    print("read in C", flush=True)
    return inner(self, *arguments)

Request._parse_fast = noted
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
for parser in auto fast; do
    (cd "$folder" && exec venv/bin/gunicorn --worker-class gthread --http-parser "$parser" --bind "127.0.0.1:$port" app:app) >"$folder/log" 2>&1 &
    server=$!
    answer=$("$folder/venv/bin/python" - "$port" <<'PYTHON'
import sys, time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/", timeout=5).read().decode())
        break
    except OSError:
        time.sleep(0.1)
PYTHON
    )
    kill "$server"
    wait "$server" || true
    echo "http_parser $parser: $answer, $(grep -c 'read in C' "$folder/log") of 1 request read in C"
    grep -q 'read in C' "$folder/log"
done
