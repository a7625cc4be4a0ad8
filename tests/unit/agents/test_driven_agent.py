"""The input of an agent's driver for an attempt."""

import json
from dataclasses import replace

import pytest

from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.agents.driven_agent import CommonSettings, DrivenAgent
from orchestrator.agents.driver_process import spec_file
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.states import WorkerKind
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Assignment
from tests.unit.core.factories import a_config, a_job, a_worker

AGENT = DrivenAgent(
    name="claude", tool="claude", common=CommonSettings(home="/home"), argv=("claude",)
)


def limits(task: TaskSpec, used: Usage | None, **config: object) -> CallLimits:
    """The remaining caps of a worker after its previous attempts."""
    worker = a_worker(result=WorkerResult(usage=used) if used else None)
    assignment = Assignment(job=a_job(config=a_config(**config)), worker=worker, task=task)
    return CallLimits(**json.loads(AGENT.command(assignment).control[spec_file.NAME])["limits"])


LIMITED = TaskSpec(id="a", prompt="Write", max_steps=10, max_tokens=1000, max_cost_usd=0.2)


@pytest.mark.parametrize(
    ("all_agents", "this_one", "recursive"),
    [
        ("full", "", True),
        ("edit", "", True),
        ("read-only", "", False),
        ("full", "read-only", False),
        ("read-only", "full", True),
    ],
)
def test_a_read_only_agent_cannot_start_child_jobs_that_may_write(
    all_agents: str, this_one: str, recursive: bool
) -> None:
    agent = replace(AGENT, common=CommonSettings(home="/home", policy=all_agents), policy=this_one)
    config = a_config(enable_recursion=True, max_depth=3)
    assignment = Assignment(job=a_job(config=config), worker=a_worker(), task=TaskSpec(id="a"))

    assert json.loads(agent.command(assignment).control[spec_file.NAME])["recursive"] is recursive


@pytest.mark.parametrize("adviser", [WorkerKind.PLANNER, WorkerKind.REVIEWER])
def test_planners_and_reviewers_may_only_read(adviser: WorkerKind) -> None:
    config = a_config(enable_recursion=True, max_depth=3)
    worker = a_worker(kind=adviser)
    assignment = Assignment(job=a_job(config=config), worker=worker, task=TaskSpec(id="a"))

    spec = json.loads(AGENT.command(assignment).control[spec_file.NAME])

    assert (spec["policy"], spec["recursive"]) == ("read-only", False)


def test_the_first_attempt_has_the_whole_limit() -> None:
    assert limits(LIMITED, None) == CallLimits(max_steps=10, max_tokens=1000, max_cost_usd=0.2)


def test_a_second_attempt_has_the_quota_that_the_first_left() -> None:
    used = Usage(steps=4, input_tokens=300, output_tokens=100, cost_usd=0.15)
    remaining = limits(LIMITED, used)
    assert (remaining.max_steps, remaining.max_tokens) == (6, 600)
    assert remaining.max_cost_usd is not None and abs(remaining.max_cost_usd - 0.05) < 1e-9


def test_without_remaining_quota_the_first_step_reaches_the_caps() -> None:
    used = Usage(steps=40, input_tokens=3000, output_tokens=100, cost_usd=1.5)
    remaining = limits(LIMITED, used)
    assert (remaining.max_steps, remaining.max_tokens) == (1, 1)
    assert remaining.max_cost_usd is not None and 0 < remaining.max_cost_usd < 0.001


def test_the_lower_of_the_tasks_and_the_jobs_limits_holds() -> None:
    task = TaskSpec(id="a", prompt="Write", max_steps=10)
    assert limits(task, None, max_steps=3, max_tokens=50) == CallLimits(max_steps=3, max_tokens=50)


def test_without_limits_there_are_none() -> None:
    assert limits(TaskSpec(id="a", prompt="Write"), Usage(steps=9)) == CallLimits()


def test_a_loop_gets_the_length_of_the_shared_part_of_its_prompt() -> None:
    job, worker, task = a_job(), a_worker(), TaskSpec(id="a", prompt="Write")
    assignment = Assignment(job=job, worker=worker, task=task, shared="What all workers read\n")
    command = replace(AGENT, tool="anthropic", argv=()).command(assignment)

    length = json.loads(command.control[spec_file.NAME])["more"]["shared_length"]
    assert str(command.files["prompt.md"])[:length] == "What all workers read\n"
