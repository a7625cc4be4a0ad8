"""Code of a change that no gate judged."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from orchestrator.core.gates.file_kinds import code_in, has_code, language_of
from orchestrator.core.gates.gate import SECRETS, GateOutcome, GateResult
from orchestrator.core.model.job import Worker
from orchestrator.core.model.job_facts import JobFacts, UnjudgedCause, UnjudgedFile
from orchestrator.core.text.path_patterns import matches

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
