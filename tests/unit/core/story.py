"""A scheduler with a clock, a store, and processes that tests control."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.human_input.pause import RunningMode
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey, new_planner
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.machines import Capacity, Machine, Shortage
from orchestrator.core.model.scheduler_commands import (
    AdoptPlan,
    Command,
    CreateContext,
    Render,
    Start,
    Stop,
)
from orchestrator.core.model.states import JobStatus, WaitKind, WorkerStatus
from orchestrator.core.outcome.merge_outcome import MergeRejection
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.service.reruns.rerun_checks import check_reopens, check_rerun

from .factories import (
    DONE,
    EXIT_0,
    EXIT_1,
    START,
    a_child_job,
    a_config,
    a_feedback,
    a_job,
    a_task,
    workers_for,
)
from .kept import StoreCopy

#: Maximum number of steps, more than any story needs.
MOST_STEPS = 5_000
NO_MEMORY = Shortage(WaitKind.MEMORY, "waiting for memory")
NO_DISK = Shortage(WaitKind.DISK, "waiting for disk space")


class Story:
    """A story of the scheduler. Each step ends with a turn whose changes are stored."""

    def __init__(self, **limits: Any) -> None:
        self._limits = {"max_workers": 10, "max_live_workers": 1_000, **limits}
        self.now = START
        #: False if the memory allows no further process.
        self.admit = True
        #: The machines of a cluster, and the memory that a worker of an agent needs on a machine.
        self.machines: Sequence[Machine] | None = None
        self.memory_needed: Callable[[str], int] = lambda agent: 0
        #: Shortage because of which nothing starts; None: workers may start.
        self.paused: Shortage | None = None
        #: False if requested reports are not written, but remain in ``reports_to_write``.
        self.writes_reports = True
        self.reports_to_write: list[str] = []
        #: False if requested contexts are not created, but remain in ``contexts_to_create``.
        self.creates_contexts = True
        self.contexts_to_create: list[str] = []
        #: False if plans are not adopted, so that their jobs remain in ``plans_to_adopt``.
        self.adopts_plans = True
        self.plans_to_adopt: list[str] = []
        self.store = StoreCopy()
        self.scheduler = Scheduler(**self._limits)
        #: All commands so far, in order.
        self.commands: list[Command] = []

    # Events

    def root(self, *tasks: TaskSpec, submitted_by: str = "", **config: Any) -> Job:
        settings = self._config(config)
        job = a_job(config=settings, created_at=self.now, submitted_by=submitted_by)
        if job.config.approve:
            job = replace(job, status=JobStatus.PLANNING)
        tasks = tasks or (a_task(),)
        self.scheduler.submit(job, tasks, workers_for(job, tasks), self.now)
        self.turn()
        return job

    def planned_root(self, **config: Any) -> Job:
        """Submit a job that an agent plans."""
        job = a_job(config=self._config(config), created_at=self.now, status=JobStatus.PLANNING)
        planner = new_planner(job, "planning", "planner")
        self.scheduler.submit(job, (), (), self.now, planner)
        self.turn()
        return job

    def planned_child(self, parent: WorkerKey, *, digest: str | None = None, **config: Any) -> Job:
        worker = self.worker(parent)
        digest_field = {"digest": digest} if digest else {}
        above = self.job(worker.job_id)
        config = {"max_workers": above.config.max_workers, **config}
        job = a_child_job(
            above,
            worker,
            config=a_config(**config),
            created_at=self.now,
            status=JobStatus.PLANNING,
            **digest_field,
        )
        name = f"{worker.id}_planner_{len(worker.child_job_ids) + 1}"
        self.scheduler.submit(job, (), (), self.now, new_planner(job, "planning", name))
        self.turn()
        return job

    def adopts_plan(self, job_id: str, *tasks: TaskSpec) -> None:
        """Adopt a plan, as the engine does after the end of a planner."""
        self.plans_to_adopt.remove(job_id)
        self._take_plan(job_id, tasks)
        self.turn()

    def _take_plan(self, job_id: str, tasks: Sequence[TaskSpec] = ()) -> None:
        view = self.scheduler.view
        if not view.awaits_plan(job_id):
            return
        job, tasks = view.jobs[job_id], tasks or (a_task(),)
        parent = view.workers[job.parent_key] if job.parent_key else None
        named = (parent.id, parent.child_workers + 1) if parent else ("worker", 1)
        workers = workers_for(job, tasks, *named)
        self.scheduler.plan_adopted(job_id, tasks, workers, "planning", "", self.now)

    def approve(self, job: Job) -> None:
        self.scheduler.approve_plan(job.id, "user", self.now)
        self.turn()

    def edit_plan(self, job: Job, *tasks: TaskSpec) -> None:
        self.scheduler.check_plan(job.id, self.job(job.id).plan_version)
        parent = self.worker(job.parent_key) if job.parent_key else None
        replaced = len(self.keys(job))
        first = parent.child_workers - replaced + 1 if parent else 1
        workers = workers_for(job, tasks, parent.id if parent else "worker", first)
        self.scheduler.edit_plan(job.id, tasks, workers, "user", self.now)
        self.turn()

    def child(
        self, parent: WorkerKey, *tasks: TaskSpec, digest: str | None = None, **config: Any
    ) -> Job:
        worker = self.worker(parent)
        above = self.job(worker.job_id)
        digest_field = {"digest": digest} if digest else {}
        config = {"max_workers": above.config.max_workers, **config}
        job = a_child_job(
            above, worker, config=a_config(**config), created_at=self.now, **digest_field
        )
        tasks = tasks or (a_task(),)
        workers = workers_for(job, tasks, parent.worker_id, worker.child_workers + 1)
        self.scheduler.submit(job, tasks, workers, self.now)
        self.turn()
        return job

    def ends(self, key: WorkerKey, exit: Exit = EXIT_0, evidence: Evidence = DONE) -> None:
        attempt = self.scheduler.view.attempts.get(key)
        # The attempt of a preloaded launch is not the worker's attempt yet.
        number = attempt.number if attempt else self.worker(key).attempt
        self.scheduler.exited(key, number, exit, evidence, self.now)
        self.turn()

    def fails(self, key: WorkerKey, output: str = "") -> None:
        self.ends(key, EXIT_1, Evidence(output=output))

    def cancel(self, job: Job, by: str = "user", worker: WorkerKey | None = None) -> None:
        self.scheduler.cancel(job.id, by, self.now, worker)
        self.turn()

    def rejects_changes(
        self, job_id: str, *keys: WorkerKey, reason: str = "tests fail", **more: Any
    ) -> bool:
        """Report that gates reject the merged changes because of these workers.

        Return True if the job continues.
        """
        rejections = [
            MergeRejection(worker_id=key.worker_id, reason=reason, **more) for key in keys
        ]
        continues = self.scheduler.changes_rejected(job_id, rejections, self.now)
        if continues:
            self.reports_to_write.remove(job_id)
        self.turn()
        return continues

    def reports_written(self, job_id: str) -> None:
        self.reports_to_write.remove(job_id)
        self.scheduler.reports_written(job_id, self.now)
        self.turn()

    def context_created(self, job_id: str) -> None:
        self.contexts_to_create.remove(job_id)
        self.scheduler.context_prepared(job_id)
        self.turn()

    def answer(
        self, key: WorkerKey, decision: Decision = Decision.APPROVE, comment: str = ""
    ) -> None:
        self.scheduler.answer(key, decision, "user", comment, self.now)
        self.turn()

    def pause(self, job: Job, running: RunningMode = RunningMode.FINISH) -> None:
        self.scheduler.pause(job.id, "user", running, self.now)
        self.turn()

    def resume(self, job: Job) -> None:
        self.scheduler.resume(job.id, "user", self.now)
        self.turn()

    def pause_all(self, running: RunningMode = RunningMode.FINISH) -> None:
        self.scheduler.pause_all("user", running, self.now)
        self.turn()

    def resume_all(self) -> None:
        self.scheduler.resume_all("user", self.now)
        self.turn()

    def resume_everything(self) -> None:
        """End every pause, so that all jobs can end without further actions."""
        if self.store.pause:
            self.resume_all()
        for job in [each for each in self.store.jobs.values() if each.pause]:
            self.scheduler._parts.pauses.lift(job.id, "user", self.now)
            self.turn()

    def retry(self, job: Job) -> int:
        if not self.scheduler.view.has_tree(job.root_id):
            self.scheduler.restore(self.store.tree(job.root_id), self.now)
        check_rerun(self.scheduler, self.scheduler.view.jobs[job.id])
        count = self.scheduler.retry(job.id, "user", self.now)
        self.turn()
        return count

    def feedback(self, key: WorkerKey, *, agent: str = "", landed: Sequence[str] = ()) -> None:
        """Add a person's comments on the worker's changes."""
        self._reopens(key)
        worker = self.scheduler.view.workers[key]
        comments = a_feedback(attempt=worker.attempt + 1)
        self.scheduler.give_feedback(worker, comments, self.now, agent=agent, landed=landed)
        self.turn()

    def retry_worker(self, key: WorkerKey) -> int:
        self._reopens(key)
        count = self.scheduler.retry_worker(self.scheduler.view.workers[key], "user", self.now)
        self.turn()
        return count

    def cancel_worker(self, key: WorkerKey) -> None:
        self.scheduler.cancel_worker(self.scheduler.view.workers[key], "user", self.now)
        self.turn()

    def _reopens(self, key: WorkerKey) -> None:
        if not self.scheduler.view.has_tree(key.root_id):
            self.scheduler.restore(self.store.tree(key.root_id), self.now)
        worker = self.scheduler.view.workers[key]
        check_reopens(self.scheduler, self.scheduler.view.job_of(worker), worker)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.turn()

    def crash(self, *, turn: bool = True) -> Sequence[Attempt]:
        """Lose all state in memory. Return the attempts without a recorded end."""
        self.scheduler = Scheduler(**self._limits)
        self.reports_to_write, self.contexts_to_create, self.plans_to_adopt = [], [], []
        unknown: list[Attempt] = []
        self.scheduler.load_pause(self.store.pause)
        for root_id in self.store.unfinished:
            unknown += self.scheduler.restore(self.store.tree(root_id), self.now)
        if turn:
            self.turn()
        return unknown

    def turn(self) -> None:
        self._one_turn()
        while self._run_slow_command():
            self._one_turn()

    def _run_slow_command(self) -> bool:
        """Run one command that the engine runs in the background. Return False if there is none."""
        if self.creates_contexts and self.contexts_to_create:
            self.scheduler.context_prepared(self.contexts_to_create.pop(0))
        elif self.adopts_plans and self.plans_to_adopt:
            self._take_plan(self.plans_to_adopt.pop(0))
        elif self.writes_reports and self.reports_to_write:
            self.scheduler.reports_written(self.reports_to_write.pop(0), self.now)
        else:
            return False
        return True

    def _one_turn(self) -> None:
        capacity = Capacity(
            self.paused,
            lambda agent: None if self.admit else NO_MEMORY,
            self.machines,
            self.memory_needed,
        )
        commands = self.scheduler.turn(self.now, capacity=capacity)
        change = self.scheduler.take_changes()
        recorded = {(attempt.key, attempt.number) for attempt in change.new_attempts}
        started = {(each.key, each.attempt) for each in commands if isinstance(each, Start)}
        assert started == recorded, "a turn records exactly the attempts that it starts"
        self.store.save(change)
        self.commands += commands
        self.reports_to_write += [each.job_id for each in commands if isinstance(each, Render)]
        self.contexts_to_create += [
            each.job_id for each in commands if isinstance(each, CreateContext)
        ]
        self.plans_to_adopt += [each.job_id for each in commands if isinstance(each, AdoptPlan)]
        self.scheduler.forget_ended()

    def run_to_end(self) -> None:
        """Run all jobs to their end: workers succeed, people approve, and reports are written."""
        self.writes_reports = self.creates_contexts = self.adopts_plans = True
        self.turn()
        self.resume_everything()
        for _ in range(MOST_STEPS):
            if not self.store.unfinished:
                return
            for job in self.awaiting_approval:
                self.approve(job)
            for key in self.asking:
                self.answer(key)
            busy = [each.key for each in self.store.running if not self._waits(each.key)]
            if busy:
                self.ends(busy[0])
            elif self.store.unfinished:
                due = self.scheduler.next_time()
                assert due is not None, f"no worker runs, and no time is due: {self.statuses()}"
                self.now = max(self.now, due)
                self.turn()
        raise AssertionError(f"the jobs did not end in {MOST_STEPS} steps: {self.statuses()}")

    def _waits(self, key: WorkerKey) -> bool:
        unfinished = self.scheduler._trees.unfinished[key]
        return not unfinished.has_slot and not unfinished.stopping

    def _config(self, config: Mapping[str, Any]) -> JobConfig:
        return a_config(**{"max_workers": self._limits["max_workers"], **config})

    # Views of the store

    def key(self, job: Job, number: int = 1) -> WorkerKey:
        """Return the key of the worker with this number in a job."""
        return self.keys(job)[number - 1]

    def keys(self, job: Job) -> list[WorkerKey]:
        workers = [each for each in self.store.workers.values() if each.job_id == job.id]
        return [worker.key for worker in workers if not worker.is_adviser]

    def planner(self, job: Job) -> WorkerKey:
        workers = [each for each in self.store.workers.values() if each.job_id == job.id]
        return next(worker.key for worker in workers if worker.is_planner)

    def reviewers(self, job: Job) -> list[WorkerKey]:
        workers = [each for each in self.store.workers.values() if each.job_id == job.id]
        return [worker.key for worker in workers if worker.is_reviewer]

    @property
    def asking(self) -> list[WorkerKey]:
        """Return workers with an open question."""
        workers = self.store.workers.values()
        waiting = (each for each in workers if each.status is WorkerStatus.WAITING)
        return [each.key for each in waiting if each.is_question]

    @property
    def awaiting_approval(self) -> list[Job]:
        """Return jobs that have tasks and wait for a person."""
        jobs = self.store.jobs.values()
        planning = [job for job in jobs if job.status is JobStatus.PLANNING]
        return [job for job in planning if self.store.tasks[job.id] and not job.cancelled_by]

    def job(self, job_id: str) -> Job:
        return self.store.jobs[job_id]

    def job_status(self, job: Job) -> JobStatus:
        return self.store.jobs[job.id].status

    def worker(self, key: WorkerKey) -> Worker:
        return self.store.workers[key]

    def status(self, key: WorkerKey) -> WorkerStatus:
        return self.store.workers[key].status

    def statuses(self) -> dict[str, str]:
        return {worker.id: str(worker.status) for worker in self.store.workers.values()}

    @property
    def running(self) -> list[WorkerKey]:
        """Return workers that hold a slot."""
        workers = self.store.workers.values()
        return [worker.key for worker in workers if worker.status is WorkerStatus.RUNNING]

    @property
    def starts(self) -> list[WorkerKey]:
        return [each.key for each in self.commands if isinstance(each, Start)]

    def events(self, job: Job) -> list[EventKind]:
        return [event.kind for event in self.store.events[job.root_id] if event.job_id == job.id]


def a_family(**config: Any) -> tuple[Story, Job, WorkerKey, Job, WorkerKey]:
    """Return a story: a root job whose one worker started a child job with one worker."""
    story = Story()
    root = story.root(**config)
    child = story.child(story.key(root))
    return story, root, story.key(root), child, story.key(child)


def stops(story: Story) -> list[WorkerKey]:
    return [command.key for command in story.commands if isinstance(command, Stop)]
