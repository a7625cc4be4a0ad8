"""An agent's answer to a request for a plan: it is found in text, checked, and read."""

import json
from pathlib import Path

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.engine.submission.planner_answer import checked_plan
from orchestrator.schemas.agent_output.plan import plan_in, plan_schema

PRODUCT = Path(__file__).absolute().parents[4]
TASK = {"id": "a", "title": "A", "prompt": "Do a"}
PLAN = json.dumps({"tasks": [TASK]})


def test_the_published_schema_is_the_one_that_answers_are_held_against() -> None:
    published = (PRODUCT / "plan.schema.json").read_text()
    assert published == plan_schema(), "bin/orchestrator plan --schema > plan.schema.json"


@pytest.mark.parametrize(
    "answer",
    [
        PLAN,
        f"Here it is:\n```json\n{PLAN}\n```\nGood luck!",
        f'{{"tasks": "the old one"}} and now the right one: {PLAN}',
        f"a set {{x, y}} and [brackets] {{ {PLAN}",
        "{" * 500 + PLAN,
        f'{PLAN}\nWithout any work it would have been {{"tasks": []}}.',
    ],
)
def test_a_plan_is_found_in_any_surrounding_text(answer: str) -> None:
    (task,) = plan_in(answer).to_tasks()
    assert (task.id, task.title, task.prompt) == ("a", "A", "Do a")


@pytest.mark.parametrize("answer", ["", "no", "[]", '{"a": 1}', "{" * 50_000, '{"a":' * 20_000])
def test_an_answer_without_a_plan_is_refused_and_quickly(answer: str) -> None:
    with pytest.raises(InvalidRequest, match='no JSON object with "tasks"'):
        plan_in(answer)


def test_a_plan_may_give_locks_to_a_task() -> None:
    plan = {"tasks": [{**TASK, "locks": ["database", "./src//a/", "database"]}]}

    (task,) = plan_in(json.dumps(plan)).to_tasks()

    assert task.locks == ("database", "src/a")


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ([], "at least one task"),
        ([{**TASK, "prompt": ""}], "/tasks/0/prompt"),
        ([{"id": "a", "title": "A"}], "/tasks/0/prompt: is required"),
        ([{**TASK, "color": "red"}], "/tasks/0/color"),
        ([{**TASK, "locks": ["../x"]}], "/tasks/0/locks/0"),
        ([TASK, TASK], "duplicate task id 'a'"),
        ([{**TASK, "depends_on": ["z"]}], "depends on unknown task 'z'"),
        (
            [{**TASK, "depends_on": ["b"]}, {**TASK, "id": "b", "depends_on": ["a"]}],
            "dependency cycle",
        ),
        (
            [{**TASK, "files": ["x/y.py"]}, {**TASK, "id": "b", "files": ["x/./y.py"]}],
            "tasks 'a' and 'b' both name the file 'x/y.py'",
        ),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_with_the_place(
    tasks: list[object], why: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_plan(json.dumps({"tasks": tasks}))

    assert why in refused.value.message


@pytest.mark.parametrize(
    ("role", "writes"),
    [(None, ("src/a.py",)), ("backend", ("src/a.py",)), ("reviewer", ()), ("analyst", ())],
)
def test_the_files_of_a_planned_task_are_a_promise_unless_its_role_reports(
    role: str | None, writes: tuple[str, ...]
) -> None:
    task = {"id": "a", "title": "x", "prompt": "y", "role": role, "files": ["src/a.py", "/etc/x"]}
    [planned] = plan_in(json.dumps({"tasks": [task]})).to_tasks()
    assert planned.files == ("src/a.py", "/etc/x")
    assert planned.writes == writes


def test_gates_become_what_the_worker_checks_itself() -> None:
    plan = plan_in(json.dumps({"tasks": [{**TASK, "gates": ["tests pass", "docs agree"]}]}))

    assert plan.to_tasks()[0].prompt == (
        "Do a\n\nBefore you finish, check that these conditions hold:\n- tests pass\n- docs agree"
    )
