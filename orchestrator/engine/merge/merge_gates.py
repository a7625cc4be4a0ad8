"""Runs a job's gates on merged states, in a separate worktree."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Check,
    Gate,
    GateCause,
    GatePlace,
    GateResult,
    GateStatus,
)
from orchestrator.core.gates.gate_decision import did_not_run
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.job_outcome import job_outcome
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import one_line
from orchestrator.engine.attempts.attempt_gates import gates_of, permission_of
from orchestrator.engine.merge.merge_order import MergePart
from orchestrator.engine.merge.running_merge import RunningMerge

logger = logging.getLogger(__name__)

#: Seconds between checks of ``halted`` while gates run.
LOOK_SECONDS = 0.1
#: Maximum seconds to wait until stopped gates have ended.
STOP_SECONDS = 5.0


class Abandoned(Exception):
    """Raised if the results of a check are no longer needed, because the job was stopped."""


class GateUnfit(Exception):
    """Raised if a required gate cannot judge changes, because the gate also fails on the base."""


class MergeGates:
    """The gates of a job, for one merge.

    The tasks whose changes are merged decide which tests the changes may alter.
    """

    def __init__(self, merge: RunningMerge, parts: Sequence[MergePart]) -> None:
        """``parts``: the changes to merge. Raise RepositoryError if git fails."""
        self._merge = merge
        #: Results of the gates that are skipped in this merge.
        self.skipped = () if merge.record.again else _skipped_gates(merge)
        skipped = {each.name for each in self.skipped}
        vanishing = self._gates_whose_tests_may_vanish(parts)
        self._gates = tuple(
            replace(gate, tests_may_vanish=True) if gate.name in vanishing else gate
            for gate in merge.job.config.gates
            if gate.name not in skipped
        )
        #: Changes of tests that do not count as tampering.
        self._permissions = tuple(map(self._permission, parts))
        #: Names of gates that are known to pass on the base commit.
        self._sound: set[str] = set()

    def judge(self, commit: str) -> Sequence[GateResult]:
        """Return the results of the gates on ``commit``, with the results of skipped gates.

        Return no results if the merge strategy is ``manual``. Raise Abandoned if the merge is no
        longer needed. Raise GateUnfit if a required gate also fails on the base commit.
        """
        if self._merge.halted():
            raise Abandoned("the job was stopped before it was merged")
        if self._merge.is_manual:
            return ()
        if not self._gates:
            return self.skipped
        results = self._run(self._gates, GatePlace.RESULT, commit)
        doubtful = self._doubtful_gates(results)
        if doubtful:
            self._check_base(doubtful)
            self._sound.update(gate.name for gate in doubtful)
        return [*results, *self.skipped]

    def _gates_whose_tests_may_vanish(self, parts: Sequence[MergePart]) -> set[str]:
        """Return the names of gates whose tests may be removed, because a task allows this."""
        job, tasks = self._merge.job, self._merge.tasks
        gates = (
            gate
            for part in parts
            for gate in gates_of(job, tasks[part.worker.task_id], has_worktree=True)
        )
        return {gate.name for gate in gates if gate.tests_may_vanish}

    def _permission(self, part: MergePart) -> AlterationPermission:
        branches = self._merge.worktrees.branches
        judged = branches.files_of_children(part.worker, *branches.span(part.worker))
        return permission_of(self._merge.tasks[part.worker.task_id], frozenset(judged))

    def _doubtful_gates(self, results: Sequence[GateResult]) -> tuple[Gate, ...]:
        """Return the blocking gates that may also fail on the base commit."""
        blocking = {each.name: each for each in results if each.blocks}

        def is_doubtful(gate: Gate) -> bool:
            # A gate that could not run now is doubtful, even if the gate passed on the base before.
            broken = blocking[gate.name].status is GateStatus.BROKEN
            return broken or not (gate.new_only or gate.name in self._sound)

        return tuple(each for each in self._gates if each.name in blocking and is_doubtful(each))

    def _check_base(self, gates: Sequence[Gate]) -> None:
        whole = tuple(replace(gate, when=(), new_only=False) for gate in gates)
        results = self._run(whole, GatePlace.BASE, self._merge.record.base)
        blocking = [each for each in results if each.blocks]
        if blocking:
            names = ", ".join(each.name for each in blocking)
            last_line = one_line(blocking[0].output)[-300:]
            cause = f" ({last_line})" if last_line else ""
            raise GateUnfit(
                f"gates already fail on the base commit: {names}{cause}; "
                "nothing was merged; make these gates pass on the base commit, then: "
                f"{COMMAND} merge {self._merge.job.id}"
            )

    def _run(self, gates: tuple[Gate, ...], place: GatePlace, commit: str) -> Sequence[GateResult]:
        """Run the gates on ``commit``.

        If ``place`` is ``RESULT``, the commit is a merged state. If ``place`` is ``BASE``, the
        commit is the base.
        """
        merge, directory = self._merge, self._merge.gate_worktree
        is_result = place is GatePlace.RESULT
        # The scan for secrets needs no files, because it reads commits.
        needs_files = not all(gate.is_secret_scan for gate in gates)
        try:
            if needs_files:
                merge.repository.open_detached_worktree(directory, commit)
        except RepositoryError:
            merge.repository.remove_detached_worktree(directory)
            raise
        # In a check with a base commit, the gate runner itself determines the project's path.
        project = directory if is_result else merge.repository.project_path(directory)
        failpoints.reached("merge: gates begin")
        try:
            check = Check(
                root_id=merge.job.root_id,
                job_id=merge.job.id,
                name=f"result_{merge.job.id}",
                directory=project,
                base=merge.record.base if is_result else "",
                commit=commit,
                gates=gates,
                worktree=directory,
                place=place,
                permissions=self._permissions if is_result else (),
            )
            results = self._wait_for_results(check)
        finally:
            if needs_files:
                merge.repository.remove_detached_worktree(directory)
        failpoints.reached("merge: gates done")
        return results

    def _wait_for_results(self, check: Check) -> Sequence[GateResult]:
        gates, ended = self._merge.gates, threading.Event()
        all_results: list[GateResult] = []

        def done(results: Sequence[GateResult]) -> None:
            all_results.extend(results)
            ended.set()

        gates.begin(check, done)
        while not ended.wait(LOOK_SECONDS):
            if self._merge.halted():
                gates.stop(check.root_id, check.name, EndedBy.CANCEL, "the end of the job")
                # Wait until the gates have ended, because the caller then removes their worktree.
                ended.wait(STOP_SECONDS)
                raise Abandoned("the job was stopped while its gates ran")
        return all_results


def _skipped_gates(merge: RunningMerge) -> tuple[GateResult, ...]:
    """Return a result for each gate that is skipped because the job tree was cancelled.

    The scan for secrets is never skipped. Return no results if the job's own outcome is not
    ``cancelled``. An example is a job whose tasks had all succeeded when the tree was cancelled.
    """
    job = merge.job
    if not merge.tree.root.cancelled:
        return ()
    workers = [each for each in merge.workers if not each.is_planner]
    if job_outcome(workers, job.cancelled) is not JobStatus.CANCELLED:
        return ()
    why = f"the job was cancelled before the gate ran; to run the gate: {COMMAND} merge {job.id}"
    gates = (each for each in job.config.gates if not each.is_secret_scan)
    results = (did_not_run(gate, GateCause.KILLED, why) for gate in gates)
    # A skipped gate does not block the merge. Blocking is unnecessary, because a cancelled job
    # never counts as successful.
    return tuple(replace(each, status=GateStatus.SKIPPED) for each in results)
