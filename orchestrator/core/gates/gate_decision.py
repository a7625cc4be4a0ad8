"""Decides the result of a gate for a change, by the findings of the gate's runs. Pure."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.gates.failure_fingerprint import digest_of, without_times
from orchestrator.core.gates.findings import (
    EXIT_KEY,
    MOST_OUTPUT,
    Finding,
    FinishedRun,
    Reading,
    failing_tests,
    lost_tests,
    new_findings,
)
from orchestrator.core.gates.gate import Gate, GateCause, GateReport, GateResult, GateStatus
from orchestrator.core.gates.removal_permission import RemovalPermission, can_remove
from orchestrator.core.text.formatting import listed
from orchestrator.core.text.lazy_pattern import lazy_pattern
from orchestrator.core.text.path_patterns import matching

#: Maximum number of findings of one gate that are shown.
MOST_LISTED = 50
#: Maximum number of characters of one finding.
LONGEST_SHOWN = 300


def needs_base(gate: Gate, ran: FinishedRun, touched: Mapping[str, bool]) -> bool:
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
    if _may_hide_tests(gate, ran):
        return True
    return may_have_lost_tests(gate, ran, touched)


def may_have_lost_tests(gate: Gate, ran: FinishedRun, touched: Mapping[str, bool]) -> bool:
    """True if tests of the base may be missing in the run ``ran``.

    This is the case if a test was skipped, or if a changed file can remove tests. The size of the
    change does not matter: one added line can exclude a whole file of tests.
    """
    if gate.tests_may_vanish or ran.reading.passed is None or ran.broken:
        return False
    may_be_removed = any(can_remove(gate, path, is_on_base) for path, is_on_base in touched.items())
    return may_be_removed or bool(ran.reading.skipped)


#: Matches a command that runs tests, possibly through a script or a makefile. Each of these test
#: runners prints how many tests passed.
_RUNS_TESTS = lazy_pattern(
    r"(?<![\w-])(?:pytest|py\.test|unittest|tox|nox|jest|vitest|mocha|cargo +test|node +--test"
    r"|(?:npm|pnpm|yarn|bun|just)(?: +run)? +(?:test|t|check)|make(?: +-\S+)* +(?:test|check))"
    r"(?![\w-])"
)


def _may_hide_tests(gate: Gate, ran: FinishedRun) -> bool:
    """True if tests may have been prevented from running, although the run passed.

    This is the case if the gate's command runs tests, but its output has no number of passed tests.
    For example, the tested code has ended the test runner with exit code 0.
    """
    reads_output = gate.report is GateReport.EXIT and not gate.tests_may_vanish
    has_no_count = ran.passed and ran.reading.passed is None and ran.reading.passed_count is None
    return reads_output and has_no_count and _RUNS_TESTS.search(gate.run) is not None


#: Permits the removal of no test.
NO_REMOVALS = RemovalPermission()


def result_of(
    gate: Gate,
    ran: FinishedRun,
    base: FinishedRun | None,
    touched: Collection[str],
    removal: RemovalPermission = NO_REMOVALS,
) -> GateResult:
    """Return the gate's result, as decided by the run ``ran``.

    ``base``: the run on the base, with which ``ran`` is compared; None if there is no such run.
    ``touched``: the changed paths. ``removal``: the tests of the base that the change may remove.
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
    if ran.broken:
        decide: _Decide = _result_of_broken_run
    else:
        ran_before = base is not None and bool(_findings_on_base(base).passed_count)
        has_no_tests = ran.reading.has_no_tests or (ran_before and _may_hide_tests(gate, ran))
        decide = _result_without_tests if has_no_tests else _result_by_findings
    result = decide(gate, ran, base, result, removal)
    if base is not None and result.status is not GateStatus.PASSED:
        base_note = "" if base.reading.note == ran.reading.note else base.reading.note
        result = replace(result, note="; ".join(filter(None, [result.note, base_note])))
    if result.status is GateStatus.PASSED:
        return result
    return replace(result, output=ran.output[-MOST_OUTPUT:])


_Decide = Callable[
    [Gate, FinishedRun, FinishedRun | None, GateResult, RemovalPermission], GateResult
]


def did_not_run(gate: Gate, cause: GateCause, note: str) -> GateResult:
    """Return the result of a gate that could not judge the change.

    The result can block the change only if ``gate.is_requested`` is True, or if the gate is the
    built-in scan for secrets. A result with the cause NOTHING_CHANGED never blocks.
    """
    matters = gate.is_requested or gate.is_secret_scan
    is_broken = matters and cause is not GateCause.NOTHING_CHANGED
    return GateResult(
        name=gate.name,
        status=GateStatus.BROKEN if is_broken else GateStatus.SKIPPED,
        required=gate.required,
        note=note,
        cause=cause,
    )


def without_verdict(gate: Gate, cause: GateCause, note: str, result: GateResult) -> GateResult:
    """Return ``result`` without its verdict, as for a gate that did not run.

    The returned result can block the change only in the cases that ``did_not_run`` names.
    """
    unrun = did_not_run(gate, cause, "; ".join(filter(None, [note, result.note])))
    return replace(result, status=unrun.status, note=unrun.note, cause=cause)


#: Causes of a missing verdict that the change itself can produce. If the run on the base has no
#: verdict either, the change is not responsible.
_MAY_BE_CAUSED = frozenset(
    {GateCause.ERROR, GateCause.KILLED, GateCause.TIMEOUT, GateCause.REPORT_UNREADABLE}
)


def _result_of_broken_run(
    gate: Gate, ran: FinishedRun, base: FinishedRun | None, result: GateResult, _: RemovalPermission
) -> GateResult:
    cause = ran.cause or GateCause.ERROR
    if base is None or not base.broken:
        unrun = without_verdict(gate, cause, ran.broken, result)
        blocks = cause in _MAY_BE_CAUSED
        return replace(unrun, status=GateStatus.BROKEN) if blocks else unrun
    unrun = without_verdict(
        gate, cause, f"{ran.broken}; the gate did not run on the base commit either", result
    )
    is_requested = unrun.status is GateStatus.BROKEN
    return unrun if is_requested else replace(unrun, status=GateStatus.KNOWN, known=1)


def _result_without_tests(
    gate: Gate,
    ran: FinishedRun,
    base: FinishedRun | None,
    result: GateResult,
    removal: RemovalPermission,
) -> GateResult:
    now, before = ran.reading, _findings_on_base(base)
    may_remove_all = gate.tests_may_vanish or removal.allows_all
    lost = [] if may_remove_all else removal.forbidden(lost_tests(now, before))
    failures = [f"{name}: {LOST}" for name in lost]
    if base is not None and base.passed and before.passed is None and not may_remove_all:
        failures = [NONE_LEFT]
    if failures:
        return replace(
            result,
            status=GateStatus.FAILED,
            failures=_shortened(failures),
            advice=removal.advice(lost),
            digest=digest_of(lost or failures),
        )
    skipped_note = f"no test ran: all {len(now.skipped)} tests are skipped"
    note = skipped_note if now.skipped else "no tests found"
    unrun = without_verdict(gate, GateCause.NO_TESTS, note, result)
    # If the task may remove all of these tests, their absence does not block the change.
    return replace(unrun, status=GateStatus.SKIPPED) if may_remove_all else unrun


def _result_by_findings(
    gate: Gate,
    ran: FinishedRun,
    base: FinishedRun | None,
    result: GateResult,
    removal: RemovalPermission,
) -> GateResult:
    before, findings = _findings_on_base(base), ran.reading.findings
    base = base or ran
    none_passes = before.passed == () and before.findings and ran.reading.passed == ()
    if none_passes and findings and not gate.is_requested:
        # No test passes, on the base or now: packages of the project may be missing on this
        # machine. Then nothing shows which findings are new.
        return _as_at_base(gate, ran, base, replace(result, known=len(findings)))
    new = new_findings(ran.reading, before) if gate.new_only else list(findings)
    known_count = len(findings) - len(new)
    lost = _lost_tests_that_count(gate, ran.reading, before, removal)
    failures = [_finding_in_words(each, ran) for each in new] + [f"{name}: {LOST}" for name in lost]
    if failures:
        return replace(
            result,
            status=GateStatus.FAILED,
            failures=_shortened(failures),
            known=known_count,
            advice=removal.advice(lost) if lost else "",
            digest=_digest(ran.reading, new, lost),
        )
    result = replace(
        result, status=GateStatus.KNOWN if known_count else GateStatus.PASSED, known=known_count
    )
    if known_count and has_no_details(ran.reading):
        return _as_at_base(gate, ran, base, result)
    return result


def _digest(reading: Reading, new: Sequence[Finding], lost: Sequence[str]) -> str:
    """Return a digest of the new findings and the missing tests.

    The result is "" if the only new finding is an exit code, and no test is missing. For a gate
    that reports tests, the digest includes the findings' messages, because a changed message shows
    progress.
    """
    if all(each.key == EXIT_KEY for each in new) and not lost:
        return ""
    reports_tests = reading.passed is not None
    keys = [
        f"{each.key}|{without_times(each.message)}" if reports_tests else each.key for each in new
    ]
    return digest_of([*keys, *(f"{name}|lost" for name in lost)])


def _findings_on_base(base: FinishedRun | None) -> Reading:
    """Return the findings on the base; no findings if the base has no verdict.

    Without findings on the base, every finding counts against the change.
    """
    return base.reading if base is not None and not base.broken else Reading()


def has_no_details(reading: Reading) -> bool:
    """True if the run failed without details.

    This is the case if no test passed, or if an exit code is the run's only finding.
    """
    only_exit_codes = all(each.key == EXIT_KEY for each in reading.findings)
    return bool(reading.findings) and (reading.passed == () or only_exit_codes)


def _as_at_base(gate: Gate, ran: FinishedRun, base: FinishedRun, result: GateResult) -> GateResult:
    problem = "already fails" if ran.reading.passed is None else "tests already fail"
    error, error_now = _error_in_words(base), _error_in_words(ran)
    if error_now != error and ran.reading.findings[0].key == EXIT_KEY:
        # The outputs may name other failing tests, although the exit codes are the same.
        error += f"; with the change: {error_now}"
    note = f"{problem} on the base commit: {error}"
    unrun = without_verdict(gate, GateCause.FAILS_AT_BASE, note, result)
    # The baseline excuses an exit code and findings of tests that ran. The baseline does not excuse
    # errors that kept tests from running.
    is_excused = not all(each.is_error for each in ran.reading.findings)
    is_known = is_excused or unrun.status is not GateStatus.BROKEN
    return replace(unrun, status=GateStatus.KNOWN) if is_known else unrun


def _error_in_words(ran: FinishedRun) -> str:
    finding = ran.reading.findings[0]
    is_exit_code = finding.key == EXIT_KEY
    return _finding_in_words(finding, ran) if is_exit_code else finding.message[:LONGEST_SHOWN]


#: Pattern of the line in a gate's output that describes the error, in the format of Python, Node,
#: Go, Rust, or make.
_ERROR = lazy_pattern(
    r"^(?:E +)?((?:\w+[.])*\w*(?:Error|Exception|Warning)\b: .+|(?:error|ERROR|fatal)\b.*: .+)$",
    re.MULTILINE,
)


def _finding_in_words(finding: Finding, ran: FinishedRun) -> str:
    if finding.key != EXIT_KEY:
        return finding.text
    match = _ERROR.search(ran.output)
    detail = failing_tests(ran.output) or (match[1] if match else "")
    return f"{finding.text}: {detail}"[:LONGEST_SHOWN] if detail else finding.text


LOST = "passed on the base commit, but does not run now"
NONE_LEFT = "tests ran on the base commit, but none runs now"


def _lost_tests_that_count(
    gate: Gate, now: Reading, before: Reading, removal: RemovalPermission
) -> list[str]:
    """Return the missing tests that make the gate fail.

    A test is missing if the run skipped it, or if its name does not occur in the run. In the second
    case, the test may have run under a new name, because a test's name contains parameters that
    code can change. Such a test therefore counts only if a changed file can remove tests, or if the
    run has a finding.
    """
    if gate.tests_may_vanish:
        return []
    lost = lost_tests(now, before)
    skipped = _skipped_among(lost, now.skipped)
    if not removal.files and not now.findings:
        return skipped
    base_tests = [*(before.passed or ()), *(each.key for each in before.findings)]
    return sorted({*removal.forbidden(lost), *removal.unaffected(skipped, base_tests)})


#: End of the name that pytest gives to a test with an empty list of parameters. pytest skips this
#: test.
_NO_PARAMETERS = "NOTSET]"


def _skipped_among(tests: Sequence[str], skipped: Sequence[str]) -> list[str]:
    skipped_names = {*skipped}
    module_prefixes = [f"{each}{separator}" for each in skipped for separator in ("::", ".")]
    unset = (each for each in skipped if each.endswith(f"[{_NO_PARAMETERS}"))
    prefixes = (*module_prefixes, *(each.removesuffix(_NO_PARAMETERS) for each in unset))
    return [each for each in tests if each in skipped_names or each.startswith(prefixes)]


def _configuration_note(gate: Gate, touched: Collection[str]) -> str:
    changed_settings = matching(sorted(touched), gate.configured_by)
    if not changed_settings:
        return ""
    return f"the change modifies settings of this gate: {listed(changed_settings)}"


def _shortened(texts: Sequence[str]) -> tuple[str, ...]:
    shown = [each[:LONGEST_SHOWN] for each in texts[:MOST_LISTED]]
    more = len(texts) - len(shown)
    return (*shown, f"... and {more} more") if more else tuple(shown)


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
    parts = [_prompt_section(each, share) for each in blocking]
    intro = "Your result did not pass its gates. Fix the findings; do not weaken any gate."
    return "\n\n".join([intro, *parts])[:room]


def _prompt_section(result: GateResult, room: int) -> str:
    lines = [f"Gate {result.name}: {result.outcome.words}"]
    lines += [result.note] if result.note else []
    lines += [f"- {each}" for each in result.failures]
    text = "\n".join(lines)[: room * 2 // 3]
    remaining = room - len(text) - 40
    output_end = result.output[-remaining:] if remaining > 200 else ""
    return f"{text}\nThe end of the gate's output:\n{output_end}" if output_end.strip() else text
