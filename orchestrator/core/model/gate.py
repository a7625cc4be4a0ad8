"""Checks that decide whether what a worker changed may be merged.

Durations are seconds.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

#: The name of the built-in scan of what a change adds.
SECRETS = "secrets"
#: ``looks_at`` of a gate that judges no source.
NO_SOURCES = ("!*",)
#: In place of gates: those that are found out from the repository; none.
AUTO, OFF = "auto", "off"


class GateReport(StrEnum):
    """How it is read what a gate has found."""

    #: by its exit code alone
    EXIT = "exit"
    #: JUnit XML
    JUNIT = "junit"
    #: SARIF 2.1.0
    SARIF = "sarif"
    #: what ``ruff check --output-format=json`` prints
    RUFF = "ruff"
    #: what mypy prints
    MYPY = "mypy"
    #: what ``go test -v`` prints
    GO = "go"
    #: what ``cargo test`` prints
    CARGO = "cargo"
    #: what ``jest --json`` and ``vitest --reporter=json`` write
    JEST = "jest"
    #: JSON of bandit
    BANDIT = "bandit"
    #: JSON of ``npm audit``, ``pip-audit`` and ``cargo audit``, and SARIF of ``govulncheck``
    NPM_AUDIT = "npm-audit"
    PIP_AUDIT = "pip-audit"
    CARGO_AUDIT = "cargo-audit"
    GOVULNCHECK = "govulncheck"
    #: what ``pre-commit run`` prints
    PRE_COMMIT = "pre-commit"


class GateSource(StrEnum):
    """Where a gate comes from; one that no person asked for may be unable to run."""

    #: The request or the plan asks for it.
    ASKED = "asked"
    #: The agent that made the plan asks for it.
    PLANNED = "planned"
    #: The repository's own file names it.
    REPOSITORY = "repository"
    #: It was found out from the files of the base commit.
    DETECTED = "detected"


class GateStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    #: It finds only what it finds at the base, too.
    KNOWN = "known"
    #: Nothing that it looks at was changed.
    SKIPPED = "skipped"
    #: It could not be run: its program is missing, say, or its time was over.
    BROKEN = "broken"


class GateOutcome(StrEnum):
    """What a gate says of a change. Only ``PASSED`` speaks for it."""

    PASSED = "passed"
    FAILED = "failed"
    #: It says nothing of the change; a ``GateCause`` says why.
    DID_NOT_RUN = "did_not_run"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


class GateCause(StrEnum):
    """Why a gate did not run: did not judge the change, whether its command was started or not."""

    #: Nothing that it looks at was changed.
    NOTHING_CHANGED = "nothing_changed"
    #: It found no test, or skipped all.
    NO_TESTS = "no_tests"
    #: It fails on the base commit, too, and its report cannot tell one failure from another.
    FAILS_AT_BASE = "fails_at_base"
    PROGRAM_MISSING = "program_missing"
    #: By a signal, the system or a person.
    KILLED = "killed"
    TIMEOUT = "timeout"
    #: What it wrote is not what its ``report`` says.
    REPORT_UNREADABLE = "report_unreadable"
    #: What prepares a worktree for it failed.
    SETUP_FAILED = "setup_failed"
    #: It read the project's sources from anywhere but its worktree.
    OUTSIDE_WORKTREE = "outside_worktree"
    NO_NETWORK = "no_network"
    #: It, or what it was to judge, could not be started, opened or read.
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One check, as the base commit or the request defines it."""

    name: str
    #: For ``bash -c``, in the worktree.
    run: str
    #: Patterns of paths; it runs when one of the changed files matches. Empty: always.
    when: tuple[str, ...] = ()
    timeout: float = 600.0
    report: GateReport = GateReport.EXIT
    #: What it finds keeps the change from being merged.
    required: bool = True
    #: What it finds at the base, too, does not count.
    new_only: bool = True
    #: Tests that passed at the base need not be there any more.
    tests_may_vanish: bool = False
    #: Tests that are there at the base may be changed: the work need not pass the base's versions.
    tests_may_change: bool = False
    source: GateSource = GateSource.ASKED
    #: Why it is there, in words.
    why: str = ""
    #: The program that it needs; looked for before it runs. Empty: the shell will say.
    program: str = ""
    #: Patterns of files that say how strict it is: who changes them is told.
    configured_by: tuple[str, ...] = ()
    #: What it finds lies in files, whatever tests say: a linter that goes by its exit code.
    is_of_files: bool = False
    #: Patterns of the sources that it judges; empty: those of ``when``, or all.
    looks_at: tuple[str, ...] = ()
    #: Of these, it judges only the Python files that its run executes.
    by_imports: bool = False

    @property
    def is_asked_for(self) -> bool:
        """A person wants it: in the request, the plan, or the repository's own file."""
        return self.source in {GateSource.ASKED, GateSource.REPOSITORY}

    @property
    def is_secret_scan(self) -> bool:
        """Built in: it runs no command."""
        return self.name == SECRETS and not self.run


@dataclass(frozen=True, kw_only=True, slots=True)
class GateResult:
    name: str
    status: GateStatus
    required: bool = True
    seconds: float = 0.0
    #: What it found that the base does not have: names of tests, or places with messages.
    failures: tuple[str, ...] = ()
    #: How much it found that the base has, too.
    known: int = 0
    #: How many tests passed; None for what does not count them.
    tests: int | None = None
    #: The end of what it printed; only of one that did not pass.
    output: str = ""
    #: What else there is to know, in words: why it was not run, what the change did to it.
    note: str = ""
    #: Where all that it printed is, below the root job's directory.
    log: str = ""
    #: Files by which it judges that the work has altered, as its task may.
    judges: tuple[str, ...] = ()
    #: The work changes other code, too.
    judges_with_code: bool = False
    #: What a person types who wants what it found; empty where nothing allows it.
    advice: str = ""
    #: Why it says nothing of the change; None when it passed or failed, and in older rows.
    cause: GateCause | None = None
    #: Equal for the same findings, on any line and in any order; empty where the report names none.
    digest: str = ""
    #: Its findings lie in files, as a linter's do.
    is_of_files: bool = False
    #: On a merged state: findings of one of two runs, which do not count; "": the gate as a whole.
    flaky: tuple[str, ...] = ()
    #: Of a candidate: tests of the base that pass with the base's tests and configuration.
    base_tests: int | None = None
    #: Of a candidate: tests that pass and that the base does not have; without parameters.
    new_tests: tuple[str, ...] = ()
    #: Of a candidate: findings with the base's configuration; None: as many as ``failures``.
    base_findings: int | None = None
    #: Patterns of the sources that it judges; empty: all, and in older rows.
    looks_at: tuple[str, ...] = ()
    #: Of these, Python files of the change that no test imported.
    not_imported: tuple[str, ...] = ()
    #: New comments of the change that switch off what it would find, such as "a.py:3".
    switched_off: tuple[str, ...] = ()

    @property
    def outcome(self) -> GateOutcome:
        if self.status is GateStatus.FAILED:
            return GateOutcome.FAILED
        is_unrun = self.cause or self.status in {GateStatus.SKIPPED, GateStatus.BROKEN}
        return GateOutcome.DID_NOT_RUN if is_unrun else GateOutcome.PASSED

    @property
    def has_approved(self) -> bool:
        """True if it judged the work and found nothing; the scan for secrets judges no work."""
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
        """Such as ``gate pytest: base commit``."""
        return f"gate {self.gate}: {self.on}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlteredJudges:
    """Files by which gates judge that the work has altered, as its task may."""

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
    """Gates to be run on one state of the project."""

    root_id: str
    job_id: str
    #: Unique in the root job's tree at any time: ``worker_1``, ``result_<job>``.
    name: str
    #: The worktree that has the state checked out.
    directory: str
    #: Commits: what the change began with, and the change.
    base: str
    commit: str
    gates: tuple[Gate, ...]
    #: The top of the worktree; empty: ``directory`` is in none.
    worktree: str = ""
    #: Whose state it is.
    place: GatePlace = GatePlace.WORKER
    #: What each task may alter whose work the state has.
    leaves: tuple[Leave, ...] = ()
    #: It is of a candidate: its gates count the base's tests and the new ones.
    is_compared: bool = False


class Gates(Protocol):
    def begin(self, check: Check, done: Callable[[Sequence[GateResult]], None]) -> None:
        """Run the gates one after another; any thread may call.

        ``done`` is told the results in order, from any thread, once; a gate that cannot be run is
        told as one. It is not called when the server stops first. Afterwards the worktree is as
        the commit says again. Of two checks with one name the first has to be done before.
        """

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        """End a check early; ``done`` is told what there is then. False: there is none.

        Any thread may call. Idempotent.
        """


class GateFiles(Protocol):
    """The files of a commit, for finding out how a project is checked."""

    def read(self, path: str) -> str:
        """Empty where there is no such file, or none that can be read."""

    def names(self, directory: str = "") -> Collection[str]:
        """What lies in a directory; nothing where there is none."""

    def paths(self) -> Collection[str]:
        """Every file of the project, except what lies in the product's own folder."""


class GateFinder(Protocol):
    """Makes gates of words."""

    def found(self, files: GateFiles) -> Sequence[Gate]:
        """What a project is checked with when nobody says otherwise. Raise InvalidRequest."""

    def named(self, asked: Sequence[Gate], files: GateFiles) -> Sequence[Gate]:
        """Whole gates for what was asked for: names, commands, or both.

        Raise InvalidRequest for a name that means nothing here, and for two of one name.
        """
