"""Answers about the checkpoints of workers, and about workers that were rolled back."""

from datetime import datetime

from orchestrator.schemas.answers.answer import Answer, Links


class CheckpointAnswer(Answer):
    """A saved state of a worker's worktree."""

    worker_id: str
    name: str
    """Name: start; 1-before and 1-after (before and after attempt 1), and so on; 1-left-1 (after
    attempt 1, before the first rollback)."""
    attempt: int
    """Number of the attempt; 0 for the start."""
    at: datetime | None = None
    commit: str
    ref: str
    files_changed: int
    """Number of files that differ from the previous checkpoint."""
    ignored: bool
    """True if git-ignored files are part of the checkpoint."""
    not_kept: dict[str, str]
    """Git-ignored files that are not part of the checkpoint, with the reason."""
    gates: str
    """Results of the gates; empty if no gate ran."""
    current: bool
    """True if the worker's branch is at this checkpoint."""


class CheckpointsAnswer(Answer):
    """The checkpoints of a job's workers, the oldest first."""

    job_id: str
    checkpoints: list[CheckpointAnswer]


class RolledBackAnswer(Answer):
    """A worker whose branch and worktree were restored to a checkpoint."""

    job_id: str
    worker_id: str
    checkpoint: str
    commit: str
    saved_as: str
    """Checkpoint with the state before the rollback."""
    kept: str
    """Alias of saved_as."""
    links: Links


class RecountedAnswer(Answer):
    """Changed files of a worker's branch, including commits after the worker's end."""

    job_id: str
    worker_id: str
    files_created: list[str]
    links: Links
