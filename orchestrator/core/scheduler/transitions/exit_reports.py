"""Ends of attempts, as the engine reports them.

This module records an ended attempt: its verdict, its usage, and the results of its gates. The
module ``ends.attempt_followup`` then decides what follows. A preloaded attempt may end before its
start is recorded; its report then waits until a slot is free.
"""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit, Usage
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.attempt.usage_sums import is_unpriced
from orchestrator.core.model.job import Attempt, Worker, WorkerKey
from orchestrator.core.outcome.attempt_outcome import Verdict, ended_at, judge, result_of
from orchestrator.core.outcome.failure_rules import classify, with_failure
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.attempt_followup import (
    AttemptFollowup,
    ToolStarts,
)
from orchestrator.core.scheduler.transitions.ends.late_results import LateResults
from orchestrator.core.scheduler.transitions.pauses import Pauses
from orchestrator.core.scheduler.transitions.running_workers.gate_events import GateEvents
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import (
    Ended,
    Preloads,
)
from orchestrator.core.scheduler.transitions.running_workers.worker_messages import WorkerMessages
from orchestrator.core.scheduler.transitions.running_workers.worker_start import RunningWorkers
from orchestrator.core.scheduler.transitions.usage_accounting import Accounting


@dataclass(frozen=True, kw_only=True, slots=True)
class _JudgedAttempt:
    #: The worker's record before the end of the attempt.
    worker: Worker
    #: The attempt's record before its end.
    attempt: Attempt
    exit: Exit
    evidence: Evidence
    verdict: Verdict
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended_at - self.attempt.started_at


class ExitReports:
    def __init__(
        self,
        *,
        trees: JobTrees,
        running: RunningWorkers,
        preloads: Preloads,
        gate_events: GateEvents,
        messages: WorkerMessages,
        tool_starts: ToolStarts,
        attempt_followup: AttemptFollowup,
        late: LateResults,
        accounting: Accounting,
        pauses: Pauses,
        release_leases: Callable[[WorkerKey, float], None],
    ) -> None:
        """``release_leases``: releases all leases of the worker whose attempt has ended."""
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._running = running
        self._preloads = preloads
        self._gate_events = gate_events
        self._messages = messages
        self._tool_starts = tool_starts
        self._attempt_followup = attempt_followup
        self._late = late
        self._accounting = accounting
        self._pauses = pauses
        self._release_leases = release_leases

    def exited(
        self, key: WorkerKey, attempt: int, exit: Exit, evidence: Evidence, now: float
    ) -> None:
        current = self._unit_of_work.attempts.get(key)
        if current is None or current.number != attempt:
            return
        if key not in self._trees.preloaded or self._begin_preloaded(
            key, attempt, exit, evidence, now
        ):
            self._end(key, exit, evidence, now)

    def launch_returned(self, key: WorkerKey, attempt: int, now: float) -> None:
        if self._preloads.returned(key, attempt):
            self._attempt_followup.returned(self._unit_of_work.workers[key], now)

    def record_reports(self, now: float) -> None:
        """Process the stored reports of preloaded workers: each is about a start or an end.

        A report stays stored until its worker has a slot.
        """
        for report in self._preloads.take_reports():
            if isinstance(report, Ended):
                self.exited(report.key, report.attempt, report.exit, report.evidence, now)
            elif self._trees.preloaded.get(report.key) != report.attempt:
                continue  # The worker has called the API or ended since the report.
            elif self._preloads.waits_for_slot(report.key):
                self._preloads.store_report(report)
            else:
                self._preloads.begin(report.key, report.at, now)
                self._pauses.stop_if_paused(self._unit_of_work.workers[report.key])

    def _begin_preloaded(
        self, key: WorkerKey, attempt: int, exit: Exit, evidence: Evidence, now: float
    ) -> bool:
        """Record the start of a preloaded attempt whose end is reported before its start.

        - If no shim ever began the attempt: end the attempt, and return False.
        - If the worker waits for a slot: store the report for a later turn, and return False.
        - Otherwise: record the start, and return True. The caller must then process the end.
        """
        if exit.cause is ExitCause.NEVER_BEGAN:
            self._preloads.never_began(key, exit, now)
            self._attempt_followup.returned(self._unit_of_work.workers[key], now)
            return False
        if self._preloads.waits_for_slot(key):
            self._preloads.store_report(Ended(key, attempt, exit, evidence))
            return False
        self._preloads.begin(key, exit.started_at, now)
        return True

    def _end(self, key: WorkerKey, exit: Exit, evidence: Evidence, now: float) -> None:
        worker, attempt = self._unit_of_work.workers[key], self._unit_of_work.attempts[key]
        if self._trees.locks.is_used:
            self._release_leases(key, now)
        self._running.process_ended(worker, self._trees.unfinished[key])
        ended = _JudgedAttempt(
            worker=worker,
            attempt=attempt,
            exit=exit,
            evidence=evidence,
            verdict=self._with_login(worker, judge(exit, evidence), now),
            ended_at=ended_at(attempt, exit, evidence, now),
        )
        self._record_attempt(ended)
        usage = self._record_result(ended, now)
        if evidence.gates:
            self._gate_events.ended(key, attempt.number, evidence.gates, now)
        if evidence.messages:
            self._messages.read(key, attempt.number, evidence.messages, now)
        self._decide(ended, now)
        if worker.usage != usage:
            self._accounting.check_limits(worker, now)
        if is_unpriced(usage):
            self._accounting.check_price(worker, now)

    def _with_login(self, worker: Worker, verdict: Verdict, now: float) -> Verdict:
        """Record a failed login, if the verdict reports one. Return the verdict that applies.

        If another machine can run the worker, the login counts as failed only on the worker's
        present machine. The returned verdict then has ``moves`` set, so that the worker moves to
        another machine.
        """
        if verdict.login_refused:
            task, why = self._trees.task_of(worker), verdict.reason
            config = self._trees.job_of(worker).config
            if self._trees.machine_slots.login_failed(worker, task, config, why, now):
                return replace(verdict, moves=True)
        return self._trees.logins.record(worker.agent, verdict, now)

    def _record_attempt(self, ended: _JudgedAttempt) -> None:
        worker, exit, evidence = ended.worker, ended.exit, ended.evidence
        if exit.ended_by is EndedBy.EXIT and not ended.verdict.not_started:
            self._tool_starts.began(worker.agent)
        self._trees.unfinished[worker.key].ended_at = ended.ended_at
        recorded = self._unit_of_work.end_attempt(
            worker.key,
            ended_at=ended.ended_at,
            exit=exit,
            reason=ended.verdict.reason,
            session=evidence.session,
        )
        if exit.ended_by is EndedBy.LOST or worker.key in self._trees.lost_attempts:
            self._late.ended(recorded)
        # The gates count as part of the task, so include their time.
        own_seconds = exit.ended_at - exit.started_at
        self._preloads.task_ended(worker, ended.seconds if evidence.gates else own_seconds)

    def _record_result(self, ended: _JudgedAttempt, now: float) -> Usage:
        """Add the attempt's work to the worker's result. Return the worker's usage so far."""
        worker, exit, evidence = ended.worker, ended.exit, ended.evidence
        result = result_of(worker.result, ended.attempt, exit, evidence, ended.seconds)
        if not ended.verdict.succeeded:
            result = with_failure(result, classify(worker, exit, evidence, ended.verdict))
        unfinished = self._trees.unfinished[worker.key]
        refused_count, unfinished.refused_child_jobs = unfinished.refused_child_jobs, 0
        if refused_count:
            refused_count += result.refused_child_jobs
            result = replace(result, refused_child_jobs=refused_count)
        self._trees.spend(worker, worker.usage, result.usage, now)
        self._unit_of_work.update_worker(worker.key, result=result)
        return result.usage

    def _decide(self, ended: _JudgedAttempt, now: float) -> None:
        """Queue a worker whose attempt was stopped by a pause. Otherwise decide what follows."""
        worker, verdict, exit = ended.worker, ended.verdict, ended.exit
        is_stopped = worker.cancelled_by is not None or self._trees.job_of(worker).stop_cause
        if exit.cause is ExitCause.PAUSED and not is_stopped and not verdict.succeeded:
            self._attempt_followup.paused(worker.key, now)
        else:
            verdict = self._attempt_followup.stopped_verdict(worker, exit) or verdict
            until = self._update_throttle(worker, verdict, ended.evidence, now)
            self._attempt_followup.decide_next(worker.key, verdict, now, until)

    def _update_throttle(
        self, worker: Worker, verdict: Verdict, evidence: Evidence, now: float
    ) -> float | None:
        """Record in the agent's throttle whether a rate limit stopped the worker's attempt.

        Return the time at which this rate limit ends; None if no rate limit stopped the attempt.
        """
        throttle = self._running.throttle
        if verdict.rate_limited:
            return throttle.record_rate_limit(worker.agent, evidence.resets_at, now)
        if verdict.succeeded:
            throttle.succeeded(worker.agent)
            self._trees.logins.record_success(worker.agent, now)
        return None
