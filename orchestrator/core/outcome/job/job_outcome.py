"""Status of an ended job, facts about its result and gates, and shortened lists of its workers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

from orchestrator.core.gates.file_kinds import code_in, has_code, language_of
from orchestrator.core.gates.gate import SECRETS, GateCause, GateOutcome, GateResult
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import (
    FlakyGate,
    GateFact,
    JobFacts,
    SwitchedOff,
    UnjudgedCause,
    UnjudgedFile,
)
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.reason import changed_nothing, not_judged
from orchestrator.core.text.path_patterns import matches


def job_outcome(
    workers: Sequence[Worker],
    cancelled: bool,
    *,
    incomplete: bool = False,
    fails_unjudged: bool = False,
) -> JobStatus:
    """Return the final status of a job whose own workers have all ended.

    A task with several candidates succeeded if one candidate succeeded. A job that was cancelled
    after all its tasks had succeeded does not count as cancelled. A job without workers has failed,
    unless it was cancelled.

    ``incomplete``: the result lacks something (``Job.lacks_changes``). ``fails_unjudged``: the job
    requires a gate that judges changed code, and no gate judged it.
    """
    if fails_unjudged and not cancelled:
        return JobStatus.FAILED
    succeeded = tasks_succeeded(workers)
    if succeeded and all(succeeded.values()):
        return JobStatus.PARTIAL if incomplete else JobStatus.COMPLETED
    if cancelled:
        return JobStatus.CANCELLED
    return JobStatus.PARTIAL if any(succeeded.values()) else JobStatus.FAILED


def final_status(job: Job, workers: Iterable[Worker]) -> JobStatus:
    """Return the status with which a job ends (see ``job_outcome``).

    The job's planner is ignored.
    """
    return job_outcome(
        [each for each in workers if not each.is_planner],
        job.cancelled,
        incomplete=job.lacks_changes,
        fails_unjudged=job.fails_unjudged,
    )


def outcome_fields(job: Job) -> dict[str, Any]:
    """Return facts about a job's result, as fields of ``status.json`` and of API answers.

    Before the job's end, the values are empty.
    """
    facts = job.facts
    return {
        "changed_nothing": changed_nothing(job),
        "nothing_built": facts.nothing_built,
        "not_judged": not_judged(job) or None,
        "unjudged_gates": [
            {"name": gate.name, "cause": gate.cause, "why": gate.why}
            for gate in facts.unjudged_gates
            if gate.cause
        ],
        "unjudged_files": [asdict(file) for file in facts.unjudged_files],
        "merge_state": job.merge_state,
        "discarded": facts.discarded,
    }


def wall_seconds(job: Job, workers: Sequence[Worker]) -> float | None:
    """Return the seconds from a job's start to the latest end of one of its workers.

    Return None if the job's status is not final. The job's ``ended_at`` is not used, because the
    reports show this figure before ``ended_at`` is set.
    """
    if not job.status.ended:
        return None
    start = job.created_at if job.started_at is None else job.started_at
    ends = (worker.ended_at for worker in workers if worker.ended_at is not None)
    return round(max(0.0, max(ends, default=start) - start), 6)


def tasks_succeeded(workers: Sequence[Worker]) -> dict[str, bool]:
    """Return one value for each task id: True if a candidate of the task succeeded.

    Tasks are in the order of ``workers``.
    """
    succeeded: dict[str, bool] = {}
    for worker in workers:
        succeeded[worker.task_id] = succeeded.get(worker.task_id, False) or worker.status.succeeded
    return succeeded


#: Maximum number of gates that are stored as facts of one job.
MOST_GATES = 20
#: Maximum number of source files that are stored as facts of one job.
MOST_FILES = 100


def has_judged(results: Iterable[GateResult]) -> bool:
    """True if a gate other than the scan for secrets passed or failed."""
    return any(map(_is_judge, results))


def _is_judge(result: GateResult) -> bool:
    return result.name != SECRETS and result.outcome is not GateOutcome.DID_NOT_RUN


def is_unjudged(
    touched: Iterable[str],
    results: Sequence[GateResult],
    workers: Iterable[Worker],
    unjudged_jobs: Collection[str] = (),
) -> bool:
    """True if a merged change has code that no gate judged.

    If a gate judged the merged state, the result is False. Otherwise, only workers without a
    judging gate are checked. The result is True if one of these workers changed code, has a child
    job in ``unjudged_jobs``, or has no result.

    ``touched``: paths of the change. ``results``: gate results on the merged state. ``workers``:
    the workers of the change. ``unjudged_jobs``: jobs whose results have unjudged code.
    """
    if has_judged(results) or not has_code(touched):
        return False
    return any(_has_unjudged_code(each, unjudged_jobs) for each in workers)


def _has_unjudged_code(worker: Worker, unjudged_jobs: Collection[str]) -> bool:
    result = worker.result
    if result is None:
        return True
    if has_judged(result.gates):
        return False
    # The worker's own files do not include changes of its child jobs.
    return has_code(worker.touched_files) or any(
        each in unjudged_jobs for each in worker.child_job_ids
    )


def unjudged_files(
    existing: Mapping[str, str],
    results: Sequence[GateResult],
    workers: Sequence[Worker],
    child_job_facts: Sequence[JobFacts] = (),
) -> tuple[UnjudgedFile, ...]:
    """Return the source files of a merged change that were not judged by any gate.

    Call this only if at least one gate judged the change. A gate result on the merged state can
    cover all files. A gate result of one worker can cover only this worker's files. No result
    covers files outside its ``looks_at``, or files in its ``not_imported``.

    ``existing``: the changed files that still exist. Each key is a file's path in the project. The
    value is its path in the repository, as in ``files_created`` of a worker's result.
    ``child_job_facts``: facts of the workers' child jobs. A file that only child jobs changed
    counts as judged, unless ``child_job_facts`` lists the file as unjudged.
    """
    gate_names = {each.name for each in results}
    result_judges = [each for each in results if _is_judge(each)]
    worker_results = [each.result for each in workers if each.result is not None]
    worker_gates = [
        (
            frozenset(result.files_created),
            [each for each in result.gates if each.name not in gate_names],
        )
        for result in worker_results
    ]
    own_paths = frozenset(path for paths, _ in worker_gates for path in paths)
    unjudged = []
    for path, repository_path in sorted(existing.items()):
        language = language_of(path)
        if not language or (
            repository_path not in own_paths
            and not _is_unjudged_in_child_job(path, child_job_facts)
        ):
            continue
        worker_judges = (
            each for paths, gates in worker_gates if repository_path in paths for each in gates
        )
        judges = [*result_judges, *filter(_is_judge, worker_judges)]
        if not any(_covers(each, path) for each in judges):
            is_not_imported = any(path in each.not_imported for each in judges)
            cause = UnjudgedCause.NOT_IMPORTED if is_not_imported else UnjudgedCause.NO_GATE
            unjudged.append(UnjudgedFile(path=path, language=language, cause=cause))
    return tuple(unjudged)


def _is_unjudged_in_child_job(path: str, child_job_facts: Sequence[JobFacts]) -> bool:
    return any(
        any(each.path == path for each in facts.unjudged_files)
        or (facts.unjudged and not facts.unjudged_files)
        for facts in child_job_facts
    )


def _covers(result: GateResult, path: str) -> bool:
    if path in result.not_imported:
        return False
    return not result.looks_at or matches(path, result.looks_at)


def cover_all_code(files: Collection[UnjudgedFile], paths: Iterable[str]) -> bool:
    """True if ``files`` are all code files of a change. ``paths``: all paths of the change."""
    return bool(files) and {*code_in(paths)} == {each.path for each in files}


def unjudged_code(worker: Worker) -> tuple[str, ...]:
    """Return code that a worker changed without a worktree, and that none of its gates judged."""
    result = worker.result
    if result is None or result.delivery is None or has_judged(result.gates):
        return ()
    return result.delivery.code


def gate_facts(
    touched: Iterable[str], results: Sequence[GateResult], workers: Iterable[Worker]
) -> tuple[GateFact, ...]:
    """Return one fact for each gate that did not pass; at most ``MOST_GATES`` facts.

    A result on the merged state replaces the results of workers. ``touched``: the changed paths.
    """
    changes_code = has_code(touched)
    result_by_gate = {each.name: each for each in results}
    for worker in workers:
        for each in worker.gates:
            result_by_gate.setdefault(each.name, each)
    reported = (each for each in result_by_gate.values() if each.outcome is not GateOutcome.PASSED)
    facts = [_gate_fact(each, changes_code) for each in reported]
    return tuple(facts[:MOST_GATES])


def flaky_gates(results: Iterable[GateResult]) -> tuple[FlakyGate, ...]:
    return tuple(FlakyGate(name=each.name, findings=each.flaky) for each in results if each.flaky)


def suppressing_comments(
    results: Iterable[GateResult], workers: Iterable[Worker]
) -> tuple[SwitchedOff, ...]:
    """Return the new code comments that switch off findings, grouped by gate.

    If a gate ran on the merged state, only comments in the merged state count. Otherwise, the
    comments of the first worker with this gate count.
    """
    result_by_gate = {each.name: each for each in results}
    for worker in workers:
        for each in worker.gates:
            result_by_gate.setdefault(each.name, each)
    switched_off = (each for each in result_by_gate.values() if each.switched_off)
    return tuple(SwitchedOff(gate=each.name, places=each.switched_off) for each in switched_off)


def gates_passed(results: Iterable[GateResult], workers: Iterable[Worker]) -> tuple[str, ...]:
    """Return the names of passed gates, without the scan for secrets; at most ``MOST_GATES``.

    If a gate ran on the merged state, that run decides. Otherwise, the gate must have passed for
    every worker that has it.
    """
    passed_on_result = {each.name: each.outcome is GateOutcome.PASSED for each in results}
    passed_by_workers: dict[str, bool] = {}
    for each in (gate for worker in workers if worker.result for gate in worker.result.gates):
        has_passed = each.outcome is GateOutcome.PASSED
        passed_by_workers[each.name] = has_passed and passed_by_workers.get(each.name, True)
    names = (
        name for name, has_passed in {**passed_by_workers, **passed_on_result}.items() if has_passed
    )
    return tuple(name for name in names if name != SECRETS)[:MOST_GATES]


def _gate_fact(result: GateResult, changes_code: bool) -> GateFact:
    first_failure = next(iter(result.failures), "")
    note = result.note or first_failure
    failed = result.outcome is GateOutcome.FAILED
    had_to_judge = result.required and result.cause is not GateCause.NOTHING_CHANGED
    return GateFact(
        name=result.name,
        cause=result.cause,
        why=first_failure or note if failed else note,
        unjudged=not failed and had_to_judge and changes_code,
    )


#: Maximum number of workers that a file lists. For a larger job, the file refers to the complete
#: list.
LISTED_WORKERS = 1_000
#: File next to ``status.json`` with the status of all workers. It exists if a job has ended and has
#: more than ``LISTED_WORKERS`` workers.
ALL_WORKERS = "all_workers.json"

_RANKS: Mapping[WorkerStatus, int] = {
    WorkerStatus.FAILED: 0,
    WorkerStatus.TIMEOUT: 0,
    WorkerStatus.RUNNING: 1,
    WorkerStatus.WAITING: 1,
    WorkerStatus.CANCELLED: 2,
    WorkerStatus.SKIPPED: 2,
}
_LAST = 3


class _HasStatus(Protocol):
    @property
    def status(self) -> WorkerStatus: ...


Listed = TypeVar("Listed", bound=_HasStatus)


def listed_workers(workers: Sequence[Listed], most: int = LISTED_WORKERS) -> Sequence[Listed]:
    """Return at most ``most`` of ``workers``, in unchanged order.

    If there are more workers, failed workers are selected first, then running workers, then
    cancelled and skipped workers.
    """
    if len(workers) <= most:
        return workers
    ranks = [_RANKS.get(each.status, _LAST) for each in workers]
    return [workers[index] for index in first_places(ranks, most)]


def first_places(ranks: Sequence[int], most: int) -> Sequence[int]:
    """Return the indexes of the lowest ``ranks``, sorted by index; at most ``most`` indexes."""
    return sorted(sorted(range(len(ranks)), key=ranks.__getitem__)[:most])


def all_workers_call(job_id: str) -> str:
    return f"GET /api/v1/jobs/{job_id}/columns"


def worker_pages_call(job_id: str) -> str:
    return f"GET /api/v1/jobs/{job_id}/workers?page=1&order=attention"
