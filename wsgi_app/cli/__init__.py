"""The command line: `wsgi-agent-host` and its commands, one module for each.

A command's module is imported when it is called, so that no command waits for what another one
needs. Inside an app the same commands are `flask agent …`, by an entry point that flask looks up.
"""

from __future__ import annotations

from importlib import import_module

import click

from wsgi_app.errors import ConfigError
from wsgi_app.extras import needs

#: Each command's module; a command that has the name of another package's is not its module's.
COMMANDS = {
    **{name: name for name in ("init", "serve", "doctor", "workers", "chat")},
    **{name: name for name in ("sessions", "show", "tail", "cancel", "delete", "ticket")},
    "token": "new_token",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        try:
            with needs("gunicorn" if cmd_name == "serve" else "cli", f"the command {cmd_name}"):
                module = import_module(f"wsgi_app.cli.{COMMANDS[cmd_name]}")
        except ConfigError as missing:
            return _missing_command(cmd_name, str(missing))
        command: click.Command = getattr(module, cmd_name)
        return command


def _missing_command(name: str, message: str) -> click.Command:
    """A command that says what it lacks; the list of commands, which loads all, continues."""

    @click.command(
        name,
        help=message,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
    @click.argument("_arguments", nargs=-1, type=click.UNPROCESSED)
    def missing(*, _arguments: tuple[str, ...]) -> None:
        raise click.ClickException(message)

    return missing


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wsgi-agent-host")
def main() -> None:
    """Work with hosts of AI agents from the terminal."""
