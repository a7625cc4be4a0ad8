"""Tests that may be removed, by the names that runners give them."""

import pytest

from orchestrator.core.gates.findings import FinishedRun, Reading
from orchestrator.core.gates.gate import AlterationPermission, Gate, GateReport
from orchestrator.core.gates.gate_decision import LOST, needs_base, result_of
from orchestrator.core.gates.removal_permission import RemovalPermission, removal_permission

GATE = Gate(
    name="pytest", run="x", report=GateReport.JUNIT, configured_by=("conftest.py", "pytest.ini")
)


def removal(*paths: str, **permission: object) -> RemovalPermission:
    return removal_permission(
        GATE, dict.fromkeys(paths, True), [AlterationPermission(**permission)]
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("test", "path"),
    [
        ("tests.test_a::test_x", "tests/test_a.py"),
        ("tests.test_a.TestX::test_x[1-a.b]", "tests/test_a.py"),
        ("tests.test_a::test_x", "backend/tests/test_a.py"),
        ("src/a.test.ts::a adds", "src/a.test.ts"),
        ("example.com/x/calc::TestAdd", "calc/calc_test.go"),
    ],
)
def test_tests_of_a_promised_file_may_be_removed(test: str, path: str) -> None:
    found = removal(path, "tests/test_other.py", "src/b.test.ts", "net/net_test.go", writes=(path,))
    other = removal(path, "tests/test_other.py", writes=("tests/test_other.py",))

    assert found.forbidden([test]) == []
    assert other.forbidden([test]) == [test]
    assert path in other.advice([test])


def test_a_new_test_file_of_go_may_keep_the_tests_of_its_package_from_running() -> None:
    gate = Gate(name="go-test", run="go test -v ./...", report=GateReport.GO)
    base = FinishedRun(reading=Reading(passed=("x/calc::TestAdd", "x/net::TestGet")))
    now = FinishedRun(reading=Reading(passed=("x/net::TestGet",)))
    touched = {"calc/main_test.go": False, "calc/calc.go": True}
    removed = removal_permission(gate, touched, [AlterationPermission()])

    assert needs_base(gate, now, touched)
    assert result_of(gate, now, base, touched, removed).failures == (f"x/calc::TestAdd: {LOST}",)
    assert not needs_base(gate, now, {"calc/calc.go": True})


@pytest.mark.parametrize("name", ["adds", "group::adds", "cargo::tests::adds"])
def test_a_test_without_a_file_name_may_go_if_all_changed_files_are_promised(name: str) -> None:
    both = removal("a_test.rs", "conftest.py", writes=("a_test.rs", "conftest.py"))
    one = removal("a_test.rs", "conftest.py", writes=("a_test.rs",))

    assert both.forbidden([name]) == []
    assert one.forbidden([name]) == [name]


def test_the_role_testing_may_remove_tests_and_not_by_settings() -> None:
    name = "tests.test_a::test_x"

    assert removal("tests/test_a.py", tests=True).forbidden([name]) == []
    assert removal("pytest.ini", tests=True).forbidden([name]) == [name]
    assert removal().forbidden([name]) == [name]


def test_tests_that_child_jobs_removed_may_be_missing() -> None:
    judged = frozenset({"tests/test_a.py"})

    assert removal("tests/test_a.py", judged=judged).forbidden(["tests.test_a::test_x"]) == []


def test_a_result_without_the_tests_that_may_go_passes_and_names_only_the_others() -> None:
    base = FinishedRun(
        reading=Reading(passed=("tests.test_a::x", "tests.test_b::y", "tests.test_c::z"))
    )
    now = FinishedRun(reading=Reading(passed=("tests.test_c::z",)))
    may = removal("tests/test_a.py", "tests/test_b.py", writes=("tests/test_a.py",))

    found = result_of(GATE, now, base, ["tests/test_a.py", "tests/test_b.py"], may)

    assert found.failures == (f"tests.test_b::y: {LOST}",)
    assert found.advice == (
        "to allow this change: add writes: [tests/test_b.py] to the task, "
        "or set gates.tests_may_vanish: true in config.yaml"
    )


def test_a_suite_may_be_removed_as_a_whole_if_all_its_files_are_promised() -> None:
    base = FinishedRun(reading=Reading(passed=("tests.test_a::x",)))
    now = FinishedRun(reading=Reading(passed=()))
    paths = ["tests/test_a.py"]

    allowed = result_of(GATE, now, base, paths, removal(*paths, writes=("tests/",)))
    refused = result_of(GATE, now, base, paths, removal(*paths))

    assert (allowed.status, allowed.blocks) == ("skipped", False)
    assert (refused.status, refused.blocks) == ("failed", True)
