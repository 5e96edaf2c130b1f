"""The default place of tenants' files, in a folder where any account of the machine may write."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.turns import TurnBench, events_of
from wsgi_app.engine.turn.turn import Turn
from wsgi_app.events import Done, Error

WAIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def write_secret(turn: Turn) -> str:
    """Keep a tenant's secret."""
    (turn.workdir / "secret").write_text("for this tenant's eyes")
    return str(turn.workdir)


def run_turn(**settings: Any) -> Done | Error:
    """Run an agent that uses its directory; returns how its turn has ended."""
    bench = TurnBench(**settings)
    try:
        run = bench.start(write_secret)
        assert run.wait_ended(WAIT_SECONDS)
        ended = events_of(run)[-1]
        assert isinstance(ended, Done | Error)
        return ended
    finally:
        bench.runner.close(10)


def own_place(shared: Path) -> Path:
    """Where this account's directories are."""
    return shared / f"wsgi_app-{os.geteuid()}"


@pytest.mark.parametrize("namespace", [None, "site/agents"])
def test_the_default_place_is_this_accounts_alone(shared: Path, namespace: str | None) -> None:
    """It is made so that nobody else may look into it, whatever the umask."""
    before = os.umask(0)
    try:
        ended = run_turn(namespace=namespace)
    finally:
        os.umask(before)
    assert isinstance(ended, Done)
    folders = [Path(ended.reply), *Path(ended.reply).parents]
    made = [folder for folder in folders if shared in folder.parents]
    assert made
    for folder in made:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert isinstance(run_turn(), Done)


@pytest.mark.parametrize("name", ["wsgi_app", f"wsgi_app-{os.geteuid()}"])
def test_a_place_that_another_account_has_made_is_not_used(
    shared: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner would read what agents write there."""
    place = shared / name
    place.mkdir()
    place.chmod(0o777)
    if os.getuid() == 0:
        os.chown(place, 65534, 65534)
    else:
        monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    run_turn()
    assert not list(place.rglob("*"))


def test_a_place_that_others_may_enter_is_not_used(shared: Path) -> None:
    """Its mode counts too, and the turn says nothing of it but that it failed."""
    own_place(shared).mkdir()
    own_place(shared).chmod(0o755)
    assert isinstance(run_turn(), Error)
    assert not list(own_place(shared).iterdir())


def test_a_link_is_not_followed(shared: Path, tmp_path: Path) -> None:
    """A link that somebody has laid there leads nowhere, though its target is this account's."""
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    for name in ("wsgi_app", own_place(shared).name):
        (shared / name).symlink_to(target)
    run_turn()
    assert not list(target.rglob("*"))


def test_hosts_share_no_directory(tmp_path: Path) -> None:
    """One tenant has another directory at each host, which is no other tenant's either."""
    names = [None, "site/one", "site/two", "site%2Fone", "tenant", "x" * 128, "/" * 128]
    made = []
    for name in names:
        ended = run_turn(workdir=tmp_path, namespace=name)
        assert isinstance(ended, Done), name
        made.append(Path(ended.reply).relative_to(tmp_path))
    assert len(set(made)) == len(names)
    assert made[:2] == [Path("tenant"), Path("@site%2Fone/tenant")]
