"""Faults of the directory that keeps files, found without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.doctor.running import run_doctor
from wsgi_app.cli.doctor.files_checks import check_files, check_files_of_machines
from wsgi_app.store.base import WorkerInfo, WorkerView

MOUNTS = "/dev/a / ext4 rw 0 0\nfiler:/x /shared nfs4 rw 0 0\ntmpfs /shared/fast tmpfs rw 0 0\n"


def test_a_directory_that_workers_can_use_is_fine(tmp_path: Path) -> None:
    """Whether it is there or made by the first upload; nothing is left in it."""
    for folder in (tmp_path, tmp_path / "made" / "later"):
        assert not list(check_files(str(folder)))
    assert not list(tmp_path.iterdir())


def test_a_directory_that_they_cannot_use_is_reported(tmp_path: Path) -> None:
    """No directory, one that takes no files, and one that depends on where a worker begins."""
    file = tmp_path / "file"
    file.write_text("")
    for folder, told in (
        (str(file), "is no directory"),
        (str(file / "below"), "is no directory"),
        ("/proc/files", "cannot write to /proc"),
        ("./files", "depends on where a worker is started"),
    ):
        [finding] = check_files(folder)
        assert told in finding.problem
        assert finding.where == f"AGENT_FILES_DIR ({folder})"


@pytest.mark.parametrize(
    ("folder", "hosts", "told"),
    [
        ("/var/files", ["here", "there"], "ext4), and there has workers too"),
        ("/shared/fast/files", ["there"], "tmpfs), and there has workers too"),
        ("/shared/files", ["here", "there"], ""),
        ("/var/files", ["here", "here"], ""),
        ("/var/files", [], ""),
    ],
)
def test_a_directory_of_one_machine_is_reported_where_others_have_workers(
    tmp_path: Path, folder: str, hosts: list[str], told: str
) -> None:
    """By the kind of its file system; a shared one is taken to be the same for all."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    workers = [
        WorkerView(worker_id=str(at), seen_at=0.0, info=WorkerInfo(hostname=name))
        for at, name in enumerate(hosts)
    ]
    found = [one.problem for one in check_files_of_machines(folder, workers, "here", mounts)]
    assert len(found) == bool(told)
    assert all(told in problem for problem in found)


def test_the_doctor_looks_at_the_files(tmp_path: Path) -> None:
    """Of the app's hosts that keep any, by the setting that names the directory."""
    file = tmp_path / "file"
    file.write_text("")
    found = run_doctor(env={"AGENT_FILES_DIR": str(file)})
    assert found.names == {"files"}
    assert found.status == 1
    assert "files" in found.checked
