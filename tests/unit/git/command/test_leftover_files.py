"""Leftover files of git: lock files of a killed git, and temporary files from a full disk."""

import os
import subprocess
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from orchestrator.git.command import leftover_files
from orchestrator.git.command.runner import GitOutput, failure
from tests.support.project import Project

OURS = [
    "refs/heads/orchestrator/1/result",
    "refs/orchestrator/1/start/worker_1",
    "refs/orchestrator-kept/1/worker_1",
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_files, "LEFT_SECONDS", 0.0)


def _lock(project: Project, name: str) -> None:
    project.write(f".git/{name}.lock", "")


def test_locks_of_our_refs_do_not_stop_us(project: Project, repository: GitRepository) -> None:
    commit = repository.base().commit
    for name in OURS:
        _lock(project, name)
    repository.set_ref(OURS[0], commit)
    repository.set_refs(dict.fromkeys(OURS, commit))
    assert [repository.commit_of(name) for name in OURS] == [commit] * 3
    _lock(project, OURS[0])
    repository.delete_ref(OURS[0])
    assert repository.commit_of(OURS[0]) == ""


def test_a_lock_that_is_always_another_one_stays(
    project: Project, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, times = repository.base().commit, count()
    monkeypatch.setattr(leftover_files, "_stamp", lambda path: (next(times), 0))
    _lock(project, OURS[0])
    with pytest.raises(RepositoryError, match="another git process is running"):
        repository.set_ref(OURS[0], commit)


def test_a_directory_in_place_of_a_lock_stays_and_is_reported(
    project: Project, repository: GitRepository
) -> None:
    commit = repository.base().commit
    (project.path / ".git" / f"{OURS[0]}.lock").mkdir(parents=True)
    with pytest.raises(RepositoryError, match="another git process is running"):
        repository.set_ref(OURS[0], commit)


@pytest.mark.parametrize("name", ["packed-refs", "refs/heads/main", "refs/tags/orchestrator"])
def test_a_lock_of_the_user_stays_and_is_reported(
    project: Project, repository: GitRepository, name: str
) -> None:
    commit = repository.base().commit
    project.git("pack-refs", "--all")
    _lock(project, name)
    advice = f"rm .*{name}.lock'`, then repeat the failed operation"
    with pytest.raises(RepositoryError, match=advice):
        repository.set_ref(name, commit) if "/" in name else repository.delete_ref(
            "refs/heads/main"
        )
    assert (project.path / ".git" / f"{name}.lock").exists()


def test_a_locked_table_of_refs_is_reported_with_the_file_to_remove() -> None:
    error = failure("update-ref", GitOutput(128, b"", "fatal: x: cannot lock references"))
    assert '`rm "$(git rev-parse --git-common-dir)/reftable/tables.list.lock"`' in str(error)


def test_only_new_files_that_no_process_has_open_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftover_files, "SETTLE_SECONDS", 0.0)
    names = ("ab/tmp_obj_1", "pack/tmp_pack_1", "pack/tmp_idx_1", "tmp_obj_2")
    for name in (*names, "ab/tmp_obj_old", "ab/tmp_obj_open", "ab/cd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    began = time.time() - 60
    os.utime(tmp_path / "ab" / "tmp_obj_old", (began - 60, began - 60))

    with (tmp_path / "ab" / "tmp_obj_open").open():
        removed = leftover_files.sweep(tmp_path, began)

    assert sorted(removed) == sorted(tmp_path / name for name in names)
    kept = sorted(each.name for each in tmp_path.rglob("*") if each.is_file())
    assert kept == ["cd", "tmp_obj_old", "tmp_obj_open"]


def test_all_files_stay_while_the_open_files_of_a_git_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftover_files, "SETTLE_SECONDS", 0.0)
    (tmp_path / "tmp_obj_1").write_text("x")
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho started; read line\n")
    program.chmod(0o755)
    status_of = os.stat

    def hiding(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"/proc/{git.pid}/fd/"):
            raise PermissionError(path)  # as for a process in another user namespace
        return status_of(path, **options)

    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        assert git.stdin and git.stdout and git.stdout.readline()
        monkeypatch.setattr(os, "stat", hiding)
        removed_before = leftover_files.sweep(tmp_path, 0.0)
        git.stdin.close()

    assert removed_before == []
    assert leftover_files.sweep(tmp_path, 0.0) == [tmp_path / "tmp_obj_1"]


def test_a_directory_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert leftover_files.sweep(tmp_path / "none", 0.0) == []
