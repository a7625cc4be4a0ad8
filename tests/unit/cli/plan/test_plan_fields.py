"""A printed plan can be submitted as a plan."""

from dataclasses import asdict

from orchestrator.cli.plan.plan_review import plan_file_task
from orchestrator.core.model.job import TaskSpec
from orchestrator.schemas.requests.job import TaskRequest


def test_every_field_of_a_task_is_one_of_a_plan() -> None:
    task = TaskSpec(id="a", prompt="Build it", agents=("x", "y"), review="z", review_by_any=True)
    shown = plan_file_task(asdict(task))
    assert set(shown) <= set(TaskRequest.model_fields)
    assert shown == {"id": "a", "prompt": "Build it", "agent": ["x", "y"], "review": "z"}
