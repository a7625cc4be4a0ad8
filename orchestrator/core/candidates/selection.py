"""Ranks the candidates of a task by their evidence, and selects the best candidate. Pure.

The criteria are applied in the order of ``Criterion``. A later criterion decides only if
two candidates are equal by all earlier criteria.

The choice does not depend on the order in which the candidates ended.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from math import inf

from orchestrator.core.gates.gate import GateCause, GateOutcome, GateResult, GateStatus
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Worker
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from orchestrator.core.text.formatting import plural

#: Values of ``GateResult.cause`` for a gate that was skipped, because the change does not concern
#: it. None is the value in results that earlier versions stored.
_UNCHANGED = (GateCause.NOTHING_CHANGED, None)
#: Maximum number of gates or tests that a sentence names.
MOST_NAMED = 3
#: Minimum number of candidates on which a new test must pass to count. A test that the task names
#: always counts.
FEWEST_AGREEING = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """A reviewer's opinion on one candidate: the candidate's place (1 is best), and the reason."""

    place: int
    remark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Evidence of one candidate. A field is None if its value is unknown."""

    worker_id: str
    index: int
    succeeded: bool = True
    #: Status of the candidate's worker, as text.
    status: str = "success"
    #: True if no gate checked this candidate's result, but a gate checked another candidate's
    #: result.
    unchecked: bool = False
    #: Names of gates that judged another candidate's result, but did not run on this one.
    unrun: tuple[str, ...] = ()
    #: Names of the gates that reject the candidate.
    blocking: tuple[str, ...] = ()
    #: Number of new findings of the gates that report no places in files, such as tests.
    failures: int = 0
    #: Number of the base commit's tests that pass.
    base_tests: int = 0
    #: Names of new tests that pass and count (see ``counted_new_tests``).
    new_tests: tuple[str, ...] = ()
    #: Number of findings of the gates that report places in files, such as linters.
    lint: int = 0
    #: Tests and gate settings that the candidate altered with its task's permission.
    judges: tuple[str, ...] = ()
    #: The candidate's place in the review; 1 is best.
    review: int | None = None
    remark: str = ""
    #: True if this candidate has no changes, but another candidate has changes. If no candidate has
    #: changes: true if this candidate has no output, but another candidate has output.
    delivers_nothing: bool = False
    lines: int | None = None
    files: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparator:
    """One criterion by which two candidates are compared.

    ``key`` returns a sort key; the candidate with the smaller key is better. ``words`` states why
    the second candidate is worse than the first.
    """

    by: Criterion
    key: Callable[[Candidate], tuple[float, ...]]
    words: Callable[[Candidate, Candidate], str]


def ranked(candidates: Iterable[Candidate]) -> list[tuple[Candidate, CandidateRank]]:
    """Return the candidates with their ranks, best first. There must be at least one candidate."""
    ordered = sorted(candidates, key=lambda candidate: [each.key(candidate) for each in _CRITERIA])
    best, others = ordered[0], ordered[1:]
    behind = [(each, *_deciding_criterion(best, each)) for each in others]
    return [
        (best, _rank(best, 1, *_criterion_of_best(behind))),
        *((each, _rank(each, place, by, why)) for place, (each, by, why) in enumerate(behind, 2)),
    ]


def candidates_of(
    workers: Sequence[Worker],
    opinions: Mapping[str, Opinion] | None = None,
    child_job_costs: Mapping[str, float] | None = None,
    words: str = "",
) -> list[Candidate]:
    """Return the evidence of the workers of one task.

    ``opinions``: the reviewer's opinions, by worker id. ``child_job_costs``: cost of each worker's
    child jobs, in US dollars, by worker id. ``words``: text of the task.
    """
    results = [worker.result or WorkerResult() for worker in workers]
    checked = any(result.gates for result in results)
    result_gates = {gate.name for result in results for gate in result.gates if _has_verdict(gate)}
    any_changes = any(map(_has_changes, results))
    any_answer = any(map(_has_answer, results))
    fewest_tests = _fewest_tests(workers)
    new_tests = counted_new_tests(workers, words)
    return [
        _candidate(
            worker,
            result,
            (opinions or {}).get(worker.id),
            base_tests=sum(_base_tests_passed(gate, fewest_tests) for gate in result.gates),
            new_tests=new_tests[worker.id],
            cost_usd=_cost_with_child_jobs(worker, (child_job_costs or {}).get(worker.id, 0.0)),
            unchecked=checked and not result.gates,
            unrun=tuple(gate.name for gate in result.gates if _is_unrun(gate, result_gates)),
            delivers_nothing=not _has_changes(result)
            and (any_changes or (any_answer and not _has_answer(result))),
        )
        for worker, result in zip(workers, results, strict=True)
    ]


def chosen(workers: Iterable[Worker]) -> Worker | None:
    """Return the worker whose changes are the task's result; None if no worker succeeded.

    ``workers``: all workers of one task. If the candidates are not ranked yet, return the
    successful worker with the lowest index.
    """

    def order(worker: Worker) -> tuple[float, int]:
        return worker.standing.place if worker.standing else inf, worker.index

    return min((each for each in workers if each.status.succeeded), key=order, default=None)


def _candidate(
    worker: Worker,
    result: WorkerResult,
    opinion: Opinion | None,
    *,
    base_tests: int,
    new_tests: tuple[str, ...],
    cost_usd: float | None,
    unchecked: bool,
    unrun: tuple[str, ...],
    delivers_nothing: bool,
) -> Candidate:
    change = result.change
    return Candidate(
        worker_id=worker.id,
        index=worker.index,
        succeeded=worker.status.succeeded,
        status=str(worker.status),
        unchecked=unchecked,
        unrun=unrun,
        blocking=tuple(gate.name for gate in result.gates if gate.blocks),
        failures=sum(len(gate.failures) for gate in result.gates if not gate.is_of_files),
        base_tests=base_tests,
        new_tests=new_tests,
        lint=sum(
            len(gate.failures) if gate.base_findings is None else gate.base_findings
            for gate in result.gates
            if gate.is_of_files
        ),
        judges=tuple(dict.fromkeys(path for gate in result.gates for path in gate.judges)),
        review=opinion.place if opinion else None,
        remark=opinion.remark if opinion else "",
        delivers_nothing=delivers_nothing,
        lines=change.lines if change else None,
        files=change.files if change else len(result.files_created),
        cost_usd=cost_usd,
        seconds=result.work_seconds,
    )


def counted_new_tests(workers: Sequence[Worker], words: str) -> dict[str, tuple[str, ...]]:
    """Return the new tests that count for the choice of a candidate, by worker id.

    A new test counts if the task names the test, or if the test passes on at least two successful
    candidates. Other new tests do not count, because a candidate easily passes tests that it wrote
    itself. ``words``: text of the task.
    """
    tests_by_worker = {
        each.id: {test for gate in each.gates for test in gate.new_tests} for each in workers
    }
    pass_counts = Counter(
        chain.from_iterable(tests_by_worker[each.id] for each in workers if each.status.succeeded)
    )
    named_tests = {
        test for tests in tests_by_worker.values() for test in tests if _is_named(test, words)
    }
    counted_tests = named_tests | {
        test for test, count in pass_counts.items() if count >= FEWEST_AGREEING
    }
    return {
        worker_id: tuple(sorted(tests & counted_tests))
        for worker_id, tests in tests_by_worker.items()
    }


def _is_named(test: str, words: str) -> bool:
    own_name = re.escape(test.rpartition("::")[2])
    return re.search(rf"(?<!\w){own_name}(?!\w)", words) is not None


def _fewest_tests(workers: Sequence[Worker]) -> dict[str, int]:
    fewest: dict[str, int] = {}
    results = (each.result for each in workers if each.status.succeeded and each.result)
    for gate in chain.from_iterable(each.gates for each in results):
        count = _comparable_tests(gate)
        if count is not None:
            fewest[gate.name] = min(count, fewest.get(gate.name, count))
    return fewest


def _has_verdict(gate: GateResult) -> bool:
    return gate.outcome is not GateOutcome.DID_NOT_RUN


def _is_unrun(gate: GateResult, result_gates: Collection[str]) -> bool:
    """True if the gate judged another candidate of the task, but did not run for this candidate.

    Exception: False if this candidate's changes do not concern the gate.

    ``gate``: the gate's result for this candidate. ``result_gates``: names of the gates that judged
    at least one candidate.
    """
    is_missing = gate.cause is not GateCause.NOTHING_CHANGED and not _has_verdict(gate)
    return is_missing and gate.name in result_gates


def _base_tests_passed(gate: GateResult, fewest: Mapping[str, int]) -> int:
    """Return how many tests of the base commit passed for a candidate.

    ``gate``: the gate's result for the candidate. ``fewest``: the smallest number of passed tests
    among the successful candidates, by gate name. If the candidate's changes do not concern the
    gate, return this smallest number, so that the gate gives the candidate no advantage.
    """
    unchanged = gate.status is GateStatus.SKIPPED and gate.cause in _UNCHANGED
    return fewest.get(gate.name, 0) if unchanged else _comparable_tests(gate) or 0


def _comparable_tests(gate: GateResult) -> int | None:
    return gate.tests if gate.base_tests is None else gate.base_tests


def _cost_with_child_jobs(worker: Worker, child_job_cost: float) -> float | None:
    return (worker.cost_usd or 0.0) + child_job_cost if child_job_cost else worker.cost_usd


def _has_changes(result: WorkerResult) -> bool:
    return bool(result.change.files if result.change else result.files_created)


def _has_answer(result: WorkerResult) -> bool:
    return bool(result.output.strip())


def _deciding_criterion(best: Candidate, other: Candidate) -> tuple[Criterion, str]:
    criterion = next(each for each in _CRITERIA if each.key(other) != each.key(best))
    return criterion.by, criterion.words(best, other)


def _criterion_of_best(behind: Sequence[tuple[Candidate, Criterion, str]]) -> tuple[Criterion, str]:
    if not behind:
        return Criterion.ORDER, "only candidate"
    second, by, why = behind[0]
    if by is Criterion.SUCCESS:
        return by, "only candidate that succeeded"
    return by, f"runner-up {second.worker_id}: {why}"


def _rank(candidate: Candidate, place: int, by: Criterion, why: str) -> CandidateRank:
    return CandidateRank(
        place=place,
        by=by,
        why=why,
        review=candidate.review,
        remark=candidate.remark,
        cost_usd=candidate.cost_usd,
    )


# -- the criteria -------------------------------------------------------------------------------


def _success_words(best: Candidate, other: Candidate) -> str:
    why = f": {_failing_gates(other.blocking)}" if other.blocking else ""
    return f"status {other.status}{why}"


def _gates_key(candidate: Candidate) -> tuple[float, ...]:
    unchecked = float(candidate.unchecked or bool(candidate.unrun))
    checked = 2.0 if candidate.blocking else unchecked
    return (checked, len(candidate.blocking), bool(candidate.judges), candidate.failures)


def _gates_words(best: Candidate, other: Candidate) -> str:
    if len(other.blocking) > len(best.blocking):
        return _failing_gates(other.blocking)
    if other.unchecked and not best.unchecked:
        return "gates did not run"
    if other.unrun and not best.unrun:
        return f"{plural(len(other.unrun), 'gate')} did not run ({_first_names(other.unrun)})"
    if other.judges and not best.judges:
        return (
            f"the candidate changed tests or gate settings that judge its work ({other.judges[0]})"
        )
    return f"{_more(other.failures - best.failures, 'gate failure')}"


def _failing_gates(names: Sequence[str]) -> str:
    verb = "fails" if len(names) == 1 else "fail"
    return f"{plural(len(names), 'gate')} {verb} ({_first_names(names)})"


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def _base_tests_words(best: Candidate, other: Candidate) -> str:
    return f"{_fewer(best.base_tests - other.base_tests, 'existing test')} passed"


def _new_tests_words(best: Candidate, other: Candidate) -> str:
    difference = len(best.new_tests) - len(other.new_tests)
    missing_tests = [each for each in best.new_tests if each not in other.new_tests]
    return f"{_fewer(difference, 'new test')} counted ({_first_names(missing_tests)})"


def _review_words(best: Candidate, other: Candidate) -> str:
    if other.review is None:
        return "not reviewed"
    return f"place {other.review} in the review" + (f": {other.remark}" if other.remark else "")


def _size_key(candidate: Candidate) -> tuple[float, ...]:
    return (
        candidate.delivers_nothing,
        inf if candidate.lines is None else candidate.lines,
        candidate.files,
    )


def _size_words(best: Candidate, other: Candidate) -> str:
    if other.delivers_nothing and not best.delivers_nothing:
        return "no changes" if best.lines or best.files else "no output"
    if other.lines == best.lines:
        return _more(other.files - best.files, "file")
    if other.lines is None or best.lines is None:
        return "size of the change unknown"
    return _more(other.lines - best.lines, "line")


def _cost_words(best: Candidate, other: Candidate) -> str:
    if other.cost_usd is None or best.cost_usd is None:
        return "cost unknown"
    return f"${other.cost_usd - best.cost_usd:.4f} more"


def _more(number: int, noun: str) -> str:
    return plural(number, f"more {noun}")


def _fewer(number: int, noun: str) -> str:
    return plural(number, f"fewer {noun}")


_CRITERIA = (
    Comparator(
        Criterion.SUCCESS,
        lambda each: (not each.succeeded,),
        _success_words,
    ),
    Comparator(Criterion.GATES, _gates_key, _gates_words),
    Comparator(Criterion.BASE_TESTS, lambda each: (-each.base_tests,), _base_tests_words),
    Comparator(Criterion.NEW_TESTS, lambda each: (-len(each.new_tests),), _new_tests_words),
    Comparator(
        Criterion.LINT,
        lambda each: (each.lint,),
        lambda best, other: _more(other.lint - best.lint, "finding"),
    ),
    Comparator(
        Criterion.REVIEW,
        lambda each: (inf if each.review is None else each.review,),
        _review_words,
    ),
    Comparator(Criterion.SIZE, _size_key, _size_words),
    Comparator(
        Criterion.COST,
        lambda each: (inf if each.cost_usd is None else each.cost_usd,),
        _cost_words,
    ),
    Comparator(
        Criterion.TIME,
        lambda each: (each.seconds,),
        lambda best, other: f"{other.seconds - best.seconds:.3g} s longer",
    ),
    Comparator(
        Criterion.ORDER,
        lambda each: (each.index,),
        lambda best, other: "equal in all criteria, but later in the list of agents",
    ),
)
