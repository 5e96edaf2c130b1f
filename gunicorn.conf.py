"""How gunicorn serves the stand-alone app; options on gunicorn's command line beat this file."""

import os
import re
import resource
from pathlib import Path
from urllib.parse import quote

from gunicorn.glogging import Logger

# On SIGTERM, a reload or max_requests a worker drains: it refuses new turns, lets the running ones
# finish, and asks the readers of the rest to come back. The turns of a worker that dies are ended
# by the arbiter, at once.
from wsgi_app.gunicorn_hooks import (  # noqa: F401 - gunicorn looks them up by name
    child_exit,
    post_worker_init,
    pre_fork,
    worker_exit,
    worker_int,
)

# Only this machine can reach it unless HOST says otherwise: without tokens the app is in
# development mode, which is not for a network.
bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"

# The host needs threads: each request takes one, and a stream holds it unless it is parked.
worker_class = "gthread"

# An eighth is kept for cancels, health and other short requests, which leaves 56 streams per
# worker; deploy/README.md says what each costs. The next ones are parked, up to AGENT_MAX_STREAMS.
threads = 64

# A parked stream is an open file, and so is its turn's connection to the model: as many as the
# system allows this service (65,536 will do), where shells and systemd start with 1,024.
_files, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
_files = max(_files, min(_most_files, 65_536))
resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _most_files))

# With Redis all workers are one service: one per core, unless WEB_CONCURRENCY says otherwise.
# Without it sessions live in a worker's memory, and a second worker would not know of them.
_shared = os.environ.get("AGENT_REDIS_URL") or os.environ.get("REDIS_URL")
workers = int(os.environ.get("WEB_CONCURRENCY") or os.cpu_count() or 1) if _shared else 1

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


class OneLineLogger(Logger):
    """Writes paths as they were sent: decoded, a newline in one would begin a line of its own.

    Of a request that is none, or fails, it writes no query string and no header.
    """

    def atoms(self, *args: object) -> dict[str, object]:
        """What a line may name."""
        atoms = super().atoms(*args)
        return {**atoms, "U": quote(atoms["U"].encode("latin-1"))}

    def warning(self, msg: object, *args: object, **kwargs: object) -> None:
        """Leave out what a broken request holds, which gunicorn quotes at the end."""
        if str(msg).startswith("Invalid request from"):
            msg = re.sub(r""": b?['"].*""", "", str(msg), flags=re.DOTALL)
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: object) -> None:
        """Leave out the query string of the URL that gunicorn names."""
        kept = [arg.partition("?")[0] if isinstance(arg, str) else arg for arg in args]
        super().exception(msg, *kept, **kwargs)


logger_class = OneLineLogger

# To stdout, for the container or the journal. The path without its query string and no Referer:
# `?ticket=` opens a session. `%(M)s` is the whole stream's time in milliseconds.
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(M)sms'
