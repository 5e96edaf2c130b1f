#!/usr/bin/env bash
# redis-py 8.0.0 cannot connect over a Unix socket, unless RESP2 is asked for.
#
# Behaviour: Redis.from_url("unix:///…").ping() raises ValueError ("Cannot enable maintenance
# notifications for connection object that doesn't have a host attribute"), with every server and
# without any option. From 7.0 to 7.x the same happens with protocol=3 alone; 8.0.0 made RESP3 the
# default, and with it the failure; 8.0.1 has it mended. The notifications are a feature of other
# products than Redis itself, are on by default with RESP3, and want the name of a host.
# A guess would be that a Unix socket behaves as TCP does in a major release of the client that
# everybody uses, or at least that what fails in it is a redis.RedisError: code that catches
# RedisError around its start, to go on without a cache, ends with a traceback instead.
#
# Seen with redis-py 6.4.0, 7.1.0, 8.0.0, 8.0.1 and redis-server 7.0.15 on Python 3.11, 2026-11-29.
# Needs redis-server (Debian: apt-get install redis-server).
set -eu
folder=$(mktemp -d)
trap 'kill "$(cat "$folder/pid")"; rm -rf "$folder"' EXIT

redis-server --port 0 --unixsocket "$folder/socket" --save '' --dir "$folder" \
    --daemonize yes --pidfile "$folder/pid" >/dev/null

cat >"$folder/see.py" <<'PYTHON'
import sys

import redis

def seen(**options):
    try:
        return redis.Redis.from_url(f"unix://{sys.argv[1]}", **options).ping()
    except Exception as error:
        return f"{type(error).__name__}, RedisError: {isinstance(error, redis.RedisError)}"

failure = "ValueError, RedisError: False"
default = failure if redis.__version__ == "8.0.0" else True
resp3 = failure if redis.__version__ in ("7.1.0", "8.0.0") else True
found = {"no option": seen(), "protocol=2": seen(protocol=2), "protocol=3": seen(protocol=3)}
print(redis.__version__, found)
assert found == {"no option": default, "protocol=2": True, "protocol=3": resp3}
PYTHON

for version in 6.4.0 7.1.0 8.0.0 8.0.1; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "redis==$version"
    "$folder/venv/bin/python" "$folder/see.py" "$folder/socket"
done
