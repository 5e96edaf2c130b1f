"""A session's name in a database that several hosts may share."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple


class SessionName(NamedTuple):
    """A session's host (see AGENT_NAMESPACE), its tenant and its id."""

    namespace: str
    tenant: str
    session_id: str

    @property
    def thread_id(self) -> str:
        """A name for what is kept of the session elsewhere, of small letters and digits alone.

        A hash: databases and their clients have meanings of their own for other characters, or
        take capital letters for small ones, and a name of theirs may not be as long.
        """
        digest = hashlib.sha256(json.dumps(self).encode())
        return f"agent{digest.hexdigest()}"
