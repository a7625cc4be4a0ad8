"""Trees that a restart finds in the store, taken over as they were."""

from collections.abc import Sequence

from orchestrator.core.claims import Claims
from orchestrator.core.classification import failure_of
from orchestrator.core.endings import Endings
from orchestrator.core.evidence import Evidence, Exit
from orchestrator.core.forest import Forest
from orchestrator.core.late import LateResults
from orchestrator.core.model import Attempt, Worker
from orchestrator.core.outcome import Verdict, judge
from orchestrator.core.planning import plan_of
from orchestrator.core.ports import Tree
from orchestrator.core.running import Running
from orchestrator.core.states import WorkerStatus


class Restoring:
    def __init__(
        self,
        forest: Forest,
        running: Running,
        claims: Claims,
        endings: Endings,
        late: LateResults,
    ) -> None:
        self._forest = forest
        self._ledger = forest.ledger
        self._running = running
        self._claims = claims
        self._endings = endings
        self._late = late

    def restore(self, tree: Tree, now: float) -> Sequence[Attempt]:
        """Take over a tree; the attempts whose end is not known."""
        self._ledger.load(tree, tree.root.id)
        self._register_all(tree)
        last = {attempt.key: attempt for attempt in tree.attempts}
        for worker in (*tree.workers, *tree.advisers):
            if not worker.status.ended:
                self._restore_worker(worker, last.get(worker.key), now)
        for attempt in tree.attempts:
            self._late.ended(attempt)
        for job in tree.jobs:
            if not job.status.ended:
                self._endings.check_job(job.id, now)
        return [attempt for attempt in tree.attempts if attempt.ended_at is None]

    def _register_all(self, tree: Tree) -> None:
        planners = {planner.job_id: planner for planner in tree.planners}
        by_job: dict[str, list[Worker]] = {job.id: [] for job in tree.jobs}
        for worker in (*tree.workers, *tree.reviewers):
            by_job[worker.job_id].append(worker)
        # Clocks are set back now and then: a child job may look older than its parent.
        for job in sorted(tree.jobs, key=lambda job: job.depth):
            planner = planners.get(job.id)
            plan = plan_of(tree.tasks[job.id], by_job[job.id], planner)
            self._forest.register(job, plan, planner.key if planner else None)

    def _restore_worker(self, worker: Worker, last: Attempt | None, now: float) -> None:
        jobs, node = self._ledger.jobs, self._forest.nodes[worker.key]
        node.open_children = {
            child for child in worker.child_job_ids if not jobs[child].status.ended
        }
        self._claims.found(worker, node, now)
        if worker.key in self._ledger.attempts:
            self._running.found_alive(worker, node)
            self._endings.stop_again(worker)
        elif worker.status is not WorkerStatus.PENDING and last and last.exit:
            verdict = _verdict_again(worker, last, last.exit)
            self._endings.wait_again(worker, verdict, now)


def _verdict_again(worker: Worker, last: Attempt, exit: Exit) -> Verdict:
    """The verdict on an attempt whose evidence is gone: each failed attempt has its failure stored.

    A success may have a reason, too: a note.
    """
    status = judge(exit, Evidence()).status
    failed = failure_of(worker, last.number) is not None
    if failed and status is WorkerStatus.SUCCESS:
        status = WorkerStatus.FAILED
    elif not failed and status is not WorkerStatus.CANCELLED:
        status = WorkerStatus.SUCCESS
    return Verdict(status=status, reason=last.reason)
