"""Requests that a model splits, if no planner is named."""

import pytest

from orchestrator.engine.planning.rule_planner import worth_planning


@pytest.mark.parametrize(
    "request_",
    [
        "Build a REST API with authentication, user management and CRUD",
        "Build a web shop",
        "Fix the login. Then write tests for it.",
        "Fix the login, the logout and the tests",
        "Explain how the scheduler decides which worker starts next in a tree of jobs that is deep",
    ],
)
def test_work_of_some_size_is_worth_a_plan(request_: str) -> None:
    assert worth_planning(request_)


@pytest.mark.parametrize(
    "request_",
    [
        "Fix the typo in README.md",
        "please rename Foo to Bar",
        "What does this project do?",
        "Do this:\n- add a login\n- add a logout",
        "In this order: 1) add a login 2) add a logout",
    ],
)
def test_a_list_and_a_small_thing_are_not(request_: str) -> None:
    assert not worth_planning(request_)
