"""Errors as problems."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.api.http_messages.problems import invalid, problem_of
from orchestrator.core.errors import (
    BlockingFiles,
    Incomplete,
    InvalidRequest,
    LimitReached,
    NoSuchJob,
    OrchestratorError,
    Outdated,
    OutdatedPlan,
    Refused,
)
from orchestrator.schemas.answers.answer import Problem
from orchestrator.schemas.fields.validation_errors import Fault


@pytest.mark.parametrize(
    "error",
    [
        NoSuchJob("abc"),
        Outdated("x", "0123456"),
        OutdatedPlan("x", version=2),
        BlockingFiles("x", files=["a.py"]),
        Incomplete("x", status="partial"),
        InvalidRequest("x", field="path"),
        Refused("x", kind="limit-depth", left={"depth": 0}),
        LimitReached("x", kind="limit-jobs", limit="running_jobs", most=1, used=1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_description_of_errors_has_all_their_fields(error: OrchestratorError) -> None:
    fields = json.loads(problem_of(error).reply().body)
    assert set(fields) <= set(Problem.model_fields)
    Problem.model_validate(fields)


@pytest.mark.parametrize("is_moved", [False, True])
def test_an_error_of_replaced_or_moved_code_advises_a_restart(
    is_moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error: Exception = ImportError("cannot import name 'Usd'")
    if is_moved:
        error = AttributeError("module 'answers' has no attribute 'job'")
        monkeypatch.setattr("orchestrator.api.http_messages.problems.FOLDER", tmp_path / "moved")
    problem = problem_of(error)

    assert (problem.status, problem.type) == (500, "internal")
    assert problem.detail.startswith("the code of the running server was replaced or moved; ")
    assert f"kill {os.getpid()}; then: " in problem.detail


@pytest.mark.parametrize(
    ("number", "detail"),
    [
        (1, "/a: unknown field"),
        (2, "/a: unknown field (1 more error)"),
        (3, "/a: unknown field (2 more errors)"),
    ],
)
def test_an_invalid_request_has_its_first_error_and_the_number_of_further_errors(
    number: int, detail: str
) -> None:
    faults = [Fault(location=("a",), detail="unknown field", type="extra_forbidden")] * number

    assert invalid(faults).detail == detail
