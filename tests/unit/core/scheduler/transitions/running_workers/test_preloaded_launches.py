"""Preloaded launches: when they are sent, how many, and how they end."""

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.core.events import EventKind
from orchestrator.core.gates.gate import Gate
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.pause import RunningMode
from orchestrator.core.model.job import Job, TaskSpec, WorkerKey
from orchestrator.core.model.scheduler_commands import Command, Start, Stop, WithdrawLaunch
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.scheduler.transitions.running_workers.preloaded_launches import (
    MOST_PER_SHIM,
    SHORT_BEFORE,
    SHORT_IN_A_ROW,
    is_plain,
    launches_per_shim,
)
from tests.support.examples import examples
from tests.unit.core.factories import CANCELLED, DONE, EXIT_0, EXIT_1, LOST, a_task, restart_numbers
from tests.unit.core.story import Story

NEVER_BEGAN = Exit(ended_by=EndedBy.LOST, cause=ExitCause.NEVER_BEGAN, error="never began")


def plain(count: int, **changes: Any) -> list[TaskSpec]:
    return [a_task(f"t{number}", command=("true",), **changes) for number in range(count)]


def preloads(story: Story) -> list[Start]:
    return [each for each in story.commands if isinstance(each, Start) and each.preload]


def taken_back(story: Story) -> list[WorkerKey]:
    return [each.key for each in story.commands if isinstance(each, WithdrawLaunch)]


def a_fast_job(count: int = 60, **config: Any) -> tuple[Story, Job]:
    """Return a job with one slot. Its first tasks were short, so that launches are preloaded."""
    story = Story(max_workers=1)
    job = story.root(*plain(count), **config)
    for number in range(1, 5):
        story.ends(story.key(job, number))
    return story, job


# -- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "running", "waiting", "most"),
    [
        (3, 1, 100, 0),
        (4, 1, 100, 4),
        (7, 8, 1000, 0),
        (8, 8, 1000, 8),
        (40, 8, 1000, 40),
        (80, 8, 1000, MOST_PER_SHIM),
        (9, 0, 1000, 0),
        (9, 4, 40, 7),
        (9, 4, 8, 1),
        (9, 4, 5, 0),
    ],
)
def test_few_launches_wait_at_the_shims(short: int, running: int, waiting: int, most: int) -> None:
    assert launches_per_shim(short_in_a_row=short, running=running, waiting=waiting) == most


@pytest.mark.parametrize(
    "changes",
    [
        {"command": None, "prompt": "do it"},
        {"agents": ("one", "two")},
        {"depends_on": ("b",)},
        {"workdir": "project"},
        {"writes": ("a.txt",)},
        {"locks": ("db",)},
        {"gates": (Gate(name="a", run="true"),)},
        {"git": "on"},
        {"review": "one"},
        {"max_steps": 3},
        {"max_tokens": 3},
        {"max_cost_usd": 1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_task_that_needs_a_decision_is_not_plain(changes: dict[str, Any]) -> None:
    task = a_task("t", command=("true",))
    assert is_plain(task) and not is_plain(replace(task, **changes))


# -- when -----------------------------------------------------------------------------------------


def test_after_short_tasks_the_next_launches_are_preloaded() -> None:
    story, job = a_fast_job()

    keys = [each.key for each in preloads(story)]

    assert keys == story.keys(job)[5 : 5 + SHORT_IN_A_ROW], "in the order of the tasks"
    assert {story.status(key) for key in keys} == {WorkerStatus.PENDING}
    assert [story.worker(key).attempt for key in keys] == [0] * SHORT_IN_A_ROW
    assert story.running == [story.key(job, 5)], "only one runs"


@pytest.mark.parametrize(
    ("seconds", "more", "count"),
    [(0.01, [], SHORT_BEFORE), (0.2, [], 0), (0.01, [a_task("new", command=("false",))], 0)],
    ids=["short", "long", "unknown"],
)
def test_launches_are_preloaded_at_once_if_all_tasks_were_short_before(
    seconds: float, more: list[TaskSpec], count: int
) -> None:
    story, tasks = Story(max_workers=1), plain(100)
    before = story.root(tasks[0])
    story.later(seconds)
    story.ends(story.key(before, 1))

    story.root(*tasks, *more)

    assert len(preloads(story)) == count


def test_the_next_turn_can_wait_while_launches_are_preloaded() -> None:
    story, job = a_fast_job()
    view = story.scheduler.view
    assert view.has_launches_ahead

    for number in range(5, 60):
        story.ends(story.key(job, number))

    assert not view.has_launches_ahead, "near the end of the job, each end needs a turn"


@pytest.mark.parametrize(
    ("task", "config"),
    [
        ({"locks": ("db",)}, {}),
        ({}, {"max_steps": 100}),
        ({}, {"max_tokens": 100}),
        ({}, {"max_cost_usd": 1.0}),
        ({}, {"gates": (Gate(name="a", run="true"),)}),
        ({}, {"base": "c0ffee"}),
    ],
)
def test_nothing_is_preloaded_where_the_server_decides(
    task: dict[str, Any], config: dict[str, Any]
) -> None:
    story = Story(max_workers=1)
    job = story.root(*plain(30, **task), **config)
    for number in range(1, 8):
        story.ends(story.key(job, number))
    assert preloads(story) == []


def test_nothing_is_preloaded_while_another_job_runs() -> None:
    story = Story(max_workers=1)
    job, _ = story.root(*plain(60)), story.root(*plain(1))
    for number in range(1, 4):
        story.ends(story.key(job, number))
    assert preloads(story) == []


def test_another_job_withdraws_all_preloaded_launches() -> None:
    story, job = a_fast_job()
    preloaded = [each.key for each in preloads(story)]

    other = story.root(*plain(1))

    assert taken_back(story) == preloaded
    for key in preloaded:
        story.scheduler.launch_returned(key, 1, story.now)
    story.ends(story.key(job, 5))
    assert story.running == [story.key(other)], "the jobs take turns"
    story.run_to_end()
    assert story.worker(preloaded[0]).attempt == 1


def test_a_long_task_ends_the_preloading() -> None:
    story, job = a_fast_job()
    for each in preloads(story):
        story.scheduler.launch_returned(each.key, each.attempt, story.now)
    story.commands.clear()
    story.ends(story.key(job, 5), replace(EXIT_0, started_at=story.now - 9, ended_at=story.now))
    for number in range(6, 9):
        story.ends(story.key(job, number))
    assert preloads(story) == []
    story.ends(story.key(job, 9))
    assert preloads(story)


# -- what happens to them -------------------------------------------------------------------------


def test_a_begun_launch_runs_once_the_worker_before_it_has_ended() -> None:
    story, job = a_fast_job()
    following, at = story.key(job, 6), story.now + 1

    story.later(2)
    story.scheduler.launch_begun(following, 1, at)
    story.turn()
    assert story.running == [story.key(job, 5)]

    story.ends(story.key(job, 5))
    assert story.running == [following]
    assert (story.worker(following).started_at, story.worker(following).attempt) == (at, 1)
    assert story.store.attempts[following, 1].started_at == at


def test_the_end_of_a_preloaded_launch_is_recorded_after_the_end_of_the_worker_before_it() -> None:
    story, job = a_fast_job()
    first, following = story.key(job, 5), story.key(job, 6)

    story.ends(following, replace(EXIT_0, started_at=story.now, ended_at=story.now))
    assert story.status(following) is WorkerStatus.PENDING
    story.ends(first)

    names = {first.worker_id, following.worker_id}
    events = [each for each in story.store.events[job.id] if each.worker_id in names]
    assert [(each.worker_id, each.kind) for each in events] == [
        ("worker_5", EventKind.WORKER_STARTED),
        ("worker_5", EventKind.WORKER_ENDED),
        ("worker_6", EventKind.WORKER_STARTED),
        ("worker_6", EventKind.WORKER_ENDED),
    ]


def test_a_worker_that_calls_has_begun() -> None:
    story, job = a_fast_job()
    key = story.key(job, 6)
    story.scheduler.heard_from(key, story.now)
    story.turn()
    assert story.status(key) is WorkerStatus.RUNNING
    story.child(key)


def test_a_launch_that_never_began_uses_no_retry() -> None:
    story, job = a_fast_job(max_retries=0)
    key = story.key(job, 6)

    story.ends(key, NEVER_BEGAN)

    assert story.status(key) is WorkerStatus.PENDING
    story.run_to_end()
    assert (story.status(key), story.worker(key).attempt) == (WorkerStatus.SUCCESS, 2)


def test_a_cancelled_job_ends_when_its_launches_are_returned() -> None:
    story, job = a_fast_job()
    story.cancel(job)
    stopped = [each.key for each in story.commands if isinstance(each, Stop)]
    preloaded = [each.key for each in preloads(story)]
    assert stopped == [*preloaded, story.key(job, 5)], (
        "the shim has no preloaded launch when its worker ends"
    )
    for each in preloads(story):
        story.scheduler.launch_returned(each.key, each.attempt, story.now)
    story.ends(story.key(job, 5), CANCELLED)

    assert set(story.statuses().values()) == {"success", "cancelled"}
    assert str(story.job_status(job)) in ("partial", "cancelled")
    assert story.store.running == []
    assert story.worker(story.key(job, 6)).attempt == 0


def test_a_pause_withdraws_launches_and_stops_those_that_have_begun() -> None:
    story, job = a_fast_job()
    first, *others = preloads(story)
    story.pause(job, RunningMode.STOP)
    assert set(taken_back(story)) == {first.key, *(each.key for each in others)}
    is_stop = [isinstance(each, Stop) for each in story.commands[-len(preloads(story)) - 1 :]]
    assert is_stop == [False] * len(preloads(story)) + [True]
    story.ends(story.key(job, 5), replace(CANCELLED, cause=ExitCause.PAUSED))
    story.scheduler.launch_begun(first.key, 1, story.now)
    story.turn()
    assert Stop(first.key, 1, EndedBy.CANCEL, "the pause by key 'user'", ExitCause.PAUSED) in (
        story.commands
    )


def test_a_restart_finds_preloaded_launches() -> None:
    story, job = a_fast_job(max_retries=0)
    one, other, third = (each.key for each in preloads(story)[:3])

    unknown = {each.key: each for each in story.crash()}

    assert len(unknown) == 1 + SHORT_IN_A_ROW
    story.scheduler.launch_begun(one, 1, story.now)
    story.scheduler.exited(other, 1, NEVER_BEGAN, DONE, story.now)
    story.scheduler.exited(third, 1, EXIT_1, DONE, story.now)
    story.scheduler.exited(story.key(job, 5), 1, EXIT_0, DONE, story.now)
    for key in set(unknown) - {one, other, third, story.key(job, 5)}:
        story.scheduler.exited(key, 1, NEVER_BEGAN, DONE, story.now)
    story.turn()
    assert story.running == [one]
    story.run_to_end()
    assert story.status(third) is WorkerStatus.FAILED, "it ran"
    assert (story.status(other), story.worker(other).attempt) == (WorkerStatus.SUCCESS, 2)


# -- any order of events ---------------------------------------------------------------------------


@dataclass
class Shim:
    """A shim as the server knows it. Its reports reach the server with a delay."""

    now: tuple[WorkerKey, int]
    preloaded: deque[tuple[WorkerKey, int]] = field(default_factory=deque)
    stopped: bool = False


class Walk(RuleBasedStateMachine):
    """Shims that begin, end, and return launches while people cancel, pause, and submit jobs."""

    @initialize(workers=st.integers(1, 3), count=st.integers(10, 60))
    def begin(self, workers: int, count: int) -> None:
        restart_numbers()
        self.workers = workers
        self.story = Story(max_workers=workers)
        self.shims: list[Shim] = []
        #: Workers that have called the server, perhaps before their predecessor's end is known.
        self.called: set[WorkerKey] = set()
        #: Messages of shims, each with the reports that a shim sends at once.
        self.mail: deque[list[tuple[str, WorkerKey, int, Exit]]] = deque()
        self.ran: set[tuple[WorkerKey, int]] = set()
        self.story.root(*plain(count))
        self._obey()

    def _obey(self) -> None:
        commands, self.story.commands = self.story.commands, []
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Start(key=key, attempt=number, preload=False):
                self._run(Shim((key, number)))
            case Start(key=key, attempt=number):
                if self.shims:
                    shim = min(self.shims, key=lambda each: len(each.preloaded))
                    shim.preloaded.append((key, number))
                else:
                    self.mail.append([("returned", key, number, EXIT_0)])
            case WithdrawLaunch(key=key, attempt=number) | Stop(key=key, attempt=number):
                for shim in self.shims:
                    if (key, number) in shim.preloaded:
                        shim.preloaded.remove((key, number))
                        self.mail.append([("returned", key, number, EXIT_0)])
                    elif isinstance(command, Stop) and shim.now == (key, number):
                        shim.stopped = True

    def _run(self, shim: Shim) -> None:
        assert shim.now not in self.ran, "nothing runs twice"
        self.ran.add(shim.now)
        self.shims.append(shim)
        assert len(self.shims) <= self.workers, "each slot runs one worker"

    @precondition(lambda self: self.shims)
    @rule(data=st.data(), seconds=st.sampled_from([0.001, 0.001, 0.001, 9.0]))
    def a_worker_ends(self, data: st.DataObject, seconds: float) -> None:
        shim = data.draw(st.sampled_from(self.shims))
        if seconds > 1:
            while shim.preloaded:
                self.mail.append([("returned", *shim.preloaded.popleft(), EXIT_0)])
        self._end(shim, seconds)

    def _end(self, shim: Shim, seconds: float) -> None:
        self.shims.remove(shim)
        exit = CANCELLED if shim.stopped else EXIT_0
        exit = replace(exit, started_at=self.story.now - seconds, ended_at=self.story.now)
        message = [("ended", *shim.now, exit)]
        if shim.preloaded:
            following = Shim(shim.preloaded.popleft(), shim.preloaded)
            message.append(("begun", *following.now, exit))
            self._run(following)
        self.mail.append(message)

    @precondition(lambda self: self.shims)
    @rule(data=st.data())
    def a_shim_is_killed(self, data: st.DataObject) -> None:
        shim = data.draw(st.sampled_from(self.shims))
        self.shims.remove(shim)
        self.mail.append([("ended", *shim.now, LOST)])
        for key, number in shim.preloaded:
            self.mail.append([("ended", key, number, NEVER_BEGAN)])

    @precondition(lambda self: self.mail)
    @rule(count=st.integers(1, 12))
    def messages_arrive(self, count: int) -> None:
        self._deliver(count)

    def _deliver(self, count: int) -> None:
        scheduler, now = self.story.scheduler, self.story.now
        messages = [self.mail.popleft() for _ in range(min(count, len(self.mail)))]
        for kind, key, number, exit in chain(*messages):
            if kind == "ended":
                scheduler.exited(key, number, exit, DONE, now)
            elif kind == "begun":
                scheduler.launch_begun(key, number, now)
            else:
                scheduler.launch_returned(key, number, now)
        self.story.later(0.001)
        self._obey()

    @precondition(lambda self: len(self.story.store.jobs) < 4)
    @rule(count=st.integers(1, 30))
    def a_job_is_submitted(self, count: int) -> None:
        self.story.root(*plain(count))
        self._obey()

    @precondition(lambda self: self.story.store.unfinished)
    @rule(data=st.data(), running=st.sampled_from(RunningMode))
    def a_job_is_paused_or_resumed(self, data: st.DataObject, running: RunningMode) -> None:
        job = self.story.job(data.draw(st.sampled_from(self.story.store.unfinished)))
        if job.pause:
            self.story.resume(job)
        else:
            self.story.pause(job, running)
        self._obey()

    @precondition(lambda self: self.story.store.unfinished)
    @rule(data=st.data(), whole=st.sampled_from([False, False, False, True]))
    def something_is_cancelled(self, data: st.DataObject, whole: bool) -> None:
        job = self.story.job(data.draw(st.sampled_from(self.story.store.unfinished)))
        if whole:
            self.story.cancel(job)
        else:
            self.story.cancel_worker(data.draw(st.sampled_from(self.story.keys(job))))
        self._obey()

    @precondition(lambda self: self.shims)
    @rule(data=st.data())
    def a_running_worker_calls(self, data: st.DataObject) -> None:
        key, _ = data.draw(st.sampled_from(self.shims)).now
        self.called.add(key)
        self.story.scheduler.heard_from(key, self.story.now)
        self.story.turn()
        self._obey()

    @rule()
    def the_server_is_killed(self) -> None:
        self.mail.clear()
        over = {shim.now for shim in self.shims}
        for shim in self.shims:
            shim.preloaded.clear()
        self.story.commands.clear()
        for attempt in self.story.crash(turn=False):
            now = attempt.key, attempt.number
            if now in over:
                self.story.scheduler.launch_begun(*now, self.story.now)
            elif now in self.ran:
                self.story.scheduler.exited(*now, EXIT_0, DONE, self.story.now)
            else:
                self.story.scheduler.exited(*now, NEVER_BEGAN, DONE, self.story.now)
        self.story.turn()
        self._obey()

    @invariant()
    def every_open_attempt_is_known_to_a_shim_or_reported(self) -> None:
        known = {shim.now for shim in self.shims}
        known |= {each for shim in self.shims for each in shim.preloaded}
        known |= {(key, number) for _, key, number, _ in chain(*self.mail)}
        assert {(each.key, each.number) for each in self.story.store.running} <= known

    @invariant()
    def no_more_workers_are_shown_as_running_than_slots(self) -> None:
        assert len(set(self.story.running) - self.called) <= self.workers

    def teardown(self) -> None:
        if not hasattr(self, "story"):
            return
        self.story.resume_everything()
        self._obey()
        for _ in range(1_000):
            if not self.story.store.unfinished:
                break
            if self.mail:
                self._deliver(1)
            elif self.shims:
                self._end(self.shims[0], 0.001)
            else:
                self.story.now = max(self.story.now, self.story.scheduler.next_time() or 0.0)
                self.story.turn()
                self._obey()
        assert not self.story.store.unfinished, self.story.statuses()
        assert self.story.store.running == []
        assert not self.story.scheduler._trees.preloaded


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=examples(15, 1_000),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
