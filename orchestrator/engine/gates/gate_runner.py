"""Runs gates one after another on one state of the project. See ``core.gates.gate.Gates``."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from itertools import islice

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.file_kinds import PYTHON, is_code, is_of_tests, language_of
from orchestrator.core.gates.findings import Ran, SecretScan, did_not_run, needs_base, result_of
from orchestrator.core.gates.gate import (
    Check,
    Gate,
    GateCause,
    GateOutcome,
    GatePlace,
    GateResult,
    GateRun,
    GateSource,
    GateStatus,
)
from orchestrator.core.gates.removed_tests import removal_of
from orchestrator.core.gates.run_comparison import confirmed, counted, flaky, needs_confirmation
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
from orchestrator.engine.gates.tampering_reruns import SecondRuns, leaves_from, rewrites
from orchestrator.engine.runtime.background import BackgroundPool
from orchestrator.engine.runtime.supervisor_messages import Post
from orchestrator.security.files.untrusted_files import read_regular

logger = logging.getLogger(__name__)

#: Limits of the search for comments that switch off findings: files of a change, files of the base,
#: bytes of a file, and places.
_MOST_READ, _MOST_READ_AT_BASE, _MOST_BYTES_READ, _MOST_PLACES = 1000, 100, 1 << 20, 20
#: Maximum number of bytes of a file that are searched for a statement.
_MOST_LOOKED_AT = 1 << 16
UNCHANGED = "no file that the gate checks was changed"
Done = Callable[[Sequence[GateResult]], None]
_Then = Callable[[Ran], None]


@dataclass(eq=False, slots=True)
class _GateSequence:
    """The state of a check: its gates, which run one after another, and the results so far."""

    check: Check
    done: Done
    cwd: str = ""
    #: Every path that the change touches, relative to the host project. The value is True if the
    #: path existed before.
    touched: Mapping[str, bool] = field(default_factory=dict)
    results: list[GateResult] = field(default_factory=list)
    #: Name of the present run's process, with which a caller can stop it; empty while no run is
    #: active.
    process: str = ""
    #: The requested stop: how the run must end, and who requested it. None if there is no request.
    stopped: tuple[str, str] | None = None
    #: True while the check waits for base results. During that time, no thread and no process works
    #: on it.
    awaits_base: bool = False

    @property
    def gate(self) -> Gate | None:
        gates = self.check.gates
        return gates[len(self.results)] if len(self.results) < len(gates) else None


@dataclass(frozen=True, slots=True)
class _Passed:
    """The run of a gate that must run again, this time with the base's tests and configuration.

    ``base``: the run on the base commit; None if the gate did not run there. ``altered``: the
    worker's changes of files that decide how the gate judges.
    """

    result: GateResult
    ran: Ran
    base: Ran | None
    altered: JudgeAlteration


class GateRunner:
    """Implements ``core.gates.gate.Gates``. Every step runs in a thread of ``background``."""

    def __init__(
        self,
        runs: GateProcesses,
        baselines: BaselineRuns,
        repository: Repository,
        secrets: SecretScan,
        masked: Callable[[str], str],
        background: BackgroundPool,
        post: Post,
    ) -> None:
        self._post = post
        self._runs = runs
        self.baselines = baselines
        self._repository = repository
        self._secrets = secrets
        self._masked = masked
        self._background = background
        self._second = SecondRuns(repository)
        self._lock = threading.Lock()
        self._courses: dict[tuple[str, str], _GateSequence] = {}

    def begin(self, check: Check, done: Done) -> None:
        course = _GateSequence(check, done)
        with self._lock:
            self._courses[check.root_id, check.name] = course
        opened = partial(self._guarded, course, self._open)
        self._background.later(partial(self._runs.clear, check.root_id, check.name, opened))

    def set_up(
        self, run: GateProcess, on_ran: Callable[[Ran | None], None], named: Callable[[str], None]
    ) -> None:
        """Run the setup commands in a worktree. First stop a setup that an earlier server began.

        ``on_ran`` is called from any thread with the result, or with None if the setup was stopped.
        ``named`` is called with the name that ``stop_set_up`` needs.
        """

        def begin() -> None:
            try:
                self._runs.set_up(run, on_ran, named)
            except OSError as error:
                on_ran(Ran(broken=f"cannot start: {error}", cause=GateCause.ERROR))

        self._runs.clear(run.root_id, run.owner, begin)

    def is_set_up(self, worktree: str) -> bool:
        return self._runs.is_set_up(worktree)

    def stop_set_up(self, process: str, ended_by: str, stopped_by: str) -> None:
        """Stop a setup; ``process`` is the name that ``set_up`` passed to ``named``. Idempotent."""
        self._runs.stop(process, ended_by, stopped_by)

    def stop(self, root_id: str, name: str, ended_by: str, stopped_by: str) -> bool:
        with self._lock:
            course = self._courses.get((root_id, name))
            if course is None:
                return False
            course.stopped = course.stopped or (ended_by, stopped_by)
            process = course.process
            waits, course.awaits_base = course.awaits_base, False
        if waits:
            self.baselines.forget(course, (ended_by, stopped_by))
            self._background.later(partial(self._guarded, course, self._next))
        elif process:
            self._runs.stop(process, ended_by, stopped_by)
        return True

    def close(self) -> None:
        """Begin no further gates, and call no further callbacks. Idempotent."""
        self._background.close()

    def _guarded(self, course: _GateSequence, step: Callable[..., None], *more: object) -> None:
        """Run a step of a check. On an error, end the check, because a caller waits for its end."""
        try:
            step(course, *more)
        except Exception as error:
            logger.exception("cannot run a gate", extra={"check": course.check.name})
            self._finish(course, f"the gate could not run: {error}")

    # -- runs -----------------------------------------------------------------------------------

    def _open(self, course: _GateSequence) -> None:
        check = course.check
        course.cwd = check.directory
        try:
            if check.base:
                course.cwd = self._repository.inside(check.directory)
                touched = self._repository.touched(check.base, check.commit)
                course.touched = _relative_to(os.path.relpath(course.cwd, check.directory), touched)
        except (RepositoryError, OSError) as error:
            why = f"cannot read the change: {error}"
            course.results += [_failed_to_run(gate, why) for gate in check.gates]
        self._next(course)

    def _next(self, course: _GateSequence) -> None:
        gate = course.gate
        if gate is None or course.stopped:
            self._finish(course)
            return
        if why := self._why_skipped(course, gate):
            self._take(course, did_not_run(gate, GateCause.NOTHING_CHANGED, why))
        elif gate.is_secret_scan:
            self._take(course, self._scanned(course, gate))
        elif why := self._runs.why_not_there(gate, course.cwd, course.check.worktree):
            self._take(course, did_not_run(gate, GateCause.PROGRAM_MISSING, why))
        else:
            self._run(course, gate, partial(self._first, course, gate))

    def _why_skipped(self, course: _GateSequence, gate: Gate) -> str:
        paths = course.touched
        if not course.check.base:
            return ""
        if gate.when and not matching(paths, gate.when):
            return UNCHANGED
        return UNCHANGED if not paths and gate.source is not GateSource.ASKED else ""

    def _scanned(self, course: _GateSequence, gate: Gate) -> GateResult:
        check = course.check
        if not check.base:
            why = "no base commit to compare with"
            return did_not_run(gate, GateCause.NOTHING_CHANGED, why)
        added = self._repository.added(check.base, check.commit)
        try:
            reading = self._secrets.scan(added, partial(self._repository.present, check.base))
        except (RepositoryError, OSError) as error:
            return _failed_to_run(gate, f"cannot read the change: {error}")
        return result_of(gate, Ran(reading=reading), None, course.touched)

    def _run(self, course: _GateSequence, gate: Gate, then: _Then) -> None:
        check = course.check
        run = GateProcess(
            root_id=check.root_id,
            owner=check.name,
            gate=gate,
            cwd=course.cwd,
            worktree=check.worktree,
        )
        try:
            on_ran = partial(self._guarded, course, self._ran, gate, then)
            self._report(course, gate, check.place)
            self._runs.begin(run, on_ran, partial(self._named, course))
        except OSError as error:
            self._restore(course)
            self._take(course, _failed_to_run(gate, f"cannot start: {error}"))
            return
        with self._lock:
            process, by = course.process, course.stopped
        if process and by:  # A caller requested the stop while the process was being started.
            self._runs.stop(process, *by)

    def _report(
        self, course: _GateSequence, gate: Gate, place: GatePlace, seconds: float | None = None
    ) -> None:
        check = course.check
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

    def _named(self, course: _GateSequence, process: str) -> None:
        with self._lock:
            course.process = process

    def _ran(self, course: _GateSequence, gate: Gate, then: _Then, ran: Ran | None) -> None:
        with self._lock:
            course.process = ""
            is_lost = ran is None and course.stopped is None
        if is_lost:
            return  # The gate was stopped with the server. The next server runs it again.
        if ran is not None:
            self._report(course, gate, course.check.place, round(ran.seconds, 3))
        if ran is not None and course.check.base:
            directory, commit = course.check.directory, course.check.commit
            ran = replace(ran, rewritten=rewrites(self._repository, directory, commit))
        self._restore(course)
        failpoints.reached("gate: ran")
        if ran is None or course.stopped:
            self._finish(course)
        else:
            then(ran)

    def _first(self, course: _GateSequence, gate: Gate, ran: Ran) -> None:
        if course.check.base and needs_base(gate, ran, course.touched):
            self._ask_base(course, gate, partial(self._judge, course, gate, ran))
        else:
            self._judge(course, gate, ran, None)

    def _ask_base(
        self, course: _GateSequence, gate: Gate, then: Callable[[Ran | None], None]
    ) -> None:
        with self._lock:
            course.awaits_base = not course.stopped
        if course.stopped:
            self._finish(course)
            return
        self._report(course, gate, GatePlace.BASE)
        on_ran = partial(self._guarded, course, self._compare, gate, then)
        self.baselines.ask(course, course.check, gate, on_ran)

    def _compare(
        self,
        course: _GateSequence,
        gate: Gate,
        then: Callable[[Ran | None], None],
        base: Ran | None,
    ) -> None:
        with self._lock:
            waits, course.awaits_base = course.awaits_base, False
        if waits:
            self._report(course, gate, GatePlace.BASE, round(base.seconds, 3) if base else 0.0)
            then(base)

    def _judge(
        self,
        course: _GateSequence,
        gate: Gate,
        ran: Ran,
        base: Ran | None,
        first: Ran | None = None,
    ) -> None:
        """Judge the run ``ran`` of a gate.

        ``first``: the earlier run whose findings ``ran`` should confirm, or None.
        """
        touched, check, cwd = course.touched, course.check, course.cwd
        leaves = leaves_from(check, cwd, gate, touched)
        both = ran if first is None else confirmed(first, ran)
        result = result_of(gate, both, base, touched, removal_of(gate, touched, leaves))
        result = with_rewrites(result, both, base, touched)
        if first is not None:
            result = replace(result, flaky=flaky(first, ran))
        elif needs_confirmation(check, ran, result):
            self._run(course, gate, partial(self._confirm, course, gate, ran, base))
            return
        ran = both
        altered = self._second.of(check, cwd, gate, touched, result, leaves)
        with_code = changes_code(gate, touched)
        result = replace(
            result,
            judges=altered.allowed,
            judges_with_code=with_code,
            looks_at=gate.looks_at or gate.when,
            not_imported=tuple(_not_imported(course, gate, ran)),
            switched_off=self._switched_off(course, gate),
        )
        if altered.swap:
            self._run_again(course, gate, _Passed(result, ran, base, altered))
        elif course.check.is_compared and ran.reading.passed and base is None:
            self._ask_base(course, gate, partial(self._count, course, gate, result, ran))
        else:
            self._count(course, gate, result, ran, base)

    def _confirm(
        self, course: _GateSequence, gate: Gate, first: Ran, base: Ran | None, second: Ran
    ) -> None:
        self._judge(course, gate, second, base, first)

    def _switched_off(self, course: _GateSequence, gate: Gate) -> tuple[str, ...]:
        comments, check = comments_of(gate.run), course.check
        if comments is None or not check.base:
            return ()
        now = {}
        for path in [each for each in course.touched if is_code(each)][:_MOST_READ]:
            content = read_regular(os.path.join(course.cwd, path), _MOST_BYTES_READ) or b""
            text = content.decode("utf-8", "replace")
            if comments.search(text):
                now[path] = text
        files = self._repository.files(check.base)
        there = [path for path, was_there in course.touched.items() if was_there and now]
        there.sort(key=lambda each: each not in now)
        before = (files.read(each) for each in there[:_MOST_READ_AT_BASE])
        return tuple(islice(switched_off(comments, now, before), _MOST_PLACES))

    def _count(
        self, course: _GateSequence, gate: Gate, result: GateResult, ran: Ran, base: Ran | None
    ) -> None:
        is_compared = course.check.is_compared
        self._give(course, counted(gate, result, ran, ran, base) if is_compared else result)

    def _run_again(self, course: _GateSequence, gate: Gate, passed: _Passed) -> None:
        self._second.lay_out(course.check, course.cwd, passed.altered)
        failpoints.reached("gate: the base's versions are in place")
        self._run(course, gate, partial(self._second_ran, course, gate, passed))

    def _second_ran(self, course: _GateSequence, gate: Gate, passed: _Passed, second: Ran) -> None:
        compare = partial(self._compare_second, course, gate, passed, second)
        if passed.base is None and needs_base_of(passed.ran, second):
            self._ask_base(course, gate, compare)
        else:
            compare(passed.base)

    def _compare_second(
        self, course: _GateSequence, gate: Gate, passed: _Passed, second: Ran, base: Ran | None
    ) -> None:
        found = passed.result
        if passed.altered.judges and found.outcome is GateOutcome.PASSED:
            found = with_second_run(gate, found, passed.ran, second, base, passed.altered)
        if course.check.is_compared:
            found = counted(gate, found, passed.ran, second, base)
        self._give(course, found)

    def _give(self, course: _GateSequence, result: GateResult) -> None:
        failures = tuple(self._masked(each) for each in result.failures)
        self._take(course, replace(result, failures=failures))

    def _take(self, course: _GateSequence, result: GateResult) -> None:
        course.results.append(result)
        self._next(course)

    def _finish(self, course: _GateSequence, why: str = "") -> None:
        with self._lock:
            if self._courses.pop((course.check.root_id, course.check.name), None) is not course:
                return
        left = course.check.gates[len(course.results) :]
        cause = GateCause.KILLED if course.stopped else GateCause.ERROR
        why = f"stopped by {course.stopped[1]}" if course.stopped else why
        course.done([*course.results, *(_failed_to_run(gate, why, cause) for gate in left)])

    def _restore(self, course: _GateSequence) -> None:
        check = course.check
        if not check.base:
            return
        try:
            self._repository.restore(check.directory, check.commit)
        except (RepositoryError, OSError) as error:
            logger.warning("cannot restore a worktree: %s", error, extra={"check": check.name})


def _failed_to_run(gate: Gate, why: str, cause: GateCause = GateCause.ERROR) -> GateResult:
    """Return the result of a gate that failed to run. The result blocks the change."""
    return replace(did_not_run(gate, cause, why), status=GateStatus.BROKEN)


def _not_imported(course: _GateSequence, gate: Gate, ran: Ran) -> Iterator[str]:
    """Yield changed Python files that the tests did not execute.

    If no test file was reported as executed, yield nothing: the Python that runs the tests reports
    no files.
    """
    executed = ran.executed or frozenset()
    if gate.by_imports and any(map(is_of_tests, executed)):
        for path in course.touched:
            if language_of(path) == PYTHON and path not in executed:
                yield from [path] if _has_statements(os.path.join(course.cwd, path)) else []


def _has_statements(path: str) -> bool:
    lines = (each.strip() for each in (read_regular(path, _MOST_LOOKED_AT) or b"").splitlines())
    return any(each and not each.startswith(b"#") for each in lines)


def _relative_to(project: str, touched: Mapping[str, bool]) -> Mapping[str, bool]:
    """Convert paths relative to the repository to paths relative to the project in it."""
    if project == os.curdir:
        return touched
    return {os.path.relpath(path, project): there for path, there in touched.items()}
