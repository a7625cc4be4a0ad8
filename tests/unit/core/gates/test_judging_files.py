"""Judging files of a gate, and the meaning of a run with their base versions."""

import json
from dataclasses import replace

import pytest

from orchestrator.core.gates.findings import Finding, FinishedRun, Reading
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Gate,
    GateReport,
    GateResult,
    GateStatus,
)
from orchestrator.core.gates.tampering import (
    JudgeAlteration,
    JudgeMove,
    alteration,
    has_only_fixtures,
    hidden_findings,
    judges_equally,
    with_second_run,
)

TESTS = Gate(name="pytest", run="x", report=GateReport.JUNIT, configured_by=("conftest.py",))
RUFF = Gate(name="ruff", run="x", report=GateReport.RUFF, configured_by=("ruff.toml",))
LINT = Gate(name="lint", run="x", configured_by=("Makefile",), is_of_files=True)
CARGO = Gate(name="cargo", run="x", report=GateReport.CARGO, configured_by=("Cargo.toml",))


def ran(*failed: str, passed: tuple[str, ...] | None = ()) -> FinishedRun:
    findings = tuple(Finding(name, f"{name}: it failed") for name in failed)
    return FinishedRun(reading=Reading(findings=findings, passed=passed))


NOTHING = AlterationPermission()


def altered(
    gate: Gate,
    touched: dict[str, bool],
    permission: AlterationPermission = NOTHING,
    **more: JudgeMove,
) -> JudgeAlteration:
    moves = {"tests/b/test_a.py": more["move"]} if more else {}
    return alteration(gate, touched, moves, (), (), [permission])


@pytest.mark.parametrize(
    ("gate", "touched", "swap"),
    [
        (TESTS, {"app.py": True}, {}),
        (TESTS, {"tests/test_a.py": True}, {"tests/test_a.py": "tests/test_a.py"}),
        (TESTS, {"conftest.py": False}, {"conftest.py": None}),
        (TESTS, {"tests/test_new.py": False}, {}),
        (
            TESTS,
            {"tests/data.json": True, "tests/test_new.py": False},
            {"tests/data.json": "tests/data.json", "tests/test_new.py": None},
        ),
        (RUFF, {"tests/test_a.py": True}, {}),
        (RUFF, {"ruff.toml": True, "tests/test_new.py": False}, {"ruff.toml": "ruff.toml"}),
        (LINT, {"Makefile": True, "tests/test_a.py": True}, {"Makefile": "Makefile"}),
        (CARGO, {"Cargo.toml": True}, {}),
    ],
)
def test_judging_files_come_from_the_base(
    gate: Gate, touched: dict[str, bool], swap: dict[str, str | None]
) -> None:
    assert altered(gate, touched).swap == swap


def test_a_moved_test_is_judged_where_it_is_now() -> None:
    touched = {"tests/test_a.py": True, "tests/b/test_a.py": False}

    same = altered(TESTS, touched, move=JudgeMove("tests/test_a.py", True))
    changed = altered(TESTS, touched, move=JudgeMove("tests/test_a.py", False))

    assert same.swap == {}
    assert changed.swap == {"tests/b/test_a.py": "tests/test_a.py"}


@pytest.mark.parametrize(
    ("gate", "permission"),
    [
        (TESTS, AlterationPermission(tests=True)),
        (TESTS, AlterationPermission(writes=("tests/",))),
        (replace(TESTS, tests_may_change=True), AlterationPermission()),
    ],
)
def test_judging_files_that_a_task_may_alter_stay(
    gate: Gate, permission: AlterationPermission
) -> None:
    found = altered(gate, {"tests/test_a.py": True, "conftest.py": True}, permission)

    assert "tests/test_a.py" in found.allowed
    assert "tests/test_a.py" not in found.swap


def test_judging_files_that_child_jobs_created_are_allowed_and_named() -> None:
    path = "tests/test_a.py"
    by_child = AlterationPermission(judged=frozenset({path}))

    assert altered(TESTS, {path: True}, by_child) == JudgeAlteration(allowed=(path,))
    assert altered(TESTS, {path: False}, by_child) == JudgeAlteration()


@pytest.mark.parametrize(
    ("now", "second", "base", "found"),
    [
        (ran(passed=("a::x",)), ran("a::x"), ran(passed=("a::x",)), ["a::x: it failed"]),
        (ran(passed=("a::x",)), ran("a::x"), ran("a::x"), ["a::x: it failed"]),
        (ran(passed=("b::x",)), ran("b::x"), ran(passed=("a::x",)), ["b::x: it failed"]),
        (ran(passed=("a::x",)), ran(passed=("a::x",)), ran(passed=("a::x",)), []),
        (ran("a::y", passed=("a::x",)), ran("a::y", passed=("a::x",)), ran("a::y"), []),
        (
            ran(passed=("a::x",)),
            ran("a"),
            ran(passed=("a::x",)),
            ["a::x: does not run (a: it failed)"],
        ),
        (ran(passed=("a::x",)), ran("a::x"), None, []),
        (ran(passed=None), ran("f|E1|m", passed=None), ran(passed=None), ["f|E1|m: it failed"]),
        (ran(passed=None), ran("f|E1|m", passed=None), ran("f|E1|m", passed=None), []),
    ],
)
def test_tests_that_pass_only_with_altered_judging_files_are_findings(
    now: FinishedRun, second: FinishedRun, base: FinishedRun | None, found: list[str]
) -> None:
    assert [each.text for each in hidden_findings(TESTS, now, second, base)] == found


def test_the_finding_names_the_file() -> None:
    passed = GateResult(name="pytest", status=GateStatus.PASSED)
    changed = altered(TESTS, {"tests/test_a.py": True})
    now, base = ran(passed=("a::x",)), ran(passed=("a::x",))

    failed = with_second_run(TESTS, passed, now, ran("a::x"), base, changed)
    same = with_second_run(TESTS, passed, now, now, base, changed)

    assert failed.failures == ("with tests/test_a.py from the base commit: a::x: it failed",)
    assert failed.blocks
    assert same == passed


def test_altered_settings_are_named_apart_from_tests() -> None:
    touched = {"conftest.py": True, "tests/test_a.py": True, "app.py": True}

    assert altered(TESTS, touched).settings == ("conftest.py",)
    assert altered(TESTS, touched, AlterationPermission(writes=("conftest.py",))).settings == ()


@pytest.mark.parametrize(
    ("path", "text", "is_quiet"),
    [
        ("tests/conftest.py", "import pytest_asyncio\n\n\n@pytest.fixture\ndef a(): ...\n", True),
        ("conftest.py", "def pytest_runtest_makereport(item): ...\n", False),
        ("conftest.py", "collect_ignore = ['test_a.py']\n", False),
        ("pytest.ini", "", False),
    ],
)
def test_a_conftest_with_only_fixtures_is_no_setting(path: str, text: str, is_quiet: bool) -> None:
    assert has_only_fixtures(path, text) is is_quiet


def scripts(**texts: str) -> str:
    return json.dumps({"scripts": texts})


@pytest.mark.parametrize(
    ("path", "before", "after", "is_equal"),
    [
        ("package.json", scripts(test="a"), scripts(test="a", dev="b"), True),
        ("web/package.json", scripts(test="a"), scripts(test="true"), False),
        ("package.json", scripts(test="a"), scripts(test="a", pretest="b"), False),
        ("package.json", scripts(test="a", lint="b"), scripts(test="a"), False),
        ("pyproject.toml", "[project]\nname='x'", "[project]\nname='y'", True),
        ("pyproject.toml", "[tool.ruff]\nfix=true", "[tool.ruff]", False),
        ("pyproject.toml", "[tool.poetry]\na=1", "", True),
        ("pyproject.toml", "[", "", False),
        ("package.json", '{"dependencies": {"a": "1"}}', "{}", True),
        ("package.json", '{"jest": {"bail": 1}}', "{}", False),
        ("sub/setup.cfg", "[options.extras]\na = b", "", True),
        ("setup.cfg", "[mypy]\nstrict = true", "", False),
        ("Makefile", "a", "b", False),
    ],
)
def test_only_the_judging_part_of_a_mixed_file_counts(
    path: str, before: str, after: str, is_equal: bool
) -> None:
    assert judges_equally(path, before, after) is is_equal
