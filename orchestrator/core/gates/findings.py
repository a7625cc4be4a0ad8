"""Findings of gate runs, and the result that follows for a change. Pure.

Names of failing tests, as test runners print them, are for readers only: no decision uses them.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from orchestrator.core.gates.removed_tests import RemovedTest, can_remove
from orchestrator.core.gates.same_failure import are_alike, digest_of, without_times
from orchestrator.core.model.gate import Gate, GateCause, GateReport, GateResult, GateStatus
from orchestrator.core.model.path_patterns import matching

#: Maximum number of names in a sentence.
MOST_NAMED = 3
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: A time or a comment after the name.
_REST = re.compile(r" \(\d[\d.]*m?s\)$| # .*$")
_FAILED = re.compile(
    "|".join(
        (
            # pytest, with the failure
            r"^FAILED (\S+::.+)$",
            # unittest; a module that cannot be imported is no test
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
    """Return the first failing tests and the number of others; "" if no known runner names one."""
    found = _FAILED.finditer(_COLORS.sub("", printed))
    names = [*dict.fromkeys(_REST.sub("", each[each.lastindex or 0].strip()) for each in found)]
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


#: Maximum number of findings of one gate that are shown.
MOST_TOLD = 50
#: Maximum number of characters of one finding.
LONGEST_TOLD = 300
#: Maximum number of characters of a gate's output.
MOST_OUTPUT = 8000


class UnreadableReport(Exception):
    """A gate's output does not have the format of its ``report``, or is too large to be read."""

    cause = GateCause.REPORT_UNREADABLE


class NoAdvisories(UnreadableReport):
    """A tool could not reach its source of known vulnerabilities, so it has searched nothing."""

    cause = GateCause.NO_NETWORK


@dataclass(frozen=True, slots=True)
class Flaw:
    """One finding of a gate."""

    #: Key of the finding, which stays equal in other states of the project: it has no line
    #: numbers.
    key: str
    #: The finding, for people.
    text: str
    #: No failed test, but an error that prevented tests, or the whole gate, from running.
    is_error: bool = False
    #: For a test: the exception's type and message, if the report has them.
    failure: str = ""

    @property
    def message(self) -> str:
        """The text of the finding without its key."""
        return self.text.removeprefix(f"{self.key}: ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The findings in a run's report."""

    flaws: tuple[Flaw, ...] = ()
    #: Names of tests; None for a gate that does not count them.
    passed: tuple[str, ...] | None = None
    #: Names of existing tests that did not run; for a skipped module, the module's name.
    skipped: tuple[str, ...] = ()
    #: A further note, as text.
    note: str = ""

    @property
    def has_no_tests(self) -> bool:
        """True if a test run ran no tests."""
        return self.passed == () and not self.flaws


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One completed run of a gate."""

    reading: Reading = Reading()
    #: Why the run has no findings about the project, as text; empty if it has a verdict.
    broken: str = ""
    #: The cause as a value; only for a ``broken`` run.
    cause: GateCause | None = None
    seconds: float = 0.0
    output: str = ""
    log: str = ""
    #: Tracked files that the gate changed: a flaw for each place, whose text is the path.
    rewritten: tuple[Flaw, ...] = ()
    #: Python files of the worktree that the gate executed, from the host project; None: unknown.
    executed: frozenset[str] | None = None

    @property
    def missing(self) -> bool:
        """True if the gate's program is missing."""
        return self.cause is GateCause.PROGRAM_MISSING

    @property
    def passed(self) -> bool:
        return not self.broken and not self.reading.flaws


class ReportReader(Protocol):
    """Reads the report and output of a gate run."""

    def read(self, report: GateReport, file: Path, log: Path, cwd: str) -> Reading:
        """Read the report ``file``; ``log`` is the gate's output, ``cwd`` the directory in which
        the gate ran.

        Raise UnreadableReport.
        """


#: Given texts without line ends, returns the texts that the base has, too.
KnownTexts = Callable[[Collection[bytes]], Collection[bytes]]


class SecretScan(Protocol):
    def scan(self, added: Iterable[bytes], known: KnownTexts) -> Reading:
        """Return secrets in added lines, as ``Repository.added`` yields the lines, except known
        secrets.

        The result does not contain the secrets' values.
        """


#: Exit code of pytest if it has run no test.
_NO_TESTS = 5
#: Key of the finding for a failed run without other findings.
EXIT_KEY = "exit"


def with_exit(reading: Reading, code: int, *, is_error: bool = False) -> Reading:
    """Add a finding that states the failure, if a failed run has no finding.

    ``is_error``: the run should have written a report, and crashed before.
    """
    is_of_pytest = code == _NO_TESTS and reading.has_no_tests
    if code == 0 or reading.flaws or is_of_pytest:
        return reading
    # A report that lists no test counts like no report.
    flaw = Flaw(EXIT_KEY, f"exit code {code}", is_error or reading.has_no_tests)
    return replace(reading, flaws=(flaw,))


def needs_base(gate: Gate, ran: Ran, touched: Mapping[str, bool]) -> bool:
    """True if the gate's findings at the base are needed.

    ``touched``: the paths that the change touches, and whether they existed before.
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
    """True if tests may be lost. Any change can skip tests; only changes of tests, or of their
    configuration, can remove tests. An added line can exclude a whole file.
    """
    if gate.tests_may_vanish or ran.reading.passed is None or ran.broken:
        return False
    can_be_gone = any(can_remove(gate, path, there) for path, there in touched.items())
    return can_be_gone or bool(ran.reading.skipped)


#: No test of the base may be removed.
NONE_MAY_GO = RemovedTest()


def result_of(
    gate: Gate,
    ran: Ran,
    base: Ran | None,
    touched: Collection[str],
    removal: RemovedTest = NONE_MAY_GO,
) -> GateResult:
    """Return the result of a run, compared with the run at the base, if there is one.

    ``touched``: the paths that the change touches.
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
    is_quiet = result.status is GateStatus.PASSED
    return result if is_quiet else replace(result, output=ran.output[-MOST_OUTPUT:])


_Decide = Callable[[Gate, Ran, Ran | None, GateResult, RemovedTest], GateResult]


def _decide(ran: Ran) -> _Decide:
    if ran.broken:
        return _broken
    return _without_tests if ran.reading.has_no_tests else _judged


def did_not_run(gate: Gate, cause: GateCause, note: str) -> GateResult:
    """Return the result of a gate that could not judge the change. It blocks the change if the
    gate is required.

    A gate is required if a person asked for it. The scan for secrets is always required, because
    it needs no program.
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
    """Return the result of a gate that was started and did not judge, with its time, log, and
    other fields.
    """
    unrun = did_not_run(gate, cause, "; ".join(filter(None, [note, result.note])))
    return replace(result, status=unrun.status, note=unrun.note, cause=cause)


#: Possibly caused by the change: the gate ran at the base, and does not run now.
_MAY_BE_CAUSED = frozenset({GateCause.KILLED, GateCause.TIMEOUT, GateCause.REPORT_UNREADABLE})


def _broken(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, _: RemovedTest
) -> GateResult:
    cause = ran.cause or GateCause.ERROR
    if base is None or not base.broken:
        found = _unrun(gate, cause, ran.broken, result)
        blocks = cause in _MAY_BE_CAUSED
        return replace(found, status=GateStatus.BROKEN) if blocks else found
    found = _unrun(gate, cause, f"{ran.broken}; the same on the base commit", result)
    is_asked_for = found.status is GateStatus.BROKEN
    return found if is_asked_for else replace(found, status=GateStatus.KNOWN, known=1)


def _without_tests(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, removal: RemovedTest
) -> GateResult:
    """Return the result of a run without tests: if tests ran at the base, they are lost."""
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
    skipped = f"no test ran: all {len(now.skipped)} are skipped"
    note = skipped if now.skipped else "no tests found"
    found = _unrun(gate, GateCause.NO_TESTS, note, result)
    # A task that is to remove tests may remove these.
    return replace(found, status=GateStatus.SKIPPED) if may_all_go else found


def _judged(
    gate: Gate, ran: Ran, base: Ran | None, result: GateResult, removal: RemovedTest
) -> GateResult:
    before, flaws = _usable(base), ran.reading.flaws
    none_passes = before.passed == () and before.flaws and ran.reading.passed == ()
    if none_passes and flaws and not gate.is_asked_for:
        # Its packages may be missing on this machine, so new findings cannot be separated from old
        # findings.
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
    return _as_at_base(gate, ran, result) if known and tells_nothing(ran.reading) else result


def _digest(reading: Reading, new: Sequence[Flaw], lost: Sequence[str]) -> str:
    """Return a digest of the findings' keys; for tests also of their messages, because changed
    messages show progress.
    """
    if all(each.key == EXIT_KEY for each in new) and not lost:
        return ""
    reports = reading.passed is not None
    keys = [f"{each.key}|{without_times(each.message)}" if reports else each.key for each in new]
    return digest_of([*keys, *(f"{name}|lost" for name in lost)])


def _usable(base: Ran | None) -> Reading:
    """Return the base's reading. A base run that was killed or timed out gives an empty reading,
    which excuses no finding.
    """
    return base.reading if base is not None and not base.broken else Reading()


def tells_nothing(reading: Reading) -> bool:
    """True if the run failed, and its finding looks the same for every failure of the gate."""
    is_alike = all(each.key == EXIT_KEY for each in reading.flaws)
    return bool(reading.flaws) and (reading.passed == () or is_alike)


def _as_at_base(gate: Gate, ran: Ran, result: GateResult) -> GateResult:
    """Return the result of a gate that passes nothing, and fails in the same way at the base."""
    what = "already fails" if ran.reading.passed is None else "tests already fail"
    words = f"{what} on the base commit: {_first_error(ran)}"
    found = _unrun(gate, GateCause.FAILS_AT_BASE, words, result)
    # The baseline excuses findings of tests that ran, and an exit code, but no error that
    # prevented tests.
    is_excused = not all(each.is_error for each in ran.reading.flaws)
    is_known = is_excused or found.status is not GateStatus.BROKEN
    return replace(found, status=GateStatus.KNOWN) if is_known else found


#: The line of an output that describes the error, as Python, Node, Go, Rust and make write it.
_ERROR = re.compile(
    r"^(?:E +)?((?:\w+[.])*\w*(?:Error|Exception|Warning)\b: .+|(?:error|ERROR|fatal)\b.*: .+)$",
    re.MULTILINE,
)


def _first_error(ran: Ran) -> str:
    flaw = ran.reading.flaws[0]
    return _flaw_in_words(flaw, ran) if flaw.key == EXIT_KEY else flaw.message[:LONGEST_TOLD]


def _flaw_in_words(flaw: Flaw, ran: Ran) -> str:
    """Return the finding as text; a bare exit code with the failing tests or the error from
    the output.
    """
    if flaw.key != EXIT_KEY:
        return flaw.text
    found = _ERROR.search(ran.output)
    printed = failing_tests(ran.output) or (found[1] if found else "")
    return f"{flaw.text}: {printed}"[:LONGEST_TOLD] if printed else flaw.text


#: For a test that also fails on the base commit, but for another reason.
DIFFERS = "fails differently from the base"
#: Maximum number of characters of each of the two reasons.
LONGEST_REASON = 100
LOST = "passed on the base commit, but does not run now"
NONE_LEFT = "tests ran on the base commit, but none runs now"


def new_flaws(now: Reading, before: Reading) -> list[Flaw]:
    """Return the findings that are not in ``before``. If a finding occurs more often than before,
    the additional ones are new.

    A finding in a moved file, and a moved test, count as the same. A test that fails for a
    different reason counts as new.
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
            different.append(replace(flaw, text=_differently(flaw, same)))
        elif same is None:
            new.append(flaw)
        if same is not None:
            others.remove(same)
    left = {key: len(flaws) for key, flaws in known.items()}
    return [*_without_moved(new, left, now, before), *different]


def _differently(now: Flaw, before: Flaw) -> str:
    was = before.message[:LONGEST_REASON]
    return f"{now.key}: {DIFFERS}: {now.message[:LONGEST_REASON]} (base: {was})"


def _without_moved(
    new: Sequence[Flaw], left: Mapping[str, int], now: Reading, before: Reading
) -> list[Flaw]:
    are_tests = now.passed is not None
    own_name = _own_name if are_tests else _without_path
    there = {*(now.passed or ()), *(each.key for each in now.flaws)}
    paths = {key.partition("|")[0] for key in there}
    gone: Counter[str] = Counter()
    for key, count in left.items():
        if key not in there and (are_tests or key.partition("|")[0] not in paths):
            gone[own_name(key)] += count
    found = []
    for flaw in new:
        if gone[own_name(flaw.key)] > 0 and flaw.key not in (before.passed or ()):
            gone[own_name(flaw.key)] -= 1
        else:
            found.append(flaw)
    return found


def lost_tests(now: Reading, before: Reading) -> list[str]:
    """Return tests that passed before and do not run now. A moved test is listed by its own
    name.
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
    """Return lost tests that the gate counts.

    Product code may determine the parameters of tests. So if a change touches no tests and the gate
    has no other findings, only skipped tests count.
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
    """Return tests that are skipped, each alone or with its whole module."""
    names = {*skipped}
    modules = [f"{each}{separator}" for each in skipped for separator in ("::", ".")]
    unset = (each for each in skipped if each.endswith(f"[{_NO_PARAMETERS}"))
    heads = (*modules, *(each.removesuffix(_NO_PARAMETERS) for each in unset))
    return [each for each in tests if each in names or each.startswith(heads)]


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


def _without_path(key: str) -> str:
    """Return a linter's finding without its path."""
    return key.partition("|")[2] or key


def _configuration_note(gate: Gate, touched: Collection[str]) -> str:
    found = matching(sorted(touched), gate.configured_by)
    if not found:
        return ""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"the change modifies settings of this gate: {', '.join(found[:5])}{more}"


def _shortened(texts: Sequence[str]) -> tuple[str, ...]:
    shown = [each[:LONGEST_TOLD] for each in texts[:MOST_TOLD]]
    more = len(texts) - len(shown)
    return (*shown, f"... and {more} more") if more else tuple(shown)


def in_words(result: GateResult) -> str:
    """Return why a gate blocks, in one line."""
    if result.status is GateStatus.BROKEN:
        return f"gate {result.name} did not run: {result.note}"
    first = "; ".join(result.failures[:3])
    more = f" and {len(result.failures) - 3} more" if len(result.failures) > 3 else ""
    return f"gate {result.name} failed: {first}{more}{advice_on(result)}"


def advice_on(result: GateResult) -> str:
    """Return advice on a failed gate, for the end of a sentence."""
    return f"; {result.advice}" if result.advice else ""


def for_the_next_attempt(results: Sequence[GateResult], room: int) -> str:
    """Return text about failed gates for the next attempt's prompt; at most ``room`` characters.

    Empty if no gate blocks.
    """
    blocking = [each for each in results if each.blocks]
    if not blocking:
        return ""
    share = max(300, room // len(blocking))
    parts = [_told(each, share) for each in blocking]
    words = "Your result did not pass its gates. Fix the findings; do not weaken any gate."
    return "\n\n".join([words, *parts])[:room]


def _told(result: GateResult, room: int) -> str:
    lines = [f"Gate {result.name}: {result.outcome.words}"]
    lines += [result.note] if result.note else []
    lines += [f"- {each}" for each in result.failures]
    text = "\n".join(lines)[: room * 2 // 3]
    left = room - len(text) - 40
    end = result.output[-left:] if left > 200 else ""
    return f"{text}\nThe end of its output:\n{end}" if end.strip() else text
