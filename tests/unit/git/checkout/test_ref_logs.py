"""Moves of refs that workers made."""

from orchestrator.core.repository.repository import ADDRESSES
from orchestrator.git import GitRepository
from tests.support.project import Project


def test_a_workers_move_of_a_branch_that_was_undone_is_not_the_workers(
    project: Project, repository: GitRepository
) -> None:
    def by(worker_id: str, *command: str) -> None:
        email = f"{worker_id}@job1{ADDRESSES}" if worker_id else "user@example.org"
        project.git("-c", f"alias.by=!GIT_COMMITTER_EMAIL={email} git", "by", *command)

    def moves() -> list[tuple[str, str, str]]:
        found = repository.ref_moves("job1", 0)
        return [(e.worker_id, e.before, e.after) for e in found if e.ref == "refs/heads/main"]

    at = project.git("rev-parse", "main")
    by("worker_1", "commit", "-q", "--allow-empty", "-m", "theirs")
    moved = project.git("rev-parse", "main")
    assert moves() == [("worker_1", at, moved)]
    by("", "commit", "-q", "--allow-empty", "-m", "on top")
    assert moves() == [("worker_1", at, moved)]

    by("", "reset", "-q", "--keep", at)
    assert moves() == []
    by("", "commit", "-q", "--allow-empty", "-m", "own")
    assert moves() == []

    at = project.git("rev-parse", "main")
    by("worker_2", "commit", "-q", "--allow-empty", "-m", "theirs")
    again = project.git("rev-parse", "main")
    by("worker_3", "commit", "-q", "--allow-empty", "-m", "theirs, too")
    by("", "reset", "-q", "--keep", again)
    assert moves() == [("worker_2", at, again)]
    by("worker_2", "reset", "-q", "--keep", at)
    assert moves() == []
