"""A worker that is tried again: queued for its next attempt, with its agent or another one."""

from orchestrator.core.another import HANDED_ON, Another, in_its_place
from orchestrator.core.claims import Claims
from orchestrator.core.classification import failure_of, goes_on_with, noted
from orchestrator.core.events import EventKind
from orchestrator.core.forest import Forest
from orchestrator.core.model import Worker
from orchestrator.core.outcome import Verdict
from orchestrator.core.states import WorkerStatus


class Anew:
    def __init__(self, forest: Forest, claims: Claims, another: Another) -> None:
        self._forest = forest
        self._ledger = forest.ledger
        self._claims = claims
        self._another = another

    def with_another_agent(self, worker: Worker, verdict: Verdict, now: float) -> bool:
        """Try again with the next best where the choice was left open; that uses no retry."""
        other = self._another.agent_for(worker, verdict, now)
        if not other:
            return False
        reason, free = in_its_place(other, worker.agent, verdict.reason), worker.budget_from + 1
        failed = failure_of(worker, worker.attempt)
        if failed and worker.result:
            handed_on = goes_on_with(failed, other)
            worker = self._ledger.update_worker(worker.key, result=noted(worker.result, handed_on))
        self.begin(
            worker, reason, reason, 0.0, now, agent=other, budget_from=free, failure=HANDED_ON
        )
        if worker.is_planner:
            self._another.plans_now(worker, other)
        return True

    def begin(
        self, worker: Worker, reason: str, told: str, delay: float, now: float, **changes: object
    ) -> None:
        """Queue another attempt; ``told`` is what the event says of why."""
        again = self._ledger.move_worker(
            worker.key, WorkerStatus.PENDING, reason=reason, not_before=now + delay, **changes
        )
        node = self._forest.nodes[worker.key]
        node.verdict = node.ended_at = None
        self._claims.begins_again(again, node, now)
        said: dict[str, object] = {"attempt": worker.attempt, "reason": told}
        failed, job = failure_of(worker, worker.attempt), self._forest.job_of(worker)
        said |= {"delay_seconds": delay, **(failed.told() if failed else {})}
        self._ledger.emit(EventKind.WORKER_RETRYING, job, now, worker.id, **said)
        self._forest.queue(again)
