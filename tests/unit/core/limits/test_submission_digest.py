"""Fingerprints of submissions."""

from dataclasses import replace

from orchestrator.core.limits.submission_digest import digest
from orchestrator.core.model.job import TaskSpec
from tests.unit.core.factories import a_task


def test_the_same_request_has_the_same_digest_whatever_its_spaces_and_case() -> None:
    assert digest("Survey  this\n", []) == digest("survey THIS", [])
    assert digest("Survey this", []) != digest("Survey that", [])


def test_other_tasks_make_another_digest() -> None:
    task = a_task("a", prompt="x", env={"A": "1", "B": "2"})
    same = a_task("a", prompt="x", env={"B": "2", "A": "1"})
    assert digest("r", [task]) == digest("r", [same])
    for other in ({"prompt": "y"}, {"env": {"A": "2"}}, {"command": "ls"}, {"agents": ("b",)}):
        assert digest("r", [replace(task, **other)]) != digest("r", [task])
    assert digest("r", [a_task("a"), a_task("b")]) != digest("r", [a_task("b"), a_task("a")])


def test_newer_fields_change_no_digest_of_tasks_that_lack_them() -> None:
    plain = TaskSpec(id="a", command="true")
    # Digest of a release without the field workdir.
    assert digest("x", [plain]) == "4214f8d3bc4bc9970fed7490bee50331"
    assert digest("x", [replace(plain, workdir="project")]) != digest("x", [plain])
