"""One session with a host, as its user lives it."""

from __future__ import annotations

from typing import Final

from wsgi_app.cli.client import HostClient
from wsgi_app.cli.faults import HostError
from wsgi_app.cli.interrupts import INTERRUPTED, Interrupts, interruptible
from wsgi_app.cli.lines import Lines
from wsgi_app.cli.screen import Screen
from wsgi_app.cli.turn import Notice, Numbered, TurnReader

FAILED: Final = 1
#: The program's exit status by the turn's terminal event.
STATUS_BY_END: Final = {"done": 0, "error": FAILED, "cancelled": INTERRUPTED}


class Conversation:
    """One session with a host, turn by turn. Used by the main thread."""

    def __init__(self, client: HostClient, session_id: str, screen: Screen, lines: Lines) -> None:
        self._client = client
        self._session_id = session_id
        self._screen = screen
        self._lines = lines

    def take_up(self) -> bool:
        """Show what was said last and the answer that runs; False if the host refuses."""
        try:
            session = self._client.session(self._session_id)
        except HostError as fault:
            self._screen.fault(fault)
            return False
        if session is None:
            self._screen.notice("There is no such session yet: your message begins it.")
            return True
        self._screen.messages(session.messages)
        if session.running_turn is not None:
            turn = session.running_turn
            self._follow(TurnReader(self._client, self._session_id, turn=turn))
        return True

    def talk(self) -> int:
        """Send each line until there are no more; returns the exit status.

        What comes through a pipe ends with the first message that failed, since the next ones may
        build on it.
        """
        while True:
            try:
                with interruptible():
                    message = self._lines.read("> ")
            except EOFError:
                return 0
            status = self.say(message) if message.strip() else 0
            if status and not self._lines.interactive:
                return status

    def say(self, message: str) -> int:
        """Send a message and show its answer; returns the exit status."""
        return self._follow(TurnReader(self._client, self._session_id, message=message))

    def _follow(self, reader: TurnReader) -> int:
        with Interrupts() as interrupts:
            try:
                while True:
                    try:
                        return self._show(reader, interrupts)
                    except (KeyboardInterrupt, EOFError):
                        self._cancel(reader)
                    if reader.turn is None:
                        self._screen.cancelled()
                        return INTERRUPTED
            except HostError as fault:
                self._screen.fault(fault)
                return FAILED

    def _show(self, reader: TurnReader, interrupts: Interrupts) -> int:
        events = reader.events()
        while True:
            with interrupts.handled():
                item = next(events)
            if isinstance(item, Notice):
                self._screen.notice(item.text)
                continue
            self._screen.event(item)
            reader.taken(item)
            if item.kind in STATUS_BY_END:
                return STATUS_BY_END[item.kind]
            if item.kind == "input_request":
                with interrupts.handled():
                    self._answer(item)

    def _cancel(self, reader: TurnReader) -> None:
        """Cancel the turn, whose events then tell how it ended."""
        try:
            turn = self._client.cancel(self._session_id, reader.turn)
        except HostError as fault:
            if reader.turn is None:
                raise
            self._screen.fault(fault)  # and go on reading: the turn does too
            return
        if reader.turn is None and turn is not None:
            reader.take_up(turn)

    def _answer(self, question: Numbered) -> None:
        if self._is_past(question):
            return
        schema = question.body.get("schema")
        value = self._lines.read_value(
            schema if isinstance(schema, dict) else {}, self._screen.notice
        )
        try:
            self._client.answer(self._session_id, str(question.body.get("request_id")), value)
        except HostError as fault:
            self._screen.fault(fault)

    def _is_past(self, question: Numbered) -> bool:
        """Whether the turn went on already: a reader that comes late sees old questions too."""
        try:
            return self._client.has_events_after(self._session_id, str(question.id))
        except HostError:
            return False  # to ask in vain is the smaller harm
