"""The job that results from a submission and the scheduler's state."""

from dataclasses import replace

import pytest

from orchestrator.agents.agent_registry import AgentRegistry, built_in
from orchestrator.agents.prompts.role_prompts import RolePrompts
from orchestrator.core.errors import InvalidRequest, Refused, Unauthorized, UnknownAgent
from orchestrator.core.limits import submission_digest
from orchestrator.core.limits.effective_settings import Ceilings
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_settings import default_config
from orchestrator.core.model.scheduler_commands import Start
from orchestrator.core.model.submission import Accepted, ConfigRequest, Submission
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.scheduler.transitions.job_submission import MOST_REFUSAL_EVENTS
from orchestrator.engine.submission.job_creation import (
    ResolvedSubmission,
    SubmissionBuilder,
    check_tasks,
)

ADMIN = Caller(name="admin", scopes=frozenset({Scope.ADMIN}))


class JobSubmitter:
    """Submits jobs to its own scheduler."""

    def __init__(self, **ceilings: int) -> None:
        self.scheduler = Scheduler(max_workers=4)
        agents = AgentRegistry(built_in())
        self._submission_builder = SubmissionBuilder(
            agents, RolePrompts(), default_config(), Ceilings(**ceilings)
        )
        self._number = 0

    def submit(
        self,
        request: str = "x",
        *tasks: TaskSpec,
        caller: Caller = ADMIN,
        config: ConfigRequest | None = None,
    ) -> Accepted:
        self._number += 1
        given_tasks = tasks or (task("a"),)
        submission = Submission(
            request=request, tasks=given_tasks, config=config or ConfigRequest()
        )
        resolved = ResolvedSubmission(
            submission=submission,
            caller=caller,
            job_id=f"job{self._number}",
            tasks=given_tasks,
            plan_source="given",
            digest=submission_digest.digest(request, given_tasks),
        )
        return self._submission_builder.submit(self.scheduler, resolved, 1.0)

    def start_all(self) -> list[Caller]:
        """Start all ready workers; return their callers."""
        commands = self.scheduler.turn(1.0)
        return [
            Caller(
                name=each.key.worker_id,
                attempt=self.scheduler.view.attempts[each.key],
            )
            for each in commands
            if isinstance(each, Start)
        ]


def task(name: str, **more: object) -> TaskSpec:
    return TaskSpec(id=name, command="true", **more)  # type: ignore[arg-type]


@pytest.fixture
def submitter() -> JobSubmitter:
    return JobSubmitter()


def test_workers_are_numbered_by_task_and_then_by_candidate(submitter: JobSubmitter) -> None:
    candidates = ("shell", "auto")

    submitter.submit("x", task("a", agents=candidates), task("b"))

    workers = submitter.scheduler.view.workers.values()
    assert [(each.id, each.task_id, each.agent) for each in workers] == [
        ("worker_1", "a", "shell"),
        ("worker_2", "a", "shell"),
        ("worker_3", "b", "shell"),
    ]


def test_workers_of_a_child_job_have_the_name_of_their_parent_as_prefix(
    submitter: JobSubmitter,
) -> None:
    submitter.submit("x", task("a"), task("b"))
    _, second = submitter.start_all()

    submitter.submit("one", task("a"), task("b"), caller=second)
    child = submitter.submit("two", caller=second)

    assert [key.worker_id for key in submitter.scheduler.view.workers][2:] == [
        "worker_2_1",
        "worker_2_2",
        "worker_2_3",
    ]
    assert (child.job.depth, child.job.root_id, child.job.parent_worker_id) == (
        1,
        "job1",
        "worker_2",
    )


def test_a_rejected_submission_changes_nothing(submitter: JobSubmitter) -> None:
    with pytest.raises(UnknownAgent):
        submitter.submit("x", task("a"), task("b", agents=("nobody",)))
    for unused in ("agent", "planner", "resolve"):
        with pytest.raises(UnknownAgent):
            submitter.submit("x", task("a"), config=ConfigRequest(**{unused: "nobody"}))
    with pytest.raises(Refused):
        submitter.submit("x", config=ConfigRequest(max_workers=1000))
    with pytest.raises(InvalidRequest):
        submitter.submit("x", TaskSpec(id="a", prompt="words", agents=("shell",)))

    change = submitter.scheduler.take_changes()
    assert not (change.new_jobs or change.new_workers or change.events)


def test_an_attempt_that_is_over_can_start_nothing(submitter: JobSubmitter) -> None:
    submitter.submit()
    [caller] = submitter.start_all()
    assert caller.attempt is not None
    exit = Exit(ended_by=EndedBy.EXIT, code=0)
    submitter.scheduler.exited(caller.attempt.key, caller.attempt.number, exit, Evidence(), 2.0)

    with pytest.raises(Unauthorized):
        submitter.submit("late", caller=caller)


def test_workers_of_two_trees_are_not_the_same_submitter(submitter: JobSubmitter) -> None:
    submitter.submit("one")
    submitter.submit("two")

    assert {each.full_name for each in submitter.start_all()} == {"job1/worker_1", "job2/worker_1"}
    assert ADMIN.full_name == "admin"


def test_a_child_jobs_settings_are_clamped_to_what_its_parent_has(submitter: JobSubmitter) -> None:
    submitter.submit(config=ConfigRequest(max_workers=3, max_recursion_depth=2))
    [caller] = submitter.start_all()

    child = submitter.submit(
        "part", caller=caller, config=ConfigRequest(max_workers=50, max_recursion_depth=9)
    )

    assert (child.job.config.max_workers, child.job.config.max_depth) == (3, 2)
    assert (child.left["depth"], child.caller_left["depth"]) == (1, 2)


def test_no_task_of_a_root_job_may_ask_for_more_time_than_a_job_may_take(
    submitter: JobSubmitter,
) -> None:
    submitter.submit("x", task("a", timeout=86_400.0))

    with pytest.raises(Refused, match="timeout of task 'b' is 86401, above") as refused:
        submitter.submit("y", task("a"), task("b", timeout=86_401.0))

    assert (refused.value.kind, refused.value.left) == ("limit-wall", {"timeout": 86_400.0})


def test_the_tasks_of_a_child_job_have_no_more_time_than_the_root() -> None:
    submitter = JobSubmitter()
    submitter.submit(config=ConfigRequest(max_wall_seconds=60.0))
    [caller] = submitter.start_all()

    child = submitter.submit(
        "part", task("a", timeout=5.0), task("b", timeout=1e9), caller=caller
    ).job

    tasks = submitter.scheduler.view.tasks_of(child.id)
    assert [each.timeout for each in tasks.values()] == [5.0, 60.0]


def test_a_graph_that_cannot_be_carried_out_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no tasks"):
        check_tasks(())
    with pytest.raises(InvalidRequest):
        check_tasks((task("a", depends_on=("b",)), task("b", depends_on=("a",))))


def refuse(submitter: JobSubmitter, caller: Caller, times: int) -> None:
    for number in range(times):
        with pytest.raises(Refused):
            submitter.submit(f"more {number}", caller=caller)


def test_a_rejected_child_job_is_an_event_of_its_parent_worker() -> None:
    submitter = JobSubmitter(max_child_jobs_per_worker=0)
    job = submitter.submit("x").job
    [caller] = submitter.start_all()
    submitter.scheduler.take_changes()

    refuse(submitter, caller, 1)

    [event] = submitter.scheduler.take_changes().events
    assert (event.kind, event.job_id, event.worker_id) == ("child_job_refused", job.id, "worker_1")
    assert event.data == {
        "limit": "limit-children",
        "detail": "limit reached: at most 0 child jobs per worker "
        "(limits.max_child_jobs_per_worker); do the rest of the work in this worker",
        "request": "more 0",
        "number": 1,
    }


def test_a_worker_that_does_not_stop_asking_fills_no_table_and_is_counted() -> None:
    submitter = JobSubmitter(max_child_jobs_per_worker=0)
    submitter.submit("x")
    [caller] = submitter.start_all()
    submitter.scheduler.take_changes()

    refuse(submitter, caller, MOST_REFUSAL_EVENTS + 40)
    events = submitter.scheduler.take_changes().events
    assert caller.attempt is not None
    exit = Exit(ended_by=EndedBy.EXIT, code=1)
    submitter.scheduler.exited(caller.attempt.key, 1, exit, Evidence(), 2.0)

    assert [event.data["number"] for event in events] == list(range(1, MOST_REFUSAL_EVENTS + 1))
    assert "counted, but not reported" in str(events[-1].data["detail"])
    result = submitter.scheduler.view.workers[caller.attempt.key].result
    assert result and result.refused_child_jobs == MOST_REFUSAL_EVENTS + 40


def test_an_agent_without_a_prompt_cannot_resolve_conflicts(submitter: JobSubmitter) -> None:
    for resolver in ("shell", "auto"):
        with pytest.raises(InvalidRequest, match=f"agent '{resolver}' cannot resolve conflicts"):
            submitter.submit(config=ConfigRequest(resolve=resolver))
    for resolver in ("worker", "off"):
        submitter.submit(config=ConfigRequest(resolve=resolver))


def test_commands_run_with_shell_if_the_job_names_another_agent() -> None:
    submitter = JobSubmitter()

    submitter.submit(
        "x",
        TaskSpec(id="words", prompt="Look around"),
        TaskSpec(id="command", command="true"),
        config=ConfigRequest(agent="survey"),
    )

    agents = {each.task_id: each.agent for each in submitter.scheduler.view.workers.values()}
    assert agents == {"words": "survey", "command": "shell"}
    with pytest.raises(InvalidRequest, match="agent 'survey' cannot run commands"):
        submitter.submit("x", task("a", agents=("survey",)))


def test_a_model_for_an_agent_that_takes_none_is_refused(submitter: JobSubmitter) -> None:
    words = TaskSpec(id="a", prompt="Look around", model="opus")
    with pytest.raises(InvalidRequest, match="task 'a': agent 'shell' takes no model; remove"):
        submitter.submit("x", task("a", model="opus"))
    with pytest.raises(InvalidRequest, match="agent 'survey' takes no model"):
        submitter.submit("x", replace(words, agents=("survey",)))

    # Without an AI agent, survey runs the prompt, whatever model the task names.
    submitter.submit("x", words)
    (worker,) = submitter.scheduler.view.workers.values()
    assert worker.agent == "survey"


def test_the_next_attempt_counts_on() -> None:
    submitter = JobSubmitter(max_child_jobs_per_worker=0)
    submitter.submit("x", task("a", retries=1))
    [first] = submitter.start_all()
    refuse(submitter, first, MOST_REFUSAL_EVENTS)
    assert first.attempt is not None
    key = first.attempt.key
    submitter.scheduler.exited(key, 1, Exit(ended_by=EndedBy.EXIT, code=1), Evidence(), 2.0)
    submitter.scheduler.turn(100.0)
    again = replace(first, attempt=submitter.scheduler.view.attempts[key])
    submitter.scheduler.take_changes()

    refuse(submitter, again, 2)
    assert not submitter.scheduler.take_changes().events
    submitter.scheduler.exited(key, 2, Exit(ended_by=EndedBy.EXIT, code=1), Evidence(), 101.0)

    result = submitter.scheduler.view.workers[key].result
    assert result and result.refused_child_jobs == MOST_REFUSAL_EVENTS + 2
