"""Creates the scheduler's parts, and passes to each part the parts that it calls."""

from collections.abc import Callable

from orchestrator.core.model.job import WorkerKey
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.agent_fallback import AgentFallback
from orchestrator.core.scheduler.transitions.ends.attempt_followup import AttemptFollowup, Retries
from orchestrator.core.scheduler.transitions.ends.late_results import LateResults
from orchestrator.core.scheduler.transitions.ends.stops import Stops
from orchestrator.core.scheduler.transitions.ends.worker_and_job_end import JobEnd, WorkerEnd
from orchestrator.core.scheduler.transitions.exit_reports import ExitReports
from orchestrator.core.scheduler.transitions.job_submission import JobSubmission
from orchestrator.core.scheduler.transitions.job_tree_restore import JobTreeRestore
from orchestrator.core.scheduler.transitions.limit_enforcement import LimitHandler
from orchestrator.core.scheduler.transitions.merge_completion import MergeCompletion
from orchestrator.core.scheduler.transitions.merge_rejections import MergeRejections
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.scheduler.transitions.planning import Planning
from orchestrator.core.scheduler.transitions.questions import Questions
from orchestrator.core.scheduler.transitions.reruns import Reruns
from orchestrator.core.scheduler.transitions.running_workers.gate_events import GateEvents
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import Preloads
from orchestrator.core.scheduler.transitions.running_workers.task_locks import TaskLocks
from orchestrator.core.scheduler.transitions.running_workers.worker_messages import WorkerMessages
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers
from orchestrator.core.scheduler.transitions.usage_accounting import Accounting


class Parts:
    """The parts that change ``trees``. A part calls only parts that are created before it."""

    def __init__(
        self,
        trees: JobTrees,
        running: RunningWorkers,
        release_leases: Callable[[WorkerKey, float], None],
    ) -> None:
        """``release_leases``: releases all leases of a worker whose attempt has ended."""
        # Running workers
        self.running = running
        task_locks = self.task_locks = TaskLocks(trees)
        preloads = self.preloads = Preloads(trees, running)
        self.gate_events = GateEvents(trees)
        self.messages = WorkerMessages(trees)

        # Ends of attempts, workers, and jobs
        fallback = self.fallback = AgentFallback(trees)
        retries = self.retries = Retries(trees, task_locks, fallback)
        job_end = self.job_end = JobEnd(trees)
        worker_end = self.worker_end = WorkerEnd(trees, task_locks, fallback, job_end)
        stops = self.stops = Stops(trees, worker_end, job_end)
        self.attempt_followup = AttemptFollowup(
            trees, running, task_locks, worker_end, stops, retries
        )
        late = self.late = LateResults(trees, self.attempt_followup)

        # People, limits, and plans
        questions = self.questions = Questions(trees, running, worker_end)
        pauses = self.pauses = Pauses(trees, questions)
        self.limit_handler = LimitHandler(trees, stops, pauses)
        self.accounting = Accounting(trees, stops, self.limit_handler)
        planning = self.planning = Planning(trees, job_end, pauses)
        self.submission = JobSubmission(trees, task_locks, running, preloads, pauses, job_end)

        # Ended jobs: merging and further runs
        self.merge_completion = MergeCompletion(trees)
        self.merge_rejections = MergeRejections(
            trees, stops, job_end, task_locks, self.limit_handler
        )
        self.reruns = Reruns(trees, planning, pauses, job_end, running.attach)

        self.exit_reports = ExitReports(
            trees=trees,
            running=running,
            preloads=preloads,
            gate_events=self.gate_events,
            messages=self.messages,
            tool_starts=retries.tool_starts,
            attempt_followup=self.attempt_followup,
            late=late,
            accounting=self.accounting,
            pauses=pauses,
            release_leases=release_leases,
        )
        self.restoring = JobTreeRestore(
            trees=trees,
            running=running,
            task_locks=task_locks,
            attempt_followup=self.attempt_followup,
            stops=stops,
            job_end=job_end,
            late=late,
            preloads=preloads,
            pauses=pauses,
            questions=questions,
            limit_handler=self.limit_handler,
        )
