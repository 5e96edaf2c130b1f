"""The command line: `wsgi-agent-host` and its commands, one module for each.

A command named ``x`` is the click command ``x`` in ``wsgi_app/cli/x.py``. Its module is imported
when it is called, so that no command waits for what another one needs.
"""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = ("chat", "doctor")


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"wsgi_app.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wsgi-agent-host")
def main() -> None:
    """Work with hosts of AI agents from the terminal."""
