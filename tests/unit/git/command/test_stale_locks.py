"""Locks of a killed git: locks of our refs are removed, the user's locks are reported."""

from itertools import count

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from orchestrator.git.command import stale_locks
from orchestrator.git.command.runner import GitOutput, failure
from tests.support.project import Project

OURS = [
    "refs/heads/orchestrator/1/result",
    "refs/orchestrator/1/start/worker_1",
    "refs/orchestrator-kept/1/worker_1",
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stale_locks, "LEFT_SECONDS", 0.0)


def _lock(project: Project, name: str) -> None:
    project.write(f".git/{name}.lock", "")


def test_locks_of_our_refs_do_not_stop_us(project: Project, repository: GitRepository) -> None:
    commit = repository.base().commit
    for name in OURS:
        _lock(project, name)
    repository.point(OURS[0], commit)
    repository.point_all(dict.fromkeys(OURS, commit))
    assert [repository.tip(name) for name in OURS] == [commit] * 3
    _lock(project, OURS[0])
    repository.drop(OURS[0])
    assert repository.tip(OURS[0]) == ""


def test_a_lock_that_is_always_another_one_stays(
    project: Project, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, times = repository.base().commit, count()
    monkeypatch.setattr(stale_locks, "_seen", lambda path: (next(times), 0))
    _lock(project, OURS[0])
    with pytest.raises(RepositoryError, match="another git process is running"):
        repository.point(OURS[0], commit)


def test_what_is_no_file_stays_and_is_told(project: Project, repository: GitRepository) -> None:
    commit = repository.base().commit
    (project.path / ".git" / f"{OURS[0]}.lock").mkdir(parents=True)
    with pytest.raises(RepositoryError, match="another git process is running"):
        repository.point(OURS[0], commit)


@pytest.mark.parametrize("name", ["packed-refs", "refs/heads/main", "refs/tags/orchestrator"])
def test_a_lock_of_the_users_stays_and_is_told(
    project: Project, repository: GitRepository, name: str
) -> None:
    commit = repository.base().commit
    project.git("pack-refs", "--all")
    _lock(project, name)
    with pytest.raises(RepositoryError, match=f"rm .*{name}.lock'`, then retry"):
        repository.point(name, commit) if "/" in name else repository.drop("refs/heads/main")
    assert (project.path / ".git" / f"{name}.lock").exists()


def test_a_table_of_refs_that_is_locked_is_told() -> None:
    said = failure("update-ref", GitOutput(128, b"", "fatal: x: cannot lock references"))
    assert '`rm "$(git rev-parse --git-common-dir)/reftable/tables.list.lock"`' in str(said)
