"""The job manager's brain: events in, commands out. No clock, thread, file or database.

Methods are events; ``turn`` decides what starts and hands over what is to be done. Times are
given with every event, so that a test can be a story.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.accounting import Accounting
from orchestrator.core.another import Another
from orchestrator.core.aside import Prompting
from orchestrator.core.claims import Claims
from orchestrator.core.classification import classify, noted
from orchestrator.core.commands import Command
from orchestrator.core.endings import Endings
from orchestrator.core.errors import Refused
from orchestrator.core.events import EventKind
from orchestrator.core.evidence import EndedBy, Evidence, Exit, Usage
from orchestrator.core.forest import Forest
from orchestrator.core.gate_events import GateEvents
from orchestrator.core.gates import GateRun
from orchestrator.core.job_losses import earlier_parts
from orchestrator.core.job_reason import reason_of
from orchestrator.core.late import LateResults
from orchestrator.core.leasing import Leasing
from orchestrator.core.logins import Needs
from orchestrator.core.model import (
    WALL_TIME,
    Attempt,
    Job,
    TaskSpec,
    WaitingFor,
    Worker,
    WorkerKey,
)
from orchestrator.core.outcome import Verdict, judge
from orchestrator.core.outcome_of_job import job_outcome, tasks_succeeded
from orchestrator.core.plan import Plan
from orchestrator.core.planning import Planning, plan_of
from orchestrator.core.ports import Tree
from orchestrator.core.quotas import Quotas
from orchestrator.core.restoring import Restoring
from orchestrator.core.result import ended_at, result_of
from orchestrator.core.room import AMPLE, Room
from orchestrator.core.running import Running
from orchestrator.core.sending_back import SendingBack
from orchestrator.core.slots import Slots
from orchestrator.core.spending import NOTHING
from orchestrator.core.states import StopCause, WaitKind, WorkerStatus
from orchestrator.core.values import changed

#: A worker that does not stop asking must not fill the store with events.
MOST_REFUSALS_TOLD = 10
#: Characters of what was asked for.
REQUEST_TOLD = 300


class Scheduler:
    def __init__(
        self,
        *,
        max_workers: int,
        max_live_workers: int | None = None,
        backoff_seconds: float = 1.0,
        prompting: Prompting | None = None,
        needs: Needs | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        quotas = quotas or Quotas()
        self.slots = Slots(
            max_workers=max_workers,
            max_live_workers=max_live_workers,
            of_key=lambda name: quotas.of(name).max_workers,
        )
        self.forest = Forest(self.slots, prompting, needs, quotas)
        self.ledger = self.forest.ledger
        self._running = Running(self.forest)
        self._claims = Claims(self.forest)
        self.leasing = Leasing(self.forest, self._running)
        self.another = Another(self.forest)
        self._endings = Endings(self.forest, backoff_seconds, self.another)
        self._accounting = Accounting(self.forest, self._endings)
        self.late = LateResults(self.forest, self._endings)
        self.planning = Planning(self.forest, self._endings)
        self._gate_events = GateEvents(self.forest)
        self.sending_back = SendingBack(self.forest, self._endings, self._claims)
        self._restoring = Restoring(
            self.forest, self._running, self._claims, self._endings, self.late
        )
        self._ended_roots: list[str] = []

    def waits_for_slot(self, key: WorkerKey) -> bool:
        """Its child jobs have ended, and it has not got its slot back yet."""
        node = self.forest.nodes.get(key)
        return bool(node and node.alive and not node.has_slot and not node.open_children)

    def next_time(self) -> float | None:
        """When something is due although nothing happens."""
        times = (self.forest.next_time(), self.leasing.next_time)
        return min((time for time in times if time is not None), default=None)

    def submit(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        workers: Sequence[Worker],
        now: float,
        planner: Worker | None = None,
    ) -> None:
        """Take in an admitted job; a child job's parent begins to wait.

        A job with a planner gets its tasks from there later. Raise Deadlock for a child job whose
        locks are held by somebody who waits for its parent; nothing has changed then.
        """
        self.check_locks(job, tasks)
        self.ledger.add_job(job, tasks, [planner] if planner else workers)
        said = {"request": job.request, "parent_worker_id": job.parent_worker_id}
        self.ledger.emit(
            EventKind.JOB_SUBMITTED, job, now, depth=job.depth, tasks=len(tasks), **said
        )
        plan = plan_of(tasks, workers, planner)
        self.forest.register(job, plan, planner.key if planner else None)
        if job.parent_key is not None:
            parent = self.ledger.workers[job.parent_key]
            self.ledger.update_worker(
                parent.key,
                child_job_ids=(*parent.child_job_ids, job.id),
                child_workers=parent.child_workers + len(workers),
            )
            self.attach(parent.key, job.id, now)
        self._endings.check_job(job.id, now)

    def check_locks(self, job: Job, tasks: Sequence[TaskSpec]) -> None:
        """Raise Deadlock for tasks of a child job that could never start."""
        self._claims.check(job, tasks)

    def attach(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        """The worker waits for a child job from now on, unless that has ended. Idempotent."""
        self._running.attach(key, child_job_id, now)

    def refused(self, key: WorkerKey, request: str, error: Refused, now: float) -> None:
        """A running worker asked for a child job and hit a limit; its first ones are told."""
        worker, node = self.ledger.workers[key], self.forest.nodes[key]
        node.refused_child_jobs += 1
        before = worker.result.refused_child_jobs if worker.result else 0
        number = node.refused_child_jobs + before
        if number > MOST_REFUSALS_TOLD:
            return
        detail = error.message
        if number == MOST_REFUSALS_TOLD:
            detail += " (from here on refusals of this worker are only counted)"
        self.ledger.emit(
            EventKind.CHILD_JOB_REFUSED,
            self.forest.job_of(worker),
            now,
            worker.id,
            limit=error.kind,
            detail=detail,
            request=request[:REQUEST_TOLD],
            number=number,
        )

    def context_prepared(self, job_id: str) -> None:
        """What all workers of the job are told is there. Idempotent."""
        self.forest.queue_again(self.forest.aside.prepared(job_id))

    def used(self, key: WorkerKey, attempt: int, usage: Usage, now: float) -> str:
        """A running attempt has used so much; why it must stop, empty when it need not."""
        return self._accounting.used(key, attempt, usage, now)

    def is_capped(self, key: WorkerKey) -> bool:
        """Whether a limit on what agents use applies to the worker."""
        return self._accounting.is_capped(key)

    def waits(self, key: WorkerKey) -> bool:
        """Whether its child jobs are at work, or it waits for a lock."""
        worker = self.ledger.workers.get(key)
        return worker is not None and worker.status is WorkerStatus.WAITING

    def checking(self, key: WorkerKey, attempt: int, gates: Sequence[str], now: float) -> None:
        """An attempt has ended well, and its gates begin."""
        self._gate_events.begun(key, attempt, gates, now)

    def held(self, key: WorkerKey, attempt: int, reason: str) -> None:
        """An attempt waits for disk space, or, with no ``reason``, no more."""
        current = self.ledger.attempts.get(key)
        if current is None or current.number != attempt:
            return
        if reason:
            self.ledger.hold_worker(key, WaitingFor(WaitKind.DISK), reason)
        else:
            self.ledger.update_worker(key, reason="")

    def gate_ran(self, run: GateRun, now: float) -> None:
        """A run of a gate begins, or has ended."""
        self._gate_events.ran(run, now)

    def exited(
        self, key: WorkerKey, attempt: int, exit: Exit, evidence: Evidence, now: float
    ) -> None:
        """An attempt is over. The end of an attempt that is not the current one is ignored."""
        current = self.ledger.attempts.get(key)
        if current is None or current.number != attempt:
            return
        worker, node = self.ledger.workers[key], self.forest.nodes[key]
        self.leasing.attempt_ended(key, now)
        self._running.process_gone(worker, node)
        verdict = self.forest.logins.told(worker.agent, judge(exit, evidence), now)
        if exit.ended_by is EndedBy.EXIT and not verdict.not_started:
            self.forest.tool_starts.began(worker.agent)
        node.ended_at = ended_at(current, exit, evidence, now)
        ended = self.ledger.end_attempt(
            key,
            ended_at=node.ended_at,
            exit=exit,
            reason=verdict.reason,
            session=evidence.session,
        )
        self.late.ended(ended)
        took = node.ended_at - current.started_at
        result = result_of(worker.result, current, exit, evidence, took)
        result = noted(result, classify(worker, exit, evidence, verdict))
        refused, node.refused_child_jobs = node.refused_child_jobs, 0
        if refused:
            refused += result.refused_child_jobs
            result = replace(result, refused_child_jobs=refused)
        had = worker.result.usage if worker.result else NOTHING
        self.forest.spend(worker, had, result.usage, now)
        self.ledger.update_worker(key, result=result)
        self._gate_events.ended(key, attempt, evidence.gates, now)
        self._endings.settle(key, verdict, now, self._account(worker, verdict, evidence, now))
        if had != result.usage:
            self._accounting.check_limits(worker, now)
        self._accounting.check_price(worker, now)

    def _account(
        self, worker: Worker, verdict: Verdict, evidence: Evidence, now: float
    ) -> float | None:
        """When the worker may be tried again if its agent's account was limited."""
        throttle = self._running.throttle
        if verdict.rate_limited:
            return throttle.refused(worker.agent, evidence.resets_at, now)
        if verdict.succeeded:
            throttle.succeeded(worker.agent)
            self.forest.logins.worked(worker.agent, now)
        return None

    def cancel(self, job_id: str, by: str, now: float, worker_key: WorkerKey | None = None) -> None:
        """Stop a job and all its descendants. Idempotent.

        ``by`` is the caller in words; ``worker_key`` is its worker, None for an API key.
        """
        cause = StopCause.USER if worker_key is None else StopCause.PARENT
        if worker_key is not None and worker_key == self.ledger.jobs[job_id].parent_key:
            cause = StopCause.WITHDRAWN
        self._endings.stop_tree(job_id, cause, by, now)

    def rendered(self, job_id: str, now: float) -> None:
        """The job's reports are written (or could not be): now it has ended."""
        if job_id not in self._endings.rendering:
            return
        self._endings.rendering.discard(job_id)
        job = self.ledger.jobs[job_id]
        workers = [each for each in self.forest.workers_of(job_id) if not each.is_planner]
        status = job_outcome(
            workers,
            job.cancelled,
            incomplete=job.lacks_changes,
            fails_unjudged=job.fails_unjudged,
        )
        reason = reason_of(changed(job, status=status))
        ended = self.ledger.move_job(job_id, status, ended_at=now, reason=reason)
        self.ledger.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)
        if job.parent_key is None:
            self._ended_roots.append(job_id)
        else:
            self._child_ended(job.parent_key, job_id, now)

    def retry(self, job_id: str, by: str, now: float) -> int:
        """Run again the tasks that did not succeed in a job that has ended, and the workers that
        did not create all promised files; see ``check_rerun``.

        How many workers that is. A failed candidate of a task that succeeded is left.
        """
        workers = self.forest.workers_of(job_id)
        succeeded = tasks_succeeded(workers)
        facts = self.ledger.jobs[job_id].facts
        half = facts.half_done
        again = [each for each in workers if not succeeded[each.task_id] or each.id in half]
        refused = facts.refused
        for worker in workers:
            if worker.id in refused and worker.status.succeeded:
                # Merging may send it back.
                self.ledger.update_worker(worker.key, budget_from=worker.attempt)
        earlier = (*facts.earlier_parts, *earlier_parts(each for each in again if each.id in half))
        self._reopen(job_id, again, by, now)
        facts = replace(self.ledger.jobs[job_id].facts, earlier_parts=earlier)
        self.ledger.update_job(job_id, facts=facts)
        return len(again)

    def choose(self, worker: Worker, by: str, now: float) -> None:
        """A person chooses a candidate of a job that has ended. Raise Conflict."""
        self._endings.choosing.overrule(worker, by, now)

    def resolve_again(self, job_id: str, by: str, now: float) -> None:
        """Merge a job that has ended once more, and give workers in conflict new attempts."""
        for worker in self.forest.workers_of(job_id):
            if worker.status.succeeded:
                self.ledger.update_worker(worker.key, budget_from=worker.attempt)
        self._reopen(job_id, (), by, now)

    def _reopen(self, job_id: str, again: Sequence[Worker], by: str, now: float) -> None:
        job = self.planning.begin_again(job_id, started_at=now, ended_at=None)
        for worker in again:
            self._rewind(worker)
        self.ledger.emit(EventKind.JOB_RETRIED, job, now, by=by, workers=len(again))
        tasks = list(self.forest.plans[job_id].tasks.values())
        self.forest.install(job, Plan(tasks, self.forest.workers_of(job_id)))
        self.forest.watch_wall_time(job)
        # Its limit may have been changed.
        self.slots.add_job(job, self.forest.ancestors(job))
        if job.parent_key is not None:
            self.attach(job.parent_key, job_id, now)
        self._endings.check_job(job_id, now)

    def turn(self, now: float, *, room: Room = AMPLE) -> Sequence[Command]:
        """Start and resume what has room; hand over the commands since the last turn.

        ``ledger.take()`` then gives what changed: store that before the commands are carried out.
        ``room`` is what the machine has room for.
        """
        for job in self.forest.jobs_out_of_time(now):
            by = f"{WALL_TIME} ({job.config.max_wall_seconds:g} s)"
            self._endings.stop_tree(job.id, StopCause.WALL_TIME, by, now)
        self._accounting.stop_spent_days(now)
        self.leasing.turn(now)
        self._running.start_what_has_room(now, room, self._endings.rendering)
        commands, self.forest.commands = self.forest.commands, []
        return commands

    def forget_ended(self) -> None:
        """Drop root jobs that have ended; they stay in the store."""
        ended, self._ended_roots = self._ended_roots, []
        for root_id in ended:
            if root_id in self.forest and self.ledger.jobs[root_id].status.ended:
                self.forest.forget(root_id)

    def forget_after_turn(self, root_id: str) -> None:
        """A tree that has ended, and was restored for one change."""
        self._ended_roots.append(root_id)

    def restore(self, tree: Tree, now: float) -> Sequence[Attempt]:
        """Take over a tree from the store; the attempts whose end is not known are returned.

        Each of them must be followed by ``exited`` sooner or later: at once when it is known to
        be over, when it ends if it still runs.
        """
        return self._restoring.restore(tree, now)

    def _child_ended(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        node = self.forest.nodes[key]
        node.open_children.discard(child_job_id)
        if node.open_children:
            return
        self._claims.children_ended(self.ledger.workers[key], now)
        if node.verdict is not None:
            self._endings.settle(key, node.verdict, now)
        elif node.alive and not node.has_slot and not node.waits_for_lock:
            self._running.wait_for_slot(self.ledger.workers[key])

    def _rewind(self, worker: Worker) -> None:
        self.ledger.move_worker(
            worker.key,
            WorkerStatus.PENDING,
            reason="",
            failure="",
            budget_from=worker.attempt,
            not_before=0.0,
            ended_at=None,
        )
