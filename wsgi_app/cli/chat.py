"""`wsgi-agent-host chat`: a conversation with a running host, in a terminal or a script."""

from __future__ import annotations

import secrets
import sys
from io import TextIOWrapper
from typing import TextIO

import click

from wsgi_app.cli.conversation import FAILED, Conversation
from wsgi_app.cli.interrupts import INTERRUPTED
from wsgi_app.cli.lines import Lines
from wsgi_app.cli.options import (
    DEFAULT_TOKEN,
    check_session_id,
    check_token,
    check_url,
    client_of,
    prefix_option,
)
from wsgi_app.cli.screen import JsonScreen, Screen, TextScreen


@click.command()
@click.argument("url", envvar="WSGI_AGENT_HOST_URL", callback=check_url, required=False)
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    callback=check_session_id,
    help="Go on with this session.",
)
@click.option(
    "--token",
    default=DEFAULT_TOKEN,
    envvar="WSGI_AGENT_HOST_TOKEN",
    callback=check_token,
    help="The tenant's token; better in the environment, as WSGI_AGENT_HOST_TOKEN.",
)
@prefix_option
@click.option("--message", help="Send this one message, show its answer and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print the events as lines of JSON.")
@click.pass_context
def chat(  # noqa: PLR0913 - each is a part of the command line
    ctx: click.Context,
    *,
    url: str | None,
    session_id: str | None,
    token: str,
    prefix: str | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Talk to the agent of a running host.

    URL is where the host is mounted, http://127.0.0.1:8000 if there is none, or what
    WSGI_AGENT_HOST_URL says. Ctrl-C stops an answer, Ctrl-D leaves.

    The exit status is 0 when the answer is complete, 1 for an error, 130 when it was cancelled.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        _replace_odd_characters(stream)
    lines = Lines()
    screen: Screen = JsonScreen() if as_json else TextScreen()
    name = session_id or secrets.token_hex(8)
    if lines.interactive and not as_json:
        screen.notice(f"Session {name}. Ctrl-C stops an answer, Ctrl-D leaves.")
    conversation = Conversation(client_of(url, token, prefix), name, screen, lines)
    try:
        status = _run(conversation, message, resumed=session_id is not None)
    except KeyboardInterrupt:
        status = INTERRUPTED
    ctx.exit(status)


def _run(conversation: Conversation, message: str | None, *, resumed: bool) -> int:
    if message is not None:
        return conversation.say(message)
    if resumed and not conversation.take_up():
        return FAILED
    return conversation.talk()


def _replace_odd_characters(stream: TextIO | None) -> None:
    """Let no character fail that the terminal's encoding lacks."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
