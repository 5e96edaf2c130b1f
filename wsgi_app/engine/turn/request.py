"""What a request asks for, whichever wire it came on: from the wire to the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any, Literal, Optional

from msgspec import Struct, field

from wsgi_app.attachments import Attachment
from wsgi_app.engine.turn.history import file_entry
from wsgi_app.engine.turn.turn import Agent
from wsgi_app.events import ClientTool
from wsgi_app.store.base import BeginTurn, Message, SessionKey, StartRate, mark_of


class TurnRequest(Struct, frozen=True, kw_only=True):
    """A turn that is asked for; any thread may read it."""

    message: str
    #: The message's name for its client; '' for one of the host's own.
    message_id: str = ""
    metadata: dict[str, Any] = {}
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    if_busy: Literal["reject", "enqueue", "interrupt"] = "reject"
    idempotency_key: Optional[str] = None
    #: Digest of the request, to tell a retry from another request under the same key.
    digest: str = ""
    #: Whether the answer is a stream, not one document.
    streams: bool = True
    #: What came before the turn, where the client keeps it; None for what the session holds.
    history: Optional[list[Message]] = None
    #: Whether the turn replaces the newest exchange, if it starts at once.
    regenerates: bool = False
    #: Whether the session is for this turn alone, and is forgotten soon after it.
    ephemeral: bool = False
    #: Whether the client keeps the conversation, however long the session is kept.
    passing: bool = False
    #: Tools that the client runs.
    client_tools: tuple[ClientTool, ...] = ()
    #: Images and files that came with the message.
    attachments: tuple[Attachment, ...] = ()
    #: What the wire wants back of the request, see `Store.turn_note`.
    note: bytes = b""
    #: What answers instead of the hosted agent.
    agent: Optional[Agent] = None
    #: How long it continues without readers; None is AGENT_ORPHAN_SECONDS.
    orphan_seconds: Optional[float] = None
    #: The request's name in logs.
    request_id: str = ""
    #: When the request came, on `time.monotonic`.
    asked_at: float = field(default_factory=time.monotonic)
    #: Opens the surroundings that agent code runs in, such as a Flask app context.
    app_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    #: The context variables of the request, as far as the agent should see them.
    context: Context = field(default_factory=Context)
    #: Whether another worker has begun it, or this one has taken it back.
    adopted: bool = False
    #: The status for the user if the agent's object is new.
    notice: str = ""
    #: Whether the store has what another worker would continue.
    resumes: bool = False

    def claim(
        self, key: SessionKey, run_id: str, worker_id: str, rate: StartRate | None
    ) -> BeginTurn:
        """What the store needs of it, to let a worker run it in a session."""
        return BeginTurn(
            key=key,
            run_id=run_id,
            worker_id=worker_id,
            message=self.message,
            message_id=self.message_id or mark_of(run_id),
            files=[_entry(one) for one in self.attachments] if self.attachments else [],
            if_busy=self.if_busy,
            regenerates=self.regenerates,
            idempotency_key=self.idempotency_key,
            request_digest=self.digest,
            note=self.note,
            rate=rate,
        )


def _entry(attachment: Attachment) -> dict[str, Any]:
    return file_entry(attachment.file_id, attachment.name, attachment.media_type, attachment.size)
