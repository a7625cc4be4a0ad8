"""The state of a running merge, which the steps of the merge share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property

from orchestrator.core.gates.gate import Gates
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.ports import Tree, Workspace
from orchestrator.core.repository.repository import Repository, Strategy
from orchestrator.engine.merge.record.merge_record import MergeRecord
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.lost_child_changes import LostChildChanges
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: Name of the directory with the worktrees of merges, in a root job's directory. Each merged job of
#: the tree has a subdirectory.
FOLDER = "integration"

#: Function that returns True if the merge is no longer needed.
Halted = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class RunningMerge:
    """One merge of a job. Its steps read the job and its tree, and write the record."""

    tree: Tree
    #: The job to merge. In a repeated merge, its settings include the person's choices.
    job: Job
    #: The outcome so far. If the job does not use git, the record has no base commit.
    record: MergeRecord
    halted: Halted
    repository: Repository
    worktrees: Worktrees
    without_worktree: ChangesWithoutWorktree
    gates: Gates
    workspace: Workspace
    #: When the merge began, in seconds of the monotonic clock.
    began: float = field(default_factory=time.monotonic)

    @property
    def is_manual(self) -> bool:
        return self.job.config.merge_strategy == Strategy.MANUAL

    @property
    def gate_worktree(self) -> str:
        """Directory of the worktree in which gates judge merged states."""
        return f"{self.workspace.job_directory(self.job.root_id)}/{FOLDER}/{self.job.id}"

    @cached_property
    def workers(self) -> Sequence[Worker]:
        """The workers of the job, without workers of child jobs."""
        return [each for each in self.tree.workers if each.job_id == self.job.id]

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        """The tasks of the job, by id, in task order."""
        return {task.id: task for task in self.tree.tasks[self.job.id]}

    @cached_property
    def child_changes(self) -> LostChildChanges:
        return LostChildChanges(self.repository, self.worktrees)
