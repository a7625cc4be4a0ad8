"""The unfinished trees: their records, plans and nodes, and who stands where in them."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.aside import Aside, Prompting
from orchestrator.core.commands import Command
from orchestrator.core.evidence import Usage
from orchestrator.core.gate_facts import has_judged
from orchestrator.core.ledger import Ledger
from orchestrator.core.lock_table import Party
from orchestrator.core.locks import Locks
from orchestrator.core.logins import Logins, Needs
from orchestrator.core.model import BUDGET_LIMITS, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.outcome import Verdict
from orchestrator.core.plan import Plan, planning_task
from orchestrator.core.quotas import Quotas
from orchestrator.core.ready import Ready
from orchestrator.core.repository import Workdir
from orchestrator.core.reviewing import reviewing_task
from orchestrator.core.slots import Slots
from orchestrator.core.spending import NOTHING, Spending, breach
from orchestrator.core.states import JobStatus, WorkerStatus
from orchestrator.core.tool_starts import ToolStarts


@dataclass(slots=True)
class Node:
    """What is known of a worker beyond its record, while it is not done."""

    alive: bool = False
    has_slot: bool = False
    stopping: bool = False
    #: Its unfinished child jobs.
    open_children: set[str] = field(default_factory=set)
    #: Child jobs that its present attempt was refused.
    refused_child_jobs: int = 0
    #: What it will come to once its child jobs have ended; its process is gone.
    verdict: Verdict | None = None
    #: When its latest attempt was over.
    ended_at: float | None = None
    #: It has lent its slot because it waits for a lease.
    waits_for_lock: bool = False

    @property
    def lends_slot(self) -> bool:
        """It goes on as soon as its child jobs have ended, and needs a slot then."""
        return self.alive and not self.has_slot and not self.stopping and not self.waits_for_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSize:
    child_jobs: int
    workers: int
    #: What a job may still use, by the name of the limit; only what is limited.
    budget: Mapping[str, float] = field(default_factory=dict)


class Forest:
    def __init__(
        self,
        slots: Slots,
        prompting: Prompting | None = None,
        needs: Needs | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.quotas = quotas or Quotas()
        self.ledger = Ledger()
        self.slots = slots
        self.ready = Ready()
        self.aside = Aside(prompting or Prompting())
        self.logins = Logins(needs or Needs())
        self.tool_starts = ToolStarts(self.ledger)
        self.spending = Spending()
        self.locks = Locks()
        self.plans: dict[str, Plan] = {}
        #: By job id, the worker that makes or made its tasks.
        self.planners: dict[str, WorkerKey] = {}
        self.nodes: dict[WorkerKey, Node] = {}
        self.commands: list[Command] = []
        #: Root id -> ids of all its jobs, parents before their children.
        self._trees: dict[str, list[str]] = {}
        #: (end of its wall time, job id), soonest first.
        self._deadlines: list[tuple[float, str]] = []

    def __contains__(self, root_id: str) -> bool:
        return root_id in self._trees

    def job_of(self, worker: Worker) -> Job:
        return self.ledger.jobs[worker.job_id]

    def task_of(self, worker: Worker) -> TaskSpec:
        if worker.is_planner:
            # Its job may have got its tasks since.
            return planning_task(worker)
        task = self.plans[worker.job_id].tasks[worker.task_id]
        return reviewing_task(worker, task) if worker.is_reviewer else task

    def workers_of(self, job_id: str) -> list[Worker]:
        """A job that has no tasks yet has its planner."""
        return [self.ledger.workers[key] for key in self.plans[job_id].workers]

    def changed_below(self, worker: Worker, *, own_directories: bool) -> list[str] | None:
        """Files that child jobs of a worker made, at any depth; None if they changed none.

        ``own_directories``: also what commands left there, and none but they have.
        """
        found: list[str] = []
        any_changed = False
        present = self.ledger.workers.get(worker.key, worker)
        below = [each for job_id in present.child_job_ids for each in self.workers_of(job_id)]
        for each in below:
            result = each.result
            if not each.counts or result is None:
                continue
            delivery, files = result.delivery, result.files_created
            if delivery is not None or own_directories:
                any_changed |= delivery.changed if delivery else bool(files)
                found += files
            deeper = self.changed_below(each, own_directories=own_directories)
            any_changed |= deeper is not None
            found += deeper or ()
        return found if any_changed else None

    def beside(self, worker: Worker) -> list[Worker]:
        """Others of its job that have worked in the project since it began."""
        began = self.ledger.workers.get(worker.key, worker).started_at or 0.0
        return [
            each
            for each in self.workers_of(worker.job_id)
            if each.id != worker.id
            and not each.is_adviser
            and each.started_at is not None
            and (each.ended_at is None or each.ended_at > began)
            and self.task_of(each).workdir == Workdir.PROJECT
        ]

    def judged_below(self, worker: Worker) -> Mapping[str, float]:
        """Code that child jobs of a worker changed in the project, and that gates of their own
        tasks judged there, with the time at which that task had ended."""
        found: dict[str, float] = {}
        present = self.ledger.workers.get(worker.key, worker)
        for each in (each for job in present.child_job_ids for each in self.workers_of(job)):
            result, ended_at = each.result, each.ended_at
            if not each.counts or result is None or result.delivery is None or ended_at is None:
                continue
            if self.task_of(each).workdir == Workdir.PROJECT:
                judged = result.delivery.code if has_judged(result.gates) else ()
                later = {**dict.fromkeys(judged, ended_at), **self.judged_below(each)}
                found |= {path: max(at, found.get(path, at)) for path, at in later.items()}
        return found

    def jobs_of(self, root_id: str) -> Sequence[str]:
        return self._trees[root_id]

    def size_of(self, job: Job) -> TreeSize:
        """How large a job's unfinished tree is; nothing for any other. Any thread may ask."""
        found = (self.plans.get(job_id) for job_id in tuple(self._trees.get(job.root_id, ())))
        # Those that come or go just now have none.
        jobs = [plan for plan in found if plan is not None]
        try:
            budget = self._budget_left(job) if jobs else {}
        except KeyError:
            # Its tree has just ended, and was forgotten.
            return TreeSize(child_jobs=0, workers=0)
        workers = sum(each.size for each in jobs)
        return TreeSize(child_jobs=max(0, len(jobs) - 1), workers=workers, budget=budget)

    def _budget_left(self, job: Job) -> dict[str, float]:
        """The least that the job and its ancestors have left, without what is kept for others."""
        left: dict[str, float] = {}
        line = [job, *self.ancestors(job)]
        for above in line:
            for name in BUDGET_LIMITS:
                limit = getattr(above.config, name)
                if limit is not None:
                    taken = self.spending.of(above.id)[name] + self._reserved(above, line, name)
                    left[name] = max(0, min(left.get(name, limit), limit - taken))
        return left

    def _reserved(self, above: Job, line: Sequence[Job], name: str) -> float:
        """What its open child jobs have asked for and not used yet."""
        reserved, own = 0.0, {job.id for job in line}
        children = map(self.ledger.jobs.get, tuple(self._trees.get(above.root_id, ())))
        for child in (each for each in children if each is not None):
            limit = getattr(child.config, name)
            mine = child.parent_job_id == above.id and child.id not in own
            if mine and child.config.budget_asked and not child.status.ended and limit is not None:
                reserved += max(0.0, limit - self.spending.of(child.id)[name])
        return reserved

    def spend(self, worker: Worker, before: Usage, after: Usage, now: float | None = None) -> None:
        """A worker has used ``after`` in all, where it was ``before``.

        ``now`` None: the store knows it, and so does the sum of its day.
        """
        if before == after:
            return
        job = self.job_of(worker)
        self.spending.change((job, *self.ancestors(job)), before, after)
        cost = (after.cost_usd or 0.0) - (before.cost_usd or 0.0)
        if now is not None and cost:
            self.ledger.note_day(self.quotas.spend(self.key_of(job.root_id), cost, now))

    def key_of(self, root_id: str) -> str:
        """Name of the key that submitted a root job."""
        return self.ledger.jobs[root_id].submitted_by

    def running_jobs_of(self, key_name: str) -> int:
        """Unfinished root jobs of a key."""
        roots = (self.ledger.jobs[root_id] for root_id in self._trees)
        return sum(job.submitted_by == key_name and not job.status.ended for job in roots)

    @property
    def roots(self) -> Sequence[str]:
        return list(self._trees)

    def breach_of(self, job: Job) -> tuple[str, str] | None:
        """The highest unfinished job of its line that used all it may, and the limit in words."""
        for above in (*reversed(self.ancestors(job)), job):
            reached = breach(above.config, self.spending.of(above.id))
            if reached and not above.status.ended:
                return above.id, f"{reached} of job {above.id}"
        return None

    def ancestors(self, job: Job) -> Sequence[Job]:
        """From the job's parent up to its root."""
        line: list[Job] = []
        while job.parent_job_id is not None:
            job = self.ledger.jobs[job.parent_job_id]
            line.append(job)
        return line

    def subtree(self, job_id: str) -> Sequence[str]:
        """The job and its descendants, deepest first."""
        below = {job_id}
        for each in self._trees[self.ledger.jobs[job_id].root_id]:
            if self.ledger.jobs[each].parent_job_id in below:
                below.add(each)
        return sorted(below, key=lambda each: -self.ledger.jobs[each].depth)

    def waits_for_approval(self, job: Job) -> bool:
        """It has tasks, and none of them may start yet."""
        return job.status is JobStatus.PLANNING and self.plans[job.id].planner is None

    def register(self, job: Job, plan: Plan, planner: WorkerKey | None = None) -> None:
        """Take in a job whose record, workers and planner, if any, are in the ledger."""
        self._trees.setdefault(job.root_id, []).append(job.id)
        if planner is not None:
            self.planners[job.id] = planner
        for key in {*plan.workers, *((planner,) if planner else ())}:
            worker = self.ledger.workers[key]
            if worker.result is not None:
                self.spend(worker, NOTHING, worker.result.usage)
        self.slots.add_job(job, self.ancestors(job))
        self.watch_wall_time(job)
        self.install(job, plan)

    def install(self, job: Job, plan: Plan) -> None:
        """Give every worker that is not done a node, and queue those that can start."""
        self.plans[job.id] = plan
        for key in plan.workers:
            worker = self.ledger.workers[key]
            if not worker.status.ended:
                self.nodes[key] = Node()
        if not job.is_root:
            self._expect_claims(plan)
        if not self.waits_for_approval(job):
            self.queue_ready(job.id)

    def _expect_claims(self, plan: Plan) -> None:
        for task in plan.tasks.values():
            if task.locks:
                for key in plan.workers_of(task.id):
                    worker = self.ledger.workers[key]
                    if worker.status is WorkerStatus.PENDING:
                        self.locks.expect(self.party_of(worker), task.locks)

    def party_of(self, worker: Worker) -> Party:
        """A worker as locks know it."""
        above = [worker]
        while (parent := self.job_of(above[-1]).parent_key) is not None:
            above.append(self.ledger.workers[parent])
        tasks = [(each.job_id, each.task_id) for each in above]
        return Party(
            key=worker.key,
            job_id=worker.job_id,
            line=frozenset(each.key for each in above),
            tasks=frozenset(tasks),
            task=tasks[0],
        )

    def queue_ready(self, job_id: str) -> None:
        """Queue the workers of a job that wait for nothing."""
        for key in self.plans[job_id].ready_workers:
            worker = self.ledger.workers[key]
            if worker.status is WorkerStatus.PENDING:
                self.queue(worker)

    def queue(self, worker: Worker) -> None:
        job = self.job_of(worker)
        if worker.not_before:
            self.ready.push_later(worker.key, job, worker.not_before)
        else:
            self.ready.push(worker.key, job)

    def queue_again(self, keys: Iterable[WorkerKey]) -> None:
        """Those that had to wait and are still wanted."""
        for key in keys:
            worker = self.ledger.workers.get(key)
            if worker is not None and worker.status is WorkerStatus.PENDING:
                self.queue(worker)

    def watch_wall_time(self, job: Job) -> None:
        heapq.heappush(self._deadlines, (job.wall_end, job.id))

    def jobs_out_of_time(self, now: float) -> Iterator[Job]:
        """Jobs whose wall time is over; each is given once."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, job_id = heapq.heappop(self._deadlines)
            job = self.ledger.jobs[job_id]
            if job.status.ended or job.stop_cause:
                continue
            if job.wall_end > now:
                self.watch_wall_time(job)
            else:
                yield job

    def next_time(self) -> float | None:
        """When something is due although nothing happens."""
        deadline = self._deadlines[0][0] if self._deadlines else None
        times = (self.ready.next_delayed, self.aside.next_time, deadline)
        return min((time for time in times if time is not None), default=None)

    def begin_job(self, job: Job, now: float) -> Job:
        """A pending job runs from now on; any other is left as it is."""
        if job.status is not JobStatus.PENDING:
            return job
        return self.ledger.move_job(job.id, JobStatus.RUNNING, started_at=job.started_at or now)

    def forget(self, root_id: str) -> None:
        """Drop a tree that has ended; it stays in the store."""
        job_ids = self._trees.pop(root_id)
        gone = set(job_ids)
        self._deadlines = [each for each in self._deadlines if each[1] not in gone]
        heapq.heapify(self._deadlines)
        keys = {key for job_id in job_ids for key in self.plans[job_id].workers}
        keys |= {self.planners.pop(job_id) for job_id in job_ids if job_id in self.planners}
        for job_id in job_ids:
            del self.plans[job_id]
            self.slots.drop_job(job_id)
            self.ready.drop_job(job_id)
        self.ready.forget_root(root_id)
        self.aside.forget(job_ids)
        self.spending.forget(job_ids)
        self.ledger.forget(root_id, job_ids, keys)
