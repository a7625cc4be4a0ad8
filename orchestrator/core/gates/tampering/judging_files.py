"""Changes to files that decide how gates judge, such as tests and their configuration. Pure.

A gate that passes runs a second time with the base's versions of these files. A test or check that
fails in the second run is a finding.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.gates.file_kinds import has_code, is_of_tests
from orchestrator.core.gates.findings import (
    LONGEST_TOLD,
    MOST_TOLD,
    Flaw,
    Ran,
    Reading,
    lost_tests,
    new_flaws,
)
from orchestrator.core.gates.removed_tests import CHANGE, to_allow
from orchestrator.core.gates.same_failure import digest_of
from orchestrator.core.model.gate import Gate, GateReport, GateResult, GateStatus, Leave
from orchestrator.core.model.path_patterns import matches

#: Maximum number of files that a sentence names.
MOST_NAMED = 3
#: Manifests of dependencies: with the base's manifest, code with new dependencies does not build.
_MANIFESTS = ("Cargo.toml", "go.mod", "go.work", "build.rs")
#: Reports of gates whose findings are in files, so that tests do not decide their verdict.
_OF_FILES = frozenset({GateReport.RUFF, GateReport.MYPY, GateReport.SARIF, GateReport.PRE_COMMIT})


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAlteration:
    """Alterations of files that decide how gates judge the work."""

    #: By path: the path whose base content the file gets in the second run; None: the file is
    #: removed.
    swap: Mapping[str, str | None] = field(default_factory=dict)
    #: Files that judged before the change; new tests judge nothing.
    judges: tuple[str, ...] = ()
    #: Judging files that the task may alter, and has altered.
    allowed: tuple[str, ...] = ()
    #: True if the task may repair the tests among ``judges`` that fail at the base.
    repairs: bool = False


@dataclass(frozen=True, slots=True)
class JudgeMove:
    """A judging file that was moved."""

    before: str
    #: True if the file's content is the same.
    is_exact: bool


def held_to_tests(
    gate: Gate, leaves: Sequence[Leave], touched: Collection[str]
) -> tuple[Leave, ...]:
    """Limit the files that tasks may alter: a change that also touches other code may only repair
    failing tests.

    Otherwise one change could break code and weaken the tests that show the fault.
    """

    def held(leave: Leave) -> Leave:
        is_held = leave.tests and changes_code(gate, [*{*touched} - leave.judged])
        return replace(leave, tests=False, failing_tests=True) if is_held else leave

    return tuple(map(held, leaves))


def changes_code(gate: Gate, touched: Iterable[str]) -> bool:
    """True if code other than tests and settings changed: in files of this gate, or in hidden
    directories.
    """
    own = (each for each in touched if not (is_of_tests(each) or each.startswith(".")))
    return has_code(each for each in own if not matches(each, gate.configured_by))


def alteration(
    gate: Gate,
    touched: Mapping[str, bool],
    moves: Mapping[str, JudgeMove],
    equal: Collection[str],
    removed: Collection[str],
    leaves: Sequence[Leave],
    is_compared: bool = False,
) -> JudgeAlteration:
    """Return the alteration of judging files. ``touched``: changed paths, each with True if the
    base has it.

    ``moves``: moved files by their new path. ``equal``: mixed files whose judging part is as at
    the base. ``removed``: paths that the base has, and the change lacks. ``is_compared``: True for
    candidates, which are also compared without their new tests.
    """
    left = {move.before for move in moves.values()}
    swap: dict[str, str | None] = {}
    judges, allowed = [], []
    for path, was_there in touched.items():
        move, kind = moves.get(path), _kind(gate, path)
        if not kind or path in left or path in equal:
            continue
        if kind == _TESTS and path in removed and gate.tests_may_vanish:
            continue
        if move is not None and move.is_exact:
            continue
        is_judge = kind == _CONFIGURATION or was_there or move is not None
        is_of_child = any(path in each.judged for each in leaves)
        if is_of_child or (is_judge and any(_is_allowed(gate, path, each) for each in leaves)):
            allowed += [path] if is_judge else []
            continue
        swap[path] = move.before if move else path if was_there else None
        judges += [path] if is_judge else []
    is_swapped = judges or is_compared
    return JudgeAlteration(
        swap=swap if is_swapped else {},
        judges=tuple(judges),
        allowed=tuple(allowed),
        repairs=any(each.failing_tests for each in leaves) and all(map(is_of_tests, judges)),
    )


_CONFIGURATION, _TESTS = "configuration", "tests"


def _kind(gate: Gate, path: str) -> str:
    """Return the kind of a judging file; "" for a file that does not affect the gate's findings."""
    if reads_tests(gate) and is_of_tests(path) and not _is_configuration(gate, path):
        return _TESTS
    return _CONFIGURATION if _is_configuration(gate, path) else ""


def _is_configuration(gate: Gate, path: str) -> bool:
    return matches(path, gate.configured_by) and not matches(path, _MANIFESTS)


def reads_tests(gate: Gate) -> bool:
    return gate.report not in _OF_FILES and not gate.is_of_files


def _is_allowed(gate: Gate, path: str, leave: Leave) -> bool:
    if matches(path, leave.writes):
        return True
    return is_of_tests(path) and (leave.tests or gate.tests_may_change)


def needs_base_of(now: Ran, second: Ran) -> bool:
    """True if the findings of the second run must be compared with the base."""
    return not second.passed or now.reading.passed is not None


def with_second_run(
    gate: Gate,
    result: GateResult,
    now: Ran,
    second: Ran,
    base: Ran | None,
    altered: JudgeAlteration,
) -> GateResult:
    """Set the result to failed if the gate passes only with the worker's versions of judging
    files.
    """
    found = swayed(gate, now, second, base, altered.repairs)
    if not found:
        repaired = altered.judges if altered.repairs else ()
        return replace(result, judges=(*result.judges, *repaired))
    files = named(altered.judges)
    told = [
        f"with {files} of the base commit: {each.text}"[:LONGEST_TOLD] for each in found[:MOST_TOLD]
    ]
    return replace(
        result,
        status=GateStatus.FAILED,
        failures=(*result.failures, *told),
        advice=to_allow(altered.judges, CHANGE if all(map(is_of_tests, altered.judges)) else ""),
        output=second.output,
        digest=digest_of([result.digest, *altered.judges, *(each.key for each in found)]),
    )


def swayed(
    gate: Gate, now: Ran, second: Ran, base: Ran | None, repairs: bool = False
) -> list[Flaw]:
    """Return tests and checks that pass now and fail with the base's versions; empty if the base's
    run has no verdict.

    ``repairs``: except tests that fail at the base.
    """
    if base is None or base.broken:
        return []
    if second.broken:
        return [Flaw(second.cause or "", second.broken, is_error=True)]
    if now.reading.passed is not None:
        found = _swayed_tests(gate, now.reading, second.reading, base.reading)
        known = {each.key for each in base.reading.flaws} if repairs else set()
        return [each for each in found if each.key not in known]
    flaws = new_flaws(second.reading, now.reading)
    return new_flaws(Reading(flaws=tuple(flaws)), base.reading)


def _swayed_tests(gate: Gate, now: Reading, second: Reading, base: Reading) -> list[Flaw]:
    """Return tests that pass only with the worker's versions of judging files.

    ``second``: the run with the base's versions. New tests are excluded, because they may need new
    code.
    """
    failing = {each.key for each in now.flaws}
    passing = {_own_name(name) for name in now.passed or ()}
    flaws = [
        each for each in second.flaws if each.key not in failing and _own_name(each.key) in passing
    ]
    failed = {each.key for each in flaws}
    lost = set(lost_tests(second, base)) - {*lost_tests(now, base), *failing, *failed}
    if gate.tests_may_vanish:
        lost = {name for name in lost if _own_name(name) in passing}
    errors = [each.text for each in second.flaws if _own_name(each.key) not in passing]
    why = f" ({errors[0]})" if errors else ""
    return [
        *flaws,
        *(Flaw(name, f"{name}: does not run{why}") for name in sorted(lost)),
    ]


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


def named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return f"{', '.join(paths[:MOST_NAMED])}{more}"
