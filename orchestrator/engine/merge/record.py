"""What became of the changes of a job, kept in a file of its reports."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause, Missing, Overruled
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.git_refs import result_branch, short, worker_branch
from orchestrator.core.repository.repository import FileConflict, FileWay, Strategy, record_name
from orchestrator.security.untrusted_files import read_regular

#: So many paths are named in a sentence.
MOST_PATHS = 10
#: How records of versions that had no ``gone`` tell it.
_GONE_ONCE = "its branch was removed, and its checkpoints, too"
#: No record is so large.
_MOST_BYTES = 64 * 2**20
#: Writes a file below a directory, whole or not at all.
Write = Callable[[Path, str, str], object]


@dataclass(kw_only=True, slots=True)
class MergeRecord:
    """What became of the changes of a job; kept in ``reports/merge_<job>.json``."""

    job_id: str
    strategy: str
    base: str
    history: str = "merge"
    #: The merged result; empty when nothing was merged, or nothing was changed.
    branch: str = ""
    commit: str = ""
    #: Workers whose changes are in it.
    merged: list[str] = field(default_factory=list)
    #: Workers whose changes are not, with their branches.
    left_out: dict[str, str] = field(default_factory=dict)
    #: Why, of those that were left out for something else than a conflict.
    reasons: dict[str, str] = field(default_factory=dict)
    #: The same as fields; without an entry, it is a conflict, or merging by hand is wanted.
    causes: dict[str, str] = field(default_factory=dict)
    #: Of those, the workers whose changes exist nowhere any more.
    gone: list[str] = field(default_factory=list)
    #: Of those, the workers that the user chose to leave out.
    chosen: list[str] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    #: What workers have no more of what child jobs put into their files, as
    #: ``engine.worktrees.child_losses`` has it.
    undone: list[dict[str, Any]] = field(default_factory=list)
    #: By worker that was left out for conflicts: why no attempt resolves them.
    hindrances: dict[str, str] = field(default_factory=dict)
    #: Workers left out that can be asked for another attempt.
    resolvable: list[str] = field(default_factory=list)
    #: Files that git alone would have left as conflicts, or elsewhere: ``worker_id``, ``path`` and
    #: ``way``.
    files: list[dict[str, Any]] = field(default_factory=list)
    #: What the checks of the merged state came to.
    gates: list[dict[str, Any]] = field(default_factory=list)
    #: What excludes the changes of the worker that waits, which is to settle it: ``worker_id``, its
    #: ``branch``, its state (``ours``), the branch of the result (``theirs``), and ``paths``.
    handed: dict[str, Any] | None = None
    #: The worker that waits for the result, and has no worktree to have it in.
    without_worktree: str = ""
    #: Somebody asked for it after the job had ended.
    again: bool = False
    #: A ref that keeps the result before this one; empty when there was none.
    earlier: str = ""
    #: How long it took, gates included; the last worker had ended before.
    seconds: float = 0.0
    #: What changed in the user's checkout while the job ran.
    leaks: list[str] = field(default_factory=list)
    #: What was put back of the repository, as git could not work with it; in words.
    put_back: list[str] = field(default_factory=list)
    #: What went wrong, in words.
    errors: list[str] = field(default_factory=list)


class MergeRecords:
    """Where records are kept."""

    def __init__(self, workspace: Workspace, write: Write) -> None:
        self._workspace = workspace
        self._write = write

    def keep(self, job: Job, record: MergeRecord) -> None:
        text = json.dumps(asdict(record), indent=1)
        self._write(self._workspace.job_directory(job.root_id), _name(job), text)

    def read(self, job: Job) -> MergeRecord | None:
        """None where nothing is written, or nothing that can be read."""
        try:
            return record_of(json.loads(read_regular(self._path(job), _MOST_BYTES) or b""))
        except (ValueError, RecursionError):
            return None

    def forget(self, job: Job) -> None:
        """What was written is about to become untrue. Idempotent."""
        self._path(job).unlink(missing_ok=True)

    def _path(self, job: Job) -> Path:
        return self._workspace.job_directory(job.root_id) / _name(job)


def record_of(values: Mapping[str, Any]) -> MergeRecord | None:
    """None for what is no record; what another version has beside it is left out."""
    known = {each.name for each in fields(MergeRecord)}
    try:
        record = MergeRecord(**{name: values[name] for name in values if name in known})
    except TypeError:
        return None
    if "gone" not in values:
        record.gone = [name for name, why in record.reasons.items() if why == _GONE_ONCE]
    return record


def missing_from(record: MergeRecord) -> tuple[Missing, ...]:
    """The changes that the result lacks, as facts of the job."""
    return (*_left_out(record), *_discarded(record))


def discarded_in(record: MergeRecord) -> list[dict[str, Any]]:
    """Of child jobs of which nothing is in the result."""
    return [each for each in record.undone if each["discarded"]]


def _discarded(record: MergeRecord) -> Iterator[Missing]:
    for each in discarded_in(record):
        paths = tuple(dict.fromkeys(place["path"] for place in each["places"]))
        child = each["child_job_id"]
        verb = "you left out" if each["left"] else "it discarded"
        yield Missing(
            worker_id=each["worker_id"],
            job_id=record.job_id,
            branch=each["branch"],
            cause=LossCause.UNDONE,
            why=f"{verb} what child job {child} changed: {paths_in_words(paths)}",
            in_part=True,
            chosen=each["left"],
            paths=paths,
            child_job_id=child,
        )


def _left_out(record: MergeRecord) -> tuple[Missing, ...]:
    return tuple(
        Missing(
            worker_id=worker,
            job_id=record.job_id,
            branch="" if worker in record.gone else _branch(record, worker, branch),
            cause=_cause(record, worker),
            why=_why(record, worker),
            in_part=worker in record.merged,
            chosen=worker in record.chosen or record.strategy == Strategy.MANUAL,
            resolvable=worker in record.resolvable,
        )
        for worker, branch in record.left_out.items()
    )


def overruled_in(record: MergeRecord) -> tuple[Overruled, ...]:
    """By worker, which hunks of its changes are not in the result: another's won there, or the
    parent worker of its job undid them."""
    return (*_won_over(record), *_undone(record))


def _won_over(record: MergeRecord) -> Iterator[Overruled]:
    for name, found in _places(record, record.merged).items():
        places = found[:MOST_PATHS]
        yield Overruled(worker_id=name, hunks=len(found), job_id=record.job_id, places=places)


def _undone(record: MergeRecord) -> Iterator[Overruled]:
    for each in record.undone:
        for name, found in each["by_worker"].items():
            places = tuple(_place(place["path"], place) for place in found[:MOST_PATHS])
            yield Overruled(
                worker_id=name,
                hunks=len(found),
                job_id=each["child_job_id"],
                places=places,
                by_worker=each["worker_id"],
            )


def both_kept_in(record: MergeRecord) -> tuple[str, ...]:
    """Files of the result that have the lines which several workers added at one place."""
    paths = (each for each in record.files if each["way"] == FileWay.UNION)
    return tuple(sorted({each["path"] for each in paths if each["worker_id"] in record.merged}))


def overruled_above(record: MergeRecord, job: Job) -> tuple[Overruled, ...]:
    """Which hunks of the parent worker's changes the result of a child job won over."""
    return tuple(
        Overruled(
            worker_id=name,
            hunks=len(found),
            job_id=job.parent_job_id or "",
            places=found[:MOST_PATHS],
            by_job=job.id,
        )
        for name, found in _places(record, [job.parent_worker_id]).items()
    )


def _places(record: MergeRecord, winners: Sequence[str | None]) -> dict[str, tuple[str, ...]]:
    """By worker, where its hunks are that conflicts of ``winners`` took out."""
    places: dict[str, tuple[str, ...]] = {}
    for conflict in record.conflicts:
        if conflict["resolved"] and conflict["worker_id"] in winners:
            for each in conflict.get("lost", ()):
                for worker in each["workers"]:
                    place = _place(conflict["path"], each)
                    places[worker] = (*places.get(worker, ()), place)
    return places


def _place(path: str, lost: Mapping[str, Any]) -> str:
    first, last = lost["first"], lost["last"]
    if not first:
        return path
    return f"{path}:{first}" if first == last else f"{path}:{first}-{last}"


def _cause(record: MergeRecord, worker: str) -> LossCause:
    if worker in record.causes:
        return LossCause(record.causes[worker])
    conflicts = any(each["worker_id"] == worker for each in record.conflicts)
    manual = record.strategy == Strategy.MANUAL and not conflicts
    return LossCause.MANUAL if manual else LossCause.CONFLICT


def _why(record: MergeRecord, worker: str) -> str:
    if worker in record.reasons:
        return record.reasons[worker]
    own = [each for each in record.conflicts if each["worker_id"] == worker]
    if not own:
        return f"merge_strategy: {record.strategy}"
    paths = [each["path"] for each in own]
    return f"conflict in {paths_in_words(paths)}{child_in_words(own)}"


def paths_in_words(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MOST_PATHS} more" if len(paths) > MOST_PATHS else ""
    return ", ".join(paths[:MOST_PATHS]) + more


def child_in_words(conflicts: Sequence[Mapping[str, Any]]) -> str:
    """Whose changes the conflicts exclude, where a child job made them; else empty."""
    children: dict[str, list[str]] = {}
    for each in conflicts:
        if child := each.get("child_job_id"):
            names = children.setdefault(child, [])
            names += [name for name in each["child_workers"] if name not in names]
    told = [
        " of ".join(filter(None, (", ".join(names[:MOST_PATHS]), f"child job {child}")))
        for child, names in children.items()
    ]
    return f", also changed by {' and '.join(told)}" if told else ""


def _branch(record: MergeRecord, worker: str, branch: str) -> str:
    """Where the changes are; those of a child job, of which nothing else is missing, on its own."""
    if worker not in record.merged:
        return branch
    own = (each for each in record.conflicts if each["worker_id"] == worker)
    return next((each["branch"] for each in own if each.get("child_job_id")), branch)


def _name(job: Job) -> str:
    return f"reports/{record_name(job.id)}"


def told(worker: Worker, conflict: FileConflict, resolved: bool) -> dict[str, Any]:
    """A conflict, as a record has it."""
    child = conflict.child_job_id
    branch = result_branch(worker.root_id, child) if child else worker_branch(worker)
    who = {"worker_id": worker.id, "branch": short(branch)}
    return {**who, **asdict(conflict), "resolved": resolved}
