#!/usr/bin/env bash
# With pytest 9.2, pytest-xdist's --dist loadgroup spreads the tests of a group over all workers.
#
# Behaviour: tests that bear the mark xdist_group(name="one") run on one worker with pytest 9.1.0.
# With pytest 9.2.0 and the same pytest-xdist 3.8.0, its newest release, they are dealt out one by
# one. Nothing says so: no warning, no error, all tests pass, --strict-markers is content. A suite
# that relies on groups (a server or database that one worker's tests share, an order that they
# need) starts such things once per worker, or fails now and then. --dist loadfile and loadscope
# are not affected: they read the file and the class from the test's id, while a group is a text
# that the plugin adds to the id of the collected test, which is made afresh from then on.
# A guess would be that a mark documented by the plugin works or fails loudly with whatever pytest
# its metadata admits (pytest>=7.0.0), above all in a minor release.
#
# Seen with pytest 8.4.2, 9.1.0 and 9.2.0, pytest-xdist 3.8.0 on Python 3.11, 2026-11-29.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/test_group.py" <<'PYTHON'
import os
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(12))
@pytest.mark.xdist_group("one")
def test_notes_its_process(number):
    with Path(__file__).with_name("pids").open("a") as pids:
        print(os.getpid(), file=pids)
PYTHON

for version in 8.4.2 9.1.0 9.2.0; do
    python3 -m venv "$folder/venv" --clear
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
        "pytest==$version" pytest-xdist==3.8.0
    rm -f "$folder/pids"
    "$folder/venv/bin/python" -m pytest --quiet --numprocesses 2 --dist loadgroup \
        --strict-markers -p no:cacheprovider "$folder/test_group.py" >"$folder/log"
    processes=$(sort -u "$folder/pids" | wc -l)
    echo "pytest $version: one group ran in $processes process(es); $(tail -n 1 "$folder/log")"
    case $version in
        9.2.0) test "$processes" -eq 2 ;;
        *) test "$processes" -eq 1 ;;
    esac
done
