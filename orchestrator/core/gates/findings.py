"""Findings of gate runs, and their comparison with the findings on the base. Pure.

Some names of failing tests come from a gate's printed output. These names are only shown to
readers. No decision depends on them.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from orchestrator.core.gates.failure_fingerprint import are_alike
from orchestrator.core.gates.gate import GateCause, GateReport
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import listed
from orchestrator.core.text.lazy_pattern import lazy_pattern

#: Maximum number of names in a sentence.
MOST_NAMED = 3
_COLORS = lazy_pattern(r"\x1b\[[0-9;]*m")
#: A duration or a comment after a test's name.
_REST = lazy_pattern(r" \(\d[\d.]*m?s\)$| # .*$")
_FAILED = lazy_pattern(
    "|".join(
        (
            # pytest; without the failure's message
            r"^FAILED (\S+::.+)$",
            # unittest; except modules that cannot be imported, which are no tests
            r"^(?:FAIL|ERROR): (\w+ \((?!unittest\.loader).+\))$",
            # go, cargo
            r"^ *--- FAIL: (\S+)",
            r"^test (\S.*) \.\.\. FAILED$",
            # jest, vitest, node --test, TAP
            r"^ *● (?!Console$|Test suite failed)(\S.*)$",
            r"^ *FAIL +(\S+ > \S.*)$",
            r"^ *✖ (?!failing tests)(\S.*)$",
            r"^ *not ok \d+ (?:- )?(\S.*)$",
        )
    ),
    re.MULTILINE,
)


def failing_tests(printed: str) -> str:
    """Return as text the first failing tests, and the number of further failing tests.

    ``printed``: a gate's output. The result is "" if the output has no failing test in the format
    of a known test runner.
    """
    matches = _FAILED.finditer(_COLORS.sub("", printed))
    names = [*dict.fromkeys(_REST.sub("", each[each.lastindex or 0].strip()) for each in matches)]
    return listed(names, MOST_NAMED)


#: Number of characters at the end of a gate's output that are stored.
MOST_OUTPUT = 8000


class UnreadableReport(Exception):
    """A gate's report is too large, or does not have the format that ``Gate.report`` names."""

    cause = GateCause.REPORT_UNREADABLE


class NoAdvisories(UnreadableReport):
    """A tool checked nothing, because its source of known vulnerabilities was not reachable."""

    cause = GateCause.NO_NETWORK


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a gate."""

    #: Key of the finding. It has no line numbers, so that the finding has the same key after other
    #: lines have changed.
    key: str
    #: The finding, for people.
    text: str
    #: True if a test, or the whole gate, could not run; False if a test ran and failed.
    is_error: bool = False
    #: For a test: the exception's type and message, if the report contains them.
    failure: str = ""

    @property
    def message(self) -> str:
        return self.text.removeprefix(f"{self.key}: ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one run of a gate reported: its findings and its tests."""

    findings: tuple[Finding, ...] = ()
    #: Names of passed tests; None for a gate that does not count tests.
    passed: tuple[str, ...] | None = None
    #: Names of tests that the report lists as not run. For a skipped module: the module's name.
    skipped: tuple[str, ...] = ()
    #: A note for readers, as text; possibly empty.
    note: str = ""
    #: Text of the output that contradicts exit code 0, such as a test runner's summary that reports
    #: failed tests. Only for a gate without a report, and for ``GateReport.JUNIT``.
    failed_tests: str = ""
    #: Number of passed tests according to the summaries of test runners; None if there is no such
    #: number. Only for a gate without a report.
    passed_count: int | None = None

    @property
    def has_no_tests(self) -> bool:
        """True if a test runner ran no test."""
        return self.passed == () and not self.findings


def of_tests(
    findings: Sequence[Finding], passed: Iterable[str], skipped: Iterable[str] = ()
) -> Reading:
    """Return the reading of a test report. ``findings``: the failed tests.

    A test that the report lists both as passed and as failed counts as failed. For example, the
    test passed, but its cleanup failed.
    """
    failed = {finding.key for finding in findings}
    names = tuple(name for name in passed if name not in failed)
    return Reading(findings=tuple(findings), passed=names, skipped=tuple(skipped))


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """A finished run of a gate."""

    reading: Reading = Reading()
    #: Why the run has no verdict on the project, as text; empty if it has a verdict.
    broken: str = ""
    #: The reason in ``broken`` as a value; None if ``broken`` is empty.
    cause: GateCause | None = None
    seconds: float = 0.0
    output: str = ""
    log: str = ""
    #: Tracked files that the gate changed. Each change is one finding, whose text is the path.
    rewritten: tuple[Finding, ...] = ()
    #: Paths in the project of the Python files that the gate executed; None if unknown.
    executed: frozenset[str] | None = None

    @property
    def missing(self) -> bool:
        return self.cause is GateCause.PROGRAM_MISSING

    @property
    def passed(self) -> bool:
        return not self.broken and not self.reading.findings


class ReportReader(Protocol):
    def read(self, report: GateReport, file: Path, log: Path, cwd: str) -> Reading:
        """Return the findings and tests in the report ``file``.

        Raise UnreadableReport if the file is too large, or does not have the format ``report``.

        ``report``: format of the report. ``log`` has the gate's output. ``cwd`` is the directory in
        which the gate ran.
        """


#: A function that gets texts without line breaks, and returns the texts that the base also has.
KnownTexts = Callable[[Collection[bytes]], Collection[bytes]]


class SecretScan(Protocol):
    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        """Return findings for the secrets in added lines, except for secrets that the base has.

        No finding contains the secret itself.

        ``added``: the lines as ``Repository.log_with_diffs`` yields them. ``known``: a function
        that gets texts, and returns the texts that the base also has.
        """


#: Exit code of pytest if it ran no test.
_NO_TESTS = 5
#: Key of the finding of a failed run that has no other findings.
EXIT_KEY = "exit"


def with_exit(reading: Reading, code: int, *, is_error: bool = False) -> Reading:
    """Return the reading, with a finding for the exit code if the run failed without a finding.

    A run with the exit code 0 has failed if its output reports failed tests. The exit code with
    which pytest reports that it ran no test is not a failure. ``is_error``: True if the run crashed
    before it wrote its report.
    """
    is_of_pytest = code == _NO_TESTS and reading.has_no_tests
    if code == 0 and reading.failed_tests:
        text = f"exit code 0, although the output reports failed tests: {reading.failed_tests}"
        return replace(reading, findings=(*reading.findings, Finding(EXIT_KEY, text)))
    if code == 0 or reading.findings or is_of_pytest:
        return reading
    # A report without any test counts as no report, as after a crash.
    finding = Finding(EXIT_KEY, f"exit code {code}", is_error or reading.has_no_tests)
    return replace(reading, findings=(finding,))


#: Marks a test that also fails on the base commit, but for another reason.
DIFFERS = "fails for another reason than on the base commit"
#: Maximum number of characters of each reason in such a finding's text: the present reason, and the
#: reason on the base.
LONGEST_REASON = 100


def new_findings(now: Reading, before: Reading) -> list[Finding]:
    """Return the findings of ``now`` that ``before`` does not have.

    If a finding occurs more often than before, the additional occurrences are new. Moved tests, and
    findings in moved files, are not new. A test failure with another reason than before is new.
    """
    remaining_findings: dict[str, list[Finding]] = {}
    for finding in before.findings:
        remaining_findings.setdefault(finding.key, []).append(finding)
    new, different = [], []
    for finding in now.findings:
        others = remaining_findings.get(finding.key, [])
        same = next((each for each in others if are_alike(each.failure, finding.failure)), None)
        if same is None and others:
            same = others[0]
            reason, base_reason = finding.message[:LONGEST_REASON], same.message[:LONGEST_REASON]
            text = f"{finding.key}: {DIFFERS}: {reason} (base: {base_reason})"
            different.append(replace(finding, text=text))
        elif same is None:
            new.append(finding)
        if same is not None:
            others.remove(same)
    remaining_counts = {key: len(findings) for key, findings in remaining_findings.items()}
    return [*_without_moved(new, remaining_counts, now, before), *different]


def _without_moved(
    new: Sequence[Finding], remaining_counts: Mapping[str, int], now: Reading, before: Reading
) -> list[Finding]:
    are_tests = now.passed is not None
    short_name = _own_name if are_tests else _without_path
    keys_now = {*(now.passed or ()), *(each.key for each in now.findings)}
    paths = {key.partition("|")[0] for key in keys_now}
    removed: Counter[str] = Counter()
    for key, count in remaining_counts.items():
        if key not in keys_now and (are_tests or key.partition("|")[0] not in paths):
            removed[short_name(key)] += count
    unmoved = []
    for finding in new:
        if removed[short_name(finding.key)] > 0 and finding.key not in (before.passed or ()):
            removed[short_name(finding.key)] -= 1
        else:
            unmoved.append(finding)
    return unmoved


def lost_tests(now: Reading, before: Reading) -> list[str]:
    """Return the names of tests that passed before and do not run now.

    A test that was moved to another file is not lost.
    """
    if now.passed is None or before.passed is None:
        return []
    tests_now = {*now.passed, *(each.key for each in now.findings)}
    passed_before = set(before.passed)
    moved = Counter(_own_name(name) for name in tests_now - passed_before)
    lost = []
    for name in sorted(passed_before - tests_now):
        if moved[_own_name(name)] > 0:
            moved[_own_name(name)] -= 1
        else:
            lost.append(name)
    return lost


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


def _without_path(key: str) -> str:
    return key.partition("|")[2] or key
