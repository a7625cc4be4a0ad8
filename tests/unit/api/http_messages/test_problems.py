"""Errors as problems."""

import json

import pytest

from orchestrator.api.http_messages.problems import problem_of
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


def test_an_import_error_of_replaced_code_advises_a_restart() -> None:
    problem = problem_of(ImportError("cannot import name 'Usd'"))

    assert (problem.status, problem.type) == (500, "internal")
    assert problem.detail == (
        "the code of the running server was replaced; restart the server (the cause is in "
        "logs/orchestrator.log)"
    )
