"""Late results: exit records that appear after the server declared their attempts lost.

A late result counts if no newer attempt has started and the worker has not ended. Otherwise, the
result is not used. The attempt's reason and an event then name the path of the exit record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.job import Attempt, Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.attempt_outcome import Verdict, ended_at, judge, result_of
from orchestrator.core.outcome.failure_rules import classify, with_failure
from orchestrator.core.scheduler.state.job_trees import JobTrees
from orchestrator.core.scheduler.transitions.ends.attempt_followup import AttemptFollowup

#: Seconds between two searches for late results of workers that have ended.
LOOK_SECONDS = 0.5


class LateResults:
    def __init__(self, trees: JobTrees, attempt_followup: AttemptFollowup) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        self._attempt_followup = attempt_followup
        self._lost = trees.lost_attempts
        self._ended = trees.ended_after_loss
        #: Time of the next search for late results of workers that have ended.
        self._look_again_at = 0.0

    @property
    def lost(self) -> Sequence[Attempt]:
        """All lost attempts whose late results have not arrived."""
        return [each for attempts in self._lost.values() for each in attempts.values()]

    def ended(self, attempt: Attempt) -> None:
        """Record the end of an attempt. A lost attempt may still get a late result."""
        if attempt.key in self._lost:
            self._ended.add(attempt.key)
        if attempt.exit is not None and attempt.exit.ended_by is EndedBy.LOST:
            self._lost.setdefault(attempt.key, {})[attempt.number] = attempt

    def attempts_to_read(self, now: float) -> Sequence[Attempt]:
        """Return the lost attempts whose exit records should be read now.

        An exit record is read at three moments:

        - before the worker's next attempt starts
        - whenever a later attempt of the worker has ended
        - at intervals of ``LOOK_SECONDS``, from the worker's end to the end of its job
        """
        attempts = list(self._due_attempts(now))
        self._ended.clear()
        if now >= self._look_again_at:
            self._look_again_at = now + LOOK_SECONDS
        return attempts

    def _due_attempts(self, now: float) -> Iterator[Attempt]:
        for key, attempts in self._lost.items():
            worker = self._unit_of_work.workers[key]
            if key in self._ended or self._is_due_after_end(worker, now):
                yield from attempts.values()
            elif (
                worker.status is WorkerStatus.PENDING
                and worker.not_before <= now
                and worker.attempt in attempts
            ):
                yield attempts[worker.attempt]

    def _is_due_after_end(self, worker: Worker, now: float) -> bool:
        """True if the worker has ended, its job runs, and exit records should be read again.

        A late result of an ended worker is not used. The job's reports only mention the result.
        """
        if now < self._look_again_at or not worker.status.ended:
            return False
        return not self._trees.job_of(worker).status.ended

    def arrived(
        self, attempt: Attempt, exit: Exit, evidence: Evidence, record: str, now: float
    ) -> None:
        """Record the late result of ``attempt``, which ``attempts_to_read`` returned.

        ``record``: path of the exit record.
        """
        if self._lost.get(attempt.key, {}).pop(attempt.number, None) is None:
            return
        worker, verdict = self._unit_of_work.workers[attempt.key], judge(exit, evidence)
        is_used = worker.status is WorkerStatus.PENDING and worker.attempt == attempt.number
        ending = verdict.reason or "exit code 0"
        payload = {"attempt": attempt.number, "taken": is_used, "ended": ending, "record": record}
        self._unit_of_work.emit(
            EventKind.LATE_RESULT, self._trees.job_of(worker), now, worker.id, **payload
        )
        if is_used:
            self._apply(worker, attempt, exit, evidence, verdict, now)
        else:
            note = f"late result not used ({ending}); saved in {record}"
            reason = f"{attempt.reason}; {note}" if attempt.reason else note
            self._unit_of_work.amend_attempt(replace(attempt, exit=exit, reason=reason))

    def _apply(
        self,
        worker: Worker,
        attempt: Attempt,
        exit: Exit,
        evidence: Evidence,
        verdict: Verdict,
        now: float,
    ) -> None:
        end = ended_at(attempt, exit, evidence, now)
        self._unit_of_work.amend_attempt(
            replace(attempt, ended_at=end, exit=exit, reason=verdict.reason)
        )
        # Do not add seconds, because they were added when the attempt was declared lost.
        result = result_of(worker.result, attempt, exit, evidence, 0.0)
        result = with_failure(result, classify(worker, exit, evidence, verdict))
        previous_usage = worker.usage
        self._trees.spend(worker, previous_usage, result.usage, now)
        self._unit_of_work.update_worker(worker.key, result=result)
        if not verdict.retry:
            self._trees.unfinished[worker.key].ended_at = end
            self._unit_of_work.move_worker(worker.key, WorkerStatus.RUNNING, reason="")
            self._attempt_followup.decide_next(worker.key, verdict, now)
