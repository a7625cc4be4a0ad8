"""Read-only view of the scheduler's unfinished job trees.

Any thread may look up a job or a worker. Only the supervisor's thread may iterate over all jobs or
workers, for example with ``jobs.values()`` or ``locks``. The view is not a copy, so another thread
could iterate while the supervisor's thread changes the trees.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final

from orchestrator.core.errors import INVALID_KEY, Unauthorized
from orchestrator.core.events import Event
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.key_costs_and_jobs import KeyLimits
from orchestrator.core.locks.lock_table import LockView, view_of
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import CAPS, JobConfig
from orchestrator.core.model.machines import Machine
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.unjudged_code import has_judged
from orchestrator.core.ports.credentials import LoginState
from orchestrator.core.scheduler.queue.placement import could_run
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd
from orchestrator.core.scheduler.transitions.limit_enforcement import LimitHandler
from orchestrator.core.scheduler.transitions.running_workers.worker_start import PLACEMENT_SECONDS
from orchestrator.core.scheduler.transitions.usage_accounting import Accounting

#: The next turn can wait if there are at least this many preloaded launches per running worker.
LAUNCHES_AHEAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSize:
    """Size of a job tree, and the remaining caps of one job in it."""

    child_jobs: int
    workers: int
    #: What remains of the job's caps, by the name of the cap. Contains only caps that are set.
    remaining_caps: Mapping[str, float] = field(default_factory=dict)


class SchedulerView:
    def __init__(
        self,
        trees: JobTrees,
        job_end: JobEnd,
        accounting: Accounting,
        limit_handler: LimitHandler,
    ) -> None:
        self._limit_handler = limit_handler
        self._trees = trees
        self._job_end = job_end
        self._accounting = accounting
        self.jobs: Final[Mapping[str, Job]] = trees.unit_of_work.jobs
        self.workers: Final[Mapping[WorkerKey, Worker]] = trees.unit_of_work.workers
        #: The running attempt of each worker that has one.
        self.attempts: Final[Mapping[WorkerKey, Attempt]] = trees.unit_of_work.attempts

    def has_callback(self, events: Sequence[Event]) -> bool:
        """True if the root job of one of the events has a callback address."""
        roots = map(self.jobs.get, {event.root_id for event in events})
        return any(root is not None and root.callback is not None for root in roots)

    # -- trees ----------------------------------------------------------------------------------

    def has_tree(self, root_id: str) -> bool:
        """True if the tree is in memory: it is unfinished, or was restored for a change."""
        return root_id in self._trees

    def ancestors(self, job: Job) -> Sequence[Job]:
        return self._trees.ancestors(job)

    def size_of(self, job: Job) -> TreeSize:
        """Return the size of the job tree that contains ``job``; zeros if the tree has ended.

        Any thread may call.
        """
        all_plans = (
            self._trees.plans.get(each) for each in tuple(self._trees.jobs_of(job.root_id))
        )
        # A job that starts or ends at this moment has no plan.
        plans = [plan for plan in all_plans if plan is not None]
        try:
            remaining = self._remaining_caps(job) if plans else {}
        except KeyError:
            # The job's tree has just ended, and is no longer in memory.
            return TreeSize(child_jobs=0, workers=0)
        workers = sum(each.size for each in plans)
        return TreeSize(
            child_jobs=max(0, len(plans) - 1), workers=workers, remaining_caps=remaining
        )

    def _remaining_caps(self, job: Job) -> dict[str, float]:
        """Return what remains of a job's caps, by the name of the cap.

        Each value is the smallest amount that remains for the job or for one of its ancestors.
        Parts of caps that are reserved for other child jobs do not count as remaining.
        """
        remaining: dict[str, float] = {}
        line = [job, *self.ancestors(job)]
        for above in line:
            for name in CAPS:
                limit = getattr(above.config, name)
                if limit is not None:
                    used = self._trees.spending.of(above.id)[name]
                    taken = used + self._reserved_for_child_jobs(above, line, name)
                    remaining[name] = max(0, min(remaining.get(name, limit), limit - taken))
        return remaining

    def _reserved_for_child_jobs(self, parent: Job, line: Sequence[Job], name: str) -> float:
        reserved, line_ids = 0.0, {job.id for job in line}
        children = map(self.jobs.get, tuple(self._trees.jobs_of(parent.root_id)))
        for child in (each for each in children if each is not None):
            limit = getattr(child.config, name)
            counts = child.parent_job_id == parent.id and child.id not in line_ids
            if (
                counts
                and child.config.budget_asked
                and not child.status.ended
                and limit is not None
            ):
                reserved += max(0.0, limit - self._trees.spending.of(child.id)[name])
        return reserved

    # -- jobs -----------------------------------------------------------------------------------

    def job_of(self, worker: Worker) -> Job:
        return self._trees.job_of(worker)

    def workers_of(self, job_id: str) -> Sequence[Worker]:
        return self._trees.workers_of(job_id)

    def tasks_of(self, job_id: str) -> Mapping[str, TaskSpec]:
        """Return a job's tasks by id, in task order.

        Before the job has a plan, its only task is the task to plan the job.
        """
        return self._trees.plans[job_id].tasks

    def tasks_of_tree(self, root_id: str) -> Iterator[TaskSpec]:
        for job_id in tuple(self._trees.jobs_of(root_id)):
            plan = self._trees.plans.get(job_id)
            yield from plan.tasks.values() if plan else ()

    def is_planned(self, job_id: str) -> bool:
        return self._trees.plans[job_id].planner is None

    def awaits_plan(self, job_id: str) -> bool:
        """True if the job's planner has ended, but the job's tasks are not added yet."""
        return job_id in self._job_end.planning

    def is_rendering(self, job_id: str) -> bool:
        """True if all workers of the job have ended, and the job is being merged and reported."""
        return job_id in self._job_end.rendering

    def planner_of(self, job_id: str) -> Worker:
        """Return the job's planner. Raise KeyError if the job has none."""
        return self.workers[self._trees.planners[job_id]]

    # -- workers --------------------------------------------------------------------------------

    def task_of(self, worker: Worker) -> TaskSpec:
        return self._trees.task_of(worker)

    def candidates_of(self, job_id: str, task_id: str) -> Sequence[Worker]:
        return [self.workers[key] for key in self._trees.plans[job_id].workers_of(task_id)]

    def is_current(self, attempt: Attempt) -> bool:
        """True if the attempt is its worker's running attempt."""
        current = self.attempts.get(attempt.key)
        return current is not None and current.number == attempt.number

    def check_current(self, attempt: Attempt) -> None:
        """Raise Unauthorized if the attempt has ended since its key was checked."""
        if not self.is_current(attempt):
            raise Unauthorized(INVALID_KEY)

    def is_unfinished(self, key: WorkerKey) -> bool:
        return key in self._trees.unfinished

    def is_preloaded(self, key: WorkerKey) -> bool:
        """True if a shim has the worker's launch, but has not reported the start of the launch."""
        return key in self._trees.preloaded

    @property
    def has_launches_ahead(self) -> bool:
        """True if the shims have enough preloaded launches, so that the next turn can wait."""
        preloaded = len(self._trees.preloaded)
        return preloaded > 0 and preloaded >= LAUNCHES_AHEAD * self._trees.slots.running

    def is_waiting(self, key: WorkerKey) -> bool:
        """True if the worker waits for its child jobs or for a lock."""
        worker = self.workers.get(key)
        return worker is not None and worker.status is WorkerStatus.WAITING

    def waits_for_slot(self, key: WorkerKey) -> bool:
        """True if the worker has a process, but no slot, and its child jobs have ended.

        Such a worker waits for a free slot, or for a lock.
        """
        unfinished = self._trees.unfinished.get(key)
        return bool(
            unfinished
            and unfinished.alive
            and not unfinished.has_slot
            and not unfinished.open_children
        )

    def is_capped(self, key: WorkerKey) -> bool:
        """True if a cap, or a daily limit on costs, applies to the worker's usage."""
        return self._accounting.is_capped(key)

    def changed_below(self, worker: Worker) -> Sequence[str] | None:
        """Return the files that a worker's child jobs changed, at any depth.

        Return None if the child jobs changed no file. The result includes files of workers
        without ``DeliveredWork``, such as files that a command created in its worker's directory.
        """
        return self._trees.changed_below(worker, own_directories=True)

    def concurrent_with(self, worker: Worker) -> Sequence[Worker]:
        """Return the job's other workers that worked in the project after this worker had begun."""
        start = self.workers.get(worker.key, worker).started_at or 0.0
        return [
            each
            for each in self.workers_of(worker.job_id)
            if each.id != worker.id
            and not each.is_adviser
            and each.started_at is not None
            and (each.ended_at is None or each.ended_at > start)
            and self.task_of(each).works_in_project
        ]

    def judged_below(self, worker: Worker) -> Mapping[str, float]:
        """Return the judged code files that a worker's child jobs changed in the project.

        A code file is judged if gates checked the change. Keys are paths. Each value is the end
        (Unix time) of the latest task that changed the file. Files of a deeper child job are
        included only if the worker that started the deeper job worked in the project.
        """
        end_by_path: dict[str, float] = {}
        current = self.workers.get(worker.key, worker)
        for child in (
            child for job_id in current.child_job_ids for child in self.workers_of(job_id)
        ):
            result, ended_at = child.result, child.ended_at
            if (
                not child.belongs_to_result
                or result is None
                or result.delivery is None
                or ended_at is None
            ):
                continue
            if self.task_of(child).works_in_project:
                judged = result.delivery.code if has_judged(result.gates) else ()
                ends = {**dict.fromkeys(judged, ended_at), **self.judged_below(child)}
                end_by_path |= {
                    path: max(end, end_by_path.get(path, end)) for path, end in ends.items()
                }
        return end_by_path

    # -- slots, locks, and limits ---------------------------------------------------------------

    def slots(self) -> Mapping[str, int]:
        """Return the numbers of running workers, workers with a process, and slots.

        The keys are "running", "live", and "slots".
        """
        return self._trees.slots.snapshot()

    def waiting_for_machines(self, now: float, most: int, machine: Machine) -> int:
        """Return how many waiting workers would start on additional machines like ``machine``.

        The result is at most ``most``. The limits of jobs, keys, and the server apply. Only the
        supervisor's thread may call.
        """
        take, count = self._trees.slots.forecast(), 0
        for key, job in self._trees.ready.waiting(now + PLACEMENT_SECONDS):
            if count >= most:
                break
            worker, plan = self.workers.get(key), self._trees.plans.get(job.id)
            planned_task = plan.tasks.get(worker.task_id) if worker and plan else None
            if worker is None or worker.status is not WorkerStatus.PENDING:
                continue
            task = planned_task or TaskSpec(id="")
            if self._trees.is_paused(job.id) or not could_run(machine, worker, task, job.config):
                continue
            count += take(job.id)
        return count

    def locks(self) -> Sequence[LockView]:
        """Return held locks, sorted by name, followed by requested locks."""
        locks = self._trees.locks
        held = [view_of(entry) for entry in (*locks.claims, *locks.leases)]
        waiting = [view_of(entry, waits=True) for entry in (*locks.claimants, *locks.requests)]
        return sorted(held, key=lambda each: each.names) + waiting

    def leases_of(self, key: WorkerKey) -> Collection[str]:
        return self._trees.locks.leases_of(key)

    def limit_reached_under(self, job: Job, config: JobConfig, now: float) -> str:
        """Return the name of a limit in ``config`` that a job has already reached.

        Return "" if the job has reached none of these limits.
        """
        return self._limit_handler.limit_reached_under(job, config, now)

    @property
    def pause(self) -> Pause | None:
        """The pause of all jobs; None if not all jobs are paused. Any thread may call."""
        return self._trees.pause

    def logins_seen(self, now: float) -> Mapping[str, LoginState]:
        return self._trees.logins.seen(now)

    def logins_refused(self, now: float) -> Mapping[str, str]:
        """Return agents whose login failed recently, with reasons. Any thread may call."""
        return self._trees.logins.failures(now)

    def limits_of(self, key_name: str) -> KeyLimits:
        return self._trees.key_limits.of(key_name)

    def check_day(self, key_name: str, now: float) -> None:
        """Raise LimitReached if the key may spend nothing more today."""
        self._trees.key_limits.check_day(key_name, now)

    def check_running_jobs(self, key_name: str) -> None:
        """Raise LimitReached if the key has its maximum number of unfinished jobs."""
        self._trees.key_limits.check_running(key_name, self._trees.running_jobs_of(key_name))
