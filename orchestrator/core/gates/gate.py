"""Gates: commands that decide whether a worker's changes may be merged. Durations are seconds."""

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from orchestrator.core.lazy_dataclass import dataclass

#: The name of the built-in scan of added lines.
SECRETS = "secrets"
#: The project's own list of gates. The base commit's version of this file counts.
GATES_FILE = ".orchestrator/gates.yaml"
#: Value of ``looks_at`` for a gate that judges no source.
NO_SOURCES = ("!*",)
#: Values that stand for a list of gates. AUTO: the gates detected in the repository. OFF: no gates.
AUTO, OFF = "auto", "off"


class GateReport(StrEnum):
    """Format of a gate's report."""

    #: no report: the exit code decides, with the test results that the output shows
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
    """Origin of a gate. The origin decides when the gate runs, and whether it blocks a change.

    For example, a gate whose program is missing blocks a change only if its origin is ``REQUESTED``
    or ``REPOSITORY``.
    """

    #: The request or the plan of a person names the gate.
    REQUESTED = "asked"
    #: The agent that made the plan requested the gate.
    PLANNED = "planned"
    #: The repository's own file names the gate.
    REPOSITORY = "repository"
    #: The gate was detected from the files of the base commit.
    DETECTED = "detected"


class GateStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    #: Pre-existing: all findings of the gate are in the baseline, too.
    KNOWN = "known"
    #: The gate did not judge the change, and did not have to. For example, the change touches no
    #: file that the gate checks.
    SKIPPED = "skipped"
    #: The gate did not judge the change, but had to. For example, the gate's program is missing, or
    #: the gate timed out.
    BROKEN = "broken"


class GateOutcome(StrEnum):
    """A gate's verdict on a change. Only ``PASSED`` approves the change."""

    PASSED = "passed"
    FAILED = "failed"
    #: The gate has no verdict on the change; a ``GateCause`` has the reason.
    DID_NOT_RUN = "did_not_run"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


class GateCause(StrEnum):
    """Why a gate did not judge the change, whether or not its command was started."""

    #: The changes contain no file that the gate checks.
    NOTHING_CHANGED = "nothing_changed"
    #: The gate found no test, or skipped all tests.
    NO_TESTS = "no_tests"
    #: The gate's command succeeds whatever the change does, as ``pytest || true`` does.
    ALWAYS_SUCCEEDS = "always_succeeds"
    #: The gate also fails on the base commit, and its report does not distinguish failures.
    FAILS_AT_BASE = "fails_at_base"
    PROGRAM_MISSING = "program_missing"
    #: A signal, the system, or a person ended the gate.
    KILLED = "killed"
    TIMEOUT = "timeout"
    #: The gate's output does not have the format of its ``report``.
    REPORT_UNREADABLE = "report_unreadable"
    #: The setup of the gate's worktree failed.
    SETUP_FAILED = "setup_failed"
    #: The gate read the project's sources from outside its worktree.
    OUTSIDE_WORKTREE = "outside_worktree"
    NO_NETWORK = "no_network"
    #: The gate could not be started, or its input could not be opened or read.
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A gate, as defined by the base commit or by the request."""

    name: str
    #: The command, as its author wrote it. ``script`` is the text that is run.
    run: str
    #: Patterns of paths: the gate runs if a changed file matches. Empty: the gate always runs.
    when: tuple[str, ...] = ()
    timeout: float = 600.0
    report: GateReport = GateReport.EXIT
    #: True if the gate's findings prevent a merge.
    required: bool = True
    #: True if findings that are also in the baseline do not count.
    new_only: bool = True
    #: True if tests that passed at the base may be removed.
    tests_may_vanish: bool = False
    #: True if the change may alter tests of the base. The change then need not pass the base's
    #: versions of these tests.
    tests_may_change: bool = False
    source: GateSource = GateSource.REQUESTED
    #: Why the gate exists, as text.
    why: str = ""
    #: The program that the gate requires. The server searches for the program before the run.
    #: Empty: no search; the shell reports a missing program.
    program: str = ""
    #: Patterns of files that set the gate's strictness; changes of these files are reported.
    configured_by: tuple[str, ...] = ()
    #: True if the gate reports places in files, as a linter does. The field need not be set if the
    #: format ``report`` is always a list of places.
    is_of_files: bool = False
    #: Patterns of the sources that the gate judges; empty: the patterns of ``when``. If both are
    #: empty, the gate judges all sources.
    looks_at: tuple[str, ...] = ()
    #: True if the gate judges only the Python files that its run executes.
    by_imports: bool = False

    @property
    def script(self) -> str:
        """The text for ``bash -c`` in the worktree.

        If the command has several lines, each line must succeed.
        """
        return f"set -e\n{self.run}" if "\n" in self.run.strip() else self.run

    @property
    def is_requested(self) -> bool:
        return self.source in {GateSource.REQUESTED, GateSource.REPOSITORY}

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
    #: Findings that the base does not have: names of tests, or places in files with messages.
    failures: tuple[str, ...] = ()
    #: Number of pre-existing findings, which the base has, too.
    known: int = 0
    #: Number of passed tests; None for a gate that does not count tests.
    tests: int | None = None
    #: The end of the gate's output; empty if the gate passed.
    output: str = ""
    #: A note, as text: for example, why the gate did not run, or that the change modifies the gate.
    note: str = ""
    #: Path of the gate's whole output, below the root job's directory.
    log: str = ""
    #: Tests and gate settings that the work altered with its task's permission.
    judges: tuple[str, ...] = ()
    #: True if the work changes other code in addition to ``judges``.
    judges_with_code: bool = False
    #: Gate settings that the work altered without permission, and an altered ``GATES_FILE``. Gates
    #: of later jobs use these settings.
    altered_settings: tuple[str, ...] = ()
    #: What to type to accept the gate's findings; empty if they cannot be accepted.
    advice: str = ""
    #: Why the gate has no verdict; None if the gate passed or failed, and in results that earlier
    #: versions stored.
    cause: GateCause | None = None
    #: Fingerprint of the findings, independent of their line numbers and order; empty if the report
    #: names no finding.
    digest: str = ""
    #: True if the gate reports places in files, as a linter does.
    is_of_files: bool = False
    #: For a merged state: names of findings that only one of two runs had. These findings do not
    #: count. The name "" means that the whole gate failed in only one run.
    flaky: tuple[str, ...] = ()
    #: For a candidate: number of the base's tests that pass, run with the base's versions of tests
    #: and configuration.
    base_tests: int | None = None
    #: For a candidate: names, without parameters, of passed tests that the base does not have.
    new_tests: tuple[str, ...] = ()
    #: For a candidate: number of findings with the base's configuration. None: this number equals
    #: the number of ``failures``.
    base_findings: int | None = None
    #: Patterns of the sources that the gate judges; empty: all sources, or a result that an earlier
    #: version stored.
    looks_at: tuple[str, ...] = ()
    #: Python files of the change that no test imported.
    not_imported: tuple[str, ...] = ()
    #: Places of new comments that switch off the gate's findings, such as "a.py:3".
    switched_off: tuple[str, ...] = ()

    @property
    def outcome(self) -> GateOutcome:
        if self.status is GateStatus.FAILED:
            return GateOutcome.FAILED
        is_unrun = self.cause or self.status in {GateStatus.SKIPPED, GateStatus.BROKEN}
        return GateOutcome.DID_NOT_RUN if is_unrun else GateOutcome.PASSED

    @property
    def has_approved(self) -> bool:
        """True if the gate judged the work and passed.

        Always False for the scan for secrets, which does not judge whether the work is correct.
        """
        passed = self.status is GateStatus.PASSED and self.outcome is GateOutcome.PASSED
        return passed and self.name != SECRETS

    @property
    def blocks(self) -> bool:
        return self.required and self.status in {GateStatus.FAILED, GateStatus.BROKEN}


class GatePlace(StrEnum):
    """The project's state on which a gate runs: base commit, worker's result, or merged result."""

    BASE = "base commit"
    WORKER = "worker"
    RESULT = "merged result"


class GateCounts(NamedTuple):
    passed: int = 0
    failed: int = 0
    did_not_run: int = 0


NO_GATES = GateCounts()


def gate_counts(results: Sequence[GateResult]) -> GateCounts:
    outcomes = [each.outcome for each in results]
    return GateCounts(*map(outcomes.count, GateOutcome))


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRun:
    """An event: the run of a gate has started or ended."""

    root_id: str
    job_id: str
    #: Name of the ``Check`` to which the run belongs, such as a worker's name.
    check: str
    gate: str
    place: GatePlace
    #: Duration of the run; None: the run begins.
    seconds: float | None

    @property
    def on(self) -> str:
        """What the gate runs on: a worker's name, "base commit", or "merged result"."""
        return self.check if self.place is GatePlace.WORKER else str(self.place)

    @property
    def words(self) -> str:
        return f"gate {self.gate}: {self.on}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlteredJudges:
    """Tests and gate settings that a worker altered."""

    #: Tests and gate settings that the worker altered with its task's permission.
    paths: tuple[str, ...]
    #: True if the work changes other code in addition to ``paths``.
    with_code: bool
    #: Gate settings that the worker altered without permission.
    settings: tuple[str, ...] = ()


def altered_judges(results: Iterable[GateResult]) -> AlteredJudges:
    results = list(results)
    altered = [each for each in results if each.judges]
    paths = {path for each in altered for path in each.judges}
    settings = {path for each in results for path in each.altered_settings}
    return AlteredJudges(
        paths=tuple(sorted(paths)),
        with_code=any(each.judges_with_code for each in altered),
        settings=tuple(sorted(settings - paths)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class AlterationPermission:
    """Permission for a task to alter tests and gate settings that judge its work."""

    #: Patterns of the files that the task promises to write.
    writes: tuple[str, ...] = ()
    #: True if the task's work is tests only. The task may then alter all tests.
    tests: bool = False
    #: True if the task's work is tests, but the worker changed other code, too. The task may then
    #: alter only tests that fail on the base.
    failing_tests: bool = False
    #: Files that child jobs of the task changed, and that the gates of these child jobs judged.
    #: Relative to the worktree's top.
    judged: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Gates to run on one state of the project."""

    root_id: str
    job_id: str
    #: A name such as ``worker_1`` or ``result_<job>``. In a job tree, two running checks never have
    #: the same name.
    name: str
    #: The directory in which the gates run. It contains the state to check.
    directory: str
    #: The commit from which the change starts; empty without a worktree.
    base: str
    #: The commit with the change; empty without a worktree.
    commit: str
    gates: tuple[Gate, ...]
    #: The top of the worktree; empty: ``directory`` is in no worktree.
    worktree: str
    #: Kind of the state that is checked.
    place: GatePlace = GatePlace.WORKER
    #: One permission for each task whose work is in the state.
    permissions: tuple[AlterationPermission, ...]
    #: True for a candidate: its gates count the base's tests and the new tests.
    is_compared: bool = False


class Gates(Protocol):
    def begin(
        self,
        check: Check,
        done: Callable[[Sequence[GateResult]], None],
        begun: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        """Run the gates of a check one after another. Any thread may call.

        ``begun`` is called before ``done``, from any thread, with the names of the gates that the
        changed files concern. ``begun`` is not called if the changed files concern no gate.

        ``done`` is called once, from any thread, with one result per gate, in order. ``done`` is
        not called if the server stops first.

        The caller must not run two checks of a root job with the same name at the same time. After
        the check, the files in ``check.worktree`` are as in ``check.commit``.
        """

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        """Stop a running check. Return False if no such check runs.

        ``ended_by``: kind of the stop, an ``EndedBy``. ``stopped_by``: the person or event that
        stopped the check, for messages. The callback ``done`` of ``begin`` is called with the
        results so far. Any thread may call. Idempotent.
        """


class GateFiles(Protocol):
    """The files of one commit. The project's gates are detected from these files."""

    def read(self, path: str) -> str:
        """Return a file's text; empty if it cannot be read."""

    def names(self, directory: str = "") -> Collection[str]:
        """Return the entries of a directory; empty if it does not exist."""

    def paths(self) -> Collection[str]:
        """Return all files of the project, except files in the product's own folder."""


class GateFinder(Protocol):
    def default_gates(self, files: GateFiles) -> Sequence[Gate]:
        """Return a project's default gates. Raise InvalidRequest if a gate is invalid."""

    def requested_gates(self, requests: Sequence[Gate], files: GateFiles) -> Sequence[Gate]:
        """Return the requested gates, with all their fields set.

        ``requests``: gates with a name, a command, or both. The command ``auto`` stands for the
        default gates. Raise InvalidRequest for an unknown name, for two gates with one name, and
        for a requested command that always succeeds.
        """

    def always_succeeds(self, gate: Gate, files: GateFiles) -> bool:
        """True if only the exit code of the gate counts, and its command always succeeds.

        ``files``: the files that the gate judges. If the command runs scripts among these files,
        the scripts are checked, too.
        """
