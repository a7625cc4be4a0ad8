"""Describes the outcome of a job's merge as text."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from orchestrator.core.gates.gate import GateOutcome, GateResult, GateStatus
from orchestrator.core.gates.gate_decision import advice_on
from orchestrator.core.model.attempt.attempt_result import ChangeSize
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.unmerged_changes import merge_commands
from orchestrator.core.outcome.merge_report import MergedGate, MergeReport
from orchestrator.core.repository.repository import Hindrance, MergeRule, record_name
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import plural
from orchestrator.engine.merge.record.merge_record import MOST_PATHS, MergeRecord, paths_in_words

#: Maximum number of a gate's findings that a sentence names.
MOST_FINDINGS = 3
#: Maximum number of paths in a command.
MOST_PATHSPECS = 100
#: Maximum number of resolved conflicts that a report lists, one per line.
MOST_LINES = 100


def outcome_lines(
    record: MergeRecord, status: JobStatus = JobStatus.COMPLETED, above: Sequence[str] = ()
) -> Iterator[str]:
    """Yield lines of text about the outcome of the merge of a job's changes.

    ``status``: the job's final status. ``above``: ids of the job's ancestors, from the parent job
    to the root job. The ancestors are merged after this job.
    """
    yield from _result_lines(record, status) if record.branch else ()
    yield from _unmerged_lines(record, above)
    yield from _detail_lines(record)
    if record.seconds and _has_merged(record):
        gates = " and its gates" if record.gates else ""
        yield f"The merge{gates} took {record.seconds:.1f} s."


def merge_report_of(record: MergeRecord, above: Sequence[str]) -> MergeReport:
    """Return the outcome of a job's merge, for the job's reports.

    For a root job, the notes omit unmerged changes, because its reports list them elsewhere.
    ``above``: ids of the job's ancestors, from the parent job to the root job.
    """
    unmerged = (
        _unmerged_lines(record, above)
        if above
        else (*_hindrance_lines(record), *_command_for_agents(record))
    )
    return MergeReport(
        branch=record.branch,
        commit=record.commit,
        lines={path: (added, removed) for path, (added, removed) in record.lines.items()},
        size=ChangeSize(**record.size) if record.size else None,
        gates=tuple(map(_merged_gate, record.gates)),
        seconds=record.seconds if _has_merged(record) else 0.0,
        notes=(*unmerged, *_detail_lines(record)),
    )


def _merged_gate(gate: Mapping[str, Any]) -> MergedGate:
    outcome = _gate_outcome(gate)
    return MergedGate(name=gate["name"], outcome=GateOutcome(outcome), why=_why_not_passed(gate))


def _unmerged_lines(record: MergeRecord, above: Sequence[str]) -> Iterator[str]:
    for worker, branch in record.left_out.items():
        yield _unmerged_worker(record, worker, branch)
    for each in record.discarded():
        worker, child = each["worker_id"], each["child_job_id"]
        paths = dict.fromkeys(place["path"] for place in each["places"])
        yield (
            f"Not merged: changes of child job {child} in {paths_in_words(list(paths))}, because "
            f"{worker} discarded these changes; branch {each['branch']}. To merge the changes: "
            f"{COMMAND} merge {record.job_id} --include {child}."
        )
    # Do not suggest another attempt of a child job's workers: their parent worker has ended.
    yield from () if above else (*_command_for_workers(record), *_command_for_agents(record))
    if not record.handed and any(not each["resolved"] for each in record.conflicts):
        when = f"after job {above[-1]} has ended" if above else "now"
        yield (
            f"To merge {when}, with one worker's version of each conflict: "
            f"{merge_commands(' --strategy theirs', record.job_id, above)}."
        )


def _detail_lines(record: MergeRecord) -> Iterator[str]:
    yield from _undone_lines(record)
    yield from _replaced_lines(record)
    yield from _lines_on_merge_ways(record)
    yield from _lines_on_parent_conflict(record)
    if record.leaks:
        yield (
            "Your checkout changed while the job ran. Possible causes of a change without a "
            "worker's name: you, or a worker that changed files outside its worktree. To see and "
            f"undo the changes: {COMMAND} restore {record.job_id}."
        )
        yield from (f"Changed in your checkout: {each}." for each in record.leaks[:MOST_PATHS])
    if record.leaks[MOST_PATHS:]:
        name = record_name(record.job_id)
        yield (
            f"{len(record.leaks) - MOST_PATHS} more changes in your checkout are listed in "
            f"reports/{name}."
        )
    for part in record.put_back:
        yield f"Your repository was broken while the job ran: {part}."
    yield from (f"Merge error: {error}" for error in record.errors)
    if record.earlier:
        yield f"Previous result: {record.earlier}."


def _undone_lines(record: MergeRecord) -> Iterator[str]:
    for loss in (each for each in record.undone if not each["discarded"]):
        child, worker = loss["child_job_id"], loss["worker_id"]
        for name, places in loss["by_worker"].items():
            writer = f"{name} of child job {child}" if name else f"child job {child}"
            texts = [f"{place['path']}{_place_in_words(place)}" for place in places]
            yield from (f"Changed by {writer}, and undone by {worker}: {text}." for text in texts)


#: Texts with the reasons why no attempt resolves conflicts.
HINDRANCES: Mapping[str, str] = {
    Hindrance.OFF: "the job's setting 'resolve' is off",
    Hindrance.NO_AGENT: "a command cannot resolve conflicts",
    Hindrance.NO_RETRY: "no retry remains",
    Hindrance.UNRESOLVED: "the attempt to resolve conflicts failed",
    Hindrance.STOPPED: "the job was stopped",
    Hindrance.NOT_ASKED: "a repeated merge starts another attempt only with --resolve",
}


def _command_for_workers(record: MergeRecord) -> Iterator[str]:
    names = [name for name, why in record.hindrances.items() if why != Hindrance.NO_AGENT]
    if names:
        command = f"{COMMAND} merge {record.job_id} --resolve worker"
        yield f"To let {', '.join(names)} resolve the conflicts in another attempt: {command}."


def _command_for_agents(record: MergeRecord) -> Iterator[str]:
    names = [name for name, why in record.hindrances.items() if why == Hindrance.NO_AGENT]
    if names:
        yield (
            f"To let an AI agent resolve the conflicts of {', '.join(names)}: "
            f"{COMMAND} merge {record.job_id} --resolve AGENT. To list agents: {COMMAND} agents."
        )


def _hindrance_lines(record: MergeRecord) -> Iterator[str]:
    by_cause: dict[str, list[str]] = {}
    for name, why in record.hindrances.items():
        if why == Hindrance.NO_AGENT:
            continue  # _command_for_agents lists these conflicts.
        by_cause.setdefault(HINDRANCES.get(why, ""), []).append(name)
    for words, names in by_cause.items():
        if words:
            yield f"Conflicts of {', '.join(names)} not resolved: {words}."


def _replaced_lines(record: MergeRecord) -> Iterator[str]:
    lines = [
        line
        for each in record.conflicts
        if each["resolved"]
        for line in _lines_on_lost_hunks(record, each)
    ]
    yield from lines[:MOST_LINES]
    if lines[MOST_LINES:]:
        name = record_name(record.job_id)
        yield f"{len(lines) - MOST_LINES} more replaced lines are listed in reports/{name}."


def _lines_on_lost_hunks(record: MergeRecord, conflict: Mapping[str, Any]) -> Iterator[str]:
    path, winner = conflict["path"], conflict["worker_id"]
    is_of_child_job = winner not in (*record.merged, *record.left_out)
    command = (
        f" (to show the replaced version: git show {conflict['ours'][:12]})"
        if is_of_child_job and conflict["ours"]
        else ""
    )
    version = "the child job's version" if is_of_child_job else f"{winner}'s version"
    if child := conflict.get("child_job_id"):
        version = f"the version of child job {child}"
    if not conflict.get("lost"):
        yield f"{path}: {version} won{command}."
    for hunk in conflict.get("lost", ()):
        writers = f" (written by {', '.join(hunk['workers'])})" if hunk["workers"] else ""
        text = f"; replaced text: {' | '.join(hunk['text'])}" if hunk["text"] else ""
        place = _place_in_words(hunk)
        yield f"Replaced: {path}{place}{writers}; {version} won{command}{text}"


def _place_in_words(lost: Mapping[str, Any]) -> str:
    first, last = lost["first"], lost["last"]
    if not first:
        return ", the removal" if lost.get("removed") else ", the whole file"
    lines = f"line {first}" if first == last else f"lines {first}-{last}"
    return f", the removal of {lines}" if lost.get("removed") else f", {lines}"


#: Texts on how files were merged.
WAYS: Mapping[str, str] = {
    MergeRule.UNION: "Both sides only added lines, and the result has the lines of both",
    MergeRule.LINE_ENDS: "Merged, ignoring differences in blanks and carriage returns at line ends",
    MergeRule.DIRECTORY_RENAME: "Moved, because another worker renamed the directory",
    MergeRule.DRIVER: (
        "Files that your merge driver merged, which may lack the changes of one worker"
    ),
}


def _lines_on_merge_ways(record: MergeRecord) -> Iterator[str]:
    for way, words in WAYS.items():
        paths = sorted({each["path"] for each in record.files if each["way"] == way})
        if paths:
            yield f"{words}: {paths_in_words(paths)}."


def _result_lines(record: MergeRecord, status: JobStatus) -> Iterator[str]:
    workers = ", ".join(record.merged)
    lost = sum(each.hunks for each in record.overruled() if not each.by_worker)
    places = plural(lost, "place")
    losses = f"; in {places}, another worker's version won" if lost else ""
    yield f"Merged into branch {record.branch} (commit {record.commit[:12]}): {workers}{losses}."
    passed = [each["name"] for each in record.gates if _gate_outcome(each) == GateOutcome.PASSED]
    if passed:
        yield f"Gates passed on the merged result: {', '.join(passed)}."
    for each in record.gates:
        if _gate_outcome(each) != GateOutcome.PASSED:
            how = "failed" if _gate_outcome(each) == GateOutcome.FAILED else "did not run"
            kind = "Advisory gate" if how == "failed" else "Gate"
            yield f"{kind} {each['name']} {how} on the merged result: {_why_not_passed(each)}."
    yield f"To see the result: {COMMAND} diff {record.job_id}."
    if record.branch.endswith("/result"):
        # Only root jobs are landed. A child job's report is for its parent worker, which already
        # has the changes.
        partial = "" if status is JobStatus.COMPLETED else " --partial"
        yield f"To merge the result into your branch: {COMMAND} land {record.job_id}{partial}."


def _gate_outcome(gate: Mapping[str, Any]) -> str:
    """Return a gate's outcome. In a record without an outcome, the gate's status determines it."""
    passed = gate["status"] in (GateStatus.PASSED, GateStatus.KNOWN)
    return str(gate.get("outcome") or (GateOutcome.PASSED if passed else gate["status"]))


def _why_not_passed(gate: Mapping[str, Any]) -> str:
    match _gate_outcome(gate):
        case GateOutcome.PASSED:
            return ""
        case GateOutcome.FAILED:
            return "; ".join(gate["failures"][:MOST_FINDINGS])
        case _:
            return gate.get("note") or "cause unknown"


def _has_merged(record: MergeRecord) -> bool:
    return bool(record.branch or record.left_out or record.gates)


def _lines_on_parent_conflict(record: MergeRecord) -> Iterator[str]:
    if record.without_worktree:
        yield (
            f"The changes are not in the directory of {record.without_worktree}, because this "
            "worker has no worktree. The result of its job will contain the changes. Branch: "
            f"{record.branch}."
        )
    if not record.handed:
        return
    worker, theirs, ours = (record.handed[each] for each in ("worker_id", "theirs", "ours"))
    paths = record.handed["paths"]
    yield (
        f"Not merged into the files of {worker}: {worker} and the child job both changed "
        f"{paths_in_words(paths)}. The result of job {record.job_id} is on branch {theirs}. The "
        f"files of {worker} at that time are in commit {ours[:12]}. The branch of {worker} is "
        f"{record.handed['branch']}."
    )
    yield f"To see the differences: git diff {ours[:12]} {theirs}{_pathspecs(paths)}"
    existing = [each["path"] for each in record.conflicts if each["ours"] or each["theirs"]]
    if len(paths) <= MOST_PATHSPECS:
        # The option --no-overlay makes git also remove the files that the child job removed.
        checkout = f"git checkout --no-overlay {theirs}{_pathspecs(existing)}"
        yield f"To use the child job's files: git add -A && {checkout}"
    yield (
        f"To resolve by hand: commit your changes, type git merge {theirs}, edit the files, and "
        "commit the merge."
    )
    yield f"To keep your own files: commit your changes, then type git merge -s ours {theirs}"


def _pathspecs(paths: Sequence[str]) -> str:
    """Return the paths as the end of a git command: `` -- a b``; "" if there are too many paths."""
    pathspecs = " ".join(quote(_pathspec(path)) for path in paths)
    return f" -- {pathspecs}" if len(paths) <= MOST_PATHSPECS else ""


def _pathspec(path: str) -> str:
    """Return the path as a git pathspec that works in any directory of the user's repository."""
    return f":(top,literal){path}" if set(path) & set("*?[\\") else f":/{path}"


def _unmerged_worker(record: MergeRecord, worker: str, branch: str) -> str:
    why = _reason_in_words(record, worker)
    if worker in record.merged:
        return (
            f"Partly merged: {worker}{why}. The missing changes are on branch {branch}, and on the "
            f"branches of the child jobs of {worker}."
        )
    place = "" if worker in record.gone else f"; branch {branch}"
    return f"Not merged: {worker}{why}{place}."


def _reason_in_words(record: MergeRecord, worker: str) -> str:
    if worker in record.reasons:
        return f" ({record.reasons[worker]})"
    conflict = record.conflict_in_words(worker)
    hindrance = HINDRANCES.get(record.hindrances.get(worker, ""), "")
    why = f"; {hindrance}" if hindrance else ""
    return f" ({conflict}{why})" if conflict else ""


def failures_in_words(results: Sequence[GateResult]) -> str:
    return "; ".join(map(_failure_in_words, (each for each in results if each.blocks)))


def _failure_in_words(result: GateResult) -> str:
    findings = ", ".join(result.failures[:MOST_PATHS]) or result.note
    why = f": {findings}" if findings else ""
    return f"gate {result.name} {result.outcome.words}{why}{advice_on(result)}"
