"""The agents of a task in requests: names, or objects with their own settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.core.model.job import CandidateSettings
from orchestrator.schemas.fields.validation_errors import faults
from orchestrator.schemas.requests.job import OrchestrateRequest, TaskRequest


def task(agent: Any) -> TaskRequest:
    return TaskRequest.model_validate({"prompt": "fix it", "timeout": 60, "agent": agent})


@pytest.mark.parametrize("agent", ["claude", ["claude"], {"name": "claude"}])
def test_one_agent_is_written_in_three_ways(agent: Any) -> None:
    spec = task(agent).to_task("a")
    assert (spec.agents, spec.candidate_settings) == (("claude",), ())


def test_candidates_have_settings_of_their_own() -> None:
    spec = task(["gemini", {"name": "claude", "model": "m", "timeout": 5, "context": "c"}])
    made = spec.to_task("a")
    assert made.agents == ("gemini", "claude")
    own = CandidateSettings(model="m", timeout=5, context="c")
    assert made.candidate_settings == (CandidateSettings(), own)


def test_a_candidate_gets_the_task_with_its_settings() -> None:
    both = [{"name": "claude", "model": "m", "context": "second"}, {"name": "claude", "timeout": 5}]
    body = {"prompt": "fix it", "model": "n", "timeout": 60, "context": "first", "agent": both}
    made = TaskRequest.model_validate(body).to_task("a")
    one, two = made.of_candidate(0), made.of_candidate(1)
    assert (one.model, one.timeout, one.context) == ("m", 60, "first\n\nsecond")
    assert (two.model, two.timeout, two.context) == ("n", 5, "first")


@pytest.mark.parametrize(
    ("agent", "place", "detail"),
    [
        ([{"name": "claude", "modle": "m"}], ("agent", 0, "modle"), "did you mean 'model'"),
        ([{"model": "m"}], ("agent", 0, "name"), "required"),
        ([{"name": "claude", "timeout": 0}], ("agent", 0, "timeout"), "more than 0"),
        (["claude", 3], ("agent", 1), "must be an agent's name, or an object with a name"),
        ([], ("agent",), "at least 1"),
        (7, ("agent",), "must be an agent's name, or a list"),
        ("", ("agent", 0), "blank"),
    ],
)
def test_an_error_has_the_place_of_the_candidate(
    agent: Any, place: tuple[object, ...], detail: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        OrchestrateRequest.model_validate(
            {"request": "x", "tasks": [{"title": "t", "agent": agent}]}
        )
    (fault,) = faults(raised.value, OrchestrateRequest)
    assert fault.location == ("tasks", 0, *place)
    assert detail in fault.detail
