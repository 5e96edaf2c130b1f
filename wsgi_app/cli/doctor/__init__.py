"""`wsgi-agent-host doctor`: looks at a set-up, and says what to change in which file.

Facts are learnt by `set_up.py` (gunicorn and app), `store/redis/facts.py` and `way.py` (through the
proxies), and judged by one pure function per group of checks, in the files named for it.
"""

from wsgi_app.cli.doctor.command import doctor as doctor
