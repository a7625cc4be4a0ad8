"""Describes the outcome of a job's merge as text."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from orchestrator.core.command_name import COMMAND
from orchestrator.core.gates.findings import advice_on
from orchestrator.core.model.gate import GateOutcome, GateResult, GateStatus
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.losses import merge_chain
from orchestrator.core.repository.repository import FileWay, Hindrance, record_name
from orchestrator.engine.merge.record import (
    MOST_PATHS,
    MergeRecord,
    child_in_words,
    discarded_in,
    overruled_in,
)

#: Findings of a gate that are named in a sentence.
MOST_FINDINGS = 3
#: Most paths in a command.
MOST_PATHSPECS = 100
#: Most decided conflicts that a report lists, one per line.
MOST_LINES = 100


def in_words(
    record: MergeRecord, status: JobStatus = JobStatus.COMPLETED, above: Sequence[str] = ()
) -> Iterator[str]:
    """Describe the outcome of the changes of a job that ends with this status, for its report.

    ``above``: the jobs above it, from its parent job to the root: they are merged after it.
    """
    yield from _merged(record, status)
    for worker, branch in record.left_out.items():
        yield _left_out(record, worker, branch)
    yield from _of_children(record)
    # Workers of a child job get no other attempt once the worker that started it has ended.
    yield from () if above else _to_resolve(record)
    if not record.handed and any(not each["resolved"] for each in record.conflicts):
        when = f", once job {above[-1]} has ended" if above else ""
        yield (
            f"To have one worker's lines where two exclude each other{when}: "
            f"{merge_chain(' --strategy theirs', record.job_id, above)}."
        )
    yield from _won(record)
    yield from _ways(record)
    yield from _handed(record)
    if record.leaks:
        yield (
            "Your checkout changed while the job ran (by the worker that is named, by you, or by a "
            "worker that left its worktree). To see and restore what the job changed: "
            f"{COMMAND} restore {record.job_id}."
        )
        yield from (f"Changed in your checkout: {each}." for each in record.leaks[:MOST_PATHS])
    if record.leaks[MOST_PATHS:]:
        name = record_name(record.job_id)
        yield f"{len(record.leaks) - MOST_PATHS} more changes there: see reports/{name}."
    yield from (f"Your repository was broken while the job ran: {e}." for e in record.put_back)
    yield from (f"Not done: {error}" for error in record.errors)
    yield from _time(record)


def _of_children(record: MergeRecord) -> Iterator[str]:
    for each in discarded_in(record):
        paths = list(dict.fromkeys(place["path"] for place in each["places"]))
        who, child = each["worker_id"], each["child_job_id"]
        yield (
            f"Not in the result: {who} discarded what child job {child} changed "
            f"({_listed(paths)}), which is on branch {each['branch']}. To bring it in: "
            f"{COMMAND} merge {record.job_id} --take {child}."
        )
    for each in (each for each in record.undone if not each["discarded"]):
        child, who = each["child_job_id"], each["worker_id"]
        for name, places in each["by_worker"].items():
            of = f"{name} of child job {child}" if name else f"child job {child}"
            told = [f"{place['path']}{_place(place)}" for place in places]
            yield from (f"Changed by {of}, and undone by {who}: {place}." for place in told)


#: Why no attempt resolves conflicts.
HINDRANCES: Mapping[str, str] = {
    Hindrance.OFF: "the job's resolve is off",
    Hindrance.NO_AGENT: "its command cannot be told of conflicts",
    Hindrance.NO_RETRY: "it has no retry left for them",
    Hindrance.UNRESOLVED: "an attempt did not resolve them",
    Hindrance.STOPPED: "its job was stopped",
    Hindrance.NOT_ASKED: "no worker was asked to resolve them",
}


def _to_resolve(record: MergeRecord) -> Iterator[str]:
    told = [name for name, why in record.hindrances.items() if why != Hindrance.NO_AGENT]
    if told:
        command = f"{COMMAND} merge {record.job_id} --resolve worker"
        yield f"To have {', '.join(told)} resolve the conflicts in another attempt: {command}."
    commands = [name for name, why in record.hindrances.items() if why == Hindrance.NO_AGENT]
    if commands:
        yield (
            f"An AI agent can resolve the conflicts of {', '.join(commands)}: option --resolve of "
            f"merge, with its name. To list agents: {COMMAND} agents."
        )


def _won(record: MergeRecord) -> Iterator[str]:
    told = [line for each in record.conflicts if each["resolved"] for line in _lost(record, each)]
    yield from told[:MOST_LINES]
    if told[MOST_LINES:]:
        name = record_name(record.job_id)
        yield f"So it was in {len(told) - MOST_LINES} more places: see reports/{name}."


def _lost(record: MergeRecord, conflict: Mapping[str, Any]) -> Iterator[str]:
    """Lines of one file that are not in the result, one message for each place."""
    path, winner = conflict["path"], conflict["worker_id"]
    is_own = winner not in (*record.merged, *record.left_out)
    kept = f" (kept: git show {conflict['ours'][:12]})" if is_own and conflict["ours"] else ""
    by = "the child job's" if is_own else f"{winner}'s"
    if not conflict.get("lost"):
        yield f"{path}: {by} version won{kept}."
    for each in conflict.get("lost", ()):
        of = f" of {', '.join(each['workers'])}" if each["workers"] else ""
        text = f": {' | '.join(each['text'])}" if each["text"] else ""
        yield f"Overruled in {path}{_place(each)}{of}, {by} version won{kept}{text}"


def _places(count: int) -> str:
    return f"{count} place{'s' * (count != 1)}"


def _place(lost: Mapping[str, Any]) -> str:
    first, last = lost["first"], lost["last"]
    if not first:
        return ", the removal" if lost.get("removed") else ", the whole file"
    lines = f"line {first}" if first == last else f"lines {first}-{last}"
    return f", the removal of {lines}" if lost.get("removed") else f", {lines}"


#: Descriptions of the ways in which files were merged.
WAYS: Mapping[str, str] = {
    FileWay.UNION: "Both sides only added lines, and the result has both",
    FileWay.LINE_ENDS: "Merged without regard to blanks and carriage returns at line ends",
    FileWay.DIRECTORY_RENAME: "Moved along with the directory that another worker renamed",
}


def _ways(record: MergeRecord) -> Iterator[str]:
    for way, words in WAYS.items():
        paths = sorted({each["path"] for each in record.files if each["way"] == way})
        if paths:
            yield f"{words}: {_listed(paths)}."


def _merged(record: MergeRecord, status: JobStatus) -> Iterator[str]:
    if record.branch:
        yield from _result(record, status)
    if record.earlier:
        yield f"The result before it is kept: {record.earlier}."


def _result(record: MergeRecord, status: JobStatus) -> Iterator[str]:
    who = ", ".join(record.merged)
    lost = sum(each.hunks for each in overruled_in(record) if not each.by_worker)
    but = f", but for {_places(lost)} where another worker's version won" if lost else ""
    yield f"Branch {record.branch} (commit {record.commit[:12]}) has the changes of {who}{but}."
    passed = [each["name"] for each in record.gates if _outcome(each) == GateOutcome.PASSED]
    if passed:
        yield f"It passed the {_plural('gate', len(passed))} {', '.join(passed)}."
    for each in record.gates:
        if _outcome(each) != GateOutcome.PASSED:
            yield _not_passed(each)
    yield f"To see it: {COMMAND} diff {record.job_id}."
    if record.branch.endswith("/result"):
        # For a root job: the reader of a child job's report is its worker, which has it already.
        partial = "" if status is JobStatus.COMPLETED else " --partial"
        yield f"To have it on your branch: {COMMAND} land {record.job_id}{partial}."


def _outcome(gate: Mapping[str, Any]) -> str:
    """Records of earlier versions have a status alone."""
    passed = gate["status"] in (GateStatus.PASSED, GateStatus.KNOWN)
    return str(gate.get("outcome") or (GateOutcome.PASSED if passed else gate["status"]))


def _not_passed(gate: Mapping[str, Any]) -> str:
    if _outcome(gate) == GateOutcome.FAILED:
        found = "; ".join(gate["failures"][:MOST_FINDINGS])
        return f"The advisory gate {gate['name']} failed: {found}."
    note = gate.get("note") or "no reason is known"
    return f"The gate {gate['name']} did not run: {note}."


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _time(record: MergeRecord) -> Iterator[str]:
    # Of a job whose workers changed nothing, nothing was merged.
    if record.seconds and (record.branch or record.left_out or record.gates):
        gates = " and the gates on the merged state" if record.gates else ""
        yield f"Merging{gates} took {record.seconds:.1f} s more, after the last worker had ended."


def _handed(record: MergeRecord) -> Iterator[str]:
    """For the worker that started the job: which conflicts it has to resolve, and how."""
    if record.without_worktree:
        yield (
            f"Nothing of it is in the directory of {record.without_worktree}, which has no "
            f"worktree; the result of its job will have it. Branch: {record.branch}."
        )
    if not record.handed:
        return
    worker, theirs, ours = (record.handed[each] for each in ("worker_id", "theirs", "ours"))
    paths = record.handed["paths"]
    yield (
        f"Nothing of it was put into the files of {worker}: both sides changed {_listed(paths)}. "
        f"The result of job {record.job_id} is on branch {theirs}; what {worker} had then is "
        f"commit {ours[:12]}, to become part of branch {record.handed['branch']}."
    )
    yield f"To see where they differ: git diff {ours[:12]} {theirs}{_pathspecs(paths)}"
    there = [each["path"] for each in record.conflicts if each["ours"] or each["theirs"]]
    if len(paths) <= MOST_PATHSPECS:
        # Without the option git does not remove files that the child job has removed.
        take = f"git checkout --no-overlay {theirs}{_pathspecs(there)}"
        yield f"To have the child job's: git add -A && {take}"
    yield f"To settle it by hand: commit, then git merge {theirs}, mend the files, and commit."
    yield f"To stay with your own: commit, then git merge -s ours {theirs}"


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MOST_PATHS} more" if len(paths) > MOST_PATHS else ""
    return ", ".join(paths[:MOST_PATHS]) + more


def _pathspecs(paths: Sequence[str]) -> str:
    """The end of a command; empty, and so for all files, if there are too many."""
    given = " ".join(quote(_pathspec(each)) for each in paths)
    return f" -- {given}" if len(paths) <= MOST_PATHSPECS else ""


def _pathspec(path: str) -> str:
    """For git, whatever the current directory: the project may be a part of its repository."""
    return f":(top,literal){path}" if set(path) & set("*?[\\") else f":/{path}"


def _left_out(record: MergeRecord, worker: str, branch: str) -> str:
    why = _why(record, worker)
    if worker in record.merged:
        return (
            f"Merged only in part: {worker}{why}. What is missing is kept: its own changes on "
            f"branch {branch}, those of its child jobs on theirs."
        )
    kept = "" if worker in record.gone else f", which is kept on branch {branch}"
    return f"Not merged: {worker}{kept}{why}."


def _why(record: MergeRecord, worker: str) -> str:
    if worker in record.reasons:
        return f": {record.reasons[worker]}"
    own = [each for each in record.conflicts if each["worker_id"] == worker]
    paths = [each["path"] for each in own]
    hindrance = HINDRANCES.get(record.hindrances.get(worker, ""), "")
    why = f" ({hindrance})" if hindrance else ""
    return f", for conflicts in {_listed(paths)}{child_in_words(own)}{why}" if paths else ""


def failing(results: Sequence[GateResult]) -> str:
    """Describe gates that prevent a merge."""
    return "; ".join(map(_failing, (each for each in results if each.blocks)))


def _failing(result: GateResult) -> str:
    found = ", ".join(result.failures[:MOST_PATHS]) or result.note
    why = f": {found}" if found else ""
    return f"gate {result.name} {result.outcome.words}{why}{advice_on(result)}"
