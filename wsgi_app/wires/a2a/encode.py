"""A turn as an A2A task: what it has come to, and the events of its stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final, Optional

from msgspec import structs

from wsgi_app.events import (
    Cancelled,
    Done,
    Error,
    InputRequest,
    NumberedEvent,
    Status,
    Token,
    ToolCall,
    ToolResult,
    Usage,
    Withdrawn,
    encode_json,
)
from wsgi_app.frames.sse import frame
from wsgi_app.wires.a2a.request import TaskRef, TaskState
from wsgi_app.wires.shared.asked import AskedQuestion

JsonObject = dict[str, Any]
#: What the agent says, the one artifact of a task.
REPLY: Final = "reply"
TERMINAL: Final = ("TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED")


def timestamp(seconds: float) -> str:
    """A moment as the protocol writes it."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TaskBuilder:
    """Puts a task together from its turn's events; used by one thread.

    ``at``: when the task's status is from, if it is not read live.
    """

    def __init__(self, ref: TaskRef, history: list[JsonObject], at: Optional[float] = None) -> None:
        self.state: TaskState = "TASK_STATE_SUBMITTED"
        #: The last event taken.
        self.seq = 0
        #: The question that the last event asked, or that still waits.
        self.question: Optional[AskedQuestion] = None
        self._ref = ref
        self._history = history
        self._at = at
        self._changed_at = time.time() if at is None else at
        self._calls: set[str] = set()
        self._pieces: list[tuple[int, str]] = []
        self._has_reply = False
        self._message: Optional[JsonObject] = None
        self._metadata: JsonObject = {}

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in TERMINAL

    def document(
        self, history_length: Optional[int] = None, *, artifacts: bool = True
    ) -> JsonObject:
        """The task as it is."""
        history = self._history
        if history_length is not None:
            history = history[-history_length:] if history_length else []
        made: JsonObject = {
            "id": str(self._ref),
            "contextId": self._ref.session_id,
            "status": self._status(),
        }
        if artifacts and self._has_reply:
            made["artifacts"] = [_artifact("".join(text for _, text in self._pieces))]
        if history:
            made["history"] = history
        return {**made, "metadata": self._metadata} if self._metadata else made

    def go_live(self) -> None:
        """Let later updates have the present time."""
        self._at = None

    def begin(self) -> None:
        """Note that the turn runs, whether it has said something or not."""
        if self.state == "TASK_STATE_SUBMITTED":
            self.state = "TASK_STATE_WORKING"

    def answer(self) -> None:
        """Note that the question has its answer."""
        self.state, self.question, self._message = "TASK_STATE_WORKING", None, None

    def take(self, numbered: NumberedEvent) -> list[JsonObject]:
        """Take the next event; returns what it adds to the stream."""
        event = numbered.event
        self.seq = numbered.id.seq
        if self.question is not None and self.question.closed_by(event):
            self.question = None
        if isinstance(event, (Done, Error, Cancelled)):
            return self._end(event)
        if isinstance(event, InputRequest):
            self.question = AskedQuestion(event.request_id, self._calls)
            return self._ask(event)
        made = self._go_on()
        if isinstance(event, Token):
            return made + self._add_text(event.content)
        if isinstance(event, Status):
            return [self._update("TASK_STATE_WORKING", event.content)]
        if isinstance(event, Withdrawn):
            return made + self._withdraw(event)
        if isinstance(event, ToolCall):
            self._calls.add(event.call_id)
        elif isinstance(event, ToolResult):
            self._calls.discard(event.call_id)
        return made

    # -- the reply

    def _add_text(self, text: str) -> list[JsonObject]:
        is_first, self._has_reply = not self._has_reply, True
        self._pieces.append((self.seq, text))
        return [self._artifact_update(text, append=not is_first)]

    def _withdraw(self, event: Withdrawn) -> list[JsonObject]:
        last = int(event.after.rpartition("-")[2])
        self._pieces = [piece for piece in self._pieces if piece[0] <= last]
        if not self._has_reply:
            return []
        return [self._artifact_update("".join(text for _, text in self._pieces), append=False)]

    def _whole_reply(self, reply: str) -> list[JsonObject]:
        """The end of the reply; all of it again where the client has had something else."""
        if not reply and not self._has_reply:
            return []
        is_exact = self._has_reply and "".join(text for _, text in self._pieces) == reply
        self._pieces, self._has_reply = [(self.seq, reply)], True
        return [self._artifact_update("" if is_exact else reply, append=is_exact, last=True)]

    def _artifact_update(self, text: str, *, append: bool, last: bool = False) -> JsonObject:
        update = {**self._ids(), "artifact": _artifact(text)}
        flags = {"append": append, "lastChunk": last}
        return {"artifactUpdate": update | {name: True for name, on in flags.items() if on}}

    # -- the status

    def _go_on(self) -> list[JsonObject]:
        """Report that the agent works, where the client knows something else."""
        if self.state == "TASK_STATE_WORKING":
            return []
        return [self._update("TASK_STATE_WORKING")]

    def _ask(self, event: InputRequest) -> list[JsonObject]:
        made = self._update("TASK_STATE_INPUT_REQUIRED", event.prompt)
        if isinstance(event.schema, dict) and self._message is not None:
            self._message["metadata"] = {"schema": event.schema}
        return [made]

    def _end(self, event: Done | Error | Cancelled) -> list[JsonObject]:
        made = self._go_on() if self.state == "TASK_STATE_INPUT_REQUIRED" else []
        if isinstance(event, Done):
            if event.usage != Usage():
                self._metadata = {"usage": structs.asdict(event.usage)}
            return [*made, *self._whole_reply(event.reply), self._update("TASK_STATE_COMPLETED")]
        if isinstance(event, Cancelled):
            return [self._update("TASK_STATE_CANCELED", "The turn was cancelled.")]
        error = {"code": event.code, "details": event.details, "retryable": event.retryable}
        self._metadata = {"error": error}
        return [self._update("TASK_STATE_FAILED", event.message)]

    def _update(self, state: TaskState, text: str = "") -> JsonObject:
        self.state = state
        self._changed_at = time.time() if self._at is None else self._at
        self._message = self._agent_message(text) if text else None
        update = {**self._ids(), "status": self._status()}
        more = {"metadata": self._metadata} if self._metadata else {}
        return {"statusUpdate": {**update, **more}}

    def _status(self) -> JsonObject:
        moment = timestamp(self._changed_at)
        status: JsonObject = {"state": self.state, "timestamp": moment}
        return status if self._message is None else {**status, "message": self._message}

    def _agent_message(self, text: str) -> JsonObject:
        named = {"messageId": f"{self._ref}.{self.seq}", "role": "ROLE_AGENT"}
        return {**named, **self._ids(), "parts": [{"text": text}]}

    def _ids(self) -> JsonObject:
        return {"taskId": str(self._ref), "contextId": self._ref.session_id}


class TaskEncoder:
    """Makes the frames of a task's stream; used by one thread.

    ``wrap`` puts an event into what the binding sends. Of the frames of one event of the turn only
    the last has its id: a client with that one has all of them.
    """

    def __init__(self, builder: TaskBuilder, wrap: Callable[[JsonObject], Any]) -> None:
        self._builder = builder
        self._wrap = wrap

    @property
    def question(self) -> Optional[AskedQuestion]:
        """The question that the last event asked, or that still waits."""
        return self._builder.question

    def opening(self, turn: int, history_length: Optional[int] = None) -> bytes:
        """The task as it is, which stands before all events."""
        task = {"task": self._builder.document(history_length)}
        return self._frame(task, f"{turn}-{self._builder.seq}")

    def encode(self, numbered: NumberedEvent) -> bytes:
        """The frames of the next event."""
        made = self._builder.take(numbered)
        return b"".join(
            self._frame(one, str(numbered.id) if at == len(made) else "")
            for at, one in enumerate(made, 1)
        )

    def end_for_answer(self) -> bytes:
        """Nothing: the status has shown that the task waits."""
        return b""

    def _frame(self, event: JsonObject, event_id: str) -> bytes:
        return frame(encode_json(self._wrap(event)), event_id=event_id)


def _artifact(text: str) -> JsonObject:
    return {"artifactId": REPLY, "parts": [{"text": text}]}
