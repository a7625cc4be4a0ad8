"""A copy of a store's content, built only from the changes that the scheduler returns."""

from orchestrator.core.events import Event
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.ports import StateChange, Tree
from tests.support.event_data import check_event


class StoreCopy:
    """Fails if a change adds an existing row, or changes a missing row, as a store does.

    Also fails if the data of an event is not declared.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, list[TaskSpec]] = {}
        self.workers: dict[WorkerKey, Worker] = {}
        self.attempts: dict[tuple[WorkerKey, int], Attempt] = {}
        self.events: dict[str, list[Event]] = {}
        #: Cost of each key's jobs by day.
        self.days: dict[tuple[int, str], float] = {}
        #: The pause of all jobs.
        self.pause: Pause | None = None
        #: Names and run times of tasks. The product saves them in a file, not in the store.
        self.run_times: list[tuple[str, float]] = []

    def save(self, change: StateChange) -> None:
        self._save_jobs(change)
        self._save_workers(change)
        self._save_attempts(change)
        for event in change.events:
            self._append(event)
        for pause in change.pauses:
            self.pause = pause
        self.run_times += change.run_times
        self.days |= {(each.day, each.key_name): each.cost_usd for each in change.spent_days}

    def _save_jobs(self, change: StateChange) -> None:
        for job in change.new_jobs:
            assert job.id not in self.jobs
            self.jobs[job.id] = job
            self.tasks[job.id] = []
        for job in change.jobs:
            assert job.id in self.jobs
            self.jobs[job.id] = job
        for job_id in change.replaced_plans:
            assert job_id in self.jobs
            self.tasks[job_id] = []
            own = [each for each in self.workers.values() if each.job_id == job_id]
            for worker in own:
                if not worker.is_adviser:
                    del self.workers[worker.key]
        for job_id, index, task in change.new_tasks:
            assert index == len(self.tasks[job_id])
            self.tasks[job_id].append(task)

    def _save_workers(self, change: StateChange) -> None:
        for worker in change.new_workers:
            assert worker.key not in self.workers
            self.workers[worker.key] = worker
        for worker in change.workers:
            assert worker.key in self.workers
            self.workers[worker.key] = worker

    def _save_attempts(self, change: StateChange) -> None:
        for row in change.dropped_attempts:
            assert self.attempts.pop(row).ended_at is None
        for attempt in change.new_attempts:
            assert attempt.number == 1 or (attempt.key, attempt.number - 1) in self.attempts
            assert (attempt.key, attempt.number) not in self.attempts
            self.attempts[attempt.key, attempt.number] = attempt
        for attempt in change.attempts:
            assert (attempt.key, attempt.number) in self.attempts
            self.attempts[attempt.key, attempt.number] = attempt

    def _append(self, event: Event) -> None:
        events = self.events.setdefault(event.root_id, [])
        assert event.seq == len(events) + 1, "seq counts from 1 without gaps"
        check_event(event.kind, event.data)
        events.append(event)

    @property
    def running(self) -> list[Attempt]:
        """Return recorded attempts without a recorded end."""
        return [attempt for attempt in self.attempts.values() if attempt.ended_at is None]

    @property
    def unfinished(self) -> list[str]:
        return [job.id for job in self.jobs.values() if job.is_root and not job.status.ended]

    def _workers_of(self, root_id: str) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.root_id == root_id]

    def tree(self, root_id: str) -> Tree:
        jobs = [job for job in self.jobs.values() if job.root_id == root_id]
        return Tree(
            jobs=jobs,
            tasks={job.id: self.tasks[job.id] for job in jobs},
            workers=[each for each in self._workers_of(root_id) if not each.is_adviser],
            planners=[each for each in self._workers_of(root_id) if each.is_planner],
            reviewers=[each for each in self._workers_of(root_id) if each.is_reviewer],
            attempts=[each for key, each in sorted(self.attempts.items()) if key[0][0] == root_id],
            last_seq=len(self.events.get(root_id, ())),
        )
