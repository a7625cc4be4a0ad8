"""Random stories: the invariants hold after any events in any order."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit, Usage
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.human_input.pause import PauseCause, RunningMode
from orchestrator.core.model.human_input.question import PERSON, Decision
from orchestrator.core.model.job import Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.states import (
    JOB_TRANSITIONS,
    WORKER_TRANSITIONS,
    JobStatus,
    WorkerStatus,
)
from orchestrator.core.ports import Prompting
from tests.support.examples import examples
from tests.unit.core.factories import (
    CANCELLED,
    DONE,
    EXIT_0,
    EXIT_1,
    LOST,
    TIMED_OUT,
    a_task,
    restart_numbers,
)
from tests.unit.core.remains import memory_of, state_of
from tests.unit.core.story import Story

MOST_JOBS = 12
NAMES = "abcd"

PAUSED = Exit(ended_by=EndedBy.CANCEL, cause=ExitCause.PAUSED, stopped_by="the pause")
EXITS = st.sampled_from([EXIT_0, EXIT_0, EXIT_1, EXIT_1, TIMED_OUT, LOST, CANCELLED, PAUSED])
EVIDENCE = st.sampled_from([DONE, Evidence(output="x"), Evidence(claimed_success=False)])


@st.composite
def graphs(draw: st.DrawFn) -> list[TaskSpec]:
    """Up to four tasks; each depends on some of the tasks before it."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    return [_task(draw, name, names[:place]) for place, name in enumerate(names)]


def _task(draw: st.DrawFn, name: str, before: str) -> TaskSpec:
    needs = sorted(draw(st.sets(st.sampled_from(before), max_size=2)) if before else ())
    if draw(st.integers(0, 7)) == 7:
        return a_task(
            name,
            *needs,
            approve="Go on?",
            agents=(PERSON,),
            timeout=draw(st.sampled_from([None, 60.0])),
            on_timeout=draw(st.sampled_from(["", "approve"])),
        )
    return a_task(
        name,
        *needs,
        agents=draw(st.sampled_from([(), (), ("one", "two")])),
        review=draw(st.sampled_from(["", "one"])),
        retries=draw(st.sampled_from([None, None, 0, 2])),
    )


CONFIGS = st.fixed_dictionaries(
    {
        "max_workers": st.integers(1, 4),
        "max_retries": st.integers(0, 2),
        "max_wall_seconds": st.sampled_from([50.0, 86_400.0]),
        "approve": st.sampled_from([False, False, True]),
        "on_limit": st.sampled_from(["stop", "ask"]),
        "ask_seconds": st.just(100.0),
        "max_tokens": st.sampled_from([None, 1, 2]),
    }
)


class Stories(RuleBasedStateMachine):
    """Random steps of a ``Story``, and checks of the stored state after each step."""

    @initialize(workers=st.integers(1, 3), live=st.integers(1, 4))
    def begin(self, workers: int, live: int) -> None:
        restart_numbers()
        self.max_live = live
        prompting = Prompting(reads={"one", "two"}.__contains__, caches={"one"}.__contains__)
        self.story = Story(max_workers=workers, max_live_workers=live, prompting=prompting)
        self.story.writes_reports = self.story.creates_contexts = False
        self.story.adopts_plans = False
        self.server_workers = workers
        self.grown_from = (0, 0)
        self.moved: list[tuple[object, object]] = []
        self.begun_in_pause: dict[WorkerKey, int] = {}
        self._watch()

    def _watch(self) -> None:
        """Record every change of a status, including several changes in one turn."""
        unit_of_work = self.story.scheduler._unit_of_work
        update_job, update_worker = unit_of_work.update_job, unit_of_work.update_worker

        def watched_job(job_id: str, **changes: Any) -> Job:
            self.moved.append((unit_of_work.jobs[job_id].status, changes.get("status")))
            return update_job(job_id, **changes)

        def watched_worker(key: WorkerKey, **changes: Any) -> Any:
            self.moved.append((unit_of_work.workers[key].status, changes.get("status")))
            return update_worker(key, **changes)

        unit_of_work.update_job = watched_job  # type: ignore[method-assign]
        unit_of_work.update_worker = watched_worker  # type: ignore[method-assign]

    # Allowed actions

    def _asking(self) -> list[WorkerKey]:
        """Return workers with a running process, which may start child jobs and exit."""
        return [attempt.key for attempt in self.story.store.running]

    def _workers_asking(self) -> list[WorkerKey]:
        """Return the same workers without planners and reviewers, which start no child jobs."""
        return [key for key in self._asking() if not self.story.worker(key).is_adviser]

    def _unfinished(self) -> list[Job]:
        return [job for job in self.story.store.jobs.values() if not job.status.ended]

    def _capped(self) -> list[Job]:
        return [job for job in self._pausable() if job.config.max_tokens is not None]

    def _answerable(self) -> list[WorkerKey]:
        return self.story.asking

    def _pausable(self) -> list[Job]:
        return [job for job in self._unfinished() if job.stop_cause is None]

    def _resumable(self) -> list[Job]:
        by_persons = (job for job in self._unfinished() if job.pause)
        return [job for job in by_persons if job.pause.cause is PauseCause.PERSON]

    def _retryable(self) -> list[Job]:
        kept = self.story.store
        ended = [job for job in kept.jobs.values() if job.status.ended]
        return [
            job
            for job in ended
            if str(job.status) != "completed"
            and (job.parent_key is None or self._is_active(kept.workers[job.parent_key]))
        ]

    def _is_active(self, worker: Worker) -> bool:
        return not worker.status.ended and worker.status is not WorkerStatus.PENDING

    # Possible events

    @precondition(lambda self: len(self.story.store.jobs) < MOST_JOBS)
    @rule(tasks=graphs(), config=CONFIGS)
    def a_root_job_is_submitted(self, tasks: list[TaskSpec], config: dict[str, Any]) -> None:
        self.story.root(*tasks, **config)

    @precondition(lambda self: len(self.story.store.jobs) < MOST_JOBS and self._workers_asking())
    @rule(data=st.data(), tasks=graphs(), config=CONFIGS, digest=st.sampled_from([None, "same"]))
    def a_worker_starts_a_child_job(
        self, data: st.DataObject, tasks: list[TaskSpec], config: dict[str, Any], digest: str | None
    ) -> None:
        parent = data.draw(st.sampled_from(self._workers_asking()))
        self.story.child(parent, *tasks, digest=digest, **config)

    @precondition(lambda self: len(self.story.store.jobs) < MOST_JOBS)
    @rule(config=CONFIGS)
    def a_root_job_is_submitted_that_is_planned(self, config: dict[str, Any]) -> None:
        self.story.planned_root(**config)

    @precondition(lambda self: len(self.story.store.jobs) < MOST_JOBS and self._workers_asking())
    @rule(data=st.data(), config=CONFIGS, digest=st.sampled_from([None, "same"]))
    def a_worker_starts_a_child_job_that_is_planned(
        self, data: st.DataObject, config: dict[str, Any], digest: str | None
    ) -> None:
        parent = data.draw(st.sampled_from(self._workers_asking()))
        self.story.planned_child(parent, digest=digest, **config)

    @precondition(lambda self: self.story.plans_to_adopt)
    @rule(data=st.data(), tasks=graphs())
    def a_plan_is_taken(self, data: st.DataObject, tasks: list[TaskSpec]) -> None:
        self.story.adopts_plan(data.draw(st.sampled_from(self.story.plans_to_adopt)), *tasks)

    @precondition(lambda self: self.story.plans_to_adopt)
    @rule(data=st.data())
    def no_plan_can_be_carried_out(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.story.plans_to_adopt))
        self.story.plans_to_adopt.remove(job_id)
        if self.story.scheduler.view.awaits_plan(job_id):
            self.story.scheduler.plan_impossible(job_id, "too many", self.story.now)
        self.story.turn()

    @precondition(lambda self: self.story.awaiting_approval)
    @rule(data=st.data())
    def a_plan_is_approved(self, data: st.DataObject) -> None:
        self.story.approve(data.draw(st.sampled_from(self.story.awaiting_approval)))

    @precondition(lambda self: self.story.awaiting_approval)
    @rule(data=st.data(), tasks=graphs())
    def a_plan_is_edited(self, data: st.DataObject, tasks: list[TaskSpec]) -> None:
        self.story.edit_plan(data.draw(st.sampled_from(self.story.awaiting_approval)), *tasks)

    @precondition(lambda self: self._asking())
    @rule(data=st.data(), exit=EXITS, evidence=EVIDENCE)
    def an_attempt_ends(self, data: st.DataObject, exit: Any, evidence: Evidence) -> None:
        self.story.ends(data.draw(st.sampled_from(self._asking())), exit, evidence)

    @precondition(lambda self: self.story.store.attempts)
    @rule(data=st.data(), exit=EXITS)
    def an_irrelevant_end_is_reported(self, data: st.DataObject, exit: Any) -> None:
        kept = self.story.store
        over = [key for key, attempt in kept.attempts.items() if attempt.ended_at is not None]
        strange = [(key, number + 1) for key, number in kept.attempts]
        strange = [each for each in strange if each not in kept.attempts]
        key, number = data.draw(st.sampled_from(over + strange))
        before = dict(kept.workers)
        self.story.scheduler.exited(key, number, exit, DONE, self.story.now)
        self.story.turn()
        assert kept.workers == before

    def _takes_feedback(self) -> list[WorkerKey]:
        """Return ended workers whose job can continue with them."""
        kept = self.story.store
        return [
            worker.key
            for worker in kept.workers.values()
            if worker.status.ended
            and worker.attempt
            and not worker.is_adviser
            and self._may_run_again(kept.jobs[worker.job_id], worker)
        ]

    def _may_run_again(self, job: Job, worker: Worker) -> bool:
        workers = self.story.store.workers
        reviews = any(
            each.is_reviewer and each.job_id == job.id and not each.status.ended
            for each in workers.values()
        )
        stops = job.stop_cause is not None and not job.status.ended
        above = job.parent_key is None or self._is_active(workers[job.parent_key])
        return above and not stops and not reviews and job.id not in self.story.reports_to_write

    @precondition(lambda self: self._takes_feedback())
    @rule(data=st.data())
    def a_person_comments_on_a_change(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self._takes_feedback()))
        worker = self.story.worker(key)
        self.story.feedback(key)
        after = self.story.worker(key)
        assert after.budget_from == worker.attempt
        assert after.result and after.result.feedback

    @precondition(lambda self: self._takes_feedback())
    @rule(data=st.data())
    def a_worker_is_retried(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self._takes_feedback()))
        worker = self.story.worker(key)
        if worker.status.succeeded or worker.status is WorkerStatus.SKIPPED:
            return
        assert self.story.retry_worker(key) >= 1
        assert not self.story.worker(key).status.ended

    @precondition(lambda self: self.story.scheduler.view.workers)
    @rule(data=st.data())
    def a_worker_is_cancelled(self, data: st.DataObject) -> None:
        there = self.story.scheduler.view.workers
        waiting = {job.id for job in self.story.awaiting_approval}
        found = [
            key
            for key, worker in there.items()
            if not worker.is_adviser and worker.job_id not in waiting
        ]
        if found:
            self.story.cancel_worker(data.draw(st.sampled_from(found)))

    @precondition(lambda self: self._unfinished())
    @rule(data=st.data())
    def a_job_is_cancelled(self, data: st.DataObject) -> None:
        self.story.cancel(data.draw(st.sampled_from(self._unfinished())))

    @precondition(lambda self: self._pausable())
    @rule(data=st.data(), running=st.sampled_from(RunningMode))
    def a_job_is_paused(self, data: st.DataObject, running: RunningMode) -> None:
        self.story.pause(data.draw(st.sampled_from(self._pausable())), running)

    @precondition(lambda self: self._resumable())
    @rule(data=st.data())
    def a_job_is_resumed(self, data: st.DataObject) -> None:
        self.story.resume(data.draw(st.sampled_from(self._resumable())))

    @rule(running=st.sampled_from(RunningMode))
    def everything_is_paused(self, running: RunningMode) -> None:
        self.story.pause_all(running)

    @precondition(lambda self: self.story.store.pause)
    @rule()
    def everything_is_resumed(self) -> None:
        self.story.resume_all()

    @precondition(lambda self: self._capped())
    @rule(data=st.data())
    def a_budget_is_raised(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self._capped()))
        config = replace(job.config, max_tokens=(job.config.max_tokens or 0) + 3)
        self.story.scheduler.raise_budget(job.id, config, "user", self.story.now)
        self.story.turn()

    @precondition(lambda self: self._answerable())
    @rule(data=st.data(), decision=st.sampled_from(Decision))
    def a_person_answers(self, data: st.DataObject, decision: Decision) -> None:
        self.story.answer(data.draw(st.sampled_from(self._answerable())), decision)

    @precondition(lambda self: self.story.reports_to_write)
    @rule(data=st.data())
    def reports_are_written(self, data: st.DataObject) -> None:
        self.story.reports_written(data.draw(st.sampled_from(self.story.reports_to_write)))

    @precondition(lambda self: self.story.reports_to_write)
    @rule(data=st.data())
    def changes_are_refused(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.story.reports_to_write))
        keys = self.story.keys(self.story.job(job_id))
        if keys:
            refused = data.draw(st.sets(st.sampled_from(keys), min_size=1))
            self.story.rejects_changes(job_id, *sorted(refused), required=data.draw(st.booleans()))

    @precondition(lambda self: self.story.contexts_to_create)
    @rule(data=st.data())
    def a_shared_context_is_made(self, data: st.DataObject) -> None:
        self.story.context_created(data.draw(st.sampled_from(self.story.contexts_to_create)))

    @precondition(lambda self: self._asking())
    @rule(data=st.data())
    def a_worker_reports_its_usage(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self._asking()))
        attempt = self.story.worker(key).attempt
        self.story.scheduler.usage_reported(key, attempt, Usage(output_tokens=1), self.story.now)
        self.story.turn()

    @precondition(lambda self: self._retryable())
    @rule(data=st.data())
    def a_job_is_retried(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self._retryable()))
        done = {key for key, worker in self.story.store.workers.items() if worker.status.succeeded}
        attempts = {key: self.story.worker(key).attempt for key in done}
        self.story.retry(job)
        assert attempts == {key: self.story.worker(key).attempt for key in done}

    @rule(seconds=st.sampled_from([0.5, 2.0, 60.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.story.later(seconds)

    @rule(admit=st.booleans())
    def memory_is_scarce_or_not(self, admit: bool) -> None:
        self.story.admit = admit
        self.story.turn()

    @rule()
    def the_server_crashes(self) -> None:
        before = state_of(self.story.scheduler)
        unknown = self.story.crash(turn=False)
        assert unknown == sorted(
            self.story.store.running, key=lambda each: (self._place(each.root_id), each.key)
        )
        assert state_of(self.story.scheduler) == before
        self._watch()
        self.story.turn()

    def _place(self, root_id: str) -> int:
        return list(self.story.store.jobs).index(root_id)

    # Invariants after each turn

    @invariant()
    def nothing_is_over_committed(self) -> None:
        slots, kept = self.story.scheduler._trees.slots, self.story.store
        allowed = [job.config.max_workers for job in self._unfinished() if job.is_root]
        grown = slots.running > self.grown_from[0]
        assert not grown or slots.running <= max([self.server_workers, *allowed])
        # The number may exceed the limit by one worker that starts while all other workers wait.
        if slots.live > max(self.grown_from[1], self.max_live):
            assert slots.running == 1
        self.grown_from = (slots.running, slots.live)
        for job in kept.jobs.values():
            if job.id in self.story.scheduler.view.jobs:
                assert slots.running_in(job.id) <= job.config.max_workers

    @invariant()
    def a_paused_job_starts_nothing(self) -> None:
        """Running attempts continue. A worker whose child jobs have ended may resume."""
        kept = self.story.store
        paused = {job.id for job in kept.jobs.values() if job.pause}
        begun = {each: worker.attempt for each, worker in kept.workers.items()}
        for key, before in self.begun_in_pause.items():
            # An edited plan replaces workers that have not started.
            worker = kept.workers.get(key)
            assert worker is None or worker.job_id not in paused or worker.attempt == before
        self.begun_in_pause = {
            key: number for key, number in begun.items() if kept.workers[key].job_id in paused
        }

    @invariant()
    def only_unfinished_jobs_are_paused(self) -> None:
        for job in self.story.store.jobs.values():
            assert job.pause is None or not (job.status.ended or job.stop_cause)
            if self.story.store.pause and job in self._pausable():
                assert job.pause is not None

    @invariant()
    def a_question_is_open_while_it_waits_and_has_its_answer_when_it_is_done(self) -> None:
        for worker in self.story.store.workers.values():
            if worker.is_question:
                assert worker.attempt == 0
                waits = worker.status is WorkerStatus.WAITING
                assert not waits or (worker.question is not None and worker.question.is_open)
                done = worker.status.succeeded
                assert not done or (worker.question is not None and not worker.question.is_open)

    @invariant()
    def slots_are_counted_right(self) -> None:
        scheduler = self.story.scheduler
        unfinished_workers = scheduler._trees.unfinished
        assert scheduler._trees.slots.running == sum(
            unfinished.has_slot for unfinished in unfinished_workers.values()
        )
        assert scheduler._trees.slots.live == sum(
            unfinished.alive for unfinished in unfinished_workers.values()
        )
        assert {
            key for key, unfinished in unfinished_workers.items() if unfinished.has_slot
        } == set(self.story.running)

    @invariant()
    def no_worker_runs_twice(self) -> None:
        current = [attempt.key for attempt in self.story.store.running]
        assert len(current) == len(set(current))
        unfinished_workers = self.story.scheduler._trees.unfinished
        assert {key for key, unfinished in unfinished_workers.items() if unfinished.alive} == set(
            current
        )

    @invariant()
    def no_parent_ends_before_its_children(self) -> None:
        kept = self.story.store
        for job in kept.jobs.values():
            if job.parent_key is not None and not job.status.ended:
                assert not kept.workers[job.parent_key].status.ended

    @invariant()
    def no_parent_succeeds_when_a_child_job_failed(self) -> None:
        kept = self.story.store
        for worker in kept.workers.values():
            assert worker.status is not WorkerStatus.SUCCESS or not worker.child_job_ids
            if worker.status is WorkerStatus.RECURSIVE_SUCCESS:
                children = [kept.jobs[job_id] for job_id in worker.child_job_ids]
                good = {job.digest for job in children if str(job.status) == "completed"}
                assert all(job.digest in good for job in children)

    @invariant()
    def a_job_that_has_ended_has_only_workers_that_have(self) -> None:
        kept = self.story.store
        for worker in kept.workers.values():
            assert worker.status.ended or not kept.jobs[worker.job_id].status.ended

    @invariant()
    def nothing_starts_before_there_is_an_approved_plan(self) -> None:
        kept = self.story.store
        for job in kept.jobs.values():
            if job.status is JobStatus.PLANNING:
                own = [each for each in kept.workers.values() if each.job_id == job.id]
                assert all(each.attempt == 0 for each in own if not each.is_planner)

    @invariant()
    def a_planner_is_done_before_its_job_has_tasks(self) -> None:
        kept = self.story.store
        for worker in kept.workers.values():
            if worker.is_planner and kept.tasks[worker.job_id]:
                assert worker.status.ended
                assert not worker.child_job_ids

    @invariant()
    def a_task_of_candidates_that_is_done_has_one_that_is_chosen(self) -> None:
        kept = self.story.store
        for job_id, tasks in kept.tasks.items():
            for task in tasks:
                own = [each for each in kept.workers.values() if each.job_id == job_id]
                self._check_choice([each for each in own if each.task_id == task.id])

    def _check_choice(self, workers: list[Worker]) -> None:
        candidates = [each for each in workers if not each.is_adviser]
        results = [each.result for each in candidates]
        places = [each.standing.place for each in results if each and each.standing]
        done = all(each.status.ended for each in workers)
        if done and len(candidates) > 1 and any(each.status.succeeded for each in candidates):
            assert sorted(places) == list(range(1, len(candidates) + 1))
            best = chosen(candidates)
            assert best and best.result and best.result.standing
            assert best.result.standing.place == 1
        else:
            assert not places

    @invariant()
    def every_move_is_in_its_table(self) -> None:
        for before, after in self.moved:
            table: Any = JOB_TRANSITIONS if isinstance(before, JobStatus) else WORKER_TRANSITIONS
            assert after is None or after in table[before]
        self.moved.clear()

    def teardown(self) -> None:
        if hasattr(self, "story"):
            self.story.admit = True
            self.story.run_to_end()
            assert not memory_of(self.story.scheduler)


TestRandomStories = Stories.TestCase
TestRandomStories.settings = settings(
    max_examples=examples(20, 100),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    # Shrinking a failing story takes minutes; add Phase.shrink to read one.
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
