"""The task of a request: the fields in the request, and the defaults of other fields."""

from typing import Any

import pytest

from orchestrator.schemas.requests.job import TaskRequest

GIVEN: dict[str, Any] = {
    "title": "Build",
    "command": ["make"],
    "depends_on": ["a"],
    "timeout": 5.0,
    "retries": 2,
    "files": ["a.txt"],
    "env": {"A": "1"},
    "max_steps": 3,
    "requires": {"gpu": "true"},
    "node": "here",
    "locks": ["x"],
}


def made(**body: Any) -> Any:
    return TaskRequest.model_validate(body).to_task("t")


@pytest.mark.parametrize("name", GIVEN)
def test_each_field_of_a_request_is_in_the_task(name: str) -> None:
    body = {"title": "Build", "command": ["make"], name: GIVEN[name]}
    value = getattr(made(**body), name)
    assert (list(value) if isinstance(value, tuple) else value) == GIVEN[name]


def test_a_field_may_have_its_default_value() -> None:
    """A request that repeats all defaults gives the same task as a request without them."""
    body = {"prompt": "build it"}
    request = TaskRequest.model_validate(body)
    defaults = {**request.model_dump(), **body}
    del defaults["description"]
    whole = TaskRequest.model_validate(defaults)
    assert len(whole.model_fields_set) > len(request.model_fields_set)
    assert whole.to_task("t") == request.to_task("t")


def test_tasks_share_no_environment() -> None:
    one, other = made(prompt="x"), made(prompt="x")
    assert one.env == other.env == {}
    assert one.env is not other.env
