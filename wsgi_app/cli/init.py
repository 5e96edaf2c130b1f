"""`wsgi-agent-host init`: files to start from."""

from __future__ import annotations

from pathlib import Path

import click

from wsgi_app.cli.starter import FILES

NEXT_STEPS = """\

serve it:        wsgi-agent-host serve "app:create_app()"
talk to it:      wsgi-agent-host chat http://127.0.0.1:8000/agents
before a site:   wsgi-agent-host token TENANT >> tokens; export AGENT_TOKENS_FILE=$PWD/tokens
                 nginx.conf goes to /etc/nginx/conf.d/: change names, certificate and addresses
when it stands:  wsgi-agent-host doctor --url https://… "app:create_app()"
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(*, folder: Path) -> None:
    """Write a small agent, its app, gunicorn.conf.py and nginx.conf to FOLDER.

    Nothing is overwritten: if one of them is there, nothing is written, and the status is 1.
    """
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise click.ClickException(f"{folder} has {', '.join(there)} already; nothing is written.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in FILES.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(source.read_text(encoding="utf-8"))
            click.echo(f"wrote {folder / name}")
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    click.echo(NEXT_STEPS, nl=False)
