"""Gates: checks that decide if a worker's changes may be merged.

Durations are seconds.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

#: The name of the built-in scan of added lines.
SECRETS = "secrets"
#: ``looks_at`` of a gate that judges no source.
NO_SOURCES = ("!*",)
#: In place of gates: those detected in the repository; none.
AUTO, OFF = "auto", "off"


class GateReport(StrEnum):
    """Format of a gate's report."""

    #: by its exit code alone
    EXIT = "exit"
    #: JUnit XML
    JUNIT = "junit"
    #: SARIF 2.1.0
    SARIF = "sarif"
    #: output of ``ruff check --output-format=json``
    RUFF = "ruff"
    #: output of mypy
    MYPY = "mypy"
    #: output of ``go test -v``
    GO = "go"
    #: output of ``cargo test``
    CARGO = "cargo"
    #: file of ``jest --json`` and ``vitest --reporter=json``
    JEST = "jest"
    #: JSON of bandit
    BANDIT = "bandit"
    #: JSON of ``npm audit``, ``pip-audit`` and ``cargo audit``, and SARIF of ``govulncheck``
    NPM_AUDIT = "npm-audit"
    PIP_AUDIT = "pip-audit"
    CARGO_AUDIT = "cargo-audit"
    GOVULNCHECK = "govulncheck"
    #: output of ``pre-commit run``
    PRE_COMMIT = "pre-commit"


class GateSource(StrEnum):
    """Origin of a gate; a gate that no person asked for may be unable to run."""

    #: Requested by the request or the plan.
    ASKED = "asked"
    #: Requested by the agent that made the plan.
    PLANNED = "planned"
    #: The repository's own file names it.
    REPOSITORY = "repository"
    #: It was found out from the files of the base commit.
    DETECTED = "detected"


class GateStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    #: All its findings are in the baseline, too.
    KNOWN = "known"
    #: Nothing that it looks at was changed.
    SKIPPED = "skipped"
    #: It could not run: for example, its program is missing, or it timed out.
    BROKEN = "broken"


class GateOutcome(StrEnum):
    """A gate's verdict on a change. Only ``PASSED`` approves the change."""

    PASSED = "passed"
    FAILED = "failed"
    #: No verdict on the change; a ``GateCause`` has the reason.
    DID_NOT_RUN = "did_not_run"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


class GateCause(StrEnum):
    """Why a gate did not judge the change, whether its command was started or not."""

    #: Nothing that it looks at was changed.
    NOTHING_CHANGED = "nothing_changed"
    #: It found no test, or skipped all.
    NO_TESTS = "no_tests"
    #: It fails on the base commit, too, and its report does not distinguish failures.
    FAILS_AT_BASE = "fails_at_base"
    PROGRAM_MISSING = "program_missing"
    #: By a signal, the system or a person.
    KILLED = "killed"
    TIMEOUT = "timeout"
    #: Its output does not have the format of its ``report``.
    REPORT_UNREADABLE = "report_unreadable"
    #: The setup of a worktree for it failed.
    SETUP_FAILED = "setup_failed"
    #: It read the project's sources from anywhere but its worktree.
    OUTSIDE_WORKTREE = "outside_worktree"
    NO_NETWORK = "no_network"
    #: The gate, or what it was to judge, could not be started, opened or read.
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One check, as the base commit or the request defines it."""

    name: str
    #: For ``bash -c``, in the worktree.
    run: str
    #: Patterns of paths; it runs if one of the changed files matches. Empty: always.
    when: tuple[str, ...] = ()
    timeout: float = 600.0
    report: GateReport = GateReport.EXIT
    #: Its findings prevent a merge.
    required: bool = True
    #: Findings that the base has, too, do not count.
    new_only: bool = True
    #: Tests that passed at the base may be removed.
    tests_may_vanish: bool = False
    #: Tests that exist at the base may be changed: the work need not pass the base's versions.
    tests_may_change: bool = False
    source: GateSource = GateSource.ASKED
    #: Why the gate exists, as text.
    why: str = ""
    #: The required program; checked before it runs. Empty: the shell reports it.
    program: str = ""
    #: Patterns of files that set its strictness: their changes are reported.
    configured_by: tuple[str, ...] = ()
    #: Its findings are in files, even with tests: a linter that uses its exit code.
    is_of_files: bool = False
    #: Patterns of the sources that it judges; empty: those of ``when``, or all.
    looks_at: tuple[str, ...] = ()
    #: It judges only those Python files that its run executes.
    by_imports: bool = False

    @property
    def is_asked_for(self) -> bool:
        """True if a person asked for it: in the request, the plan, or the repository's own file."""
        return self.source in {GateSource.ASKED, GateSource.REPOSITORY}

    @property
    def is_secret_scan(self) -> bool:
        """True for the built-in scan for secrets, which runs no command."""
        return self.name == SECRETS and not self.run


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    name: str
    status: GateStatus
    required: bool = True
    seconds: float = 0.0
    #: Findings that the base does not have: names of tests, or places with messages.
    failures: tuple[str, ...] = ()
    #: How much it found that the base has, too.
    known: int = 0
    #: How many tests passed; None for a gate that does not count them.
    tests: int | None = None
    #: The end of its output; only if it did not pass.
    output: str = ""
    #: A note, as text: why it did not run, or what the change did to it.
    note: str = ""
    #: Path of its whole output, below the root job's directory.
    log: str = ""
    #: Files by which it judges that the work has altered, as its task may.
    judges: tuple[str, ...] = ()
    #: The work changes other code, too.
    judges_with_code: bool = False
    #: What to type to accept its findings; empty if nothing allows them.
    advice: str = ""
    #: Why it has no verdict; None if it passed or failed, and in older rows.
    cause: GateCause | None = None
    #: Equal for the same findings, on any line and in any order; empty if the report names none.
    digest: str = ""
    #: Its findings lie in files, as a linter's do.
    is_of_files: bool = False
    #: On a merged state: findings of only one of two runs, which do not count; "": the whole gate.
    flaky: tuple[str, ...] = ()
    #: Of a candidate: tests of the base that pass with the base's tests and configuration.
    base_tests: int | None = None
    #: For a candidate: passed tests that the base does not have; without parameters.
    new_tests: tuple[str, ...] = ()
    #: Of a candidate: findings with the base's configuration; None: as many as ``failures``.
    base_findings: int | None = None
    #: Patterns of the sources that it judges; empty: all, and in older rows.
    looks_at: tuple[str, ...] = ()
    #: Python files of the change that no test imported.
    not_imported: tuple[str, ...] = ()
    #: New comments of the change that switch off its findings, such as "a.py:3".
    switched_off: tuple[str, ...] = ()

    @property
    def outcome(self) -> GateOutcome:
        if self.status is GateStatus.FAILED:
            return GateOutcome.FAILED
        is_unrun = self.cause or self.status in {GateStatus.SKIPPED, GateStatus.BROKEN}
        return GateOutcome.DID_NOT_RUN if is_unrun else GateOutcome.PASSED

    @property
    def has_approved(self) -> bool:
        """True if it judged the work without findings; the scan for secrets judges none."""
        passed = self.status is GateStatus.PASSED and self.outcome is GateOutcome.PASSED
        return passed and self.name != SECRETS

    @property
    def blocks(self) -> bool:
        return self.required and self.status in {GateStatus.FAILED, GateStatus.BROKEN}


class GatePlace(StrEnum):
    """What a gate runs on."""

    BASE = "base commit"
    WORKER = "worker"
    RESULT = "merged result"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRun:
    """A run of one gate that begins, or has ended."""

    root_id: str
    job_id: str
    #: The check that it is for: a worker's name, or that of the check of a merged result.
    check: str
    gate: str
    place: GatePlace
    #: How long it took; None: it begins.
    seconds: float | None = None

    @property
    def on(self) -> str:
        """A worker's name, or another place."""
        return self.check if self.place is GatePlace.WORKER else str(self.place)

    @property
    def words(self) -> str:
        """Format the run, such as ``gate pytest: base commit``."""
        return f"gate {self.gate}: {self.on}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlteredJudges:
    """Judging files that the work has altered, as its task may."""

    paths: tuple[str, ...] = ()
    #: The work changes other code, too.
    with_code: bool = False


def altered_judges(results: Iterable[GateResult]) -> AlteredJudges:
    found = [each for each in results if each.judges]
    paths = {path for each in found for path in each.judges}
    return AlteredJudges(
        paths=tuple(sorted(paths)), with_code=any(each.judges_with_code for each in found)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """What a task may alter of the files by which gates judge its work."""

    #: Patterns of files that it promised to write.
    writes: tuple[str, ...] = ()
    #: Its work is tests, and nothing but tests.
    tests: bool = False
    #: Its work is tests, and it changed other code, too: tests that fail at the base are its own.
    failing_tests: bool = False
    #: Files that its child jobs made, and that were judged there; from the top of the worktree.
    judged: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Gates to run on one state of the project."""

    root_id: str
    job_id: str
    #: Unique in the root job's tree at any time: ``worker_1``, ``result_<job>``.
    name: str
    #: The worktree that has the state checked out.
    directory: str
    #: Commits: the start of the change, and the change.
    base: str
    commit: str
    gates: tuple[Gate, ...]
    #: The top of the worktree; empty: ``directory`` is in none.
    worktree: str = ""
    #: Whose state it is.
    place: GatePlace = GatePlace.WORKER
    #: By task whose work the state has: what it may alter.
    leaves: tuple[Leave, ...] = ()
    #: For a candidate: its gates count the base's tests and the new ones.
    is_compared: bool = False


class Gates(Protocol):
    def begin(self, check: Check, done: Callable[[Sequence[GateResult]], None]) -> None:
        """Run the gates of a check one after another. Any thread may call.

        ``done`` is called once, from any thread, with one result per gate, in order; also for a
        gate that cannot run. It is not called if the server stops first. Afterwards the worktree
        matches its commit. A second check with the same name must not begin before the first is
        done.
        """

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        """Stop a running check; ``done`` is called with the results so far. False: there is none.

        Any thread may call. Idempotent.
        """


class GateFiles(Protocol):
    """The files of a commit, for detecting the project's gates."""

    def read(self, path: str) -> str:
        """Return a file's text; empty if it does not exist or cannot be read."""

    def names(self, directory: str = "") -> Collection[str]:
        """Return the entries of a directory; empty if it does not exist."""

    def paths(self) -> Collection[str]:
        """Return every file of the project, except those in the product's own folder."""


class GateFinder(Protocol):
    """Creates gates from names and commands."""

    def found(self, files: GateFiles) -> Sequence[Gate]:
        """Return a project's default gates. Raise InvalidRequest."""

    def named(self, asked: Sequence[Gate], files: GateFiles) -> Sequence[Gate]:
        """Return complete gates for the requested names, commands, or both.

        Raise InvalidRequest for a name that is unknown here, and for two gates of one name.
        """
