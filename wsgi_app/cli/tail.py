"""`wsgi-agent-host tail`: a session as it continues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from wsgi_app.cli.client import EventStream, HostClient, backoff_seconds
from wsgi_app.cli.faults import ConnectionLost, HostError
from wsgi_app.cli.interrupts import INTERRUPTED, Interrupts
from wsgi_app.cli.options import (
    client_of,
    host_options,
    json_option,
    reporting_faults,
    session_argument,
)
from wsgi_app.cli.screen import JsonScreen, Screen, TextScreen
from wsgi_app.cli.turn import Cursor, Numbered

FIRST_RETRY_SECONDS = 1.0
#: Failures in a row, about a minute: long enough for a host to be replaced.
MAX_FAILURES = 10


@click.command()
@session_argument
@host_options
@json_option
@click.pass_context
def tail(  # noqa: PLR0913 - each is a part of the command line
    ctx: click.Context,
    *,
    session_id: str,
    url: str | None,
    token: str,
    prefix: str | None,
    as_json: bool,
) -> None:
    """Follow a session: the turn that runs, and all that come, until Ctrl-C.

    It counts as a reader, so that a turn which its user has left continues.
    """
    client = client_of(url, token, prefix)
    screen: Screen = JsonScreen() if as_json else TextScreen()
    try:
        with reporting_faults():
            _show(follow(client, session_id, screen), screen)
    except KeyboardInterrupt:
        ctx.exit(INTERRUPTED)


def _show(events: Iterator[Numbered], screen: Screen) -> None:
    turn = 0
    with Interrupts() as interrupts:
        while True:
            with interrupts.handled():
                event = next(events)
            if event.id.turn != turn:
                turn = event.id.turn
                screen.notice(f"turn {turn}")
            screen.event(event)


def follow(client: HostClient, session_id: str, screen: Screen) -> Iterator[Numbered]:
    """Yield each event of a session once, from turn to turn, over as many connections as it takes.

    Raises HostError when the host refuses, or cannot be reached for a while.
    """
    cursor, failures, announced = "", 0, False
    retry_seconds = FIRST_RETRY_SECONDS
    while True:
        fault: HostError = ConnectionLost("The host closed the connection.")
        try:
            with client.follow(session_id, cursor) as stream:
                if not announced:
                    screen.notice(f"Following {session_id}. Ctrl-C ends.")
                    announced = True
                for block_id, event in _events(stream):
                    failures = 0
                    cursor = block_id or cursor
                    if event is not None:
                        yield event
                retry_seconds = stream.retry_seconds or retry_seconds
        except HostError as error:
            fault = error
        failures += 1
        if not fault.retryable or failures >= MAX_FAILURES:
            raise fault
        if failures > 1:
            screen.notice(f"{fault.message} Trying again.")
        time.sleep(max(fault.retry_after_seconds, backoff_seconds(retry_seconds, failures - 1)))


def _events(stream: EventStream) -> Iterator[tuple[str | None, Numbered | None]]:
    """The id of each block, and its event if it is one of the session's."""
    for block in stream:
        try:
            body: Any = json.loads(block.data)
            turn, _, seq = str(body.get("id", "")).partition("-")
            event = Numbered(Cursor(int(turn), int(seq)), body) if seq else None
        except (ValueError, AttributeError, RecursionError):
            raise ConnectionLost("An event is not JSON.") from None
        yield block.id, event
