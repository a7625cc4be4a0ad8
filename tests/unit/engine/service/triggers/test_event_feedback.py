"""Comments from events are stored, grouped, and sent once, even after a crash."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import Conflict, InvalidRequest, NotFound, Outdated, StoreAway
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.feedback import FeedbackGiven, FeedbackRequest
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports.read_models import JobDetail
from orchestrator.engine.service.triggers.event_feedback import (
    PATIENCE_SECONDS,
    EventFeedback,
    longest_settle_seconds,
)
from orchestrator.engine.service.triggers.github_remarks import Remark
from orchestrator.engine.service.triggers.job_template import JobTemplate
from orchestrator.engine.service.triggers.trigger import Trigger
from orchestrator.security.secrets.trigger_verification import Verification
from tests.contract.store_values import a_job, a_worker

HEAD = "0123abc"
JOB = a_job("5a95ef2f", status=JobStatus.COMPLETED)
BRANCH = "orchestrator/5a95ef2f/result"
LINE = Remark(branch=BRANCH, commit=HEAD, text="use 42", path="b.py", line=1, end_line=1)
CHECK = Remark(branch=BRANCH, commit=HEAD, text="the check failed")


class Jobs:
    """One job with two workers; ``error`` is raised once by the next feedback."""

    def __init__(self) -> None:
        self.present = JOB
        self.given: list[tuple[str, str, FeedbackRequest]] = []
        self.error: Exception | None = None

    def job(self, caller: Caller, job_id: str) -> Job:
        if job_id != JOB.id:
            raise NotFound(job_id)
        return self.present

    def detail(self, caller: Caller, job_id: str) -> JobDetail:
        workers = [worker(0, "a.py"), worker(1, "b.py"), worker(2, "c.py"), a_worker(JOB, 3)]
        return JobDetail(job=self.present, tasks=(), workers=workers)

    def give(
        self, caller: Caller, job_id: str, worker_id: str, request: FeedbackRequest
    ) -> FeedbackGiven:
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.given.append((caller.name, worker_id, request))
        return FeedbackGiven(job_id=job_id, worker_id=worker_id, attempt=2, run=2)


def worker(index: int, path: str) -> Worker:
    delivery = DeliveredWork(changed=True, commit=HEAD)
    result = WorkerResult(files_created=(path,), delivery=delivery)
    return a_worker(JOB, index, result=result)


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        # Files have the machine's time.
        return time.time() + self.ahead


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feedback(jobs: Jobs, clock: Clock, tmp_path: Path) -> EventFeedback:
    return EventFeedback(jobs, jobs, jobs, tmp_path, 10.0, clock)


def put(feedback: EventFeedback, remark: Remark, delivery: str) -> bool:
    return feedback.put("reviews", delivery, remark, remark.as_text())[1]


def test_only_triggers_for_feedback_decide_how_long_comments_wait() -> None:
    reviews = Trigger(name="reviews", verify=Verification.GITHUB, secret="s", settle_seconds=2)
    template = JobTemplate(trigger="issues", document={"request": "x"})
    issues = replace(reviews, name="issues", template=template, settle_seconds=10)

    assert longest_settle_seconds([reviews, issues]) == 2
    assert longest_settle_seconds([issues]) == 0


def test_events_are_given_together_to_the_workers_that_they_are_about(
    feedback: EventFeedback, jobs: Jobs, clock: Clock
) -> None:
    assert put(feedback, LINE, "1") and put(feedback, CHECK, "2")
    assert not put(feedback, LINE, "1"), "a redelivery"
    feedback.send_settled()
    assert jobs.given == [], "more events may follow"

    clock.ahead = 11
    jobs.present = replace(JOB, status=JobStatus.RUNNING)
    feedback.send_settled()
    assert jobs.given == [], "the job runs"
    jobs.present = JOB
    feedback.send_settled()
    (by, first, on_line), (_, second, on_all) = jobs.given
    assert (by, first, second) == ("trigger:reviews", "worker_2", "worker_3")
    assert [each.path for each in on_line.comments] == ["b.py"] and on_line.commit == HEAD
    assert (on_all.comments, on_all.summary) == ((), "the check failed")
    assert on_line.key != on_all.key

    feedback.send_settled()
    assert len(jobs.given) == 2
    assert not put(feedback, CHECK, "2"), "even after the feedback was given"


def test_a_comment_on_a_whole_file_is_given_to_the_worker_of_the_file(
    feedback: EventFeedback, jobs: Jobs, clock: Clock
) -> None:
    put(feedback, Remark(branch=BRANCH, commit=HEAD, text="rename it", path="b.py"), "1")
    clock.ahead = 11
    feedback.send_settled()
    [(_, worker_id, request)] = jobs.given
    assert (worker_id, request.comments) == ("worker_2", ())
    assert request.summary == "b.py (commit 0123abc)\nrename it"


def test_a_crash_between_giving_and_forgetting_repeats_with_the_same_key(
    feedback: EventFeedback,
    jobs: Jobs,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(feedback, CHECK, "1")
    clock.ahead = 11

    def crash(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("shutil.rmtree", crash)
        feedback.send_settled()
    put(feedback, LINE, "2")
    again = EventFeedback(jobs, jobs, jobs, tmp_path, 10.0, clock)
    again.send_settled()
    assert len({request.key for _, _, request in jobs.given}) == 1 and len(jobs.given) == 2
    again.send_settled()
    assert jobs.given[2][2].comments, "a later event starts a new group"


@pytest.mark.parametrize(
    ("error", "commit"),
    [(Outdated("moved", "fedc"), "fedc"), (InvalidRequest("no line 1"), HEAD)],
)
def test_a_comment_on_lines_that_moved_becomes_text(
    feedback: EventFeedback, jobs: Jobs, clock: Clock, error: Exception, commit: str
) -> None:
    put(feedback, LINE, "1")
    clock.ahead, jobs.error = 11, error
    feedback.send_settled()
    [(_, _, request)] = jobs.given
    assert (request.comments, request.commit) == ((), commit)
    assert request.summary == "b.py:1 (commit 0123abc)\n\nuse 42"


def test_a_worker_that_cannot_run_now_is_asked_again(
    feedback: EventFeedback, jobs: Jobs, clock: Clock, tmp_path: Path
) -> None:
    put(feedback, CHECK, "1")
    clock.ahead, jobs.error = 11, Conflict("is being merged")
    feedback.send_settled()
    assert jobs.given == []
    feedback.send_settled()
    assert len(jobs.given) == 1

    put(feedback, CHECK, "2")
    clock.ahead = PATIENCE_SECONDS + 100
    jobs.error = Conflict("runs a command")
    feedback.send_settled()
    assert not any(files for _, _, files in os.walk(tmp_path / ".events" / "sending"))


def test_a_damaged_file_harms_no_other_comment(
    feedback: EventFeedback, jobs: Jobs, clock: Clock, tmp_path: Path
) -> None:
    put(feedback, CHECK, "1")
    (tmp_path / ".events/pending" / JOB.id / "damaged.json").write_text('{"by": ')
    clock.ahead = 11
    feedback.send_settled()
    assert [request.summary for _, _, request in jobs.given] == ["the check failed"]


def test_a_store_that_is_away_loses_no_comment(
    feedback: EventFeedback, jobs: Jobs, clock: Clock
) -> None:
    put(feedback, CHECK, "1")
    clock.ahead, jobs.error = 11, StoreAway("away")
    feedback.send_settled()
    feedback.send_settled()
    assert len(jobs.given) == 1


@pytest.mark.parametrize(
    "branch", ["feature", "orchestrator/none/result", "orchestrator/x/worker_1"]
)
def test_other_branches_are_no_results_of_jobs(feedback: EventFeedback, branch: str) -> None:
    with pytest.raises(NotFound):
        put(feedback, replace(CHECK, branch=branch), "1")
