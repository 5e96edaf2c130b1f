"""What the doctor advises a site of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import ROOT
from wsgi_app.cli.doctor.advice import ADVICE, PACKAGES, Site, advise
from wsgi_app.cli.doctor.facts import GunicornFacts
from wsgi_app.cli.doctor.report import Report

GUIDE: Path = ROOT / "docs" / "migration.md"


def gunicorn(worker_class: str = "gthread", config_file: str = "gunicorn.conf.py") -> GunicornFacts:
    """A configuration of gunicorn's."""
    return GunicornFacts(
        version="27.0.0",
        config_file=config_file,
        worker_class=worker_class,
        workers=2,
        threads=8,
        worker_connections=1000,
        timeout=30,
        keepalive=2,
        patched=False,
        graceful_timeout=30,
        preload_app=False,
        missing_hooks=["pre_fork"],
    )


def names(site: Site) -> set[str]:
    """What holds for a site."""
    return {one.name for one in ADVICE if one.applies(site)}


def test_the_guide_has_every_line() -> None:
    """The migration guide's table is what the doctor prints."""
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| ")][2:]
    assert rows == [f"| {one.name} | {one.text} |" for one in ADVICE]


@pytest.mark.parametrize(
    ("package", "old", "name"),
    [
        ("flask", (2, 0), "Flask before 3.1"),
        ("flask-sqlalchemy", (2, 5), "Flask-SQLAlchemy before 3.0"),
        ("gunicorn", (20, 1), "gunicorn 20"),
        ("redis", (4, 6), "redis-py before 5.0"),
    ],
)
def test_old_versions_get_their_line(package: str, old: tuple[int, int], name: str) -> None:
    """An old version is advised on, a new one and a missing one are not."""
    assert package in PACKAGES
    assert name in names(Site(versions={package: old}, gunicorn=gunicorn()))
    assert name not in names(Site(versions={package: (9999, 0)}, gunicorn=gunicorn()))
    assert name not in names(Site(versions={}, gunicorn=gunicorn()))


@pytest.mark.parametrize(
    ("worker_class", "name"),
    [
        ("sync", "worker class sync, one thread"),
        ("gthread", "worker class gthread"),
        ("gevent", "worker class gevent"),
        ("tornado", "worker class eventlet or tornado"),
    ],
)
def test_each_worker_class_gets_one_line(worker_class: str, name: str) -> None:
    """The server's class is advised on, once."""
    site = Site(versions={}, gunicorn=gunicorn(worker_class))
    assert names(site) == {name}


def test_a_configuration_of_others_is_advised_on() -> None:
    """Where no file can be given, the line says what still can."""
    site = Site(versions={}, gunicorn=gunicorn(config_file=""))
    assert "gunicorn's configuration is not yours" in names(site)


def test_advice_is_no_finding() -> None:
    """It stands in the report and leaves the exit status alone."""
    report = Report(advice=advise(gunicorn()))
    assert report.status() == 0
    assert "for this site:\n    worker class gthread: " in report.text(verbose=True)
    assert report.text() == "no findings, 0 checks fine"
