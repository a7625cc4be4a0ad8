"""Runs gates one after another on one state of the project. See ``core.gates.gate.Gates``.

Steps of one gate:

1. Run the gate on the state.
2. If the gate has findings, ask ``BaselineRuns`` for its findings on the base commit.
3. If the gate rejects a merged result, run it again to confirm the findings.
4. If the worker altered judging files, such as tests, run the gate again with the base's versions
   of these files.

Each step ends with a callback, which begins the next step or adds the result.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from itertools import islice

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.base_comparison import with_counts
from orchestrator.core.gates.file_kinds import PYTHON, is_code, is_of_tests, language_of
from orchestrator.core.gates.findings import FinishedRun, SecretScan
from orchestrator.core.gates.gate import (
    GATES_FILE,
    Check,
    Gate,
    GateCause,
    GateFinder,
    GateOutcome,
    GatePlace,
    GateResult,
    GateRun,
    GateSource,
    GateStatus,
)
from orchestrator.core.gates.gate_decision import (
    did_not_run,
    needs_base,
    result_of,
    without_verdict,
)
from orchestrator.core.gates.removal_permission import removal_permission
from orchestrator.core.gates.repeated_runs import combined_on_result, flaky, needs_confirmation
from orchestrator.core.gates.tampering import (
    JudgeAlteration,
    changes_code,
    comments_of,
    needs_base_of,
    switched_off,
    with_rewrites,
    with_second_run,
)
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.repository.repository import Repository
from orchestrator.core.text.path_patterns import matching
from orchestrator.engine.gates.baseline_runs import BaselineRuns
from orchestrator.engine.gates.gate_process import GateProcess, GateProcesses
from orchestrator.engine.gates.tampering_detection import (
    SecondRuns,
    gate_rewrites,
    permissions_from,
)
from orchestrator.engine.runtime.background_pool import BackgroundPool
from orchestrator.engine.runtime.supervisor_messages import Post
from orchestrator.security.files.untrusted_files import read_regular

logger = logging.getLogger(__name__)

#: Limits of the search for comments that suppress findings: files of the change, files of the base,
#: bytes of one file, and comments in the result.
_MOST_READ, _MOST_READ_AT_BASE, _MOST_BYTES_READ, _MOST_PLACES = 1000, 100, 1 << 20, 20
#: Maximum bytes of a Python file that are read to find out whether the file has a line of code.
_MOST_LOOKED_AT = 1 << 16
UNCHANGED = "the changes contain no file that this gate checks"
ALWAYS_SUCCEEDS = "its command always succeeds, so it judges nothing"
Done = Callable[[Sequence[GateResult]], None]
Begun = Callable[[Sequence[str]], None]
_Then = Callable[[FinishedRun], None]


@dataclass(eq=False, slots=True)
class _GateSequence:
    """A running check: its gates, which run one after another, and the results so far."""

    check: Check
    done: Done
    begun: Begun | None
    cwd: str = ""
    #: Every path that the change adds, modifies, or removes, relative to the project. The value is
    #: True if the path exists in the base.
    touched: Mapping[str, bool] = field(default_factory=dict)
    results: list[GateResult] = field(default_factory=list)
    #: Name of the process of the current run, to stop the run; empty without a run.
    process: str = ""
    #: The pair (``ended_by``, ``stopped_by``) of a requested stop; None: no stop was requested.
    stopped: tuple[str, str] | None = None
    #: True while the check waits for the gate's result on the base commit. The check then uses no
    #: thread and no process.
    awaits_base: bool = False

    @property
    def gate(self) -> Gate | None:
        gates = self.check.gates
        return gates[len(self.results)] if len(self.results) < len(gates) else None


@dataclass(frozen=True, slots=True)
class _FirstRun:
    """The first run of a gate that must run again, with the base's versions of judging files."""

    result: GateResult
    ran: FinishedRun
    #: The gate's run on the base commit; None if the gate did not run there.
    base: FinishedRun | None
    #: The worker's changes to files that decide how the gate judges.
    altered: JudgeAlteration


class GateRunner:
    """Implements ``core.gates.gate.Gates``. Every step runs in a thread of ``background``."""

    def __init__(
        self,
        runs: GateProcesses,
        baselines: BaselineRuns,
        repository: Repository,
        finder: GateFinder,
        secrets: SecretScan,
        masked: Callable[[str], str],
        background: BackgroundPool,
        post: Post,
    ) -> None:
        self._post = post
        self._runs = runs
        self.baselines = baselines
        self._repository = repository
        self._finder = finder
        self._secrets = secrets
        self._masked = masked
        self._background = background
        self._second = SecondRuns(repository)
        self._lock = threading.Lock()
        self._sequences: dict[tuple[str, str], _GateSequence] = {}

    def begin(self, check: Check, done: Done, begun: Begun | None = None) -> None:
        sequence = _GateSequence(check, done, begun)
        with self._lock:
            self._sequences[check.root_id, check.name] = sequence
        open_check = partial(self._guarded, sequence, self._open_check)
        self._background.submit(
            partial(self._runs.stop_earlier_runs, check.root_id, check.name, open_check)
        )

    def set_up(
        self,
        run: GateProcess,
        on_ran: Callable[[FinishedRun | None], None],
        on_named: Callable[[str], None],
    ) -> None:
        """Run setup commands in the worktree of ``run``. First stop a setup of an earlier server.

        ``on_ran``: called in any thread with the result, or with None if the setup was stopped.
        ``on_named``: called with the name of the setup's process, which ``stop_set_up`` needs.
        """

        def begin() -> None:
            try:
                self._runs.set_up(run, on_ran, on_named)
            except OSError as error:
                on_ran(FinishedRun(broken=f"cannot start: {error}", cause=GateCause.ERROR))

        self._runs.stop_earlier_runs(run.root_id, run.owner, begin)

    def is_set_up(self, worktree: str) -> bool:
        return self._runs.is_set_up(worktree)

    def stop_set_up(self, process: str, ended_by: str, stopped_by: str) -> None:
        """Stop a setup. Idempotent.

        ``process``: the name that ``set_up`` passed to ``on_named``. ``ended_by``: kind of the
        stop, an ``EndedBy``. ``stopped_by``: the person or event that stopped the setup, for
        messages.
        """
        self._runs.stop(process, ended_by, stopped_by)

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        with self._lock:
            sequence = self._sequences.get((root_id, name))
            if sequence is None:
                return False
            sequence.stopped = sequence.stopped or (ended_by, stopped_by)
            process = sequence.process
            was_waiting, sequence.awaits_base = sequence.awaits_base, False
        if was_waiting:
            self.baselines.cancel(sequence, (ended_by, stopped_by))
            self._background.submit(partial(self._guarded, sequence, self._run_next_gate))
        elif process:
            self._runs.stop(process, ended_by, stopped_by)
        return True

    def close(self) -> None:
        """Begin no further gates, and call no further callbacks. Idempotent."""
        self._background.close()

    def _guarded(
        self, sequence: _GateSequence, step: Callable[..., None], *arguments: object
    ) -> None:
        """Run a step of a check. After an error, end the check, so that no caller waits for it."""
        try:
            step(sequence, *arguments)
        except Exception as error:
            logger.exception("cannot run a gate", extra={"check": sequence.check.name})
            self._finish_check(sequence, f"the gate could not run: {error}")

    # -- runs -----------------------------------------------------------------------------------

    def _open_check(self, sequence: _GateSequence) -> None:
        check = sequence.check
        sequence.cwd = check.directory
        try:
            if check.base:
                sequence.cwd = self._repository.project_path(check.directory)
                touched = self._repository.differing_paths(check.base, check.commit)
                sequence.touched = _relative_to(
                    os.path.relpath(sequence.cwd, check.directory), touched
                )
        except (RepositoryError, OSError) as error:
            why = f"cannot read the changed files: {error}"
            sequence.results += [_failed_to_run(gate, why) for gate in check.gates]
        else:
            names = [gate.name for gate in check.gates if not self._why_skipped(sequence, gate)]
            if names and sequence.begun:
                sequence.begun(names)
        self._run_next_gate(sequence)

    def _run_next_gate(self, sequence: _GateSequence) -> None:
        gate = sequence.gate
        if gate is None or sequence.stopped:
            self._finish_check(sequence)
            return
        if why := self._why_skipped(sequence, gate):
            self._add_result(sequence, did_not_run(gate, GateCause.NOTHING_CHANGED, why))
        elif gate.is_secret_scan:
            self._add_result(sequence, self._scan_result(sequence, gate))
        elif why := self._runs.why_program_missing(gate, sequence.cwd, sequence.check.worktree):
            self._add_result(sequence, did_not_run(gate, GateCause.PROGRAM_MISSING, why))
        elif self._always_succeeds(gate, sequence.check):
            self._add_result(
                sequence, did_not_run(gate, GateCause.ALWAYS_SUCCEEDS, ALWAYS_SUCCEEDS)
            )
        else:
            self._begin_run(sequence, gate, partial(self._judge_first_run, sequence, gate))

    def _why_skipped(self, sequence: _GateSequence, gate: Gate) -> str:
        paths = sequence.touched
        if not sequence.check.base:
            return ""
        if gate.when and not matching(paths, gate.when):
            return UNCHANGED
        return UNCHANGED if not paths and gate.source is not GateSource.REQUESTED else ""

    def _always_succeeds(self, gate: Gate, check: Check) -> bool:
        # A detected gate can fail on the base. Its result is checked after its runs.
        if gate.source is GateSource.DETECTED or not check.base:
            return False
        return self._succeeds_on_change(gate, check)

    def _succeeds_on_change(self, gate: Gate, check: Check) -> bool:
        return self._finder.always_succeeds(gate, self._repository.gate_files(check.commit))

    def _scan_result(self, sequence: _GateSequence, gate: Gate) -> GateResult:
        check = sequence.check
        if not check.base:
            why = "no base commit to compare with"
            return did_not_run(gate, GateCause.NOTHING_CHANGED, why)
        diffs = self._repository.log_with_diffs(check.base, check.commit)
        try:
            reading = self._secrets.scan(diffs, partial(self._repository.texts_in, check.base))
        except (RepositoryError, OSError) as error:
            return _failed_to_run(gate, f"cannot read the changed files: {error}")
        return result_of(gate, FinishedRun(reading=reading), None, sequence.touched)

    def _begin_run(self, sequence: _GateSequence, gate: Gate, then: _Then) -> None:
        check = sequence.check
        run = GateProcess(
            root_id=check.root_id,
            owner=check.name,
            gate=gate,
            cwd=sequence.cwd,
            worktree=check.worktree,
        )
        try:
            on_ran = partial(self._guarded, sequence, self._run_ended, gate, then)
            self._post_gate_run(sequence, gate, check.place)
            self._runs.begin(run, on_ran, partial(self._set_process, sequence))
        except OSError as error:
            self._restore_worktree(sequence)
            self._add_result(sequence, _failed_to_run(gate, f"cannot start: {error}"))
            return
        with self._lock:
            process, requested_stop = sequence.process, sequence.stopped
        # A caller may have requested the stop while the process was being started.
        if process and requested_stop:
            self._runs.stop(process, *requested_stop)

    def _post_gate_run(
        self, sequence: _GateSequence, gate: Gate, place: GatePlace, seconds: float | None = None
    ) -> None:
        check = sequence.check
        self._post(
            GateRun(
                root_id=check.root_id,
                job_id=check.job_id,
                check=check.name,
                gate=gate.name,
                place=place,
                seconds=seconds,
            )
        )

    def _set_process(self, sequence: _GateSequence, process: str) -> None:
        with self._lock:
            sequence.process = process

    def _run_ended(
        self, sequence: _GateSequence, gate: Gate, then: _Then, ran: FinishedRun | None
    ) -> None:
        with self._lock:
            sequence.process = ""
            is_lost = ran is None and sequence.stopped is None
        if is_lost:
            return  # The server stops, and stopped the gate. The next server runs the gate again.
        if ran is not None:
            self._post_gate_run(sequence, gate, sequence.check.place, round(ran.seconds, 3))
        if ran is not None and sequence.check.base:
            directory, commit = sequence.check.directory, sequence.check.commit
            ran = replace(ran, rewritten=gate_rewrites(self._repository, directory, commit))
        self._restore_worktree(sequence)
        failpoints.reached("gate: ran")
        if ran is None or sequence.stopped:
            self._finish_check(sequence)
        else:
            then(ran)

    def _judge_first_run(self, sequence: _GateSequence, gate: Gate, ran: FinishedRun) -> None:
        if sequence.check.base and needs_base(gate, ran, sequence.touched):
            self._ask_base(sequence, gate, partial(self._judge, sequence, gate, ran))
        else:
            self._judge(sequence, gate, ran, None)

    def _ask_base(
        self, sequence: _GateSequence, gate: Gate, then: Callable[[FinishedRun | None], None]
    ) -> None:
        known_run = self.baselines.known_result(sequence.check, gate)
        with self._lock:
            sequence.awaits_base = known_run is None and not sequence.stopped
        if sequence.stopped:
            self._finish_check(sequence)
            return
        if known_run is not None:
            then(known_run)
            return
        self._post_gate_run(sequence, gate, GatePlace.BASE)
        on_ran = partial(self._guarded, sequence, self._base_ran, gate, then)
        self.baselines.request(sequence, sequence.check, gate, on_ran)

    def _base_ran(
        self,
        sequence: _GateSequence,
        gate: Gate,
        then: Callable[[FinishedRun | None], None],
        base: FinishedRun | None,
    ) -> None:
        with self._lock:
            was_waiting, sequence.awaits_base = sequence.awaits_base, False
        if was_waiting:
            self._post_gate_run(
                sequence, gate, GatePlace.BASE, round(base.seconds, 3) if base else 0.0
            )
            then(base)

    def _judge(
        self,
        sequence: _GateSequence,
        gate: Gate,
        ran: FinishedRun,
        base: FinishedRun | None,
        first: FinishedRun | None = None,
    ) -> None:
        """Judge the run ``ran`` of a gate. Then add the result, or begin the gate's next run.

        ``base``: the gate's run on the base commit, or None. ``first``: the earlier run whose
        findings ``ran`` must confirm; None if ``ran`` is the first run.
        """
        touched, check, cwd = sequence.touched, sequence.check, sequence.cwd
        permissions = permissions_from(check, cwd, gate, touched)
        combined = ran if first is None else combined_on_result(first, ran)
        result = result_of(
            gate, combined, base, touched, removal_permission(gate, touched, permissions)
        )
        result = with_rewrites(result, combined, base, touched)
        if first is not None:
            result = replace(result, flaky=flaky(first, ran))
        elif needs_confirmation(check, ran, result):
            confirm = partial(self._judge, sequence, gate, base=base, first=ran)
            self._begin_run(sequence, gate, confirm)
            return
        ran = combined
        alteration = self._second.of(check, cwd, gate, touched, result, permissions)
        with_code = changes_code(gate, touched)
        result = replace(
            result,
            judges=alteration.allowed,
            judges_with_code=with_code,
            altered_settings=alteration.settings,
            looks_at=gate.looks_at or gate.when,
            not_imported=tuple(_not_imported(sequence, gate, ran)),
            switched_off=self._switched_off(sequence, gate),
        )
        if alteration.allowed and not alteration.swap:
            result = self._without_constant(result, gate, check)
        if alteration.swap:
            self._second.restore_base_versions(check, cwd, alteration)
            failpoints.reached("gate: base versions restored")
            first_run = _FirstRun(result, ran, base, alteration)
            self._begin_run(
                sequence, gate, partial(self._second_run_ended, sequence, gate, first_run)
            )
        elif sequence.check.is_compared and ran.reading.passed and base is None:
            self._ask_base(
                sequence, gate, partial(self._add_counted_result, sequence, gate, result, ran)
            )
        else:
            self._add_counted_result(sequence, gate, result, ran, base)

    def _switched_off(self, sequence: _GateSequence, gate: Gate) -> tuple[str, ...]:
        comments, check = comments_of(gate.run), sequence.check
        if comments is None or not check.base:
            return ()
        texts = {}
        for path in [each for each in sequence.touched if is_code(each)][:_MOST_READ]:
            content = read_regular(os.path.join(sequence.cwd, path), _MOST_BYTES_READ) or b""
            text = content.decode("utf-8", "replace")
            if comments.search(text):
                texts[path] = text
        files = self._repository.gate_files(check.base)
        base_paths = [path for path, in_base in sequence.touched.items() if in_base and texts]
        base_paths.sort(key=lambda each: each not in texts)
        base_texts = (files.read(each) for each in base_paths[:_MOST_READ_AT_BASE])
        return tuple(islice(switched_off(comments, texts, base_texts), _MOST_PLACES))

    def _add_counted_result(
        self,
        sequence: _GateSequence,
        gate: Gate,
        result: GateResult,
        ran: FinishedRun,
        base: FinishedRun | None,
    ) -> None:
        is_compared = sequence.check.is_compared
        self._add_result(
            sequence, with_counts(gate, result, ran, ran, base) if is_compared else result
        )

    def _second_run_ended(
        self, sequence: _GateSequence, gate: Gate, first_run: _FirstRun, second: FinishedRun
    ) -> None:
        compare = partial(self._judge_second_run, sequence, gate, first_run, second)
        if first_run.base is None and needs_base_of(first_run.ran, second):
            self._ask_base(sequence, gate, compare)
        else:
            compare(first_run.base)

    def _judge_second_run(
        self,
        sequence: _GateSequence,
        gate: Gate,
        first_run: _FirstRun,
        second: FinishedRun,
        base: FinishedRun | None,
    ) -> None:
        result = first_run.result
        if first_run.altered.judges and result.outcome is GateOutcome.PASSED:
            result = with_second_run(gate, result, first_run.ran, second, base, first_run.altered)
            # The gate fails on the base, too. Therefore its second run has judged nothing.
            if not second.passed:
                result = self._without_constant(result, gate, sequence.check)
        if sequence.check.is_compared:
            result = with_counts(gate, result, first_run.ran, second, base)
        self._add_result(sequence, result)

    def _without_constant(self, result: GateResult, gate: Gate, check: Check) -> GateResult:
        """Return the result without a verdict if the change made the gate's command constant."""
        has_passed = result.outcome is GateOutcome.PASSED
        if not has_passed or not self._succeeds_on_change(gate, check):
            return result
        return without_verdict(gate, GateCause.ALWAYS_SUCCEEDS, ALWAYS_SUCCEEDS, result)

    def _add_result(self, sequence: _GateSequence, result: GateResult) -> None:
        failures = tuple(map(self._masked, result.failures))
        result = replace(result, failures=failures)
        is_of_worker = sequence.check.place is GatePlace.WORKER
        if is_of_worker and GATES_FILE in sequence.touched:
            settings = dict.fromkeys((*result.altered_settings, GATES_FILE))
            result = replace(result, altered_settings=tuple(settings))
        sequence.results.append(result)
        self._run_next_gate(sequence)

    def _finish_check(self, sequence: _GateSequence, why: str = "") -> None:
        with self._lock:
            registered = self._sequences.pop((sequence.check.root_id, sequence.check.name), None)
        if registered is not sequence:
            return
        remaining_gates = sequence.check.gates[len(sequence.results) :]
        cause = GateCause.KILLED if sequence.stopped else GateCause.ERROR
        why = f"stopped by {sequence.stopped[1]}" if sequence.stopped else why
        sequence.done(
            [*sequence.results, *(_failed_to_run(gate, why, cause) for gate in remaining_gates)]
        )

    def _restore_worktree(self, sequence: _GateSequence) -> None:
        check = sequence.check
        if not check.base:
            return
        try:
            self._repository.restore_files(check.directory, check.commit)
        except (RepositoryError, OSError) as error:
            logger.warning("cannot restore a worktree: %s", error, extra={"check": check.name})


def _failed_to_run(gate: Gate, why: str, cause: GateCause = GateCause.ERROR) -> GateResult:
    """Return the result of a gate that failed to run. A required gate then blocks the change."""
    return replace(did_not_run(gate, cause, why), status=GateStatus.BROKEN)


def _not_imported(sequence: _GateSequence, gate: Gate, ran: FinishedRun) -> Iterator[str]:
    """Yield the changed Python files that the tests did not execute.

    If the list of executed files contains no test file, the list is incomplete: yield nothing.
    """
    executed = ran.executed or frozenset()
    if gate.by_imports and any(map(is_of_tests, executed)):
        for path in sequence.touched:
            if language_of(path) == PYTHON and path not in executed:
                yield from [path] if _has_statements(os.path.join(sequence.cwd, path)) else []


def _has_statements(path: str) -> bool:
    lines = (each.strip() for each in (read_regular(path, _MOST_LOOKED_AT) or b"").splitlines())
    return any(each and not each.startswith(b"#") for each in lines)


def _relative_to(project: str, touched: Mapping[str, bool]) -> Mapping[str, bool]:
    """Return ``touched`` with paths relative to the project, not to the top of the repository."""
    if project == os.curdir:
        return touched
    return {os.path.relpath(path, project): in_base for path, in_base in touched.items()}
