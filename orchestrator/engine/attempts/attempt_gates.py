"""Runs the gates on an attempt's changes, before the attempt counts as successful."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Check,
    Gate,
    GateResult,
    Gates,
    GateSource,
)
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.attempt.delivered_work import normalized
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.outcome.attempt_outcome import only_gates_remain
from orchestrator.core.ports import Workspace
from orchestrator.engine.attempts.launch_preparation import RunningAttempt
from orchestrator.engine.runtime.supervisor_messages import GatesStarted, Post
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: The role of a task whose work is to write tests.
TESTING = "testing"
#: Called with an attempt's end and its gates' results.
OnJudged = Callable[[RunningAttempt, Exit, Evidence], None]


def gates_of(job: Job, task: TaskSpec, has_worktree: bool) -> tuple[Gate, ...]:
    """Return the gates for a worker's result: the task's own gates, and the job's gates.

    A gate of the task replaces a gate of the job with the same name. If gates are switched off for
    the job, the task keeps its gates, except gates that only the planner requested.

    Without a worktree (``has_worktree`` is False), these gates are omitted:

    - gates that no person requested
    - all gates of the job, if the job has a base commit: they then run after the merge
    """
    are_planned = (each.source is GateSource.PLANNED for each in task.gates)
    task_gates = zip(task.gates, are_planned, strict=True)
    gates_by_name = {
        gate.name: gate
        for gate, is_planned in task_gates
        if not (is_planned and job.config.gates_off)
    }
    if has_worktree or not job.config.base:
        for gate in job.config.gates:
            gates_by_name.setdefault(gate.name, gate)
    selected_gates = (
        each
        for each in gates_by_name.values()
        if has_worktree or each.source is GateSource.REQUESTED
    )
    return tuple(selected_gates)


def permission_of(task: TaskSpec, judged: frozenset[str]) -> AlterationPermission:
    """Return the task's permission to alter files that decide how a gate judges, such as tests.

    ``judged``: files that child jobs of the worker changed, and that gates of these jobs have
    judged. The task may alter these files, too.
    """
    writes = tuple(f"/{normalized(each)}" for each in task.writes)
    return AlterationPermission(writes=writes, tests=task.role == TESTING, judged=judged)


class AttemptGates:
    """Runs gates on the results of attempts. Any thread may call."""

    def __init__(
        self, gates: Gates, worktrees: Worktrees, workspace: Workspace, project: str, post: Post
    ) -> None:
        self._gates = gates
        self._worktrees = worktrees
        self._workspace = workspace
        #: The user's checkout.
        self._project = project
        self._post = post
        self._lock = threading.Lock()
        #: Attempts whose process has ended, but whose end is not reported yet. The value is the
        #: exit to report if a stop was requested after the end of the process; otherwise None.
        self._ended: dict[str, Exit | None] = {}

    def record_process_end(self, worker: Worker) -> None:
        """Record that an attempt's process has ended, before the attempt's end is reported."""
        with self._lock:
            self._ended[worker.attempt_id] = None

    def is_unreported(self, worker: Worker) -> bool:
        """True if the attempt's process has ended, but the attempt's end is not reported yet."""
        with self._lock:
            return worker.attempt_id in self._ended

    def is_stopped(self, worker: Worker) -> bool:
        return self._requested_stop(worker) is not None

    def stop(self, worker: Worker, exit: Exit) -> bool:
        """Stop the gates of an attempt whose process has ended, and return True.

        Do nothing and return False if the attempt's process still runs, or if the attempt's end was
        already reported. ``exit``: the exit to report.
        """
        attempt_id = worker.attempt_id
        with self._lock:
            if attempt_id not in self._ended:
                return False
            self._ended[attempt_id] = self._ended[attempt_id] or exit
        self._gates.stop(worker.root_id, worker.id, exit.ended_by, exit.stopped_by)
        return True

    def begin(
        self,
        running: RunningAttempt,
        job: Job | None,
        exit: Exit,
        evidence: Evidence,
        on_judged: OnJudged,
    ) -> None:
        """Run the gates of a successful attempt, then call ``on_judged`` with the results.

        If the attempt failed or has no gates, call ``on_judged`` at once.
        """
        gates = self._gates_to_run(running, job, exit, evidence)
        if not gates:
            self._remove_ended(running.worker)
            on_judged(running, exit, evidence)
        elif self._requested_stop(running.worker):
            self._report(running, exit, evidence, on_judged)
        else:
            self._begin_check(running, gates, exit, evidence, on_judged)

    def _begin_check(
        self,
        running: RunningAttempt,
        gates: tuple[Gate, ...],
        exit: Exit,
        evidence: Evidence,
        on_judged: OnJudged,
    ) -> None:
        worker = running.worker
        try:
            check = self._check_of(running, gates)
        except (RepositoryError, OSError) as error:
            message = f"cannot run the gates of {worker.id}: {error}"
            evidence = replace(evidence, claimed_success=False, error=message)
            self._report(running, exit, evidence, on_judged)
            return

        def on_begun(names: Sequence[str]) -> None:
            self._post(GatesStarted(worker.key, worker.attempt, tuple(names)))

        def on_results(results: Sequence[GateResult]) -> None:
            self._report(running, exit, replace(evidence, gates=tuple(results)), on_judged)

        self._gates.begin(check, on_results, on_begun)
        requested_stop = self._requested_stop(worker)
        # A caller may have requested the stop while the gates were being started.
        if requested_stop is not None:
            self._gates.stop(
                worker.root_id, worker.id, requested_stop.ended_by, requested_stop.stopped_by
            )

    def late_evidence(
        self, running: RunningAttempt, job: Job, exit: Exit, evidence: Evidence
    ) -> Evidence:
        """Return the evidence of a late result. No gates run for a late result.

        A late result that gates would have to check therefore counts as failed.
        """
        if not self._gates_to_run(running, job, exit, evidence):
            return evidence
        message = "late result: the gates did not run, so the result counts as failed"
        return replace(evidence, claimed_success=False, error=message)

    def _gates_to_run(
        self, running: RunningAttempt, job: Job | None, exit: Exit, evidence: Evidence
    ) -> tuple[Gate, ...]:
        if job is None or running.worker.is_planner:
            return ()
        gates = gates_of(job, running.task, running.worktree is not None)
        return gates if gates and only_gates_remain(exit, evidence) else ()

    def _check_of(self, running: RunningAttempt, gates: tuple[Gate, ...]) -> Check:
        worker, worktree = running.worker, running.worktree
        directory = self._workspace.worker_directory(worker)
        if running.task.works_in_project:
            directory = self._project
        base, commit = "", ""
        permissions: tuple[AlterationPermission, ...] = ()
        if worktree is not None:
            directory = worktree.directory
            base, commit = self._worktrees.branches.span(worker)
            judged = frozenset(self._worktrees.branches.files_of_children(worker, base, commit))
            permissions = (permission_of(running.task, judged),)
        return Check(
            root_id=worker.root_id,
            job_id=worker.job_id,
            name=worker.id,
            directory=directory,
            base=base,
            commit=commit,
            gates=gates,
            worktree=worktree.directory if worktree is not None else "",
            permissions=permissions,
            is_compared=len(running.task.agents) > 1,
        )

    def _remove_ended(self, worker: Worker) -> Exit | None:
        with self._lock:
            return self._ended.pop(worker.attempt_id, None)

    def _requested_stop(self, worker: Worker) -> Exit | None:
        with self._lock:
            return self._ended.get(worker.attempt_id)

    def _report(
        self, running: RunningAttempt, exit: Exit, evidence: Evidence, on_judged: OnJudged
    ) -> None:
        requested_stop = self._remove_ended(running.worker)
        if requested_stop is not None:
            exit = replace(
                exit,
                ended_by=requested_stop.ended_by,
                cause=requested_stop.cause,
                stopped_by=requested_stop.stopped_by,
            )
        on_judged(running, exit, evidence)
