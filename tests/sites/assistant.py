"""The agent that the recipes of docs/sites mount: the site's own, here one that tests can direct.

It imports nothing but the host, since each site has packages of its own. The message is a list of
words: ``count=40`` yields so many tokens, ``pause=0.05`` waits so long before each.
"""

import os
import time
from collections.abc import Iterator

from wsgi_app import Status, Turn


def agent(turn: Turn) -> Iterator["str | Status"]:
    """Say in whose name and in which process it runs, then count."""
    yield Status(f"pid={os.getpid()} tenant={turn.tenant}")
    wanted = dict(word.split("=") for word in turn.message.split())
    for number in range(1, int(wanted.get("count", "1")) + 1):
        time.sleep(float(wanted.get("pause", "0")))
        yield f"w{number} "
