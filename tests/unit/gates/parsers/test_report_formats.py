"""Reports of gates: real reports are read, hostile reports are rejected with a message."""

import json
from pathlib import Path

import pytest

from orchestrator.core.gates.findings import Reading, UnreadableReport
from orchestrator.core.gates.gate import GateReport
from orchestrator.gates import GateReports
from orchestrator.gates.parsers import junit, linters, sarif
from orchestrator.gates.parsers import report_formats as bounds

JUNIT = b"""<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="tests.test_a" name="test_ok" time="0.1"/>
<testcase classname="tests.test_a" name="test_bad">
<failure message="assert 1 == 2">long</failure></testcase>
<testcase classname="tests.test_a" name="test_error"><error message="boom"/></testcase>
<testcase classname="tests.test_a" name="test_left"><skipped message="no"/></testcase>
</testsuite></testsuites>"""


def test_junit_separates_passed_failed_and_skipped_tests() -> None:
    reading = junit.read(JUNIT)

    assert reading.passed == ("tests.test_a::test_ok",)
    assert [finding.key for finding in reading.findings] == [
        "tests.test_a::test_bad",
        "tests.test_a::test_error",
    ]
    assert reading.findings[0].text == "tests.test_a::test_bad: assert 1 == 2"
    assert reading.skipped == ("tests.test_a::test_left",)


def junit_of(content: str) -> tuple[list[str], list[str], int]:
    found = junit.read(f"<testsuites>{content}</testsuites>".encode())
    return [finding.text for finding in found.findings], [*(found.passed or ())], [*found.skipped]


def test_a_test_file_of_node_has_one_name_in_all_worktrees_and_counts_only_with_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "empty.test.js").write_text("/* removed */\n")
    (tmp_path / "plain.test.js").write_text("require('assert').equal(1, 1)\n")
    (tmp_path / "early.test.js").write_text("import { test } from 'node:test'\n" + "//\n" * 3000)
    files = (f"{tmp_path}/{each}.test.js" for each in ("empty", "plain", "early"))
    names = (*files, "adds")
    cases = "".join(f'<testcase name="{each}" classname="test"/>' for each in names)

    found = junit.read(f"<testsuites>{cases}</testsuites>".encode(), str(tmp_path))

    assert found.passed == ("test::plain.test.js", "test::adds")
    assert [finding.text for finding in found.findings] == [
        "test::early.test.js: the test file ended before its tests began"
    ]


@pytest.mark.parametrize(
    ("suites", "findings"),
    [
        (
            '<testsuite name="a" tests="3" failures="1"/>',
            ["a: failed, but the report names no failed test"],
        ),
        ('<testsuite name="a" errors="2" failures="1"/>', ["a: failed, but"] * 3),
        (
            '<testsuite failures="1"><testsuite name="b" failures="1"/></testsuite>',
            ["b: failed, but"],
        ),
        ('<testsuite name="a" tests="3" failures="0" errors="0"/>', []),
        ('<testsuite name="a" failures="many" errors="-1"/>', []),
        ('<testsuite name="a"><error message="no module"/></testsuite>', ["a: no module"]),
        (
            '<testsuite name="a" failures="1"><testcase name="t"><failure/></testcase></testsuite>',
            ["a::t: failed"],
        ),
        (
            '<testsuite name="a" failures="1"><testcase name="t"/></testsuite>',
            ["a: failed, but the report names no failed test"],
        ),
    ],
)
def test_failures_that_are_only_counted_count(suites: str, findings: list[str]) -> None:
    found, _, _ = junit_of(suites)
    assert len(found) == len(findings)
    assert all(one.startswith(other) for one, other in zip(found, findings, strict=True)), found


def test_a_test_that_passes_when_it_runs_again_has_passed() -> None:
    again = '<flakyFailure message="1"><stackTrace>x</stackTrace></flakyFailure><flakyError/>'
    failed = '<failure message="2"/><rerunFailure message="3"/><rerunError/>'
    findings, passed, _ = junit_of(
        '<testsuite name="s" failures="1" flakes="1">'
        f'<testcase classname="A" name="flaky">{again}</testcase>'
        f'<testcase classname="A" name="bad">{failed}</testcase></testsuite>'
    )
    assert (findings, passed) == (["A::bad: 2"], ["A::flaky"])


def test_a_module_that_pytest_skips_is_named_as_its_tests_are() -> None:
    _, _, skipped = junit_of(
        '<testsuite name="pytest"><testcase classname="" name="tests.test_a">'
        '<skipped message="collection skipped">no</skipped></testcase></testsuite>'
    )
    assert skipped == ["tests.test_a"]


def test_tests_of_one_name_in_several_suites_have_different_keys() -> None:
    def test(more: str = "") -> str:
        return f'<testcase name="works" classname="test">{more}</testcase>'

    findings, passed, skipped = junit_of(
        f'<testsuite name="one">{test()}<testsuite name="in">{test("<failure/>")}</testsuite>'
        f'</testsuite><testsuite name="two">{test()}<testcase name="x" status="notrun"/>'
        f"</testsuite>{test()}"
    )
    assert findings == ["one::in::works: failed"]
    assert passed == ["one::works", "two::works", "test::works"]
    assert skipped == ["two::x"]


def test_a_test_that_fails_after_it_passed_has_failed() -> None:
    twice = (
        b'<testsuite><testcase name="a"/>'
        b'<testcase name="a"><error message="teardown"/></testcase></testsuite>'
    )

    assert junit.read(twice).passed == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JUnit XML"),
        (b"<testsuite>", "not JUnit XML"),
        (b"<html/>", "has no test suite"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>', "DOCTYPE"),
        (
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite>&x;</testsuite>',
            "DOCTYPE",
        ),
        (b"<testsuite>" * 60, "nested"),
        (b'<?xml version="1.0" encoding="foo"?><testsuite/>', "unknown encoding"),
        (b'<?xml version="1.0" encoding="gbk"?><testsuite/>', "multi-byte encodings"),
        (b'<?xml version="1.0" encoding="idna"?><testsuite/>', "not JUnit XML"),
    ],
    ids=[
        *("empty", "cut off", "another", "entities", "external", "deep"),
        *("no encoding", "an encoding of several bytes", "no encoding of text"),
    ],
)
def test_junit_that_is_none_or_means_harm_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableReport, match=why):
        junit.read(content)


def test_a_bomb_of_entities_costs_nothing() -> None:
    lines = [b'<!ENTITY a0 "ha">']
    lines += [b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 50) for i in range(1, 20)]
    bomb = b"<!DOCTYPE x [" + b"".join(lines) + b"]><testsuite>&a19;</testsuite>"

    with pytest.raises(UnreadableReport, match="DOCTYPE"):
        junit.read(bomb)


def test_ruff_names_places_from_where_it_ran_and_compares_without_lines() -> None:
    def content(line: int, cwd: str) -> bytes:
        found = {
            "filename": f"{cwd}/src/a.py",
            "code": "F401",
            "message": "`os` imported but unused",
            "location": {"row": line, "column": 8},
        }
        return json.dumps([found]).encode()

    [one] = linters.read_ruff(content(1, "/a"), "/a").findings
    [other] = linters.read_ruff(content(9, "/b"), "/b").findings

    assert one.text == "src/a.py:1: F401 `os` imported but unused"
    assert one.key == other.key


def test_mypy_is_read_from_what_it_prints() -> None:
    printed = (
        b"src/a.py:3: error: Incompatible return value  [return-value]\n"
        b'src/a.py:9:5: error: Name "x" already defined on line 3  [no-redef]\n'
        b"src/a.py:3: note: See above\nFound 2 errors in 1 file (checked 3 source files)\n"
    )

    first, second = linters.read_mypy(printed, "/w").findings

    assert first.text == "src/a.py:3: Incompatible return value [return-value]"
    assert first.key == "src/a.py|return-value|Incompatible return value"
    assert "line 3" not in second.key


def test_absolute_paths_become_relative_to_the_directory_of_the_gate() -> None:
    place = {"artifactLocation": {"uri": "file:///w/my%20site/a%20b.py"}}
    result = {"ruleId": "B1", "locations": [{"physicalLocation": place}]}
    report = json.dumps({"runs": [{"results": [result]}]}).encode()
    printed = b"/w/my site/a b.py:3: error: bad  [misc]\n"

    assert sarif.read(report, "/w/my site").findings[0].key == "a b.py|B1|"
    assert linters.read_mypy(printed, "/w/my site").findings[0].key == "a b.py|misc|bad"


def test_characters_that_cannot_be_stored_are_replaced_in_messages() -> None:
    result = {"ruleId": "B1", "message": {"text": "half \ud800 of it, \0"}}
    report = json.dumps({"runs": [{"results": [result]}]}).encode()

    assert sarif.read(report, "").findings[0].key == "|B1|half ? of it, ?"


def test_sarif_counts_errors_and_warnings_that_are_not_suppressed() -> None:
    def result(**more: object) -> dict[str, object]:
        place = {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 4}}
        common = {"ruleId": "B1", "message": {"text": "bad"}}
        return {**common, "locations": [{"physicalLocation": place}], **more}

    results = [
        result(),
        result(level="note"),
        result(level="error", suppressions=[{"kind": "inSource"}]),
        result(level="error", kind="pass"),
        result(level="error", locations="not a list", message=7),
        "not a result",
    ]
    found = sarif.read(
        json.dumps({"version": "2.1.0", "runs": [{"results": results}]}).encode(), ""
    )

    assert [finding.text for finding in found.findings] == [
        "a.py:4: B1 bad",
        ":?: B1 ",
        ":?: (no rule) ",
    ]


def sarif_of(*results: object, **run: object) -> list[str]:
    report = json.dumps({"version": "2.1.0", "runs": [{"results": results, **run}]})
    return [
        finding.text.removeprefix(":?: ") for finding in sarif.read(report.encode(), "").findings
    ]


def rule(name: str, level: str = "", **more: object) -> dict[str, object]:
    return {"id": name, **({"defaultConfiguration": {"level": level}} if level else {}), **more}


def test_sarif_rules_are_named_in_several_ways() -> None:
    driver = {"name": "x", "rules": [rule("A"), rule("B"), rule("C", "note")]}
    own = {"name": "more", "rules": [rule("B", "none"), rule("P", "error")]}
    tool = {"driver": driver, "extensions": [own]}
    results = [
        {"ruleIndex": 1},
        {"rule": {"index": 0}},
        {"rule": {"id": "A"}},
        {"ruleId": "A/part"},
        {"ruleIndex": 2},
        {"ruleId": "C/part", "ruleIndex": 2},
        {"rule": {"index": 1, "toolComponent": {"index": 0}}},
        {"rule": {"index": 0, "toolComponent": {"index": 0}}},
        {"rule": {"id": "B", "toolComponent": {"name": "more"}}},
        {"ruleId": "P"},
        {"ruleId": "unknown", "ruleIndex": 99},
        {"ruleIndex": -1},
        {"ruleId": "A", "ruleIndex": 2, "level": "error"},
    ]
    assert [each.strip() for each in sarif_of(*results, tool=tool)] == [
        *("B", "A", "A", "A/part", "P", "P", "unknown", "(no rule)", "A")
    ]


def test_a_run_of_sarif_may_override_levels() -> None:
    def override(level: str, **descriptor: object) -> dict[str, object]:
        return {"descriptor": descriptor, "configuration": {"level": level}}

    tool = {
        "driver": {"rules": [rule("A", "note"), rule("B", "error"), rule("C", "error")]},
        "extensions": [{"rules": [rule("E", "error")]}],
    }
    overrides = [
        override("error", id="A"),
        override("none", index=1),
        override("note", id="unknown"),
        override("none", index=0, toolComponent={"index": 0}),
    ]
    first = {"ruleConfigurationOverrides": overrides}
    results = [
        *({"ruleId": "A"}, {"ruleId": "B"}, {"ruleId": "C"}, {"ruleId": "unknown"}),
        *({"ruleId": "E"}, {"ruleId": "B", "level": "error"}),
    ]
    run = {"tool": tool, "invocations": [first]}
    assert [each.strip() for each in sarif_of(*results, **run)] == ["A", "C", "B"]

    run = {"tool": tool, "invocations": [{}, first]}
    results = [{"ruleId": "B"}, {"ruleId": "B", "provenance": {"invocationIndex": 1}}]
    assert [each.strip() for each in sarif_of(*results, **run)] == ["B"]


def test_sarif_messages_may_be_defined_by_the_rules() -> None:
    strings = {"bad": {"text": "{0} is {{not}} {1}, {7}"}}
    driver = {
        "rules": [rule("A", messageStrings=strings)],
        "globalMessageStrings": {"all": {"text": "everywhere"}},
    }
    results = [
        {"ruleId": "A", "message": {"id": "bad", "arguments": ["x", "y"]}},
        {"ruleId": "A", "message": {"id": "all"}},
        {"ruleId": "A", "message": {"id": "unknown"}},
        {"ruleId": "A", "message": {"markdown": "**b**"}},
    ]
    expected = ["A x is {not} y, {7}", "A everywhere", "A unknown", "A **b**"]
    assert sarif_of(*results, tool={"driver": driver}) == expected


@pytest.mark.parametrize(
    ("statuses", "counts"),
    [
        (["accepted"], False),
        ([""], False),
        (["rejected"], True),
        (["underReview"], True),
        (["rejected", "accepted"], False),
        ([], True),
    ],
)
def test_sarif_only_accepted_suppressions_count(statuses: list[str], counts: bool) -> None:
    found = [{"kind": "external", **({"status": each} if each else {})} for each in statuses]
    assert bool(sarif_of({"ruleId": "A", "suppressions": found})) is counts


def test_sarif_of_a_tool_that_broke_down_is_no_pass() -> None:
    note = {"message": {"text": "out of memory"}, "level": "error"}
    broke = {"executionSuccessful": False, "toolExecutionNotifications": [note]}
    with pytest.raises(UnreadableReport, match="the tool did not complete: out of memory"):
        sarif_of(invocations=[broke])
    assert sarif_of(invocations=[{"executionSuccessful": True}]) == []
    assert sarif_of({"ruleId": "A"}, invocations=[broke]) == ["A "]


def test_sarif_without_any_run_of_a_tool_is_no_pass() -> None:
    with pytest.raises(UnreadableReport, match="no tool has run"):
        sarif.read(b'{"version": "2.1.0", "runs": []}', "")


def test_sarif_files_may_be_named_once() -> None:
    place = {"physicalLocation": {"artifactLocation": {"index": 1}, "region": {"startLine": 3}}}
    files = [{"location": {"uri": "a.py"}}, {"location": {"uri": "b.py"}}]
    result = {"ruleId": "A", "message": {"text": "x"}, "locations": [place]}
    assert sarif_of(result, artifacts=files) == ["b.py:3: A x"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"null", b'{"runs": 3}', b"[" * 100_000, b"\xff\xfe", b'"a text"'],
    ids=["empty", "cut off", "null", "no runs", "deep", "not text", "text"],
)
def test_json_that_is_no_report_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableReport):
        sarif.read(content, "")
    with pytest.raises(UnreadableReport):
        linters.read_ruff(content, "")


def test_the_report_is_where_it_was_asked_for_or_else_what_was_printed(tmp_path: Path) -> None:
    file, log = tmp_path / "report", tmp_path / "log"
    log.write_bytes(JUNIT)

    assert GateReports().read(GateReport.JUNIT, file, log, "/").skipped == (
        "tests.test_a::test_left",
    )
    file.write_bytes(b"<testsuite/>")
    assert GateReports().read(GateReport.JUNIT, file, log, "/") == Reading(passed=())
    assert GateReports().read(GateReport.EXIT, file, log, "/") == Reading()


def test_a_report_that_is_a_link_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "report"
    file.symlink_to("/etc/passwd")
    with pytest.raises(UnreadableReport, match="cannot read"):
        GateReports().read(GateReport.MYPY, file, tmp_path / "log", "/")

    monkeypatch.setattr(bounds, "MOST_BYTES", 100)
    file.unlink()
    file.write_bytes(b"x" * 101)
    with pytest.raises(UnreadableReport, match="more than"):
        GateReports().read(GateReport.MYPY, file, tmp_path / "log", "/")


@pytest.mark.parametrize(
    ("attributes", "failure"),
    [
        ("message=\"KeyError: 'a'\"", "KeyError: 'a'"),
        ('message="assert 1 == 2&#10;  + where 1 = f()"', "assert 1 == 2"),
        (
            'message="expected 1" type="java.lang.AssertionError"',
            "java.lang.AssertionError: expected 1",
        ),
        ('type="java.io.IOException"', "java.io.IOException: "),
        ("", ""),
    ],
)
def test_junit_has_the_type_and_the_first_line_of_a_failure(attributes: str, failure: str) -> None:
    case = f'<testcase classname="a" name="x"><failure {attributes}/></testcase>'

    [finding] = junit.read(f"<testsuite>{case}</testsuite>".encode()).findings

    assert finding.failure == failure
