"""Composes a job's ``reason`` from the job's fields and facts. No other module composes reasons."""

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.core.gates.gate import SECRETS, AlteredJudges, GateCause
from orchestrator.core.lazy_dataclass import changed
from orchestrator.core.limits.usage_caps import describe_exceeded
from orchestrator.core.model.attempt.delivered_work import (
    DeliveredWork,
    altered_in_words,
    is_delivered,
)
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.human_input.pause import Pause, PauseCause
from orchestrator.core.model.job import NO_PLAN, RULES, WALL_TIME, Job
from orchestrator.core.model.job_facts import (
    GateFact,
    LossCause,
    Missing,
    Overruled,
    Shortfall,
    UnjudgedCause,
    UnjudgedWork,
)
from orchestrator.core.model.states import JobStatus, MergeState, StopCause
from orchestrator.core.model.user_repository_changes import changes_in_words
from orchestrator.core.outcome.job.unmerged_changes import are_saved, merge_command
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import listed, plural

#: Maximum number of workers that a sentence names.
MOST_NAMED = 5
#: The reason of a job whose tasks wait for a person's approval.
WAITS_FOR_APPROVAL = "waiting for approval"
#: Begins the sentence on a job whose workers' changes could not be merged.
NOT_MERGED = "merge failed"
#: The sentence on a job whose branches were removed.
DISCARDED = "the job's branches and checkpoints were discarded"
#: Begins the sentence on a job with changed code that no gate judged.
NOT_JUDGED = "not judged: "
#: Begins the sentence on a job whose changes were only partly judged by gates.
JUDGED_IN_PART = "judged in part: "
#: Why no gate judged changes that a worker made in its own directory, or in the project.
NO_WORKTREE = "gates do not check work without a worktree"
#: Begins the sentence on a job that only surveyed the project, though it may ask for a change.
NOTHING_BUILT = "nothing was built: no AI agent"
#: Begins the sentence on workers that changed no file, perhaps unintentionally.
NOTHING_CHANGED = "nothing was changed"
#: Begins the sentence on findings that a second run on the merged state did not confirm.
FLAKY = "flaky on the merged result: "
#: Begins the sentence on changes of the job's workers that its result lacks.
LEFT_OUT = "not in the result: "
#: Begins the sentence on changed settings, hooks, branches, and tags of the user's repository, and
#: on pushes.
REPOSITORY_CHANGED = "your repository changed outside of the workers' branches"
#: The setting with which one worker's hunks replace conflicting hunks of another worker.
THEIRS = "merge_strategy theirs"
#: Begins the sentence on changes of child jobs that their parent workers removed or overwrote.
UNDONE = "changes of child jobs undone"


def reason_of(job: Job) -> str:
    """Return one sentence for each fact of the job, joined by "; ". Pure.

    The most serious fact comes first. The result is "" if there are no facts. No code reads a
    reason to decide anything.

    To add a fact:

    1. Add a field to ``job_facts.JobFacts``, or use another field of the job.
    2. Add a function here that returns the fact's sentence, or "" if there is no such fact.
    3. Add the function to ``SENTENCES``.
    4. Store the fact: ``unit_of_work.update_job(job_id, facts=replace(job.facts, ...))``.
    """
    return "; ".join(_sentences(job))


def remarks_of(job: Job) -> list[str]:
    """Return the sentences of a job's reason, for the remarks in reports.

    Sentences about unmerged changes and unsuccessful workers are omitted, because reports list them
    separately.
    """
    if job.merge_state is MergeState.IN_PART:
        return _sentences(job, _unsuccessful, _merge)
    return remarks_beside_workers(job)


def remarks_beside_workers(job: Job) -> list[str]:
    """Return the sentences of a job's reason, without the sentence about unsuccessful workers.

    The dashboard shows the sentences below the first failed worker and its reason. A job of an
    earlier version has no facts. For such a job, return the whole reason as one text.
    """
    if not reason_of(job) and job.reason:
        return [job.reason]
    return _sentences(job, _unsuccessful)


def _sentences(job: Job, *separate: Callable[[Job], str]) -> list[str]:
    return [text for sentence in SENTENCES if sentence not in separate and (text := sentence(job))]


def _planned_by(job: Job) -> str:
    is_planned = job.status is JobStatus.PLANNING and not job.awaits_approval
    has_planner = job.plan_source not in ("given", RULES, NO_PLAN)
    return f"being planned by {job.plan_source}" if is_planned and has_planner else ""


def _approval(job: Job) -> str:
    return WAITS_FOR_APPROVAL if job.awaits_approval else ""


#: Options of the command ``budget``, by the name of the limit that the option raises.
_BUDGET_OPTIONS = {
    "max_steps": "--max-steps N",
    "max_tokens": "--max-tokens N",
    "max_cost_usd": "--max-cost USD",
    WALL_TIME: "--max-wall S",
}


def budget_command(pause: Pause) -> str:
    return f"{COMMAND} budget {pause.job_id} {_BUDGET_OPTIONS.get(pause.limit, '')}".rstrip()


def pause_sentence(job: Job) -> str:
    """Return the sentence about a job's pause; "" if the job is not paused."""
    pause = job.pause
    if pause is None:
        return ""
    if pause.cause is PauseCause.LIMIT:
        return f"paused at a limit: {pause.by}; to raise the limit: {budget_command(pause)}"
    if pause.cause is PauseCause.EVERYTHING:
        return f"all jobs are paused by key {pause.by!r}; resume: {COMMAND} resume --all"
    return f"paused by key {pause.by!r}; resume: {COMMAND} resume {pause.job_id}"


def _stop(job: Job) -> str:
    if job.stop_cause is None or job.status is JobStatus.COMPLETED:
        return ""
    limits = (StopCause.WALL_TIME, StopCause.LIMIT)
    return f"{'stopped' if job.stop_cause in limits else 'cancelled'} by {job.cancelled_by}"


def _caps(job: Job) -> str:
    return "; ".join(map(describe_exceeded, job.facts.caps_passed))


def _unpriced(job: Job) -> str:
    names = job.facts.unpriced
    if not names:
        return ""
    cause = "the price of the model is unknown; set workers.prices in config.yaml"
    return f"cost cap not enforced for {listed(names)}: {cause}"


def _rejected_child_jobs(job: Job) -> str:
    count = job.facts.rejected_child_jobs
    if not count:
        return ""
    return f"{plural(count, 'child job')} rejected because of a limit or a cycle"


def _plan(job: Job) -> str:
    fallback = job.facts.plan_fallback
    return f"planned by rules: {fallback.reason}" if fallback else job.facts.plan_error


def _unsuccessful(job: Job) -> str:
    names = [each for each in job.facts.unsuccessful if each not in job.facts.taken]
    shown = job.stop_cause is None and job.status in (JobStatus.PARTIAL, JobStatus.FAILED)
    return f"{listed(names)} did not succeed" if shown and names else ""


def _discarded(job: Job) -> str:
    return DISCARDED if job.facts.discarded else ""


def _landed(job: Job) -> str:
    with_result = {each.branch for each in job.facts.landed}
    names = [each for each in job.facts.landed_on if each not in with_result]
    if not names or job.facts.discarded:
        return ""
    statement = f"{listed(names)} {'has' if len(names) == 1 else 'have'} an earlier result"
    return f"{statement}; to add the new result: {COMMAND} land {job.id}"


def _pull_request(job: Job) -> str:
    error = job.facts.pull_request_error
    if not error or job.facts.discarded:
        return ""
    return f"no pull request was opened: {error}; retry: {COMMAND} land {job.id} --pr"


def _merge(job: Job) -> str:
    if job.facts.discarded:
        return ""
    match job.merge_state:
        case MergeState.FAILED:
            error = f"{NOT_MERGED}: {job.facts.merge_error}"
            return f"{error}; to merge again: {COMMAND} merge {job.id}"
        case MergeState.IN_PART:
            return f"{LEFT_OUT}{_missing_changes(job)}"
        case _:
            return ""


def _nothing_built(job: Job) -> str:
    if not job.facts.nothing_built:
        return ""
    return (
        f"{NOTHING_BUILT} worked on the request; the project was only surveyed; connect an agent: "
        f"{COMMAND} agents"
    )


def _unchanged(job: Job) -> str:
    worker_ids = changed_nothing(job)
    return f"{NOTHING_CHANGED} by {listed(worker_ids)}" if worker_ids else ""


def changed_nothing(job: Job) -> list[str]:
    """Return workers that succeeded without changes, though their tasks may require changes."""
    return [each.worker_id for each in job.facts.shortfalls if each.unchanged]


def _shortfalls(job: Job) -> str:
    parts = ((each.worker_id, _shortfall_in_words(each, job)) for each in job.facts.shortfalls)
    sentences = [f"{worker_id}: {words}" for worker_id, words in parts if words]
    suffix = f"; {_more(sentences, 'worker')}" if len(sentences) > MOST_NAMED else ""
    return "; ".join(sentences[:MOST_NAMED]) + suffix


def _shortfall_in_words(shortfall: Shortfall, job: Job) -> str:
    delivered = DeliveredWork(
        changed=True,
        saved=_saved_besides_promised(shortfall, job),
        side_work=shortfall.deleted,
        outside=shortfall.outside,
        held_back=shortfall.held_back,
        checkout=shortfall.checkout,
        has_worktree=shortfall.has_worktree,
    )
    altered = AlteredJudges(
        paths=shortfall.judges,
        with_code=shortfall.judges_with_code,
        settings=shortfall.altered_settings,
    )
    return "; ".join((*delivered.remarks, *altered_in_words(altered)))


def _saved_besides_promised(shortfall: Shortfall, job: Job) -> tuple[str, ...]:
    """Return the saved files that ``_merge`` does not name as promised files."""
    if job.merge_state is not MergeState.IN_PART or job.facts.discarded:
        return shortfall.saved
    named = [
        promised
        for each in job.facts.lacking
        if each.cause is LossCause.NO_BRANCH and are_saved(each.paths, shortfall.saved)
        if (each.worker_id, each.job_id) == (shortfall.worker_id, job.id)
        for promised in each.paths
    ]
    return tuple(
        path for path in shortfall.saved if not any(is_delivered(each, [path]) for each in named)
    )


def _checkout(job: Job) -> str:
    paths_by_workers: dict[tuple[str, ...], list[str]] = {}
    for each in job.facts.checkout:
        paths_by_workers.setdefault(each.workers, []).append(each.path)
    parts = [
        f"your checkout changed while {_joined_names(names)} ran: {listed(paths)}"
        for names, paths in paths_by_workers.items()
    ]
    return "; ".join(parts[:MOST_NAMED])


def _joined_names(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{len(names)} workers"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _missing_changes(job: Job) -> str:
    parts = [_missing_of_worker(each, job) for each in job.facts.lacking if each.is_made]
    suffix = f"; {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return "; ".join(parts[:MOST_NAMED]) + suffix


def _not_made(job: Job) -> str:
    """Return the sentence about missing promised files, with the command that creates them.

    For a child job, the sentence has no command, because the parent worker decides what to do.
    """
    lacking = [each for each in job.facts.lacking if not each.is_made]
    if job.facts.discarded:
        return ""
    parts = [f"{_worker_name(each, job)}: {each.why}" for each in lacking[:MOST_NAMED]]
    parts += [_more(lacking, "worker")] if lacking[MOST_NAMED:] else []
    if lacking and job.is_root:
        parts.append(f"to create the files: {merge_command(lacking[0], job, []).command}")
    return "; ".join(parts)


def _missing_of_worker(missing: Missing, job: Job) -> str:
    part = "in part " if missing.in_part else ""
    why = f" ({missing.why})" if missing.why else ""
    return f"{part}{_worker_name(missing, job)}{why}"


def _worker_name(missing: Missing, job: Job) -> str:
    of_job = f" of job {missing.job_id}" if missing.job_id != job.id else ""
    return f"{missing.worker_id}{of_job}"


def _earlier_parts(job: Job) -> str:
    if job.facts.discarded:
        return ""
    parts = []
    for earlier in job.facts.earlier_parts[:MOST_NAMED]:
        names = f"{job.id} {earlier.worker_id}"
        rollback = f"{COMMAND} rollback {names} {after(earlier.attempt)} --yes"
        merge = f"{COMMAND} merge {job.id} --include {earlier.worker_id}"
        parts.append(
            f"{earlier.worker_id}: the files of attempt {earlier.attempt} are not in the result, "
            f"because the retry did not succeed; to merge them: {rollback} && {merge}"
        )
    return "; ".join(parts)


def _not_in_parent(job: Job) -> str:
    paths = job.facts.not_in_parent
    if not paths:
        return ""
    parent = job.parent_worker_id
    conflict = f"{parent} and this child job both changed {listed(paths)}"
    return f"the changes of this job were not merged into the files of {parent}: {conflict}"


def _merged_by_person(job: Job) -> str:
    missing_ids = {each.worker_id for each in job.facts.missing if not each.in_part}
    names = [each for each in job.facts.taken if each not in missing_ids]
    names += [f"child job {each}" for each in job.facts.taken_jobs]
    return f"merged by a person: {listed(names)}" if names else ""


def _overruled(job: Job) -> str:
    return _named_hunks(job, f"replaced by {THEIRS}", by_worker=False)


def _undone(job: Job) -> str:
    return _named_hunks(job, UNDONE, by_worker=True)


def _named_hunks(job: Job, heading: str, *, by_worker: bool) -> str:
    overruled = (*job.facts.overruled, *job.facts.overruled_below)
    parts = [_hunks_in_words(each, job) for each in overruled if bool(each.by_worker) is by_worker]
    suffix = f", {_more(parts, 'worker')}" if len(parts) > MOST_NAMED else ""
    return f"{heading}: {', '.join(parts[:MOST_NAMED])}{suffix}" if parts else ""


def _undone_workers(job: Job) -> str:
    names = job.facts.undone
    return f"later tasks undid all changes of {listed(names)}" if names else ""


def _both_kept(job: Job) -> str:
    paths = job.facts.both_kept
    return f"the merge kept the added lines of both sides in {listed(paths)}" if paths else ""


def _by_driver(job: Job) -> str:
    paths = job.facts.by_driver
    return f"your merge driver, which may omit changes, merged {listed(paths)}" if paths else ""


def _hunks_in_words(overruled: Overruled, job: Job) -> str:
    count, places = overruled.hunks, overruled.places
    job_id = overruled.job_id or job.id
    of_job = f" of job {job_id}" if job_id != job.id else ""
    location = (
        f" ({', '.join(places[:MOST_NAMED])}{', ...' * (count > MOST_NAMED)})" if places else ""
    )
    by = f" by job {overruled.by_job}" if overruled.by_job else ""
    by = f" by {overruled.by_worker}" if overruled.by_worker else by
    worker = f" of {overruled.worker_id}" if overruled.worker_id else ""
    return f"{plural(count, 'hunk')}{worker}{of_job}{location}{by}"


def _unjudged(job: Job) -> str:
    why = not_judged(job)
    is_whole = job.facts.unjudged or not job.facts.gates_passed
    return f"{NOT_JUDGED if is_whole else JUDGED_IN_PART}{why}" if why else ""


def not_judged(job: Job) -> str:
    """Return why no gate judged the changed code, or why gates judged only a part of the code.

    In the second case, the text names the gates that did not run, and the files that were not
    judged. The result is "" if gates judged all changed code.
    """
    return "; ".join(filter(None, (_merged_unjudged(job), _without_worktree(job))))


def _without_worktree(job: Job) -> str:
    work = job.facts.unjudged_work
    parts = [_unjudged_work_in_words(each) for each in work[:MOST_NAMED]]
    if work[MOST_NAMED:]:
        parts.append(_more(work, "worker"))
    return f"{NO_WORKTREE}: {'; '.join(parts)}" if parts else ""


def _unjudged_work_in_words(work: UnjudgedWork) -> str:
    if not work.beside:
        return f"{work.worker_id} changed {listed(work.files)}"
    names = _joined_names((work.worker_id, *work.beside))
    return f"changed while {names} worked in the project: {listed(work.files)}"


def _merged_unjudged(job: Job) -> str:
    files = _unjudged_files(job)
    if not job.facts.unjudged:
        details = "; ".join(filter(None, (_gates_not_run(job.facts.unjudged_gates), files)))
        passed = job.facts.gates_passed
        return f"passed {listed(passed)}; {details}" if passed and details else details
    unrun = [each for each in job.facts.gates if each.cause]
    reported = [each for each in unrun if each.cause is not GateCause.NOTHING_CHANGED]
    if reported or files:
        return "; ".join(filter(None, (_gates_not_run(reported), files)))
    if unrun:
        return "no gate checks the changed files"
    all_requested = all(each.is_secret_scan and each.is_requested for each in job.config.gates)
    only_secret_scan = job.config.gates and all_requested
    return (
        f"only the gate {SECRETS} was requested"
        if only_secret_scan
        else "no gate tested the changes (no tests found)"
    )


def _unjudged_files(job: Job) -> str:
    paths_by_language: dict[str, list[str]] = {}
    for each in job.facts.unjudged_files:
        if each.cause is UnjudgedCause.NO_GATE:
            paths_by_language.setdefault(each.language, []).append(each.path)
    parts = [
        f"{listed(paths)} (no gate for {language})" for language, paths in paths_by_language.items()
    ]
    if parts and not job.facts.unjudged:
        parts[0] = f"{NOT_JUDGED}{parts[0]}"
    not_imported = [
        each.path for each in job.facts.unjudged_files if each.cause is UnjudgedCause.NOT_IMPORTED
    ]
    parts += [f"no test imports {listed(not_imported)}"] if not_imported else []
    return "; ".join(parts[:MOST_NAMED])


def _gates(job: Job) -> str:
    failed = [each for each in job.facts.gates if each.cause is None]
    parts = [f"advisory gate {each.name} failed: {each.why}" for each in failed[:MOST_NAMED]]
    unrun = (each for each in job.facts.gates if each.cause and not each.unjudged)
    others = [each for each in unrun if each.cause is not GateCause.NOTHING_CHANGED]
    parts.append("" if job.facts.unjudged else _gates_not_run(others))
    return "; ".join(filter(None, parts))


def _flaky(job: Job) -> str:
    parts = [_flaky_finding(gate.name, each) for gate in job.facts.flaky for each in gate.findings]
    suffix = f"; {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return f"{FLAKY}{'; '.join(parts[:MOST_NAMED])}{suffix}" if parts else ""


def _flaky_finding(gate: str, finding: str) -> str:
    of_gate = f" (gate {gate})" if finding else ""
    return f"{finding or f'gate {gate}'} failed once and passed once{of_gate}"


def _switched_off(job: Job) -> str:
    comments = job.facts.switched_off[:MOST_NAMED]
    return "; ".join(
        f"new comments switch off {each.gate}: {listed(each.places)}" for each in comments
    )


def _more(items: Sequence[object], noun: str) -> str:
    return plural(len(items) - MOST_NAMED, f"more {noun}")


def _gates_not_run(gates: Sequence[GateFact]) -> str:
    parts = [f"gate {each.name} did not run: {each.why}" for each in gates[:MOST_NAMED]]
    suffix = [f"{_more(gates, 'gate')} did not run"] if gates[MOST_NAMED:] else []
    return "; ".join(parts + suffix)


def _repository(job: Job) -> str:
    changes = job.facts.repository_changes
    if not changes:
        return ""
    # Put the command first, because a display may cut off the end of a long reason.
    hint = f"to see and undo the changes: {COMMAND} restore {job.id}"
    return f"{REPOSITORY_CHANGED} ({hint}): {changes_in_words(changes)}"


SENTENCES: tuple[Callable[[Job], str], ...] = (
    pause_sentence,
    _planned_by,
    _approval,
    _stop,
    _caps,
    _unpriced,
    _rejected_child_jobs,
    _plan,
    _unsuccessful,
    _discarded,
    _merge,
    _landed,
    _pull_request,
    _not_made,
    _earlier_parts,
    _not_in_parent,
    _merged_by_person,
    _overruled,
    _undone,
    _undone_workers,
    _both_kept,
    _by_driver,
    _nothing_built,
    _unchanged,
    _shortfalls,
    _checkout,
    _unjudged,
    _gates,
    _flaky,
    _switched_off,
    _repository,
)


def approval_wait_fields(job: Job) -> dict[str, Any]:
    """Return the job fields to change, with values, when the job begins to wait for approval."""
    return {"awaits_approval": True, "reason": reason_of(changed(job, awaits_approval=True))}
