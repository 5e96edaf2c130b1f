"""How gunicorn serves the stand-alone app; options on gunicorn's command line beat this file."""

import os
from pathlib import Path

# Only this machine can reach it unless HOST says otherwise: without tokens the app is in
# development mode, which is not for a network.
bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"

# The host needs threads: a stream holds one for as long as it lasts.
worker_class = "gthread"

# An eighth is kept for cancels, health and other short requests, which leaves 56 streams per
# worker, at 36 to 57 kB each. The next one gets 503 `at_capacity` at once.
threads = 64

# One process as long as sessions live in its memory: a second one would not know of them.
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# Seconds. The main thread of a gthread worker never runs a request, so silence of this length means
# a stuck interpreter; twice gunicorn's default, because a monolith's C extensions may hold the GIL.
timeout = 60

# Seconds. Turns get AGENT_DRAIN_SECONDS to end; the rest is for their last events and the agents'
# close(), before gunicorn kills the worker.
graceful_timeout = int(float(os.environ.get("AGENT_DRAIN_SECONDS") or 25)) + 10

# Seconds. Longer than the 60 that nginx keeps an idle upstream connection, so that nginx is the one
# to close it and never sends a request into a connection that is going away. It costs no thread.
keepalive = 75

# The heartbeat is a file: on a disk that blocks, gunicorn would kill healthy workers.
if Path("/dev/shm").is_dir():  # noqa: S108 - gunicorn makes its file there with mkstemp
    worker_tmp_dir = "/dev/shm"  # noqa: S108 - the same

# Each worker builds its own app after the fork: threads and sockets do not survive one.
preload_app = False

# Newer gunicorns open a control socket in the home directory, by a thread of the arbiter: two
# services of one user would fight for it, and a process with threads should not fork workers.
control_socket_disable = True

# To stdout, for the container or the journal. The path without its query string and no Referer:
# `?ticket=` opens a session. `%(M)s` is the whole stream's time in milliseconds.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)sms'
