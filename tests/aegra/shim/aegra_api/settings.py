"""Where the server under test is."""

from __future__ import annotations

import os
from types import SimpleNamespace

settings = SimpleNamespace(
    app=SimpleNamespace(
        SERVER_URL=os.environ["SERVER_URL"],
        KEEPALIVE_INTERVAL_SECS=5,
    )
)
