"""What running workers say they have used: added up, told, and held against the limits."""

from dataclasses import replace

from orchestrator.core.endings import Endings
from orchestrator.core.events import EventKind
from orchestrator.core.evidence import Usage
from orchestrator.core.forest import Forest
from orchestrator.core.model import Worker, WorkerKey
from orchestrator.core.spending import NOTHING, breach, spent_by, total
from orchestrator.core.states import StopCause
from orchestrator.core.worker_result import WorkerResult

_OVER = "this attempt has ended"


class Accounting:
    def __init__(self, forest: Forest, endings: Endings) -> None:
        self._forest = forest
        self._ledger = forest.ledger
        self._endings = endings

    def used(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """A running attempt has used so much in all; why it must stop, empty when it need not.

        Idempotent: an attempt tells its whole usage every time.
        """
        current = self._ledger.attempts.get(key)
        if current is None or current.number != attempt:
            return _OVER
        worker = self._ledger.workers[key]
        if usage.input_tokens or usage.output_tokens or usage.cache_write_tokens:
            self._forest.logins.worked(worker.agent, now)
            self._forest.queue_again(self._forest.aside.heard(worker))
        result = worker.result or WorkerResult()
        so_far = total(result.usage_before or NOTHING, usage)
        if so_far != result.usage:
            self._forest.spend(worker, result.usage, so_far)
            self._ledger.update_worker(key, result=replace(result, usage=so_far))
            told = {name: getattr(so_far, name) for name in so_far.__dataclass_fields__}
            job = self._forest.job_of(worker)
            self._ledger.emit(EventKind.WORKER_USED, job, now, worker.id, **told)
        return self._own_limit(worker, so_far) or self.check_limits(worker, now)

    def check_limits(self, worker: Worker, now: float) -> str:
        """Stop the highest job of the worker's line that has used up what it may; why."""
        job = self._forest.job_of(worker)
        for above in (*reversed(self._forest.ancestors(job)), job):
            reached = breach(above.config, self._forest.spending.of(above.id))
            if reached and self._forest.plans[above.id].unfinished:
                by = f"{reached} of job {above.id}"
                self._endings.stop_tree(above.id, StopCause.LIMIT, by, now)
                return by
        return ""

    def _own_limit(self, worker: Worker, so_far: Usage) -> str:
        reached = breach(self._forest.task_of(worker), spent_by(so_far))
        return f"{reached} of its task" if reached else ""
