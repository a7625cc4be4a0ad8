"""Preloaded launches: starts that the server passes to busy shims in advance.

A shim begins a preloaded launch when the shim's present worker has ended, without waiting for the
server. Preloading is for many short tasks of the same kind. Nothing is preloaded if a start needs a
decision of the server, such as the grant of a lock.
"""

from collections import Counter
from collections.abc import Sequence

from orchestrator.core.events import EventKind
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Evidence, Exit
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.machines import Capacity
from orchestrator.core.model.scheduler_commands import Command, Start, Stop, WithdrawLaunch
from orchestrator.core.model.states import JobStatus
from orchestrator.core.scheduler.queue.ready_queue import Entry
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.state.plan_progress import PlanProgress
from orchestrator.core.scheduler.transitions.running_workers.worker_start import (
    RunningWorkers,
    attempt_of,
)

#: Maximum number of preloaded launches of one shim. 64 launches keep a shim busy during two long
#: turns of a supervisor that shares the processors with the workers. In a job of 500 short tasks
#: with a maximum of 32, all shims repeatedly ran out of launches for 15 to 30 ms.
MOST_PER_SHIM = 64
#: Maximum seconds of a short task. A longer task ends the preloading until tasks are short again.
SHORT_SECONDS = 0.05
#: Minimum number of short tasks in a row before launches are preloaded. If more workers run, the
#: minimum is the number of running workers.
SHORT_IN_A_ROW = 4
#: Initial count of short tasks for a new job whose tasks were short in earlier jobs. With a larger
#: count, the first turn would preload more launches, so the job's first workers would start later.
SHORT_BEFORE = 16


def launches_per_shim(*, short_in_a_row: int, running: int, waiting: int) -> int:
    """Return how many launches each busy shim may keep.

    ``short_in_a_row``: number of short tasks since the latest long task. ``running``: number of
    running workers. ``waiting``: number of workers that could start, including preloaded workers.

    The result is small after only a few short tasks, so that the shims get their first launches
    soon. The result is also small near the end of a job, so that no shim keeps work while other
    shims are idle.
    """
    if running < 1 or short_in_a_row < max(SHORT_IN_A_ROW, running):
        return 0
    return min(MOST_PER_SHIM, short_in_a_row, 3 * waiting // (4 * running))


def is_plain_job(job: Job) -> bool:
    """True for a root job that has no limits on usage, no gates, and no worktrees."""
    config = job.config
    limits = (config.max_cost_usd, config.max_steps, config.max_tokens)
    return job.is_root and not config.base and not config.gates and limits == (None,) * len(limits)


def is_plain(task: TaskSpec) -> bool:
    """True if the task can start in any free slot, without a decision of the server."""
    return bool(
        task.command
        and len(task.agents) <= 1
        and task.workdir == "own"
        and not (task.depends_on or task.locks or task.gates or task.writes or task.approve)
        and not (task.review or task.candidate_settings or task.git)
        and task.max_cost_usd is task.max_steps is task.max_tokens is None
    )


@dataclass(frozen=True, slots=True)
class Began:
    """The report that a preloaded attempt has begun."""

    key: WorkerKey
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The report that a preloaded attempt has ended."""

    key: WorkerKey
    attempt: int
    exit: Exit
    evidence: Evidence


Report = Began | Ended


class Preloads:
    def __init__(self, trees: JobTrees, running: RunningWorkers) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._preloaded = trees.preloaded
        #: Places of preloaded workers in the queue.
        self._places: dict[WorkerKey, Entry] = {}
        #: Reports of preloaded workers, which are processed when a slot is free.
        self._reports: list[Report] = []
        #: Preloaded workers whose launches are being withdrawn.
        self._withdrawn: set[WorkerKey] = set()
        #: Number of short tasks since the latest long task, by root job id.
        self._short: Counter[str] = Counter()
        #: Key: a job id. Value: the job's plan, and True if all its tasks are plain.
        self._plain: dict[str, tuple[PlanProgress, bool]] = {}

    def job_added(self, job: Job, plan: PlanProgress) -> None:
        """Allow preloading from the job's first turn if its tasks were short in earlier jobs."""
        seconds = plan.longest_seconds
        if job.is_root and seconds is not None and seconds <= SHORT_SECONDS:
            self._short[job.id] = SHORT_BEFORE

    def task_ended(self, worker: Worker, seconds: float) -> None:
        if seconds <= SHORT_SECONDS:
            self._short[worker.root_id] += 1
        else:
            self._short.pop(worker.root_id, None)

    def store_report(self, report: Report) -> None:
        """Store a report of a preloaded worker until the turn in which the worker gets a slot."""
        self._reports.append(report)

    def begin(self, key: WorkerKey, at: float, now: float) -> None:
        """Set a preloaded worker to running. Idempotent."""
        number = self._drop_launch(key)
        if number is None:
            return
        recorded_at = self._unit_of_work.attempts[key].started_at
        at = min(max(at, recorded_at), now)
        self._unit_of_work.update_attempt(key, started_at=at)
        job = self._running.run(key, number, at)
        worker = self._unit_of_work.workers[key]
        payload = {"attempt": number, "agent": worker.agent}
        self._unit_of_work.emit(EventKind.WORKER_STARTED, job, now, worker.id, **payload)

    def returned(self, key: WorkerKey, number: int) -> bool:
        """Drop a preloaded launch, with its attempt, because no shim will begin it.

        The launch's worker returns to its place in the queue. Return False if there is no such
        launch.
        """
        if self._preloaded.get(key) != number:
            return False
        place = self._places.get(key)
        self._drop_launch(key)
        self._unit_of_work.drop_attempt(key)
        worker = self._unit_of_work.workers[key]
        if place is None:
            self._trees.queue(worker)
        else:
            self._trees.ready.return_entry(place, self._trees.job_of(worker))
        # The launch was returned because a long task blocks the shim, or because no shim accepts
        # launches. Preloading stops until the tasks are short again.
        self._short.pop(key.root_id, None)
        return True

    def never_began(self, key: WorkerKey, exit: Exit, now: float) -> None:
        """End a preloaded attempt that never began, and queue its worker again.

        The worker's next attempt does not count as a retry.
        """
        number = self._drop_launch(key)
        self._short.pop(key.root_id, None)
        self._unit_of_work.end_attempt(key, ended_at=now, exit=exit, reason=exit.error)
        budget_from = self._unit_of_work.workers[key].budget_from
        worker = self._unit_of_work.update_worker(key, attempt=number, budget_from=budget_from + 1)
        self._trees.queue(worker)

    def restore_launch(self, worker: Worker, number: int) -> None:
        """Restore a preloaded launch after a restart of the server.

        The launch may have begun before the restart.
        """
        self._preloaded[worker.key] = number

    def withdrawals_first(self, commands: Sequence[Command]) -> Sequence[Command]:
        """Return the commands, sorted so that withdrawals of preloaded launches come first.

        If a running worker were stopped first, its shim would be free. The shim could then begin a
        preloaded launch before the withdrawal of this launch.
        """
        if not self._preloaded:
            return commands
        return sorted(commands, key=lambda each: not self._is_withdrawal(each))

    def _is_withdrawal(self, command: Command) -> bool:
        is_stop = isinstance(command, Stop) and command.key in self._preloaded
        return is_stop or isinstance(command, WithdrawLaunch)

    def waits_for_slot(self, key: WorkerKey) -> bool:
        """True if the worker is preloaded, and no slot is free for it.

        This happens if a shim begins the worker before the server has recorded the end of the
        shim's previous worker, which still holds the slot.
        """
        if key not in self._preloaded:
            return False
        return not self._trees.slots.has_room(self._unit_of_work.workers[key].job_id)

    def take_reports(self) -> Sequence[Report]:
        reports, self._reports = self._reports, []
        return reports

    def turn(self, now: float, capacity: Capacity) -> None:
        """Preload launches, or withdraw all preloaded launches.

        Launches are withdrawn if the next start needs a decision of the server.
        """
        if not self._preloaded and not self._short:
            return
        root_id = self._only_root()
        # In a cluster, the server must place each start.
        starts_held = capacity.paused is not None or capacity.machines is not None
        if root_id is None or starts_held or not self._is_plain(root_id):
            for key, number in self._preloaded.items():
                if key not in self._withdrawn:
                    self._withdrawn.add(key)
                    self._trees.commands.append(WithdrawLaunch(key, number))
            return
        self._preload_job(root_id, now)

    def forget(self, root_id: str) -> None:
        self._short.pop(root_id, None)
        self._plain.pop(root_id, None)

    def _drop_launch(self, key: WorkerKey) -> int | None:
        self._withdrawn.discard(key)
        self._places.pop(key, None)
        return self._preloaded.pop(key, None)

    def _only_root(self) -> str | None:
        root_ids = self._trees.ready.roots | {key.root_id for key in self._preloaded}
        if len(root_ids) != 1:
            return None
        (root_id,) = root_ids
        slots = self._trees.slots
        is_alone = root_id in self._trees and slots.running_in(root_id) == slots.running
        return root_id if is_alone else None

    def _is_plain(self, root_id: str) -> bool:
        job, plan = self._unit_of_work.jobs[root_id], self._trees.plans[root_id]
        if len(self._trees.jobs_of(root_id)) > 1 or self._running.throttle.is_limiting:
            return False
        if job.status is not JobStatus.RUNNING or job.stop_cause or job.pause or self._trees.pause:
            return False
        cached = self._plain.get(root_id)
        if cached is None or cached[0] is not plan:
            plain_job = plan.planner is None and is_plain_job(job)
            plain_job = plain_job and all(map(is_plain, plan.tasks.values()))
            cached = self._plain[root_id] = (plan, plain_job)
        return cached[1]

    def _preload_job(self, root_id: str, now: float) -> None:
        ready, slots = self._trees.ready, self._trees.slots
        running, preloaded = slots.running_in(root_id), len(self._preloaded)
        waiting = ready.length_of(root_id) + preloaded
        short = self._short[root_id]
        most = running * launches_per_shim(short_in_a_row=short, running=running, waiting=waiting)
        # Preload in batches: wait until a quarter of the launches have begun.
        if slots.has_room_to_start(root_id) or 4 * preloaded > 3 * most:
            return
        while len(self._preloaded) < most and ready.length_of(root_id):
            key = ready.first_of(root_id)
            if not self._running.is_startable(key, now):
                ready.take(root_id)
            elif self._needs_decision(self._unit_of_work.workers[key]):
                return
            else:
                self._places[key] = ready.take(root_id)
                self._preload_worker(key, now)

    def _needs_decision(self, worker: Worker) -> bool:
        holds = self._trees.holds
        return (
            worker.attempt > 0 or holds.reads_prompt(worker.agent) or bool(holds.ahead_of(worker))
        )

    def _preload_worker(self, key: WorkerKey, now: float) -> None:
        worker = self._unit_of_work.workers[key]
        number = worker.attempt + 1
        if worker.reason:
            self._unit_of_work.update_worker(key, reason="")
        self._unit_of_work.begin_attempt(attempt_of(worker, number, now))
        self._preloaded[key] = number
        self._trees.commands.append(Start(key, number, preload=True))
