"""Tests may be removed or renamed only by a task that declares this."""

import json
from typing import Any

import pytest

from tests.integration.engine.gates.conftest import PLAIN, MakeProject, gates, reasons
from tests.integration.engine.gates.test_altered_judges import FILES
from tests.support.project import edit

OLD = "from app import old\n\n\ndef test_old():\n    assert old() == 0\n"
PROJECT = {
    **FILES,
    "app.py": FILES["app.py"] + "\n\ndef old():\n    return 0\n",
    "tests/test_old.py": OLD,
}
REMOVE_TEST = "git rm -q tests/test_old.py"
REMOVE = f"{REMOVE_TEST}; sed -i '/^def old/,$d' app.py"
RENAME = "sed -i 's/test_one/test_first/' tests/test_app.py"
VANISH = [{"name": "pytest", "tests_may_vanish": True}]
PROMISED = "tests/test_old.py"


@pytest.mark.parametrize(
    ("script", "task"),
    [
        pytest.param(REMOVE, {"writes": [PROMISED]}, id="removed, promised"),
        pytest.param(
            REMOVE,
            {"writes": ["tests/"]},
            id="removed, directory promised",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            REMOVE_TEST, {"role": "testing"}, id="removed, role", marks=pytest.mark.nightly
        ),
        pytest.param(
            REMOVE, {"gates": VANISH}, id="removed, gate of the task", marks=pytest.mark.nightly
        ),
        pytest.param(
            RENAME,
            {"writes": ["tests/test_app.py"]},
            id="renamed, promised",
            marks=pytest.mark.nightly,
        ),
        pytest.param(RENAME, {"role": "testing"}, id="renamed, role", marks=pytest.mark.nightly),
    ],
)
def test_a_task_that_may_remove_tests_succeeds_also_when_it_is_merged(
    make_project: MakeProject, script: str, task: dict[str, Any]
) -> None:
    site, project = make_project(PROJECT)

    ended = site.run("Remove the obsolete tests", [edit(script, **task)])

    assert ended["status"] == "completed", reasons(ended)
    assert gates(site, ended)["pytest"]["outcome"] == "passed"
    result = f"orchestrator/{ended['job_id']}/result"
    assert (PROMISED in project.files(result)) is (script == RENAME)


@pytest.mark.nightly
def test_a_setting_lets_any_work_remove_tests(make_project: MakeProject) -> None:
    site, _ = make_project(PROJECT, gates={"tests_may_vanish": True})

    ended = site.run("x", [edit(REMOVE)])

    assert ended["status"] == "completed", reasons(ended)


@pytest.mark.nightly
def test_with_another_worker_only_the_tests_that_may_go_are_removed(
    make_project: MakeProject,
) -> None:
    site, project = make_project(PROJECT)
    other = edit("echo '# a note' >> tests/test_app.py")

    ended = site.run("x", [edit(REMOVE, writes=[PROMISED]), other])

    assert ended["status"] == "completed", reasons(ended)
    result = f"orchestrator/{ended['job_id']}/result"
    assert PROMISED not in project.files(result)
    assert "# a note" in project.show(result, "tests/test_app.py")


@pytest.mark.nightly
def test_the_tests_that_a_child_job_may_remove_are_not_in_the_result(
    make_project: MakeProject,
) -> None:
    site, project = make_project(PROJECT)
    child = f"cat > ../c.json <<'END'\n[{json.dumps(edit(REMOVE, writes=[PROMISED]))}]\nEND\n"

    ended = site.run("x", [edit(f"{child}orchestrator spawn child --tasks ../c.json --wait")])

    assert ended["status"] == "completed", reasons(ended)
    assert PROMISED not in project.files(f"orchestrator/{ended['job_id']}/result")


BROKEN = "sed -i s/1/2/ app.py; git rm -q tests/test_app.py"


@pytest.mark.parametrize(
    ("script", "task", "test", "file"),
    [
        pytest.param(
            BROKEN,
            {},
            "tests.test_app::test_one",
            "tests/test_app.py",
            id="without permission",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            BROKEN,
            {"writes": [PROMISED]},
            "tests.test_app::test_one",
            "tests/test_app.py",
            id="other tests promised",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            f"{REMOVE}; {BROKEN}",
            {"writes": [PROMISED, "app.py"]},
            "tests.test_app::test_one",
            "tests/test_app.py",
            id="more than promised",
        ),
    ],
)
def test_a_worker_that_removes_failing_tests_is_refused_with_what_to_type(
    make_project: MakeProject, script: str, task: dict[str, Any], test: str, file: str
) -> None:
    site, _ = make_project(PROJECT)

    ended = site.run("x", [edit(script, **task)])

    assert ended["status"] == "failed", ended
    [reason] = reasons(ended)
    assert reason == (
        f"gate pytest failed: {test}: passed on the base commit, but does not run now; "
        f"to allow this change: add writes: [{file}] to the task, "
        "or set gates.tests_may_vanish: true in config.yaml"
    )
    assert "tests.test_old" not in reason


@pytest.mark.parametrize(
    "script",
    [
        REMOVE_TEST,
        "sed -i '1i import pytest\\npytestmark = pytest.mark.skip' tests/test_old.py",
    ],
)
def test_a_gate_without_a_report_counts_its_tests(make_project: MakeProject, script: str) -> None:
    """The names of the tests are unknown, but their number is in the output."""
    site, _ = make_project(PROJECT)
    unit = {"name": "unit", "run": f"python3 -m pytest {PLAIN}"}

    ended = site.run("x", [edit(script)], gates=[unit])

    assert ended["status"] == "failed", ended
    [reason] = reasons(ended)
    assert reason == (
        "gate unit failed: with tests/test_old.py from the base commit: 2 passing tests; with "
        "the change only 1; to allow this change: add writes: [tests/test_old.py] to the task, "
        "or set gates.tests_may_change: true in config.yaml"
    )
    promised = site.run("x", [edit(script, writes=[PROMISED])], gates=[unit])
    assert promised["status"] == "completed", promised
