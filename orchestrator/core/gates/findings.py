"""Findings of gate runs, and the result that follows for a change. Pure.

Names of failing tests in printed output are only shown to readers. No decision depends on them.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from orchestrator.core.gates.failure_fingerprint import are_alike, digest_of, without_times
from orchestrator.core.gates.gate import Gate, GateCause, GateReport, GateResult, GateStatus
from orchestrator.core.gates.removed_tests import RemovedTest, can_remove
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import lazy_pattern, listed
from orchestrator.core.text.path_patterns import matching

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
    """Return the names of the first failing tests, and the number of further failing tests.

    The result is "" if ``printed`` has no failing test in the format of a known test runner.
    """
    found = _FAILED.finditer(_COLORS.sub("", printed))
    names = [*dict.fromkeys(_REST.sub("", each[each.lastindex or 0].strip()) for each in found)]
    return listed(names, MOST_NAMED)


#: Maximum number of findings of one gate that are shown.
MOST_LISTED = 50
#: Maximum number of characters of one finding.
LONGEST_SHOWN = 300
#: Maximum number of characters of a gate's output.
MOST_OUTPUT = 8000


class UnreadableReport(Exception):
    """A gate's output does not have the format of its ``report``, or is too large to be read."""

    cause = GateCause.REPORT_UNREADABLE


class NoAdvisories(UnreadableReport):
    """A tool checked nothing, because it could not reach its source of known vulnerabilities."""

    cause = GateCause.NO_NETWORK


@dataclass(frozen=True, slots=True)
class Flaw:
    """One finding of a gate."""

    #: Key of the finding. It has no line numbers, so that it is the same in other states of the
    #: project.
    key: str
    #: The finding, for people.
    text: str
    #: True if this is not a failed test, but an error that kept tests or the whole gate from
    #: running.
    is_error: bool = False
    #: For a test: the exception's type and message, if the report contains them.
    failure: str = ""

    @property
    def message(self) -> str:
        return self.text.removeprefix(f"{self.key}: ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    flaws: tuple[Flaw, ...] = ()
    #: Names of passed tests; None for a gate that does not count tests.
    passed: tuple[str, ...] | None = None
    #: Names of existing tests that did not run. A skipped module has one entry, the module's name.
    skipped: tuple[str, ...] = ()
    #: A further note, as text.
    note: str = ""
    #: A test runner's summary that reports failed tests; only for a gate without a report.
    failed_tests: str = ""

    @property
    def has_no_tests(self) -> bool:
        """True if a test runner ran no test."""
        return self.passed == () and not self.flaws


def of_tests(flaws: Sequence[Flaw], passed: Iterable[str], skipped: Iterable[str] = ()) -> Reading:
    """Return the reading of a test report.

    A test that passed and failed counts as failed. An example is an error in its cleanup.
    """
    failed = {flaw.key for flaw in flaws}
    names = tuple(name for name in passed if name not in failed)
    return Reading(flaws=tuple(flaws), passed=names, skipped=tuple(skipped))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    reading: Reading = Reading()
    #: Why the run has no verdict on the project, as text; empty if it has a verdict.
    broken: str = ""
    #: The cause as a value. Set only if ``broken`` is set.
    cause: GateCause | None = None
    seconds: float = 0.0
    output: str = ""
    log: str = ""
    #: Tracked files that the gate changed. Each changed place is one flaw, whose text is the path.
    rewritten: tuple[Flaw, ...] = ()
    #: Python files of the worktree that the gate executed, relative to the host project; None if
    #: unknown.
    executed: frozenset[str] | None = None

    @property
    def missing(self) -> bool:
        return self.cause is GateCause.PROGRAM_MISSING

    @property
    def passed(self) -> bool:
        return not self.broken and not self.reading.flaws


class ReportReader(Protocol):
    def read(self, report: GateReport, file: Path, log: Path, cwd: str) -> Reading:
        """Read the report ``file``. Raise UnreadableReport.

        ``log`` has the gate's output. ``cwd`` is the directory in which the gate ran.
        """


#: Given texts without line breaks, returns the texts that the base also has.
KnownTexts = Callable[[Collection[bytes]], Collection[bytes]]


class SecretScan(Protocol):
    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        """Return findings for the secrets in added lines, except for secrets that the base has.

        No finding contains the secret itself.

        ``added``: the lines as ``Repository.added`` yields them.
        """


#: Exit code of pytest if it ran no test.
_NO_TESTS = 5
#: Key of the finding of a failed run that has no other findings.
EXIT_KEY = "exit"


def with_exit(reading: Reading, code: int, *, is_error: bool = False) -> Reading:
    """Add a finding for the exit code if the run failed without a finding.

    ``is_error``: True if the run crashed before it wrote its report.
    """
    is_of_pytest = code == _NO_TESTS and reading.has_no_tests
    if code == 0 or reading.flaws or is_of_pytest:
        return reading
    # A report without any test counts as no report.
    flaw = Flaw(EXIT_KEY, f"exit code {code}", is_error or reading.has_no_tests)
    return replace(reading, flaws=(flaw,))


def needs_base(gate: Gate, ran: Ran, touched: Mapping[str, bool]) -> bool:
    """True if the result must be compared with the gate's findings on the base.

    ``touched``: the changed paths; the value is True if the base has the path.
    """
    if ran.missing:
        return False
    if ran.rewritten and not ran.broken:
        return True
    if not ran.passed and gate.new_only:
        return True
    if ran.reading.has_no_tests and not ran.broken:
        return not gate.tests_may_vanish
    return may_have_lost_tests(gate, ran, touched)


def may_have_lost_tests(gate: Gate, ran: Ran, touched: Mapping[str, bool]) -> bool:
    """True if tests of the base may be missing in the run.

    Any change can make tests skip, but only a change of tests or their configuration can remove
    tests. The size of the change does not matter: one added line can exclude a whole file.
    """
    if gate.tests_may_vanish or ran.reading.passed is None or ran.broken:
        return False
    can_be_gone = any(can_remove(gate, path, there) for path, there in touched.items())
    return can_be_gone or bool(ran.reading.skipped)


#: Permits the removal of no test.
NONE_MAY_GO = RemovedTest()


def result_of(
    gate: Gate,
    ran: Ran,
    base: Ran | None,
    touched: Collection[str],
    removal: RemovedTest = NONE_MAY_GO,
) -> GateResult:
    """Return the result of a run, compared with the run on the base, if there is one.

    ``touched``: the changed paths.
    """
    result = GateResult(
        name=gate.name,
        status=GateStatus.PASSED,
        required=gate.required,
        seconds=round(ran.seconds, 3),
        tests=None if ran.reading.passed is None else len(ran.reading.passed),
        note="; ".join(filter(None, [ran.reading.note, _configuration_note(gate, touched)])),
        log=ran.log,
    )
    result = _decide(ran)(gate, ran, base, result, removal)
    if base is not None and base.reading.note and result.status is not GateStatus.PASSED:
        result = replace(result, note="; ".join(filter(None, [result.note, base.reading.note])))
    if result.status is GateStatus.PASSED:
        return replace(result, failed_tests=ran.reading.failed_tests[:LONGEST_SHOWN])
    return replace(result, output=ran.output[-MOST_OUTPUT:])


_Decide = Callable[[Gate, Ran, Ran | None, GateResult, RemovedTest], GateResult]


def _decide(ran: Ran) -> _Decide:
    if ran.broken:
        return _broken
    return _without_tests if ran.reading.has_no_tests else _judged


def did_not_run(gate: Gate, cause: GateCause, note: str) -> GateResult:
    """Return the result of a gate that could not judge the change.

    The result can block the change only if a person requested the gate, or if the gate is the
    built-in scan for secrets. A result with the cause NOTHING_CHANGED never blocks.
    """
    matters = gate.is_asked_for or gate.is_secret_scan
    is_broken = matters and cause is not GateCause.NOTHING_CHANGED
    return GateResult(
        name=gate.name,
        status=GateStatus.BROKEN if is_broken else GateStatus.SKIPPED,
        required=gate.required,
        note=note,
        cause=cause,
    )


def _unrun(gate: Gate, cause: GateCause, note: str, result: GateResult) -> GateResult:
    unrun = did_not_run(gate, cause, "; ".join(filter(None, [note, result.note])))
    return replace(result, status=unrun.status, note=unrun.note, cause=cause)


#: Causes of a run without a verdict. The change may be at fault, unless the run on the base had no
#: verdict either.
_MAY_BE_CAUSED = frozenset(
    {GateCause.ERROR, GateCause.KILLED, GateCause.TIMEOUT, GateCause.REPORT_UNREADABLE}
)


def _broken(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, _: RemovedTest
) -> GateResult:
    cause = ran.cause or GateCause.ERROR
    if base is None or not base.broken:
        found = _unrun(gate, cause, ran.broken, result)
        blocks = cause in _MAY_BE_CAUSED
        return replace(found, status=GateStatus.BROKEN) if blocks else found
    found = _unrun(
        gate, cause, f"{ran.broken}; the gate did not run on the base commit either", result
    )
    is_asked_for = found.status is GateStatus.BROKEN
    return found if is_asked_for else replace(found, status=GateStatus.KNOWN, known=1)


def _without_tests(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, removal: RemovedTest
) -> GateResult:
    now, before = ran.reading, _usable(base)
    may_all_go = gate.tests_may_vanish or removal.allows_all
    lost = [] if may_all_go else removal.forbidden(lost_tests(now, before))
    failures = [f"{name}: {LOST}" for name in lost]
    if base is not None and base.passed and before.passed is None and not may_all_go:
        failures = [NONE_LEFT]
    if failures:
        return replace(
            result,
            status=GateStatus.FAILED,
            failures=_shortened(failures),
            advice=removal.advice(lost),
            digest=digest_of(lost or failures),
        )
    skipped = f"no test ran: all {len(now.skipped)} tests are skipped"
    note = skipped if now.skipped else "no tests found"
    found = _unrun(gate, GateCause.NO_TESTS, note, result)
    # If the task may remove all of these tests, their absence blocks nothing.
    return replace(found, status=GateStatus.SKIPPED) if may_all_go else found


def _judged(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, removal: RemovedTest
) -> GateResult:
    before, flaws = _usable(base), ran.reading.flaws
    none_passes = before.passed == () and before.flaws and ran.reading.passed == ()
    if none_passes and flaws and not gate.is_asked_for:
        # Packages of the project may be missing on this machine. New findings cannot be
        # distinguished from old findings then.
        return _as_at_base(gate, ran, replace(result, known=len(flaws)))
    new = new_flaws(ran.reading, before) if gate.new_only else list(flaws)
    known = len(flaws) - len(new)
    lost = _forbidden(gate, ran.reading, before, removal)
    failures = [_flaw_in_words(each, ran) for each in new] + [f"{name}: {LOST}" for name in lost]
    if failures:
        return replace(
            result,
            status=GateStatus.FAILED,
            failures=_shortened(failures),
            known=known,
            advice=removal.advice(lost) if lost else "",
            digest=_digest(ran.reading, new, lost),
        )
    result = replace(result, status=GateStatus.KNOWN if known else GateStatus.PASSED, known=known)
    return _as_at_base(gate, ran, result) if known and has_no_details(ran.reading) else result


def _digest(reading: Reading, new: Sequence[Flaw], lost: Sequence[str]) -> str:
    """Return a digest of the new findings and the missing tests.

    The digest of tests includes their messages, because a changed message shows progress. The
    result is "" if the only new finding is an exit code, and no test is missing.
    """
    if all(each.key == EXIT_KEY for each in new) and not lost:
        return ""
    reports = reading.passed is not None
    keys = [f"{each.key}|{without_times(each.message)}" if reports else each.key for each in new]
    return digest_of([*keys, *(f"{name}|lost" for name in lost)])


def _usable(base: Ran | None) -> Reading:
    """Return the findings on the base. If the base has no verdict, return no findings.

    Without findings on the base, every finding counts against the change.
    """
    return base.reading if base is not None and not base.broken else Reading()


def has_no_details(reading: Reading) -> bool:
    """True if the run failed without details: it has only an exit code, or no test passed."""
    is_alike = all(each.key == EXIT_KEY for each in reading.flaws)
    return bool(reading.flaws) and (reading.passed == () or is_alike)


def _as_at_base(gate: Gate, ran: Ran, result: GateResult) -> GateResult:
    what = "already fails" if ran.reading.passed is None else "tests already fail"
    first = ran.reading.flaws[0]
    error = _flaw_in_words(first, ran) if first.key == EXIT_KEY else first.message[:LONGEST_SHOWN]
    words = f"{what} on the base commit: {error}"
    found = _unrun(gate, GateCause.FAILS_AT_BASE, words, result)
    # The baseline excuses an exit code and findings of tests that ran. It does not excuse errors
    # that kept tests from running.
    is_excused = not all(each.is_error for each in ran.reading.flaws)
    is_known = is_excused or found.status is not GateStatus.BROKEN
    return replace(found, status=GateStatus.KNOWN) if is_known else found


#: The line of an output that describes the error, in the format of Python, Node, Go, Rust, or make.
_ERROR = lazy_pattern(
    r"^(?:E +)?((?:\w+[.])*\w*(?:Error|Exception|Warning)\b: .+|(?:error|ERROR|fatal)\b.*: .+)$",
    re.MULTILINE,
)


def _flaw_in_words(flaw: Flaw, ran: Ran) -> str:
    if flaw.key != EXIT_KEY:
        return flaw.text
    found = _ERROR.search(ran.output)
    printed = failing_tests(ran.output) or (found[1] if found else "")
    return f"{flaw.text}: {printed}"[:LONGEST_SHOWN] if printed else flaw.text


#: Marks a test that also fails on the base commit, but for another reason.
DIFFERS = "fails for another reason than on the base commit"
#: Maximum number of characters of each of the two reasons.
LONGEST_REASON = 100
LOST = "passed on the base commit, but does not run now"
NONE_LEFT = "tests ran on the base commit, but none runs now"


def new_flaws(now: Reading, before: Reading) -> list[Flaw]:
    """Return the findings that ``before`` does not have.

    If a finding occurs more often than before, the additional occurrences are new. Moved tests, and
    findings in moved files, are not new. A test failure with another reason than before is new.
    """
    known: dict[str, list[Flaw]] = {}
    for flaw in before.flaws:
        known.setdefault(flaw.key, []).append(flaw)
    new, different = [], []
    for flaw in now.flaws:
        others = known.get(flaw.key, [])
        same = next((each for each in others if are_alike(each.failure, flaw.failure)), None)
        if same is None and others:
            same = others[0]
            reason, was = flaw.message[:LONGEST_REASON], same.message[:LONGEST_REASON]
            text = f"{flaw.key}: {DIFFERS}: {reason} (base: {was})"
            different.append(replace(flaw, text=text))
        elif same is None:
            new.append(flaw)
        if same is not None:
            others.remove(same)
    left = {key: len(flaws) for key, flaws in known.items()}
    return [*_without_moved(new, left, now, before), *different]


def _without_moved(
    new: Sequence[Flaw], left: Mapping[str, int], now: Reading, before: Reading
) -> list[Flaw]:
    are_tests = now.passed is not None
    own_name = _own_name if are_tests else _without_path
    there = {*(now.passed or ()), *(each.key for each in now.flaws)}
    paths = {key.partition("|")[0] for key in there}
    removed: Counter[str] = Counter()
    for key, count in left.items():
        if key not in there and (are_tests or key.partition("|")[0] not in paths):
            removed[own_name(key)] += count
    found = []
    for flaw in new:
        if removed[own_name(flaw.key)] > 0 and flaw.key not in (before.passed or ()):
            removed[own_name(flaw.key)] -= 1
        else:
            found.append(flaw)
    return found


def lost_tests(now: Reading, before: Reading) -> list[str]:
    """Return the names of tests that passed before and do not run now.

    A test that was moved to another file is not lost.
    """
    if now.passed is None or before.passed is None:
        return []
    there = {*now.passed, *(each.key for each in now.flaws)}
    known = set(before.passed)
    moved = Counter(_own_name(name) for name in there - known)
    lost = []
    for name in sorted(known - there):
        if moved[_own_name(name)] > 0:
            moved[_own_name(name)] -= 1
        else:
            lost.append(name)
    return lost


def _forbidden(gate: Gate, now: Reading, before: Reading, removal: RemovedTest) -> list[str]:
    """Return the missing tests that make the gate fail.

    If no changed file can remove tests, and the run has no finding, only skipped tests make the
    gate fail. The other missing tests probably have a new name, because product code can change the
    parameters in a test's name.
    """
    if gate.tests_may_vanish:
        return []
    lost = lost_tests(now, before)
    skipped = _skipped(lost, now.skipped)
    if not removal.files and not now.flaws:
        return skipped
    known = [*(before.passed or ()), *(each.key for each in before.flaws)]
    return sorted({*removal.forbidden(lost), *removal.outside(skipped, known)})


#: pytest's name for a test without parameters, which it skips.
_NO_PARAMETERS = "NOTSET]"


def _skipped(tests: Sequence[str], skipped: Sequence[str]) -> list[str]:
    names = {*skipped}
    modules = [f"{each}{separator}" for each in skipped for separator in ("::", ".")]
    unset = (each for each in skipped if each.endswith(f"[{_NO_PARAMETERS}"))
    heads = (*modules, *(each.removesuffix(_NO_PARAMETERS) for each in unset))
    return [each for each in tests if each in names or each.startswith(heads)]


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


def _without_path(key: str) -> str:
    return key.partition("|")[2] or key


def _configuration_note(gate: Gate, touched: Collection[str]) -> str:
    found = matching(sorted(touched), gate.configured_by)
    if not found:
        return ""
    return f"the change modifies settings of this gate: {listed(found)}"


def _shortened(texts: Sequence[str]) -> tuple[str, ...]:
    shown = [each[:LONGEST_SHOWN] for each in texts[:MOST_LISTED]]
    more = len(texts) - len(shown)
    return (*shown, f"... and {more} more") if more else tuple(shown)


def passed_in_doubt(name: str, failed_tests: str) -> str:
    return f"gate {name} passed, although its output reports failed tests: {failed_tests}"


def in_words(result: GateResult) -> str:
    """Return in one line why a gate blocks the change."""
    if result.status is GateStatus.BROKEN:
        return f"gate {result.name} did not run: {result.note}"
    failures = listed(result.failures, 3, "; ")
    return f"gate {result.name} failed: {failures}{advice_on(result)}"


def advice_on(result: GateResult) -> str:
    return f"; {result.advice}" if result.advice else ""


def for_the_next_attempt(results: Sequence[GateResult], room: int) -> str:
    """Return text about failed gates for the prompt of the next attempt; empty if no gate blocks.

    ``room``: maximum number of characters.
    """
    blocking = [each for each in results if each.blocks]
    if not blocking:
        return ""
    share = max(300, room // len(blocking))
    parts = [_section(each, share) for each in blocking]
    words = "Your result did not pass its gates. Fix the findings; do not weaken any gate."
    return "\n\n".join([words, *parts])[:room]


def _section(result: GateResult, room: int) -> str:
    lines = [f"Gate {result.name}: {result.outcome.words}"]
    lines += [result.note] if result.note else []
    lines += [f"- {each}" for each in result.failures]
    text = "\n".join(lines)[: room * 2 // 3]
    left = room - len(text) - 40
    end = result.output[-left:] if left > 200 else ""
    return f"{text}\nThe end of the gate's output:\n{end}" if end.strip() else text
