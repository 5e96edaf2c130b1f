"""The command as a module, which `tests.support.processes.run_module` runs."""

from wsgi_app.cli import main

main(prog_name="wsgi-agent-host")
