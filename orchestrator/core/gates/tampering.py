"""Changes that would make gates pass although the work is wrong. Pure.

- Changes of files that decide how gates judge, such as tests and their configuration. A gate that
  passed runs a second time, with the base's versions of these files. A test that fails only in the
  second run is a finding.
- Changes of files by a gate itself. The gate then fails, because a gate must only judge, and not
  repair.
- Comments that switch off a tool's findings in a line or a file.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from orchestrator.core.gates.failure_fingerprint import digest_of
from orchestrator.core.gates.file_kinds import has_code, is_of_tests
from orchestrator.core.gates.findings import Finding, FinishedRun, Reading, lost_tests, new_findings
from orchestrator.core.gates.gate import (
    AlterationPermission,
    Gate,
    GateReport,
    GateResult,
    GateStatus,
)
from orchestrator.core.gates.gate_decision import LONGEST_SHOWN, MOST_LISTED
from orchestrator.core.gates.removal_permission import CHANGE, how_to_allow
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import listed, plural
from orchestrator.core.text.path_patterns import matches

#: Tables of pyproject.toml that configure builds, installations, or releases, but no gate.
_BUILD_TOOLS = frozenset(
    {"poetry", "uv", "hatch", "setuptools", "setuptools_scm", "pdm", "flit", "scikit-build"}
    | {"maturin", "bumpversion", "semantic_release", "commitizen", "towncrier", "cibuildwheel"}
)
_PACKAGE = "package.json"
#: Prefixes of scripts that npm runs before and after another script.
_AROUND = ("pre", "post")
#: Keys of package.json with the configuration of checks.
_OF_PACKAGE = (
    *("scripts", "jest", "vitest", "mocha", "ava", "tap", "nyc", "c8", "babel", "xo", "standard"),
    *("eslintConfig", "eslintIgnore", "prettier", "stylelint", "lint-staged", "browserslist"),
)
#: Sections of setup.cfg that describe the package.
_OF_SETUP = ("metadata", "options")


def judges_equally(path: str, before: str, after: str) -> bool:
    """True if two versions of a file configure the gates equally.

    ``before``, ``after``: the texts of the two versions.

    New scripts of npm do not count, because no gate runs them. Exception: npm also runs the scripts
    ``pretest`` and ``posttest`` if a gate runs the script ``test``.
    """
    now, base = judging_part(path, after), judging_part(path, before)
    if isinstance(now, dict) and isinstance(base, dict) and path.endswith(_PACKAGE):
        scripts, base_scripts = now.get("scripts"), base.get("scripts")
        if isinstance(scripts, dict) and isinstance(base_scripts, dict):
            run_with = {f"{prefix}{name}" for name in base_scripts for prefix in ("", *_AROUND)}
            old = {name: text for name, text in scripts.items() if name in run_with}
            now = {**now, "scripts": old}
    return now == base


#: Matches text of ``conftest.py`` that may decide how pytest judges: hooks, plugins, and patches.
_HOOKS = re.compile(
    r"\bdef\s+pytest_|\bpytest_plugins\b|\bcollect_ignore|hookimpl|\b_pytest\b|_exit\b|\batexit\b"
    r"|\bsetattr\b|\bexec\b|\beval\b|\bpytest\.exit\b"
)


def has_only_fixtures(path: str, text: str) -> bool:
    """True for a ``conftest.py`` without hooks. Its fixtures are part of the tests."""
    return path.rpartition("/")[2] == "conftest.py" and _HOOKS.search(text) is None


def judging_part(path: str, text: str) -> object:
    """Return the part of a file that configures gates.

    Return the whole text if the format is unknown, or if the file cannot be parsed.
    """
    reader = _READERS.get(path.rpartition("/")[2])
    try:
        return text if reader is None else reader(text)
    except (ValueError, RecursionError):
        return text


def _checks_in_pyproject(text: str) -> object:
    tools = tomllib.loads(text).get("tool", {})
    return {name: table for name, table in tools.items() if name not in _BUILD_TOOLS}


def _checks_in_package_json(text: str) -> object:
    package: Mapping[str, Any] = json.loads(text or "{}")
    return {name: package.get(name) for name in _OF_PACKAGE}


def _checks_in_setup_cfg(text: str) -> object:
    # Imported when needed, because most projects have no setup.cfg.
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from error
    sections = (name for name in parser.sections() if not name.startswith(_OF_SETUP))
    return {name: dict(parser[name]) for name in sections}


_READERS: Mapping[str, Callable[[str], object]] = {
    "pyproject.toml": _checks_in_pyproject,
    _PACKAGE: _checks_in_package_json,
    "setup.cfg": _checks_in_setup_cfg,
}
#: Names of files of which only a part configures gates (see ``judging_part``).
MIXED = tuple(_READERS)


#: Maximum number of files that a sentence names.
MOST_NAMED = 3
#: Manifests of dependencies. The second run keeps the worker's manifests, because code with new
#: dependencies does not build with the base's manifest.
_MANIFESTS = ("Cargo.toml", "go.mod", "go.work", "build.rs")
#: Formats of reports with findings in files. Tests do not decide the verdicts of gates with such
#: reports.
_OF_FILES = frozenset({GateReport.RUFF, GateReport.MYPY, GateReport.SARIF, GateReport.PRE_COMMIT})


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAlteration:
    """How a worker altered tests and gate settings that judge its work."""

    #: Files to replace for the second run. Key: a file's path. Value: the path in the base commit
    #: whose content the file gets; None to remove the file.
    swap: Mapping[str, str | None] = field(default_factory=dict)
    #: Tests and gate settings that the work altered without permission. New tests are not included,
    #: because a new test judges nothing on the base.
    judges: tuple[str, ...] = ()
    #: The gate settings in ``judges``, without files that have only fixtures.
    settings: tuple[str, ...] = ()
    #: Tests and gate settings that the work altered with its task's permission.
    allowed: tuple[str, ...] = ()
    #: True if the task may repair tests in ``judges`` that fail on the base.
    repairs: bool = False


@dataclass(frozen=True, slots=True)
class JudgeMove:
    """A moved test or file of gate settings. ``before``: the file's path on the base."""

    before: str
    #: True if the file's content is the same.
    is_exact: bool


def restricted_permissions(
    gate: Gate, permissions: Sequence[AlterationPermission], touched: Collection[str]
) -> tuple[AlterationPermission, ...]:
    """Return ``permissions``, made stricter if the change alters code (see ``changes_code``).

    A task that alters such code may only repair tests that fail on the base. Otherwise a task could
    break code, and also weaken the tests that would show the error.
    """

    def restricted(permission: AlterationPermission) -> AlterationPermission:
        is_restricted = permission.tests and changes_code(gate, [*{*touched} - permission.judged])
        return replace(permission, tests=False, failing_tests=True) if is_restricted else permission

    return tuple(map(restricted, permissions))


def changes_code(gate: Gate, touched: Iterable[str]) -> bool:
    """True if the change touches code other than tests and settings.

    Paths that start with a dot are ignored.
    """
    code_paths = (each for each in touched if not (is_of_tests(each) or each.startswith(".")))
    return has_code(each for each in code_paths if not matches(each, gate.configured_by))


def alteration(
    gate: Gate,
    touched: Mapping[str, bool],
    moves: Mapping[str, JudgeMove],
    equal: Collection[str],
    removed: Collection[str],
    permissions: Sequence[AlterationPermission],
    is_compared: bool = False,
) -> JudgeAlteration:
    """Return how the work altered the tests and settings with which the gate judges the work.

    ``touched``: the changed paths; the value is True if the base has the path. ``moves``: moved
    files, by new path. ``equal``: changed files with unchanged gate settings. ``removed``: the
    paths of ``touched`` that the work removed.

    If ``swap`` of the result is not empty, the gate runs a second time. In this run, altered tests
    and settings have the base's content, and new tests are removed. ``is_compared``: True for a
    candidate. A candidate has this second run even if it only adds tests.
    """
    moved_from = {move.before for move in moves.values()}
    swap: dict[str, str | None] = {}
    judges, allowed, settings = [], [], []
    for path, is_on_base in touched.items():
        move, kind = moves.get(path), _judging_kind(gate, path)
        if not kind or path in moved_from or path in equal:
            continue
        if kind == _TESTS and path in removed and gate.tests_may_vanish:
            continue
        if move is not None and move.is_exact:
            continue
        is_judge = kind == _CONFIGURATION or is_on_base or move is not None
        is_of_child = any(path in each.judged for each in permissions)
        if is_of_child or (is_judge and any(_is_allowed(gate, path, each) for each in permissions)):
            allowed += [path] if is_judge else []
            continue
        swap[path] = move.before if move else path if is_on_base else None
        judges += [path] if is_judge else []
        settings += [path] if kind == _CONFIGURATION else []
    is_swapped = judges or is_compared
    return JudgeAlteration(
        swap=swap if is_swapped else {},
        judges=tuple(judges),
        settings=tuple(settings),
        allowed=tuple(allowed),
        repairs=any(each.failing_tests for each in permissions) and all(map(is_of_tests, judges)),
    )


_CONFIGURATION, _TESTS = "configuration", "tests"


def _judging_kind(gate: Gate, path: str) -> str:
    if reads_tests(gate) and is_of_tests(path) and not _is_configuration(gate, path):
        return _TESTS
    return _CONFIGURATION if _is_configuration(gate, path) else ""


def _is_configuration(gate: Gate, path: str) -> bool:
    return matches(path, gate.configured_by) and not matches(path, _MANIFESTS)


def reads_tests(gate: Gate) -> bool:
    return gate.report not in _OF_FILES and not gate.is_of_files


def _is_allowed(gate: Gate, path: str, permission: AlterationPermission) -> bool:
    if matches(path, permission.writes):
        return True
    return is_of_tests(path) and (permission.tests or gate.tests_may_change)


def needs_base_of(now: FinishedRun, second: FinishedRun) -> bool:
    """True if ``second`` can be judged only with the results of the gate on the base.

    ``now``: the run on the worker's result. ``second``: the run on the same result, but with the
    base's versions of tests and configuration.
    """
    return not second.passed or now.reading.passed is not None


def with_second_run(
    gate: Gate,
    result: GateResult,
    now: FinishedRun,
    second: FinishedRun,
    base: FinishedRun | None,
    altered: JudgeAlteration,
) -> GateResult:
    """Return the result, or a failure if the gate passes only with altered tests or configuration.

    ``now``: the run on the worker's result. ``second``: the run with the base's tests and
    configuration. ``base``: the run on the base commit.
    """
    findings = hidden_findings(gate, now, second, base, altered.repairs)
    if not findings:
        repaired = altered.judges if altered.repairs else ()
        return replace(result, judges=(*result.judges, *repaired))
    files = listed(altered.judges, MOST_NAMED)
    failures = [
        f"with {files} from the base commit: {each.text}"[:LONGEST_SHOWN]
        for each in findings[:MOST_LISTED]
    ]
    return replace(
        result,
        status=GateStatus.FAILED,
        failures=(*result.failures, *failures),
        advice=how_to_allow(
            altered.judges, CHANGE if all(map(is_of_tests, altered.judges)) else ""
        ),
        output=second.output,
        digest=digest_of([result.digest, *altered.judges, *(each.key for each in findings)]),
    )


def hidden_findings(
    gate: Gate,
    now: FinishedRun,
    second: FinishedRun,
    base: FinishedRun | None,
    repairs: bool = False,
) -> list[Finding]:
    """Return the tests and checks that pass only because the worker altered tests or configuration.

    A gate without a report names no tests. If fewer of its tests pass than in the second run, the
    result is one finding with both numbers. In all other cases, the result is empty if the gate has
    no verdict on the base.

    ``second``: the run with the base's tests and configuration. ``repairs``: True to omit tests
    that fail on the base.
    """
    if fewer := _fewer_tests(gate, now.reading, second):
        return [fewer]
    if base is None or base.broken:
        return []
    if second.broken:
        return [Finding(second.cause or "", second.broken, is_error=True)]
    if now.reading.passed is not None:
        hidden = _hidden_test_findings(gate, now.reading, second.reading, base.reading)
        known_keys = {each.key for each in base.reading.findings} if repairs else set()
        return [each for each in hidden if each.key not in known_keys]
    findings = new_findings(second.reading, now.reading)
    return new_findings(Reading(findings=tuple(findings)), base.reading)


def _fewer_tests(gate: Gate, now: Reading, second: FinishedRun) -> Finding | None:
    count, base_count = now.passed_count, second.reading.passed_count
    if gate.tests_may_vanish or not second.passed or count is None or base_count is None:
        return None
    if count >= base_count:
        return None
    passing = plural(base_count, "passing test")
    return Finding("fewer tests", f"{passing}; with the change only {count}")


def _hidden_test_findings(
    gate: Gate, now: Reading, second: Reading, base: Reading
) -> list[Finding]:
    """Return what ``hidden_findings`` returns, for a gate that reports tests.

    The second run uses the base's test files, so it lacks all new tests. Therefore a test that did
    not run in the second run is returned only if the test passed on the base.
    """
    failing_now = {each.key for each in now.findings}
    passing_now = {_own_name(name) for name in now.passed or ()}
    findings = [
        each
        for each in second.findings
        if each.key not in failing_now and _own_name(each.key) in passing_now
    ]
    finding_keys = {each.key for each in findings}
    lost = set(lost_tests(second, base)) - {*lost_tests(now, base), *failing_now, *finding_keys}
    if gate.tests_may_vanish:
        lost = {name for name in lost if _own_name(name) in passing_now}
    errors = [each.text for each in second.findings if _own_name(each.key) not in passing_now]
    reason = f" ({errors[0]})" if errors else ""
    return [
        *findings,
        *(Finding(name, f"{name}: does not run{reason}") for name in sorted(lost)),
    ]


def _own_name(test: str) -> str:
    return test.rpartition("::")[2]


REWRITTEN = "the gate changed this tracked file; use a command that only checks files"


def with_rewrites(
    result: GateResult, ran: FinishedRun, base: FinishedRun | None, touched: Collection[str]
) -> GateResult:
    """Return the result, or a failure if the gate changed tracked files.

    Changes that the gate also makes on the base do not count (see ``new_rewrites``). ``touched``:
    files that the worker changed.
    """
    if ran.broken or not ran.rewritten:
        return result
    paths = new_rewrites(ran, base, touched)
    if not paths:
        return result
    rewritten = tuple(f"{path}: {REWRITTEN}" for path in paths)
    digest = digest_of([result.digest, *paths])
    failures = (*result.failures, *rewritten)
    return replace(result, status=GateStatus.FAILED, failures=failures, digest=digest)


def new_rewrites(now: FinishedRun, base: FinishedRun | None, touched: Collection[str]) -> list[str]:
    """Return the files that the gate changes now, but does not change on the base.

    Exception: a file of ``touched`` is also returned if the gate changes it on the base, but now
    changes an additional place. ``touched``: files that the worker changed.
    """
    base_rewrites = base.rewritten if base is not None else ()
    touched_now, touched_before = (
        Reading(findings=tuple(each for each in findings if each.text in touched))
        for findings in (now.rewritten, base_rewrites)
    )
    new_places = new_findings(touched_now, touched_before)
    base_paths = {each.text for each in base_rewrites}
    untouched_paths = {each.text for each in now.rewritten if each.text not in touched}
    return sorted({each.text for each in new_places} | (untouched_paths - base_paths))


#: Patterns of comments that suppress findings, by the name of the tool in a gate's command.
_COMMENTS = {
    "ruff": r"#\s*(?:flake8:\s*|ruff:\s*)?noqa\b.*",
    "flake8": r"#\s*(?:flake8:\s*)?noqa\b.*",
    "mypy": r"#\s*(?:type:\s*ignore|mypy:\s*(?:ignore-errors|disable-error-code))\b.*",
    "pyright": r"#\s*(?:type|pyright):\s*ignore\b.*",
    "pylint": r"#\s*pylint:\s*(?:disable|skip-file)\b.*",
    "bandit": r"#\s*nosec\b.*",
    "--cov": r"#\s*pragma:\s*no cover\b.*",
    "eslint": r"(?://|/\*)\s*eslint-disable\b.*",
    "biome": r"(?://|/\*)\s*biome-ignore\b.*",
    "tsc": r"(?://|/\*)\s*@ts-(?:ignore|nocheck|expect-error)\b.*",
    "golangci-lint": r"//\s*nolint\b.*",
    "shellcheck": r"#\s*shellcheck\s+disable\b.*",
}
#: Number of characters at the start of a line that are searched for a comment.
_MOST = 2000


def comments_of(command: str) -> re.Pattern[str] | None:
    """Return the pattern of comments that suppress a tool's findings, such as ``# noqa``.

    ``command``: the gate's command, which names the tools. Return None if no such tool is known.
    """
    tools = (each for each in _COMMENTS if re.search(rf"(?<![\w-]){each}(?![\w-])", command))
    patterns = [_COMMENTS[each] for each in tools]
    return re.compile("|".join(patterns)) if patterns else None


def switched_off(
    comments: re.Pattern[str], now: Mapping[str, str], before: Iterable[str]
) -> Iterator[str]:
    """Yield the place, such as ``a.py:3``, of each new comment that matches ``comments``.

    ``now``: texts of the files, by path. ``before``: their texts before the change. A comment that
    was moved, or whose line was changed, is not new.
    """
    lines, known_comments = Counter[str](), Counter[str]()
    for text in before:
        for _, line, comment in _lines_with_comments(comments, text):
            lines[line] += 1
            known_comments[comment] += 1
    remaining = []
    for path, text in now.items():
        for number, line, comment in _lines_with_comments(comments, text):
            if lines[line] > 0:
                lines[line] -= 1
                known_comments[comment] -= 1
            else:
                remaining.append((f"{path}:{number}", comment))
    for place, comment in remaining:
        known_comments[comment] -= 1
        if known_comments[comment] < 0:
            yield place


def _lines_with_comments(comments: re.Pattern[str], text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if comment := comments.search(line[:_MOST]):
            yield number, line.strip(), comment[0].strip()
