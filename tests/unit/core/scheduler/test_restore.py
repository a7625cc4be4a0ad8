"""A scheduler continues from the stored state alone, and forgets ended jobs."""

from dataclasses import replace

import pytest

from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.scheduler_commands import Render, Stop
from orchestrator.core.model.states import JobStatus, WorkerStatus
from tests.unit.core.factories import BASE, CANCELLED, DONE, EXIT_0, EXIT_1, LOST, TIMED_OUT, a_task
from tests.unit.core.remains import memory_of, state_of
from tests.unit.core.story import Story


def test_restored_attempts_still_hold_their_slots() -> None:
    story = Story(max_workers=1)
    root = story.root(a_task("a"), a_task("b"))
    before = state_of(story.scheduler)
    unknown = story.crash()
    assert [attempt.key for attempt in unknown] == [story.key(root)]
    assert state_of(story.scheduler) == before
    story.run_to_end()
    assert story.job_status(root) is JobStatus.COMPLETED


def test_a_lost_attempt_is_followed_by_another() -> None:
    story = Story()
    root = story.root(max_retries=1)
    for attempt in story.crash():
        story.ends(attempt.key, LOST)
    story.later(1)
    assert story.worker(story.key(root)).attempt == 2


def test_an_attempt_that_never_began_is_followed_by_another_at_once() -> None:
    story = Story()
    root = story.root(max_retries=1)
    for attempt in story.crash():
        story.ends(attempt.key, replace(LOST, cause=ExitCause.NEVER_BEGAN))
    assert story.worker(story.key(root)).attempt == 2


def test_a_waiting_parent_still_waits_after_a_restore() -> None:
    story = Story(max_workers=1)
    parent = story.key(story.root())
    child = story.child(parent)
    story.crash()
    assert story.status(parent) is WorkerStatus.WAITING
    assert story.scheduler.view.slots() == {"running": 1, "live": 2, "slots": 1}
    story.ends(story.key(child))
    assert story.running == [parent]


def test_a_parent_that_waited_for_its_slot_gets_it() -> None:
    story = Story(max_workers=1)
    root = story.root(a_task("a"), a_task("b"))
    child = story.child(story.key(root), base=BASE)
    story.writes_reports = False
    story.ends(story.key(child))
    story.reports_written(child.id)
    assert story.scheduler.view.waits_for_slot(story.key(root))
    story.crash()
    story.ends(story.key(root, 2))
    assert story.running == [story.key(root)]


@pytest.mark.parametrize("exit", [EXIT_0, TIMED_OUT, CANCELLED], ids=lambda exit: exit.ended_by)
def test_a_worker_without_a_process_gets_the_decided_outcome(exit: object) -> None:
    ended = []
    for restart in (False, True):
        story = Story()
        parent = story.key(story.root(max_retries=3))
        child = story.child(parent)
        story.ends(parent, exit)  # type: ignore[arg-type]
        if restart:
            story.crash()
        story.ends(story.key(child))
        ended.append((story.status(parent), story.worker(parent).reason))
    assert ended[0] == ended[1]


def test_a_failure_that_only_its_evidence_showed_is_still_a_failure() -> None:
    story = Story()
    parent = story.key(story.root())
    child = story.child(parent)
    story.ends(parent, EXIT_0, Evidence(claimed_success=False))
    story.crash()
    story.ends(story.key(child))
    assert story.status(parent) is WorkerStatus.FAILED
    assert "the agent reports a failure" in story.worker(parent).reason


@pytest.mark.parametrize(
    "exit", [EXIT_0, Exit(ended_by=EndedBy.LIMIT, stopped_by="max_steps")], ids=["exit 0", "a cap"]
)
def test_a_success_with_a_note_is_still_a_success(exit: Exit) -> None:
    story = Story()
    parent = story.key(story.root())
    child = story.child(parent)
    note = {"tool": "codex", "note": "exit code 1 after its result"}
    done = Evidence(output="done", output_required=True, claimed_success=True, **note)
    story.ends(parent, exit, done)
    story.crash()
    story.ends(story.key(child))
    assert story.status(parent) is WorkerStatus.RECURSIVE_SUCCESS
    assert story.worker(parent).reason == "codex: exit code 1 after its result"


def test_the_delay_between_two_attempts_survives_a_restore() -> None:
    story = Story()
    root = story.root(max_retries=1, retry_backoff_seconds=8.0)
    story.fails(story.key(root))
    story.now += 5
    story.crash()
    assert story.status(story.key(root)) is WorkerStatus.PENDING
    story.later(3)
    assert story.status(story.key(root)) is WorkerStatus.RUNNING


def test_a_cancel_reaches_all_descendants_in_any_order_of_stored_jobs() -> None:
    story = Story()
    root = story.root()
    child = story.child(story.key(root))
    grandchild = story.child(story.key(child))
    story.store.jobs = dict(reversed(story.store.jobs.items()))
    story.crash()
    story.commands.clear()
    story.cancel(root)
    stopped = [command.key for command in story.commands if isinstance(command, Stop)]
    assert stopped == [story.key(job) for job in (grandchild, child, root)]


def test_the_wall_time_continues_after_a_restore() -> None:
    story = Story()
    root = story.root(max_wall_seconds=100.0)
    story.now += 60
    story.crash()
    story.later(40)
    assert story.commands[-1] == Stop(
        story.key(root), 1, EndedBy.TIMEOUT, "max_wall_seconds (100 s)"
    )


def test_a_stop_is_commanded_again_after_a_restore() -> None:
    story = Story()
    root = story.root()
    story.cancel(root)
    story.commands.clear()
    story.crash()
    assert story.commands == [Stop(story.key(root), 1, EndedBy.CANCEL, "user")]


def test_reports_are_requested_again_after_a_restore() -> None:
    story = Story()
    story.writes_reports = False
    root = story.root()
    story.ends(story.key(root))
    story.commands.clear()
    story.crash()
    job_ids = [command.job_id for command in story.commands if isinstance(command, Render)]
    assert job_ids == [root.id]


def test_a_job_that_has_ended_leaves_no_memory() -> None:
    story = Story()
    root = story.root(a_task("a"), a_task("b", "a", retries=1), a_task("c", "b"))
    child = story.child(story.key(root))
    story.fails(story.key(child))
    story.ends(story.key(root))
    story.retry(root)
    story.run_to_end()
    assert not memory_of(story.scheduler)


def test_a_cancelled_retry_is_removed_from_memory_and_not_restored() -> None:
    story = Story()
    root = story.root(a_task("a", retries=1))
    story.fails(story.key(root))
    story.cancel(root)
    assert story.job_status(root) is JobStatus.CANCELLED
    assert not memory_of(story.scheduler)
    story.later(60)
    assert story.worker(story.key(root)).attempt == 1


def test_only_what_has_ended_is_forgotten() -> None:
    story = Story()
    ended, running = story.root(), story.root()
    story.ends(story.key(ended))
    assert list(story.scheduler.view.jobs) == [running.id]
    assert list(story.scheduler._trees.unfinished) == [story.key(running)]


def ran(began: float, ended: float) -> Exit:
    return replace(EXIT_0, started_at=began, ended_at=ended)


def test_a_worker_that_ended_while_no_server_ran_ended_then() -> None:
    story = Story()
    root = story.root()
    began = story.now
    story.now += 600
    [attempt] = story.crash()
    story.ends(attempt.key, ran(began + 0.01, began + 5))
    [stored] = story.store.attempts.values()
    worker = story.worker(story.key(root))
    assert stored.ended_at == worker.ended_at == began + 5
    assert worker.result is not None
    assert worker.result.work_seconds == 5


def test_gates_that_follow_are_time_of_the_attempt() -> None:
    story = Story()
    root = story.root()
    began = story.now
    story.now += 60
    passed = replace(DONE, gates=(GateResult(name="tests", status=GateStatus.PASSED),))
    story.ends(story.key(root), ran(began, began + 5), passed)
    assert story.worker(story.key(root)).ended_at == began + 60


def test_a_parent_that_ended_without_a_server_ends_with_its_child_job() -> None:
    story = Story()
    parent = story.key(story.root())
    began = story.now
    child = story.child(parent)
    story.now += 600
    story.crash()
    story.ends(story.key(child), ran(began, began + 2))
    story.ends(parent, ran(began, began + 5))
    assert story.worker(story.key(child)).ended_at == began + 2
    assert story.worker(parent).ended_at == story.job(child.id).ended_at == began + 600


def test_the_end_of_a_first_attempt_is_not_that_of_the_worker() -> None:
    story = Story()
    root = story.root(max_retries=1)
    began = story.now
    story.ends(story.key(root), replace(EXIT_1, started_at=began, ended_at=began))
    story.now += 0.5
    story.cancel(root)
    assert story.worker(story.key(root)).ended_at == story.now


@pytest.mark.parametrize(
    ("started", "ended", "now"),
    [(-60, -55, 30), (0, 90, 30), (5, 0, 30), (0, 5, -60)],
    ids=["behind", "ahead", "set back meanwhile", "set back since"],
)
def test_a_clock_that_does_not_agree_makes_no_time_negative(
    started: float, ended: float, now: float
) -> None:
    story = Story()
    root = story.root()
    began = story.now
    story.now += now
    story.ends(story.key(root), ran(began + started, began + ended))
    worker = story.worker(story.key(root))
    assert worker.ended_at == max(began, story.now)
    assert worker.result is not None
    assert worker.result.work_seconds == max(0, now)
