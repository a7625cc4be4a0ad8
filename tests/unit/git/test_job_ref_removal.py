"""Removed jobs: work that no other ref has keeps a ref; all other refs are deleted."""

from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"
RESULT = "refs/heads/orchestrator/1/result"
KEPT = "refs/orchestrator-kept/1/worker_1"


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    base = repository.base().commit
    repository.open_worktree(directory, BRANCH, base)
    repository.set_ref("refs/orchestrator/1/start/worker_1", base)
    return Path(directory)


def work(repository: GitRepository, directory: Path, name: str = "new.txt") -> str:
    (directory / name).write_text("x\n")
    return repository.commit(str(directory), BRANCH, "What it did\n", WHO)


def forget(project: Project, repository: GitRepository) -> list[str]:
    """Delete the refs of a job, as its removal does after it has renamed the directory."""
    job = project.path / "product" / "workspace" / "job_1"
    aside = job.with_name(".removing-job_1")
    if job.exists():
        job.rename(aside)
    names = list(repository.remove_job_refs("1", str(job), str(aside)))
    remaining = project.git(
        "for-each-ref", "--format=%(refname)", "refs/heads/orchestrator"
    ).split()
    assert remaining == [each for each in names if each == RESULT]
    assert list(repository.remove_job_refs("1", str(job), str(aside))) == remaining
    assert project.worktrees() == []
    return names


def test_work_that_no_result_has_is_saved(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    tip = work(repository, worktree)
    assert forget(project, repository) == [KEPT]
    assert project.git("rev-parse", KEPT) == tip


def test_files_that_git_cannot_add_do_not_prevent_saving_other_files(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    project.git("config", "filter.broken.clean", "false")
    project.git("config", "filter.broken.required", "true")
    for name in ("dir/b.txt", "bad", "git~1", "later.txt", ".gitattributes"):
        (worktree / name).write_text("bad filter=broken\nb.txt filter=broken\n")
    with pytest.raises(RepositoryError):
        repository.commit(str(worktree), BRANCH, "What it did\n", WHO)

    assert forget(project, repository) == [KEPT]

    assert project.git("diff", "--name-only", "main", KEPT) == ".gitattributes\nlater.txt"


def test_uncommitted_work_after_a_crash_is_saved(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    work(repository, worktree)
    (worktree / "later.txt").write_text("later\n")
    assert forget(project, repository) == [KEPT]
    assert project.show(KEPT, "later.txt") == "later"
    assert project.show(KEPT, "new.txt") == "x"


def test_a_branch_that_became_a_name_of_the_users_leaves_theirs(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    main = project.git("rev-parse", "main")
    project.git("symbolic-ref", BRANCH, "refs/heads/main")
    project.git("symbolic-ref", RESULT, "refs/heads/main")

    tip = work(repository, worktree)
    repository.set_ref(RESULT, tip)
    assert [project.git("rev-parse", each) for each in ("main", BRANCH)] == [main, tip]
    repository.close_worktree(str(worktree), BRANCH, WHO)
    project.git("symbolic-ref", BRANCH, "refs/heads/main")
    project.git("symbolic-ref", "refs/orchestrator/1/more", "refs/heads/main")
    forget(project, repository)

    assert project.git("rev-parse", "main") == main


def test_a_worker_that_changed_nothing_is_not_saved(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    assert forget(project, repository) == []
    assert project.git("for-each-ref", "refs/orchestrator-kept") == ""


@pytest.mark.parametrize("how", ["merge", "squash", "cherry-pick"])
def test_work_that_a_result_contains_in_any_form_is_not_saved(
    project: Project, repository: GitRepository, worktree: Path, how: str
) -> None:
    tip = work(repository, worktree)
    project.git("switch", "-qc", "temporary")
    project.commit({"other.txt": "o\n"})
    match how:
        case "merge":
            project.git("merge", "-q", "--no-ff", "--no-edit", tip)
        case "squash":
            project.git("merge", "-q", "--squash", tip)
            project.git("commit", "-qm", "squashed")
        case _:
            project.git("cherry-pick", tip)
    repository.set_ref(RESULT, project.git("rev-parse", "HEAD"))
    project.git("switch", "-q", "main")
    project.git("branch", "-qD", "temporary")

    assert forget(project, repository) == [RESULT]


def test_work_that_conflicts_with_the_result_is_saved(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    (worktree / "a.txt").write_text("mine\n")
    work(repository, worktree)
    project.git("switch", "-q", "--detach")
    project.commit({"a.txt": "theirs\n"})
    repository.set_ref(RESULT, project.git("rev-parse", "HEAD"))
    project.git("switch", "-q", "main")
    assert forget(project, repository) == [KEPT, RESULT]


def test_work_that_the_user_has_tagged_is_not_saved(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    tip = work(repository, worktree)
    project.git("tag", "mine", tip)
    assert forget(project, repository) == []
