"""Development mode: what opens a host that has neither tokens nor a login."""

from __future__ import annotations

import hmac
import logging
import os
import stat
import tempfile
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Final

from flask import Request

from wsgi_app.auth.bearer import bearer_token
from wsgi_app.auth.local import is_local
from wsgi_app.auth.refusals import unauthorized
from wsgi_app.tokens import DEFAULT_SCOPES, SCOPES, Principal, make_token

log = logging.getLogger("wsgi_app")

DEVELOPMENT_TOKEN: Final = "dev"  # noqa: S105 - public on purpose, and only good on the machine itself
DEVELOPMENT_TENANT: Final = "demo-tenant"
FILE_NAME: Final = "development-token"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class DevelopmentMode:
    """Authenticates this machine alone: ``dev`` may chat, a random token may do all.

    Used by any thread; the random token is read or made on first use, and the same for all
    processes of this account.
    """

    #: For who sends ``dev`` where it is not enough.
    scope_hint: Final = (
        " In development mode the token that the host's log shows at its start has it."
    )

    def __init__(self, hosts: Collection[str]) -> None:
        """``hosts``: see `is_local`."""
        self._hosts = hosts

    def __call__(self, request: Request) -> Principal:
        """Who asks; raises RequestError ``unauthorized``."""
        if not is_local(request, self._hosts):
            raise unauthorized(
                "No tokens are configured, so only this machine itself may use the development"
                " token: set AGENT_TOKENS or AGENT_TOKENS_FILE, or pass authenticate= to AgentHost."
            )
        sent = bearer_token(request)
        if sent == DEVELOPMENT_TOKEN:
            return Principal(DEVELOPMENT_TENANT, DEFAULT_SCOPES)
        if sent and hmac.compare_digest(sent.encode(), self._admin_token.encode()):
            return Principal(DEVELOPMENT_TENANT, SCOPES)
        raise unauthorized(
            "Development mode: send Authorization: Bearer dev to chat. For the scope admin send the"
            " token that the host's log shows at its start. AGENT_TOKENS sets tokens of your own."
        )

    @property
    def lack(self) -> str:
        """What the person who starts the host has to know."""
        return (
            f"development mode: the token {DEVELOPMENT_TOKEN} chats as {DEVELOPMENT_TENANT}, what"
            f" needs the scope admin takes the token {self._admin_token} and both work on this"
            " machine alone; other machines, and requests through a proxy, get 401 until"
            " AGENT_TOKENS, AGENT_TOKENS_FILE or authenticate= is set"
        )

    @cached_property
    def _admin_token(self) -> str:
        try:
            return kept_token(state_folder())
        except (OSError, RuntimeError, ValueError) as error:
            log.info("the development token is not kept: %s", error)
            return make_token()


def state_folder() -> Path:
    """Where this account keeps the token between starts; raises RuntimeError without a home."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "wsgi-agent-host"


def kept_token(folder: Path) -> str:
    """The token in this folder, made if there is none; raises OSError and ValueError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE_NAME
    if not path.exists():
        _write_once(path, make_token())
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(file) as opened:
        found = os.fstat(file)
        if found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
            raise ValueError(f"other accounts may read {path}")
        token = opened.read(100).strip()
    if not token:
        raise ValueError(f"{path} is empty")
    return token


def _write_once(path: Path, token: str) -> None:
    """Write the file as a whole, unless another process has been faster."""
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # for this account alone
    try:
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
