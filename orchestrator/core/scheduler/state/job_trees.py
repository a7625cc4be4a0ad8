"""The unfinished job trees: their records, their plans, and the states of their workers."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field

from orchestrator.core.candidates.reviewer import reviewing_task
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.key_costs_and_jobs import AllKeyLimits
from orchestrator.core.limits.usage_caps import Spending, describe_reached_limit, reached_limit
from orchestrator.core.locks.lock_manager import LockManager
from orchestrator.core.locks.lock_table import Party
from orchestrator.core.model.attempt.attempt_result import NO_USAGE, Usage
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey, planning_task
from orchestrator.core.model.scheduler_commands import Command
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict
from orchestrator.core.ports import Prompting
from orchestrator.core.ports.credentials import CredentialLookup
from orchestrator.core.scheduler.queue.placement import MachineSlots
from orchestrator.core.scheduler.queue.ready_queue import Order, ReadyQueue
from orchestrator.core.scheduler.queue.run_times import RunTimes
from orchestrator.core.scheduler.queue.shared_prompt_holds import SharedPromptHolds
from orchestrator.core.scheduler.queue.task_ranks import NO_RANK, ranks
from orchestrator.core.scheduler.queue.worker_slots import Slots
from orchestrator.core.scheduler.state.agent_logins import AgentLogins
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from orchestrator.core.scheduler.state.unit_of_work import UnitOfWork

#: Seconds after which the wall time of a job is checked again while the job waits for a person.
LOOK_AGAIN_SECONDS = 60.0


@dataclass(slots=True)
class UnfinishedWorker:
    """State of a worker that has not ended, in addition to its record."""

    #: True while the worker has a process.
    alive: bool = False
    has_slot: bool = False
    #: True while the present attempt, or the worker as a whole, is being stopped.
    stopping: bool = False
    #: The worker's unfinished child jobs.
    open_children: set[str] = field(default_factory=set)
    #: Number of child jobs of the present attempt that limits rejected.
    refused_child_jobs: int = 0
    #: The worker's outcome if the worker's process has exited, but child jobs still run.
    verdict: Verdict | None = None
    #: Time at which the worker's latest attempt ended.
    ended_at: float | None = None
    #: True if the worker has released its slot because it waits for a lease.
    waits_for_lock: bool = False

    @property
    def has_released_slot(self) -> bool:
        """True if the worker has released its slot until its child jobs have ended."""
        return self.alive and not self.has_slot and not self.stopping and not self.waits_for_lock


class JobTrees:
    def __init__(
        self,
        slots: Slots,
        prompting: Prompting,
        credentials: CredentialLookup,
        key_limits: AllKeyLimits,
        run_times: Iterable[tuple[str, float]],
    ) -> None:
        self.run_times = RunTimes(run_times)
        self.key_limits = key_limits
        self.unit_of_work = UnitOfWork()
        self.slots = slots
        self.machine_slots = MachineSlots()
        self.ready = ReadyQueue()
        self.holds = SharedPromptHolds(prompting)
        self.logins = AgentLogins(credentials)
        self.spending = Spending()
        self.locks = LockManager()
        self.plans: dict[str, PlanProgress] = {}
        #: Planners, by job id.
        self.planners: dict[str, WorkerKey] = {}
        self.unfinished: dict[WorkerKey, UnfinishedWorker] = {}
        #: Preloaded launches that have not begun: the worker, and the number of its attempt.
        self.preloaded: dict[WorkerKey, int] = {}
        self.commands: list[Command] = []
        #: Times at which questions about limits time out, with job ids, earliest first. Entries may
        #: be outdated.
        self.limit_questions_due: list[tuple[float, str]] = []
        #: Workers whose questions can be asked now, in order.
        self.to_ask: dict[WorkerKey, None] = {}
        #: Times at which questions of tasks time out, with workers, earliest first.
        self.questions_due: list[tuple[float, WorkerKey]] = []
        #: Lost attempts of unfinished trees, by worker and attempt number. Their exit records may
        #: still appear.
        self.lost_attempts: dict[WorkerKey, dict[int, Attempt]] = {}
        #: Workers that have lost attempts, and whose latest attempt has just ended. The exit
        #: records of the lost attempts are read next.
        self.ended_after_loss: set[WorkerKey] = set()
        #: The pause of all jobs; None if jobs are not paused.
        self.pause: Pause | None = None
        #: Ids of all jobs of each tree, by root id. Parents come before their children.
        self._trees: dict[str, list[str]] = {}
        #: Ends of jobs' wall times, with job ids, earliest first.
        self._deadlines: list[tuple[float, str]] = []

    def __contains__(self, root_id: str) -> bool:
        return root_id in self._trees

    def job_of(self, worker: Worker) -> Job:
        return self.unit_of_work.jobs[worker.job_id]

    def task_of(self, worker: Worker) -> TaskSpec:
        if worker.is_planner:
            # The plan may no longer have the planner's task, if the planner has created the job's
            # tasks.
            return planning_task(worker)
        plan = self.plans[worker.job_id]
        task = plan.tasks[worker.task_id]
        if worker.is_reviewer:
            return reviewing_task(worker, task)
        if task.candidate_settings:
            task = task.of_candidate(list(plan.workers_of(task.id)).index(worker.key))
        return task.with_settings_of_retry(self.job_of(worker).config)

    def inherited_pause(self, job: Job) -> Pause | None:
        """Return the pause that applies to a new job; None if no pause applies.

        The pause of the parent job takes precedence over the pause of all jobs.
        """
        parent_pause = (
            self.unit_of_work.jobs[job.parent_job_id].pause if job.parent_job_id else None
        )
        return parent_pause or self.pause

    def has_candidates(self, worker: Worker) -> bool:
        """True if the worker's task has several candidates. False for a planner."""
        if worker.is_planner:
            return False
        return len(self.plans[worker.job_id].workers_of(worker.task_id)) > 1

    def workers_of(self, job_id: str) -> list[Worker]:
        """Return a job's workers, including reviewers.

        If the job has no tasks yet, its only worker is the planner.
        """
        return [self.unit_of_work.workers[key] for key in self.plans[job_id].workers]

    def changed_below(self, worker: Worker, *, own_directories: bool) -> list[str] | None:
        """Return the files that a worker's child jobs changed, at any depth.

        Return None if the child jobs changed no file. ``own_directories``: True to include the
        files of workers without ``DeliveredWork``, such as files that a command created in the
        worker's directory.
        """
        changed_files: list[str] = []
        any_changed = False
        current = self.unit_of_work.workers.get(worker.key, worker)
        child_workers = [
            each for job_id in current.child_job_ids for each in self.workers_of(job_id)
        ]
        for each in child_workers:
            result = each.result
            if not each.belongs_to_result or result is None:
                continue
            delivery, files = result.delivery, result.files_created
            if delivery is not None or own_directories:
                any_changed |= delivery.changed if delivery else bool(files)
                changed_files += files
            files_below = self.changed_below(each, own_directories=own_directories)
            any_changed |= files_below is not None
            changed_files += files_below or ()
        return changed_files if any_changed else None

    def jobs_of(self, root_id: str) -> Sequence[str]:
        """Return the ids of all jobs of a tree; empty for an unknown tree."""
        return self._trees.get(root_id, ())

    def spend(self, worker: Worker, before: Usage, after: Usage, now: float | None = None) -> None:
        """Record that a worker's usage has changed from ``before`` to ``after``.

        ``now``: the time of the change, whose day gets the cost. None if the stored cost of the day
        already includes the change.
        """
        if before == after:
            return
        job = self.job_of(worker)
        self.spending.change((job, *self.ancestors(job)), before, after)
        cost = (after.cost_usd or 0.0) - (before.cost_usd or 0.0)
        if now is not None and cost:
            self.unit_of_work.note_day(self.key_limits.spend(self.key_of(job.root_id), cost, now))

    def key_of(self, root_id: str) -> str:
        return self.unit_of_work.jobs[root_id].submitted_by

    def running_jobs_of(self, key_name: str) -> int:
        roots = (self.unit_of_work.jobs[root_id] for root_id in self._trees)
        return sum(job.submitted_by == key_name and not job.status.ended for job in roots)

    @property
    def roots(self) -> Sequence[str]:
        return list(self._trees)

    def breach_of(self, job: Job) -> tuple[str, str, str] | None:
        """Return the first job that has reached a limit: (job id, limit's name, limit as text).

        Only unfinished jobs from the root job down to ``job`` are checked. Return None if no limit
        is reached.
        """
        for above in (*reversed(self.ancestors(job)), job):
            spent = self.spending.of(above.id)
            name = reached_limit(above.config, spent)
            if name and not above.status.ended:
                return (
                    above.id,
                    name,
                    f"{describe_reached_limit(above.config, spent)} of job {above.id}",
                )
        return None

    def ancestors(self, job: Job) -> Sequence[Job]:
        """Return the job's ancestors, from its parent to its root."""
        line: list[Job] = []
        while job.parent_job_id is not None:
            job = self.unit_of_work.jobs[job.parent_job_id]
            line.append(job)
        return line

    def subtree(self, job_id: str) -> Sequence[str]:
        """Return the ids of the job and of its descendants, deepest first."""
        job_ids = {job_id}
        for each in self._trees[self.unit_of_work.jobs[job_id].root_id]:
            if self.unit_of_work.jobs[each].parent_job_id in job_ids:
                job_ids.add(each)
        return sorted(job_ids, key=lambda each: -self.unit_of_work.jobs[each].depth)

    def waits_for_approval(self, job: Job) -> bool:
        """True if the job has tasks that wait for an approval."""
        return job.status is JobStatus.PLANNING and self.plans[job.id].planner is None

    def register(self, job: Job, plan: PlanProgress, planner: WorkerKey | None = None) -> None:
        """Add a job. Its record and its workers must already be in the unit of work."""
        self._trees.setdefault(job.root_id, []).append(job.id)
        if planner is not None:
            self.planners[job.id] = planner
        for key in {*plan.workers, *((planner,) if planner else ())}:
            worker = self.unit_of_work.workers[key]
            if worker.result is not None:
                self.spend(worker, NO_USAGE, worker.result.usage)
        self.slots.add_job(job, self.ancestors(job))
        self.watch_wall_time(job)
        self.install(job, plan)

    def install(self, job: Job, plan: PlanProgress) -> None:
        """Set a job's plan, add the state of unfinished workers, and queue the ready workers.

        If the plan waits for approval, no worker is queued.
        """
        self._set_plan(job, plan)
        for key in plan.workers:
            worker = self.unit_of_work.workers[key]
            if not worker.status.ended:
                self.unfinished[key] = UnfinishedWorker()
        if not job.is_root:
            self._expect_claims(plan)
        if not self.waits_for_approval(job):
            self.queue_ready(job.id)

    def reinstall(self, job: Job, plan: PlanProgress, again: Iterable[WorkerKey]) -> None:
        """Set the plan of a running job, and queue workers for another attempt.

        ``again``: ended workers that get another attempt. A worker with unfinished dependencies is
        queued later.
        """
        self._set_plan(job, plan)
        for key in again:
            self.unfinished[key] = UnfinishedWorker()
            if plan.is_ready(self.unit_of_work.workers[key].task_id):
                self.queue(self.unit_of_work.workers[key])
        if not job.is_root:
            self._expect_claims(plan)

    def _set_plan(self, job: Job, plan: PlanProgress) -> None:
        tasks = list(plan.tasks.values())
        expected = self.run_times.expected(job, tasks)
        plan.ranks = ranks(tasks, expected)
        if len(expected) == len(tasks):
            plan.longest_seconds = max(expected.values(), default=None)
        self.plans[job.id] = plan

    def _expect_claims(self, plan: PlanProgress) -> None:
        for task in plan.tasks.values():
            if task.locks:
                for key in plan.workers_of(task.id):
                    worker = self.unit_of_work.workers[key]
                    if worker.status is WorkerStatus.PENDING:
                        self.locks.expect(self.party_of(worker), task.locks)

    def party_of(self, worker: Worker) -> Party:
        """Return the worker with its ancestors, for the lock manager."""
        line = [worker]
        while (parent := self.job_of(line[-1]).parent_key) is not None:
            line.append(self.unit_of_work.workers[parent])
        tasks = [(each.job_id, each.task_id) for each in line]
        return Party(
            key=worker.key,
            job_id=worker.job_id,
            line=frozenset(each.key for each in line),
            tasks=frozenset(tasks),
            task=tasks[0],
        )

    def queue_ready(self, job_id: str) -> None:
        for key in self.plans[job_id].ready_workers:
            worker = self.unit_of_work.workers[key]
            if worker.status is WorkerStatus.PENDING:
                self.queue(worker)

    def queue(self, worker: Worker) -> None:
        job = self.job_of(worker)
        if worker.is_question:
            self.to_ask[worker.key] = None
        elif worker.not_before:
            self.ready.push_later(worker.key, job, worker.not_before, self._order(worker))
        else:
            self.ready.push(worker.key, job, self._order(worker))

    def queue_until(self, worker: Worker, not_before: float) -> None:
        """Delay the start of a worker: it enters the queue at the time ``not_before``."""
        job = self.job_of(worker)
        self.ready.push_later(worker.key, job, not_before, self._order(worker))

    def _order(self, worker: Worker) -> Order:
        plan = self.plans.get(worker.job_id)
        seconds, descendants = plan.ranks.get(worker.task_id, NO_RANK) if plan else NO_RANK
        return -seconds, -descendants

    def queue_again(self, keys: Iterable[WorkerKey]) -> None:
        """Queue workers whose wait is over, except workers that have started or ended."""
        for key in keys:
            worker = self.unit_of_work.workers.get(key)
            if worker is not None and worker.status is WorkerStatus.PENDING:
                self.queue(worker)

    def is_paused(self, job_id: str) -> bool:
        return self.unit_of_work.jobs[job_id].pause is not None

    def is_ready(self, worker: Worker) -> bool:
        """True if the worker's dependencies are done.

        False if feedback has reopened a dependency since the worker was queued.
        """
        return worker.is_adviser or self.plans[worker.job_id].is_ready(worker.task_id)

    def waits_for_person(self, job: Job) -> bool:
        """True if a question or a plan waits for a person, and no worker of the job runs.

        Questions, plans, and workers of descendants count, too.
        """
        if self.slots.running_in(job.id):
            return False
        return self.waits_for_approval_since(job) is not None or any(
            worker.is_question and worker.status is WorkerStatus.WAITING
            for job_id in self.subtree(job.id)
            for worker in self.workers_of(job_id)
        )

    def waits_for_approval_since(self, job: Job) -> float | None:
        """Return when the job's wait for plan approvals began; None if there is no such wait.

        The plans of descendants count, too. The job waits if at least one plan waits, and if no
        worker of the job or of a descendant runs.
        """
        jobs = [self.unit_of_work.jobs[each] for each in self.subtree(job.id)]
        waiting_jobs = [each for each in jobs if self.waits_for_approval(each)]
        if not waiting_jobs or self.slots.running_in(job.id):
            return None
        begins = (each.started_at or each.created_at for each in waiting_jobs)
        planners = (self.planners[each.id] for each in jobs if each.id in self.planners)
        workers = [self.unit_of_work.workers[key] for key in planners]
        workers += (worker for each in jobs for worker in self.workers_of(each.id))
        ends = (worker.ended_at for worker in workers)
        return max([*begins, *(end for end in ends if end is not None)])

    def watch_wall_time(self, job: Job) -> None:
        heapq.heappush(self._deadlines, (job.wall_end, job.id))

    def jobs_out_of_time(self, now: float) -> Iterator[Job]:
        """Yield jobs whose wall time has expired, each job once.

        Omit jobs that are paused or being stopped, and jobs that only wait for a person.
        """
        while self._deadlines and self._deadlines[0][0] <= now:
            _, job_id = heapq.heappop(self._deadlines)
            job = self.unit_of_work.jobs[job_id]
            if job.status.ended or job.stop_cause or job.pause:
                continue  # A resumed job is watched again.
            if job.wall_end > now:
                self.watch_wall_time(job)
            elif self.waits_for_person(job):
                heapq.heappush(self._deadlines, (now + LOOK_AGAIN_SECONDS, job.id))
            else:
                yield job

    def next_time(self) -> float | None:
        """Return when the scheduler must run next if no event comes first; None if never."""
        deadline = self._deadlines[0][0] if self._deadlines else None
        question = self.questions_due[0][0] if self.questions_due else None
        limit_question = self.limit_questions_due[0][0] if self.limit_questions_due else None
        times = (self.ready.next_delayed, self.holds.next_time, deadline, question, limit_question)
        return min((time for time in times if time is not None), default=None)

    def begin_job(self, job: Job, now: float) -> Job:
        """Set a pending job to running. Any other job is unchanged."""
        if job.status is not JobStatus.PENDING:
            return job
        return self.unit_of_work.move_job(job.id, JobStatus.RUNNING, **began(job, now))

    def forget(self, root_id: str) -> None:
        """Drop an ended tree from memory. The store keeps it."""
        job_ids = self._trees.pop(root_id)
        forgotten = set(job_ids)
        self._deadlines = [each for each in self._deadlines if each[1] not in forgotten]
        heapq.heapify(self._deadlines)
        keys = {key for job_id in job_ids for key in self.plans[job_id].workers}
        keys |= {self.planners.pop(job_id) for job_id in job_ids if job_id in self.planners}
        for job_id in job_ids:
            del self.plans[job_id]
            self.run_times.forget(job_id)
            self.slots.drop_job(job_id)
            self.ready.drop_job(job_id)
        for key in keys:
            self.lost_attempts.pop(key, None)
        self.ended_after_loss -= keys
        self.ready.forget_root(root_id)
        if self.machine_slots.machines:
            self.machine_slots.forget_root(root_id)
        self.to_ask = {key: None for key in self.to_ask if key.root_id != root_id}
        self.questions_due = [each for each in self.questions_due if each[1].root_id != root_id]
        heapq.heapify(self.questions_due)
        self.limit_questions_due = [
            each for each in self.limit_questions_due if each[1] not in forgotten
        ]
        heapq.heapify(self.limit_questions_due)
        self.holds.forget(job_ids)
        self.spending.forget(job_ids)
        self.unit_of_work.forget(root_id, job_ids, keys)


def began(job: Job, now: float) -> dict[str, float]:
    """Return the new values of a job's fields, by field name, if the job starts at ``now``.

    Pauses before the start do not count as paused time.
    """
    if job.started_at is not None:
        return {"started_at": job.started_at}
    return {"started_at": now, "paused_seconds": 0.0}
