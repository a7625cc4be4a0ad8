"""The sizes of jobs that ``clean`` shows."""

import os
from pathlib import Path

import pytest

from orchestrator.cli.changes.clean import disk_usage

MIB = 1 << 20


def test_a_jobs_size_is_the_space_that_its_removal_frees(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with (logs / "log").open("wb") as file:
        # A file system cannot compress random bytes.
        file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
    os.link(logs / "log", logs / "the same file")
    with (logs / "sparse").open("wb") as file:
        file.truncate(64 * MIB)
    os.symlink("/", tmp_path / "link")

    assert MIB <= disk_usage(tmp_path) < 2 * MIB


def test_a_file_that_is_removed_during_the_count_is_omitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "walk", lambda directory: [(str(directory), [], ["removed"])])

    assert disk_usage(tmp_path) < MIB
