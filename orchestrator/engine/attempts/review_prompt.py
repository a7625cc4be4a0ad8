"""Composes prompts for reviewers, which compare candidates, and checks the reviewers' answers."""

import json
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.core.candidates.reviewer import candidates_to_review
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.job import Worker
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Assignment, ReviewedCandidate, Workspace
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.formatting import cut_bytes, plural
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: Maximum bytes in a prompt: for all patches together, and for all outputs together.
PATCH_BYTES = 128 * 1024
OUTPUT_BYTES = 16 * 1024
#: Maximum bytes of one patch that is written to a file next to the prompt.
MOST_PATCH_BYTES = 8 * 1024 * 1024


class ReviewPrompts:
    def __init__(self, scheduler: Scheduler, worktrees: Worktrees) -> None:
        self._scheduler = scheduler
        self._worktrees = worktrees

    def with_patches(self, assignment: Assignment) -> Assignment:
        """Return the assignment with each candidate's changes as a patch.

        This method runs git, so the supervisor's thread must not call this method. Raise
        RepositoryError if git fails.
        """
        max_bytes = PATCH_BYTES // max(1, len(assignment.entries))
        entries = tuple(
            self._with_patch(assignment, each, max_bytes) for each in assignment.entries
        )
        return replace(assignment, entries=entries)

    def _with_patch(
        self, assignment: Assignment, entry: ReviewedCandidate, max_bytes: int
    ) -> ReviewedCandidate:
        if not assignment.job.config.base:
            return entry
        worker = replace(assignment.worker, id=entry.worker_id)
        patch = self._worktrees.branches.patch(worker, MOST_PATCH_BYTES)
        return replace(entry, patch=patch, shown=cut_bytes(patch, max_bytes))

    def checked(self, reviewer: Worker, evidence: Evidence) -> Evidence:
        """Check a reviewer's answer. Return ``evidence`` with the ranking as the output.

        If the answer has no valid ranking, the evidence has an error. Any thread may call.
        """
        evidence = replace(evidence, files_created=(), files_changed=False)
        if evidence.error_class is not ErrorClass.NONE or evidence.claimed_success is False:
            return evidence
        # Import this when it is needed, because few jobs have reviewers.
        from orchestrator.schemas.agent_output.review import review_in

        candidate_ids = [each.id for each in _candidates(self._scheduler, reviewer)]
        try:
            review = review_in(evidence.output, candidate_ids)
        except InvalidRequest as error:
            return evidence.with_rejected("review", error.message)
        return replace(evidence, output=json.dumps(review.model_dump(mode="json"), indent=1))


def entries_for(
    scheduler: Scheduler, workspace: Workspace, reviewer: Worker
) -> tuple[ReviewedCandidate, ...]:
    """Return the candidates that a reviewer compares, without patches.

    ``ReviewPrompts.with_patches`` adds the patches later.
    """
    candidates = _candidates(scheduler, reviewer)
    max_bytes = OUTPUT_BYTES // len(candidates)
    return tuple(_entry(workspace, each, max_bytes) for each in candidates)


def _candidates(scheduler: Scheduler, reviewer: Worker) -> list[Worker]:
    return candidates_to_review(scheduler.view.candidates_of(reviewer.job_id, reviewer.task_id))


def _entry(workspace: Workspace, worker: Worker, max_bytes: int) -> ReviewedCandidate:
    # Do not name the candidate's agent, because a reviewer may use the same agent and prefer it.
    result = worker.result or WorkerResult()
    return ReviewedCandidate(
        worker_id=worker.id,
        facts=tuple(_facts(result)),
        files_created=result.files_created,
        directory=workspace.worker_directory(worker),
        output=cut_bytes(result.output, max_bytes),
    )


def _facts(result: WorkerResult) -> Iterator[str]:
    for gate in result.gates:
        tests_text = f", {gate.tests} tests passed" if gate.tests is not None else ""
        failures_text = f": {', '.join(gate.failures[:10])}" if gate.failures else ""
        note_text = f": {gate.note}" if gate.outcome is GateOutcome.DID_NOT_RUN else ""
        yield f"gate {gate.name}: {gate.outcome.words}{note_text}{tests_text}{failures_text}"
    if result.change:
        change = result.change
        files = plural(change.files, "file")
        lines = plural(change.added, "line")
        yield f"{files} changed, {lines} added, {change.removed} removed"
