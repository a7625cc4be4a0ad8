"""Runs gates on a merged state, in a separate worktree."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Check,
    Gate,
    GatePlace,
    GateResult,
    Gates,
    GateStatus,
)
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.job import Job
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.repository import Repository
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import one_line

logger = logging.getLogger(__name__)

#: Name of the directory with the worktrees of merges, in a root job's directory. Each job of the
#: tree that is being merged has a subdirectory.
FOLDER = "integration"
#: Seconds between checks of ``halted`` while gates run.
LOOK_SECONDS = 0.1
#: Maximum seconds to wait until stopped gates have ended.
STOP_SECONDS = 5.0

#: Function that returns True if the merge is no longer needed.
Halted = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class AllowedTestChanges:
    """The changes of tests that the tasks of the merged workers allow."""

    permissions: tuple[AlterationPermission, ...]
    #: Names of gates whose tests may be removed, because at least one task allows this.
    vanishing: frozenset[str]

    def applied(self, gate: Gate) -> Gate:
        return replace(gate, tests_may_vanish=True) if gate.name in self.vanishing else gate


class Abandoned(Exception):
    """Raised if the results of a check are no longer needed, because the job was stopped."""


class GateUnfit(Exception):
    """Raised if a required gate cannot judge changes, because the gate also fails on the base."""


class MergeGates:
    def __init__(self, repository: Repository, gates: Gates, workspace: Workspace) -> None:
        self._repository = repository
        self._gates = gates
        self._workspace = workspace

    def directory(self, job: Job) -> str:
        return f"{self._workspace.job_directory(job.root_id)}/{FOLDER}/{job.id}"

    def clear(self, job: Job) -> None:
        """Remove the worktree of an earlier check that a crash interrupted. Idempotent."""
        self._repository.remove_detached_worktree(self.directory(job))

    def judge(
        self,
        job: Job,
        base: str,
        commit: str,
        allowed: AllowedTestChanges,
        halted: Halted,
        sound: set[str],
    ) -> Sequence[GateResult]:
        """Return the results of the job's gates on ``commit``, which was created from ``base``.

        ``allowed``: the changes of tests that do not count as tampering. ``sound``: names of gates
        that are known to pass on ``base``. This method adds further names to the set.

        Raise Abandoned if ``halted`` returns True. Raise GateUnfit if a required gate also fails on
        ``base``.
        """
        gates = tuple(map(allowed.applied, job.config.gates))
        if not gates:
            return ()
        results = self._run_gates(job, base, commit, gates, halted, allowed.permissions)
        doubtful = _doubtful_gates(gates, results, sound)
        if doubtful:
            self._check_base(job, base, doubtful, halted)
            sound.update(gate.name for gate in doubtful)
        return results

    def _check_base(self, job: Job, base: str, gates: tuple[Gate, ...], halted: Halted) -> None:
        whole = tuple(replace(gate, when=(), new_only=False) for gate in gates)
        blocking = [each for each in self._run_gates(job, "", base, whole, halted) if each.blocks]
        if blocking:
            names = ", ".join(each.name for each in blocking)
            last_line = one_line(blocking[0].output)[-300:]
            cause = f" ({last_line})" if last_line else ""
            raise GateUnfit(
                f"gates already fail on the base commit: {names}{cause}; "
                "nothing was merged; make these gates pass on the base commit, then: "
                f"{COMMAND} merge {job.id}"
            )

    def _run_gates(
        self,
        job: Job,
        base: str,
        commit: str,
        gates: tuple[Gate, ...],
        halted: Halted,
        permissions: tuple[AlterationPermission, ...] = (),
    ) -> Sequence[GateResult]:
        directory = self.directory(job)
        # The scan for secrets needs no files, because it reads commits.
        needs_files = not all(gate.is_secret_scan for gate in gates)
        try:
            if needs_files:
                self._repository.open_detached_worktree(directory, commit)
        except RepositoryError:
            self._repository.remove_detached_worktree(directory)
            raise
        # With a base commit, the gate runner determines the project's path in the worktree itself.
        place = directory if base else self._repository.project_path(directory)
        failpoints.reached("merge: gates begin")
        try:
            check = Check(
                root_id=job.root_id,
                job_id=job.id,
                name=f"result_{job.id}",
                directory=place,
                base=base,
                commit=commit,
                gates=gates,
                worktree=directory,
                place=GatePlace.RESULT if base else GatePlace.BASE,
                permissions=permissions,
            )
            results = self._wait_for_results(check, halted)
        finally:
            if needs_files:
                self._repository.remove_detached_worktree(directory)
        failpoints.reached("merge: gates done")
        return results

    def _wait_for_results(self, check: Check, halted: Halted) -> Sequence[GateResult]:
        ended = threading.Event()
        found: list[GateResult] = []

        def done(results: Sequence[GateResult]) -> None:
            found.extend(results)
            ended.set()

        self._gates.begin(check, done)
        while not ended.wait(LOOK_SECONDS):
            if halted():
                self._gates.stop(check.root_id, check.name, EndedBy.CANCEL, "the end of the job")
                # Wait until the gates have ended, because the caller then removes their worktree.
                ended.wait(STOP_SECONDS)
                raise Abandoned("the job was stopped while its gates ran")
        return found


def _doubtful_gates(
    gates: Sequence[Gate], results: Sequence[GateResult], sound: set[str]
) -> tuple[Gate, ...]:
    blocking = {each.name: each for each in results if each.blocks}

    def is_doubtful(gate: Gate) -> bool:
        # A gate that could not run now is doubtful, even if the gate passed on the base before.
        broken = blocking[gate.name].status is GateStatus.BROKEN
        return broken or not (gate.new_only or gate.name in sound)

    return tuple(each for each in gates if each.name in blocking and is_doubtful(each))
