"""What a site like this one does to get the host; the rows of docs/migration.md.

Findings say what is wrong. Advice says how the site's own versions and server are met: it changes
no exit status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from wsgi_app.cli.doctor.facts import GunicornFacts
from wsgi_app.compat.installed import Version, installed_version

#: The packages whose versions decide.
PACKAGES: Final = ("flask", "flask-sqlalchemy", "gunicorn", "redis", "setuptools")
#: More than any version.
LATEST: Final = (10_000, 0)


class Site(Struct, frozen=True, kw_only=True):
    """What decides: the versions of what is installed, and the server's configuration."""

    versions: Mapping[str, Version]
    gunicorn: GunicornFacts

    def is_before(self, package: str, version: Version) -> bool:
        """Whether a package is installed, and older than that."""
        return self.versions.get(package, LATEST) < version


class Advice(Struct, frozen=True):
    """``name`` is the situation in words; ``applies`` says whether a site is in it."""

    name: str
    text: str
    applies: Callable[[Site], bool]


ADVICE: Final = (
    Advice(
        "Flask before 3.1",
        "leave Flask as it is; a MAX_CONTENT_LENGTH of the site below AGENT_MAX_BODY_BYTES also"
        " bounds messages to the host",
        lambda site: site.is_before("flask", (3, 1)),
    ),
    Advice(
        "Flask-SQLAlchemy before 3.0",
        "nothing to do: streams give its connections back; code of your own that opens sessions"
        " in before_request closes them in before_stream=",
        lambda site: site.is_before("flask-sqlalchemy", (3, 0)),
    ),
    Advice(
        "gunicorn 20",
        "keep setuptools below 81 beside it, which has the pkg_resources that it imports",
        lambda site: site.is_before("gunicorn", (21, 0)),
    ),
    Advice(
        "redis-py before 5.0",
        "leave it as it is; the host speaks RESP2 with it, and ignores protocol= in the URL",
        lambda site: site.is_before("redis", (5, 0)),
    ),
    Advice(
        "worker class sync, one thread",
        'set worker_class = "gthread" and threads = 64, or only --threads 64, with which sync is'
        " gthread: pages and agents share the threads, and the site's code must be thread-safe",
        lambda site: site.gunicorn.worker_class == "sync",
    ),
    Advice(
        "worker class gthread",
        "import the five hooks of wsgi_app.gunicorn_hooks in gunicorn.conf.py, and count one thread"
        " for each stream, or set AGENT_DELIVERY=auto, where a stream needs none",
        lambda site: site.gunicorn.worker_class == "gthread",
    ),
    Advice(
        "worker class gevent",
        "stay on it: streams are greenlets, bounded by worker_connections; an agent that computes,"
        " or blocks in C code, holds up the whole worker (docs/gevent.md)",
        lambda site: "gevent" in site.gunicorn.worker_class,
    ),
    Advice(
        "worker class eventlet or tornado",
        "change to gthread, or serve the agents by a second gunicorn of the same app, with gthread"
        " and the same Redis, and send the mount's prefix there in the proxy",
        lambda site: any(
            name in site.gunicorn.worker_class for name in ("eventlet", "tornado", "asgi")
        ),
    ),
    Advice(
        "gunicorn's configuration is not yours",
        "give what can be given by GUNICORN_CMD_ARGS (--threads 24); without the hooks a killed"
        " worker's turns end by the lease, in AGENT_LEASE_SECONDS",
        lambda site: not site.gunicorn.config_file and bool(site.gunicorn.missing_hooks),
    ),
)


def advise(gunicorn: GunicornFacts) -> list[str]:
    """Say what holds for this site, a line each."""
    found = {name: installed_version(name) for name in PACKAGES}
    versions = {name: version for name, version in found.items() if version is not None}
    site = Site(versions=versions, gunicorn=gunicorn)
    return [f"{one.name}: {one.text}" for one in ADVICE if one.applies(site)]
