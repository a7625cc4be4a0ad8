"""Baseline runs: runs of gates on base commits. Their results are stored and shared.

A run with findings is repeated once. A finding counts as certain only if both runs report it.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from functools import partial

from orchestrator.core.gates.findings import FinishedRun
from orchestrator.core.gates.gate import Check, Gate, GateCause
from orchestrator.core.gates.repeated_runs import combined_on_base, needs_second_run
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.repository import Repository
from orchestrator.engine.gates.baseline_store import BaselineStore, is_lasting
from orchestrator.engine.gates.gate_process import GateProcess, GateProcesses
from orchestrator.engine.gates.tampering_detection import gate_rewrites
from orchestrator.engine.runtime.background_pool import BackgroundPool
from orchestrator.engine.worktrees.worktree_need_and_removal import gates_directory

logger = logging.getLogger(__name__)

#: Function to call with the gate's run on the base commit, or with None if there is no result.
OnRan = Callable[[FinishedRun | None], None]


@dataclass(slots=True)
class _BaselineRequest:
    """A gate to run on a base commit, and the callers that wait for the result."""

    gate: Gate
    #: The callbacks of the callers that wait, by caller.
    waiting: dict[object, OnRan] = field(default_factory=dict)
    #: The result of the first run, while the second run is pending; otherwise None.
    first: FinishedRun | None = None


@dataclass(slots=True)
class _BaseCommit:
    """A base commit of a root job, with a worktree in which gates run one at a time."""

    root_id: str
    commit: str
    #: The gates to run.
    queue: deque[_BaselineRequest] = field(default_factory=deque)
    running: _BaselineRequest | None = None
    #: Name of the process of the current run, to stop the run; empty without a run.
    process: str = ""
    #: True if no run of an earlier server is active in the worktree.
    earlier_runs_stopped: bool = False
    #: Results that only workers of this job tree share, because they are not stored for later jobs.
    shared: list[tuple[Gate, FinishedRun]] = field(default_factory=list)
    is_dropped: bool = False

    @property
    def owner(self) -> str:
        return f"base_{self.commit[:12]}"


class BaselineRuns:
    """Runs gates on base commits, and shares the results.

    Any thread may call; callbacks come from a thread of ``background``.
    """

    def __init__(
        self,
        runs: GateProcesses,
        repository: Repository,
        workspace: Workspace,
        results: BaselineStore,
        background: BackgroundPool,
    ) -> None:
        self._runs = runs
        self._results = results
        self._repository = repository
        self._workspace = workspace
        self._background = background
        self._lock = threading.Lock()
        #: Base commits in use, by root job id and commit. Other classes may only check whether this
        #: mapping is empty.
        self.bases: dict[tuple[str, str], _BaseCommit] = {}

    def known_result(self, check: Check, gate: Gate) -> FinishedRun | None:
        """Return the result of an earlier run on a check's base commit; None if there is none."""
        stored_run = self._results.stored(check.base, gate)
        if stored_run is not None:
            return stored_run
        with self._lock:
            base = self.bases.get((check.root_id, check.base))
            shared_runs = base.shared if base else []
            return next((ran for each, ran in shared_runs if _is_same_command(each, gate)), None)

    def request(self, requester: object, check: Check, gate: Gate, on_ran: OnRan) -> None:
        """Request a gate's result on the base commit of a check. ``on_ran`` gets the result.

        ``requester`` identifies the caller, which can cancel the request with ``cancel``.
        """
        known_run = self.known_result(check, gate)
        if known_run is not None:
            self._background.submit(partial(on_ran, known_run))
            return
        base_key = check.root_id, check.base
        with self._lock:
            base = self.bases.setdefault(base_key, _BaseCommit(*base_key))
            # A request without callers was cancelled. Its run is stopped, and has no result.
            request = next(
                (
                    each
                    for each in _all_requests(base)
                    if each.waiting and _is_same_command(each.gate, gate)
                ),
                None,
            )
            if request is None:
                request = _BaselineRequest(gate)
                base.queue.append(request)
            request.waiting[requester] = on_ran
        self._background.submit(partial(self._begin_next, base))

    def cancel(self, requester: object, by: tuple[str, str]) -> None:
        """Cancel the requests of ``requester``. Stop a run if no other caller waits for its result.

        ``by``: the pair (``ended_by``, ``stopped_by``) for a stopped run.
        """
        with self._lock:
            for base in self.bases.values():
                for request in _all_requests(base):
                    request.waiting.pop(requester, None)
                base.queue = deque(each for each in base.queue if each.waiting)
                running = base.running
                if running is not None and not running.waiting and base.process:
                    self._runs.stop(base.process, *by)

    def drop(self, root_id: str) -> None:
        """Remove the worktrees of an ended root job's base commits. Idempotent.

        If a gate still runs in one of the worktrees, remove the worktrees after the gate's end.
        """
        with self._lock:
            bases = [self.bases.pop(each) for each in [*self.bases] if each[0] == root_id]
            for base in bases:
                base.is_dropped = True
            is_idle = all(base.running is None for base in bases)
        if is_idle:
            self._background.submit(partial(self._remove_worktrees, root_id))

    # -- runs -----------------------------------------------------------------------------------

    def _begin_next(self, base: _BaseCommit) -> None:
        with self._lock:
            if base.running is not None or not base.queue:
                return
            base.running = base.queue.popleft()
            base.process = ""
        if base.earlier_runs_stopped:
            self._begin_run(base)
        else:
            self._runs.stop_earlier_runs(base.root_id, base.owner, partial(self._begin_run, base))

    def _begin_run(self, base: _BaseCommit) -> None:
        base.earlier_runs_stopped = True
        request, directory = base.running, self._worktree_directory(base)
        assert request is not None, "taken from the queue"
        try:
            self._repository.open_detached_worktree(directory, base.commit)
            cwd = self._repository.project_path(directory)
            run = GateProcess(
                root_id=base.root_id,
                owner=base.owner,
                gate=request.gate,
                cwd=cwd,
                worktree=directory,
            )
            self._runs.begin(run, partial(self._run_ended, base), partial(self._set_process, base))
        except Exception as error:
            # The callers wait for a result, so also call them after an error.
            logger.warning(
                "cannot run a baseline: %s", error, extra={"root_id": base.root_id}, exc_info=True
            )
            self._report_result(base, None)
            return
        with self._lock:
            process = base.process if base.running is request and not request.waiting else ""
        if process:
            self._runs.stop(process, "cancel", "a check that no longer needs the baseline")

    def _set_process(self, base: _BaseCommit, process: str) -> None:
        with self._lock:
            base.process = process

    def _run_ended(self, base: _BaseCommit, ran: FinishedRun | None) -> None:
        request = base.running
        assert request is not None, "a baseline run of this worktree has just ended"
        directory = self._worktree_directory(base)
        if ran is not None:
            ran = replace(ran, rewritten=gate_rewrites(self._repository, directory, base.commit))
        try:
            self._repository.restore_files(directory, base.commit)
        except Exception as error:
            logger.warning(
                "cannot restore the worktree of a base commit: %s",
                error,
                extra={"root_id": base.root_id},
            )
        if ran is not None and request.first is None and needs_second_run(ran):
            request.first = ran
            self._begin_run(base)
            return
        if ran is not None:
            ran = combined_on_base(request.first, ran) if request.first else ran
            self._keep_result(base, request.gate, ran)
        self._report_result(base, ran)

    def _keep_result(self, base: _BaseCommit, gate: Gate, ran: FinishedRun) -> None:
        self._results.save(base.commit, gate, ran)
        # Do not share the result of a killed run, because the next run may pass.
        if not is_lasting(ran) and ran.cause is not GateCause.KILLED:
            with self._lock:
                base.shared.append((gate, ran))

    def _report_result(self, base: _BaseCommit, ran: FinishedRun | None) -> None:
        with self._lock:
            ended_request, base.running, base.process = base.running, None, ""
            callbacks = list(ended_request.waiting.values()) if ended_request else []
            is_over = base.is_dropped and not base.queue
        for on_ran in callbacks:
            self._background.submit(partial(on_ran, ran))
        if is_over:
            self._remove_worktrees(base.root_id)
        self._begin_next(base)

    # -- files ----------------------------------------------------------------------------------

    def _worktree_directory(self, base: _BaseCommit) -> str:
        folder = gates_directory(self._workspace, base.root_id) / base.owner
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(folder / "worktree")

    def _remove_worktrees(self, root_id: str) -> None:
        for folder in gates_directory(self._workspace, root_id).glob("base_*"):
            if os.path.lexists(folder / "worktree"):
                self._repository.remove_detached_worktree(str(folder / "worktree"))


def _all_requests(base: _BaseCommit) -> Iterable[_BaselineRequest]:
    return [*([base.running] if base.running else []), *base.queue]


def _is_same_command(one: Gate, other: Gate) -> bool:
    return (one.name, one.run, one.report, one.timeout) == (
        other.name,
        other.run,
        other.report,
        other.timeout,
    )
