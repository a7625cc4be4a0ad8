"""Starts workers, releases a worker's slot while its child jobs run, and resumes the worker."""

from collections.abc import Sequence, Set

from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Attempt, Job, WaitingFor, Worker, WorkerKey
from orchestrator.core.model.machines import HERE, Capacity, Shortage, machine_of
from orchestrator.core.model.scheduler_commands import CreateContext, SetWaiting, Start
from orchestrator.core.model.states import JobStatus, WaitKind, WorkerStatus
from orchestrator.core.outcome.retry_policy import waits_for_account
from orchestrator.core.scheduler.queue.placement import (
    MachineRequirements,
    NoMachine,
    needs_server_files,
)
from orchestrator.core.scheduler.state.agent_rate_limits import AgentThrottle
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker, began
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks

#: Seconds until the next search for a machine, if no machine of the cluster can start a worker.
PLACEMENT_SECONDS = 1.0


class RunningWorkers:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._slots = trees.slots
        self._task_locks = TaskLocks(trees)
        self._machine_slots = trees.machine_slots
        self.throttle = AgentThrottle()

    def fill_free_slots(self, now: float, capacity: Capacity, rendering: Set[str]) -> None:
        """Resume waiting workers, then start new workers, while slots are free.

        ``rendering``: jobs whose workers have all ended, but whose merge or reports are unfinished.
        """
        ready, slots = self._trees.ready, self._slots
        self._trees.queue_again(self._trees.holds.release_overdue(now))
        ready.release_delayed(now)
        while (key := ready.pop_resuming(slots.has_room)) is not None:
            self._resume(key, now)
        slots.reserve_slots([worker.job_id for worker in self._about_to_resume(rendering)])
        self._start_ready(now, capacity)
        # A worker that yields its place in a lock queue may wake workers that waited behind it.
        locks = self._trees.locks
        while locks.is_used and (woken := locks.take_woken()):
            for key in woken:
                if key in self._trees.unfinished and self._is_paused(key):
                    self._task_locks.step_back(self._unit_of_work.workers[key])
            self._trees.queue_again(woken)
            self._start_ready(now, capacity)

    def _about_to_resume(self, rendering: Set[str]) -> list[Worker]:
        """Return the workers that will resume soon.

        These workers wait only for reports of their child jobs, which take almost no time. But a
        child job with a base commit is merged first, which may take long. A worker is omitted if
        all its child jobs in ``rendering`` have a base commit.
        """
        jobs = [self._unit_of_work.jobs[job_id] for job_id in rendering]
        parents = {job.parent_key for job in jobs if job.parent_key and not job.config.base}
        unfinished_by_key = {key: self._trees.unfinished.get(key) for key in parents}
        return [
            self._unit_of_work.workers[key]
            for key, unfinished in unfinished_by_key.items()
            if unfinished and unfinished.has_released_slot and unfinished.open_children <= rendering
        ]

    def _start_ready(self, now: float, capacity: Capacity) -> None:
        ready, slots = self._trees.ready, self._slots
        while (entry := ready.next(self._may_start, slots.running_in)) is not None:
            job_id, key = entry
            startable = self.is_startable(key, now) and not self._waits_for_preparation(key)
            machine = self._machine_for(key, capacity, now) if startable else HERE
            if startable and self._is_held_back(key, capacity, machine, now):
                break
            ready.take(job_id)
            if not startable or self._is_throttled(key, now):
                continue
            if isinstance(machine, NoMachine):
                self._delay_start(key, machine, now)
                continue
            worker = self._unit_of_work.workers[key]
            has_claims = bool(self._trees.task_of(worker).locks)
            if not has_claims or self._task_locks.acquire(worker, now):
                self._start(key, machine, capacity, now)

    def _machine_for(self, key: WorkerKey, capacity: Capacity, now: float) -> str | NoMachine:
        if capacity.machines is None:
            return HERE
        worker = self._unit_of_work.workers[key]
        plan = self._trees.plans.get(worker.job_id)
        task = plan.tasks.get(worker.task_id) if plan else None
        names = task.depends_on if task else ()
        dependencies = (
            [dependency for each in names for dependency in plan.workers_of(each)] if plan else ()
        )
        requirements = MachineRequirements(
            agent=worker.agent,
            memory_bytes=capacity.memory_needed(worker.agent),
            labels=task.requires if task else {},
            machine=machine_of(task) if task else None,
            server_files=needs_server_files(worker, task, self._trees.job_of(worker).config),
        )
        running = self._slots.running
        return self._machine_slots.choose(
            capacity.machines, key, dependencies, requirements, now, running
        )

    def _delay_start(self, key: WorkerKey, failure: NoMachine, now: float) -> None:
        worker = self._unit_of_work.workers[key]
        self._task_locks.step_back(worker)
        self._unit_of_work.hold_worker(key, WaitingFor(WaitKind.NODE), failure.reason)
        self._trees.queue_until(worker, now + PLACEMENT_SECONDS)

    def _may_start(self, job_id: str) -> bool:
        return not self._trees.is_paused(job_id) and self._slots.has_room_to_start(job_id)

    def _waits_for_preparation(self, key: WorkerKey) -> bool:
        """True if the worker waits for the shared context, or for another worker's first answer.

        The other worker has the same job and the same agent. Its first answer shows that the
        agent's login works, and may fill the provider's cache. If the worker waits, this method
        also records the cause.
        """
        worker, holds = self._unit_of_work.workers[key], self._trees.holds
        if holds.lacks_context(worker):
            if holds.wait_for_context(worker):
                self._trees.commands.append(CreateContext(worker.job_id))
            reason, waiting = WAITS_FOR_CONTEXT, WaitingFor(WaitKind.CONTEXT)
        elif (first := holds.ahead_of(worker)) is not None:
            holds.wait_behind(worker)
            reason = waits_behind(first, cached=holds.caches(first.agent))
            waiting = WaitingFor(WaitKind.FIRST_ANSWER, first.id)
        else:
            return False
        # The worker does not wait for its locks now, so let other workers acquire them.
        self._task_locks.step_back(worker)
        self._unit_of_work.update_worker(key, reason=reason, waiting_for=waiting)
        return True

    def _is_throttled(self, key: WorkerKey, now: float) -> bool:
        """True if the agent's account is rate-limited.

        In this case, the worker is queued for later.
        """
        worker = self._unit_of_work.workers[key]
        until = self.throttle.held_until(worker.agent, now)
        if until is None:
            return False
        self._task_locks.step_back(worker)
        reason = waits_for_account(worker.agent, until - now, now)
        waiting = WaitingFor(WaitKind.ACCOUNT, worker.agent)
        delayed = self._unit_of_work.update_worker(
            key, not_before=until, reason=reason, waiting_for=waiting
        )
        self._trees.queue(delayed)
        return True

    def _is_held_back(
        self, key: WorkerKey, capacity: Capacity, machine: str | NoMachine, now: float
    ) -> bool:
        """True if the worker cannot start now, for a cause that also affects all other jobs.

        In this case, also record the cause. A reached limit for processes is not recorded.
        """
        shortage = capacity.paused
        if shortage is None and not self._slots.all_wait:
            if not self._slots.has_room_for_process:
                return True
            if machine == HERE:
                shortage = capacity.shortage(self._unit_of_work.workers[key].agent)
        if shortage is None and isinstance(machine, NoMachine) and machine.is_full:
            shortage = Shortage(WaitKind.NODE, machine.reason)
        if shortage is not None:
            self._record_shortage(shortage, now)
        return shortage is not None

    def _record_shortage(self, shortage: Shortage, now: float) -> None:
        for key in self._trees.ready.first_of_each():
            if self.is_startable(key, now) and not self._is_paused(key):
                self._unit_of_work.hold_worker(key, WaitingFor(shortage.kind), shortage.reason)

    def _is_paused(self, key: WorkerKey) -> bool:
        return self._trees.is_paused(self._unit_of_work.workers[key].job_id)

    def attach(self, key: WorkerKey, child_job_id: str, now: float) -> None:
        if self._unit_of_work.jobs[child_job_id].status.ended:
            return
        unfinished = self._trees.unfinished[key]
        unfinished.open_children.add(child_job_id)
        self._trees.ready.drop_resuming(key)
        if unfinished.has_slot:
            self._wait_for_child_jobs(key, unfinished, now)

    def wait_for_lock(self, key: WorkerKey, names: Sequence[str], why: str, now: float) -> None:
        """Release the slot of a worker that waits for a lease on ``names``.

        ``why``: the reason for the wait, as text.
        """
        unfinished = self._trees.unfinished[key]
        unfinished.waits_for_lock = True
        self._wait_without_slot(key, unfinished, why, WaitingFor(WaitKind.LOCK, ", ".join(names)))
        self._unit_of_work.emit(
            EventKind.WORKER_WAITING,
            self._trees.job_of(self._unit_of_work.workers[key]),
            now,
            key.worker_id,
            child_job_ids=[],
            locks=list(names),
            reason=why,
        )

    def lock_wait_over(self, key: WorkerKey) -> None:
        """End the worker's wait for a lease. Idempotent."""
        unfinished = self._trees.unfinished.get(key)
        if unfinished is None or not unfinished.waits_for_lock:
            return
        unfinished.waits_for_lock = False
        if unfinished.alive and not unfinished.has_slot and not unfinished.open_children:
            self.wait_for_slot(self._unit_of_work.workers[key])

    def set_disk_wait(self, key: WorkerKey, attempt: int, reason: str) -> None:
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        if reason:
            self._unit_of_work.hold_worker(key, WaitingFor(WaitKind.DISK), reason)
        else:
            self._unit_of_work.update_worker(key, reason="")

    def process_ended(self, worker: Worker, unfinished: UnfinishedWorker) -> None:
        unfinished.alive = unfinished.waits_for_lock = False
        self._slots.process_ended()
        self.throttle.worker_ended(worker.agent)
        self._trees.queue_again(self._trees.holds.process_ended(worker))
        self._trees.ready.drop_resuming(worker.key)
        if unfinished.has_slot:
            self._release_slot(worker, unfinished)

    def restore_process(self, worker: Worker, unfinished: UnfinishedWorker) -> None:
        """After a restart, restore a worker whose process may still exist."""
        unfinished.alive = True
        self._slots.process_added()
        self.throttle.started(worker.agent)
        self._machine_slots.set_machine(worker.key, self._unit_of_work.attempts[worker.key].node)
        # The model may have answered this worker already, so no other worker waits for the answer.
        self._trees.holds.model_answered(worker)
        if worker.status is WorkerStatus.RUNNING:
            self._acquire_slot(worker, unfinished)
        elif not unfinished.open_children:
            self._trees.ready.push_resuming(worker.key, self._trees.job_of(worker))

    def wait_for_slot(self, worker: Worker) -> None:
        reason, waiting = "waiting for a free slot to resume", WaitingFor(WaitKind.SLOT)
        self._unit_of_work.update_worker(worker.key, reason=reason, waiting_for=waiting)
        self._trees.ready.push_resuming(worker.key, self._trees.job_of(worker))

    def is_startable(self, key: WorkerKey, now: float) -> bool:
        """True if the state of a queued worker permits a start now.

        Slots, locks, and machines are not checked. An entry of the queue may be outdated. For
        example, after a cancel and a retry, the worker's earlier entry is still queued.
        """
        worker = self._unit_of_work.workers.get(key)
        return (
            worker is not None
            and worker.status is WorkerStatus.PENDING
            and key not in self._trees.preloaded
            and worker.not_before <= now
            and self._trees.is_ready(worker)
        )

    def _start(self, key: WorkerKey, machine: str, capacity: Capacity, now: float) -> None:
        worker = self._unit_of_work.workers[key]
        number = worker.attempt + 1
        self._trees.unfinished[key].stopping = False
        if machine != HERE or key in self._machine_slots.machines:
            self._machine_slots.started(key, machine, capacity.memory_needed(worker.agent), now)
        job = self.run(key, number, now)
        self._unit_of_work.begin_attempt(attempt_of(worker, number, now, machine))
        payload = {"attempt": number, "agent": worker.agent}
        if machine != HERE:
            payload["node"] = machine
        self._unit_of_work.emit(EventKind.WORKER_STARTED, job, now, worker.id, **payload)
        self._trees.commands.append(Start(key, number, node=machine))

    def run(self, key: WorkerKey, number: int, now: float) -> Job:
        """Set a worker to running. Return the worker's job. ``number``: number of the attempt."""
        worker = self._unit_of_work.workers[key]
        job = self.begin(worker, now)
        started_at = worker.started_at or now
        worker = self._unit_of_work.move_worker(
            key, WorkerStatus.RUNNING, attempt=number, reason="", started_at=started_at
        )
        unfinished = self._trees.unfinished[key]
        unfinished.alive, unfinished.verdict = True, None
        self._slots.process_added()
        self.throttle.started(worker.agent)
        doubtful = self._trees.logins.doubtful(worker.agent, now)
        self._trees.holds.started(worker, now, doubtful)
        self._acquire_slot(worker, unfinished)
        return job

    def begin(self, worker: Worker, now: float) -> Job:
        """Record the start of a worker in its job: a pending job starts to run. Return the job."""
        job = self._trees.job_of(worker)
        if job.status is JobStatus.PENDING:
            job = self._trees.begin_job(job, now)
            self._unit_of_work.emit(EventKind.JOB_STARTED, job, now)
        elif job.started_at is None:
            job = self._unit_of_work.update_job(job.id, **began(job, now))
        return job

    def _wait_for_child_jobs(
        self, key: WorkerKey, unfinished: UnfinishedWorker, now: float
    ) -> None:
        children = sorted(unfinished.open_children)
        waiting = WaitingFor(WaitKind.CHILD_JOBS, ", ".join(children))
        worker = self._wait_without_slot(key, unfinished, "waiting for its child jobs", waiting)
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(
            EventKind.WORKER_WAITING, job, now, worker.id, child_job_ids=children
        )

    def _wait_without_slot(
        self, key: WorkerKey, unfinished: UnfinishedWorker, why: str, waiting: WaitingFor
    ) -> Worker:
        worker = self._unit_of_work.move_worker(
            key, WorkerStatus.WAITING, reason=why, waiting_for=waiting
        )
        self._release_slot(worker, unfinished)
        self._trees.commands.append(SetWaiting(key, worker.attempt, True))
        return worker

    def _resume(self, key: WorkerKey, now: float) -> None:
        worker = self._unit_of_work.move_worker(key, WorkerStatus.RUNNING, reason="")
        self._acquire_slot(worker, self._trees.unfinished[key])
        self._trees.commands.append(SetWaiting(key, worker.attempt, False))
        self._unit_of_work.emit(
            EventKind.WORKER_RESUMED, self._trees.job_of(worker), now, worker.id
        )

    def _acquire_slot(self, worker: Worker, unfinished: UnfinishedWorker) -> None:
        unfinished.has_slot = True
        self._slots.acquire(worker.job_id)
        if worker.key in self._machine_slots.machines:
            self._machine_slots.acquire(worker.key)

    def _release_slot(self, worker: Worker, unfinished: UnfinishedWorker) -> None:
        unfinished.has_slot = False
        self._slots.release(worker.job_id)
        if worker.key in self._machine_slots.machines:
            self._machine_slots.release(worker.key)


WAITS_FOR_CONTEXT = "waiting: the shared context is being created"


def waits_behind(first: Worker, *, cached: bool) -> str:
    activity = (
        "filling the provider's prompt cache" if cached else f"checking the login of {first.agent}"
    )
    return f"waiting: {first.id} is {activity}"


def attempt_of(worker: Worker, number: int, now: float, machine: str = HERE) -> Attempt:
    """Return a new attempt of the worker. The caller must record the attempt before it begins."""
    return Attempt(
        root_id=worker.root_id,
        worker_id=worker.id,
        number=number,
        job_id=worker.job_id,
        started_at=now,
        node=machine,
    )
