"""Where a worker's conflict is resolved, for each set of refs that a crash may leave."""

from pathlib import Path

from orchestrator.core.repository.git_refs import (
    adopted_result_ref,
    resolving_ref,
    worker_branch,
)
from orchestrator.engine.worktrees.conflict_resolution import own_tip, unresolved
from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.core.factories import a_worker


def test_a_crash_before_all_refs_are_there_leaves_the_workers_own_branch(tmp_path: Path) -> None:
    project = Project(tmp_path / "project").begin({"a.txt": "one\n"})
    repository = GitRepository(project.path, tmp_path / "workspace", tmp_path)
    worker = a_worker()
    tip = repository.base().commit
    repository.set_ref(worker_branch(worker), tip)

    for ref in (resolving_ref(worker), adopted_result_ref(worker)):
        repository.set_ref(ref, tip)
        assert unresolved(repository, worker) == ()
        assert own_tip(repository, worker) == tip
        repository.delete_ref(ref)
