"""Merge record: the outcome of a job's merge, stored in a file next to the job's reports."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, field, fields
from pathlib import Path
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.model.job_facts import LossCause, Missing, Overruled
from orchestrator.core.ports import Workspace
from orchestrator.core.repository.git_refs import result_branch, short, worker_branch
from orchestrator.core.repository.repository import (
    FileConflict,
    MergeRule,
    Strategy,
    record_name,
)
from orchestrator.core.text.formatting import listed
from orchestrator.security.files.json_file import read_object

#: Maximum number of paths that a sentence names.
MOST_PATHS = 10
#: Reason of a worker whose changes no longer exist, in a record of an earlier version. Such a
#: record has no field ``gone``.
_GONE_ONCE = "its branch was removed, and its checkpoints, too"
#: Maximum size of a record in bytes. A larger file is not read.
_MOST_BYTES = 64 * 2**20
#: Function that writes a file atomically. Arguments: a directory, the file's path relative to the
#: directory, and the content.
Write = Callable[[Path, str, str], object]


@dataclass(kw_only=True, slots=True)
class MergeRecord:
    """The outcome of a job's merge, which is stored in ``reports/merge_<job>.json``."""

    job_id: str
    strategy: str
    base: str
    history: str = "merge"
    #: The result branch; empty if the result has no changes.
    branch: str = ""
    commit: str = ""
    #: Numbers of added and removed lines, for each file of the result. Only the first files are
    #: included.
    lines: dict[str, list[int]] = field(default_factory=dict)
    #: Totals of the result: ``files``, ``added`` and ``removed``; empty in older records.
    size: dict[str, int] = field(default_factory=dict)
    #: Ids of the workers whose changes are in the result.
    merged: list[str] = field(default_factory=list)
    #: Workers with changes that are not in the result. Keys: worker ids; values: branches.
    left_out: dict[str, str] = field(default_factory=dict)
    #: Why workers were excluded, as text, by worker id. Without an entry, the reason is a conflict
    #: or the merge strategy.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Causes of the exclusions, by worker id. Without an entry, the cause is a conflict, or the
    #: merge strategy ``manual``.
    causes: dict[str, str] = field(default_factory=dict)
    #: Excluded workers whose changes no longer exist.
    gone: list[str] = field(default_factory=list)
    #: Workers that the user excluded.
    chosen: list[str] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    #: Changes of child jobs that parent workers undid. Each item is a record that
    #: ``engine.worktrees.lost_child_changes`` yields.
    undone: list[dict[str, Any]] = field(default_factory=list)
    #: Why no attempt resolves the conflicts of an excluded worker, by worker id.
    hindrances: dict[str, str] = field(default_factory=dict)
    #: Excluded workers that may still get another attempt.
    resolvable: list[str] = field(default_factory=list)
    #: Files with a special merge: git alone would report a conflict, or write to another path.
    #: Fields: ``worker_id``, ``path``, and ``way``.
    files: list[dict[str, Any]] = field(default_factory=list)
    #: Results of the gates on the merged state.
    gates: list[dict[str, Any]] = field(default_factory=list)
    #: Conflict between a child job's result and the files of the waiting parent worker. The parent
    #: worker must resolve the conflict. Fields: ``worker_id`` and ``branch`` (of the parent
    #: worker), ``ours`` (commit of the parent worker's files), ``theirs`` (the result branch), and
    #: ``paths``.
    handed: dict[str, Any] | None = None
    #: Id of the worker that waits for the result, but has no worktree to receive it; otherwise
    #: empty.
    without_worktree: str = ""
    #: True if the merge was requested after the job had ended.
    again: bool = False
    #: The ref of the earlier result; empty if there was no earlier result.
    earlier: str = ""
    #: Duration of the merge in seconds, including its gates.
    seconds: float = 0.0
    #: Changes in the user's checkout while the job ran.
    leaks: list[str] = field(default_factory=list)
    #: Damaged parts of the user's repository that were restored, as text.
    put_back: list[str] = field(default_factory=list)
    #: Errors of git during the merge, as text.
    errors: list[str] = field(default_factory=list)

    def exclude(self, worker: Worker, why: str, cause: LossCause) -> None:
        """Record that a worker is excluded. The changes stay on the worker's branch.

        ``why``: the reason for readers; may be empty.
        """
        self.left_out[worker.id] = short(worker_branch(worker))
        self.causes[worker.id] = cause
        if why:
            self.reasons[worker.id] = why

    def add_conflicts(
        self, worker: Worker, conflicts: Iterable[FileConflict], *, resolved: bool
    ) -> None:
        """Record conflicts of a worker's changes with the changes that were merged earlier."""
        for conflict in conflicts:
            child = conflict.child_job_id
            branch = result_branch(worker.root_id, child) if child else worker_branch(worker)
            self.conflicts.append(
                {
                    "worker_id": worker.id,
                    "branch": short(branch),
                    **asdict(conflict),
                    "resolved": resolved,
                }
            )

    def missing(self) -> tuple[Missing, ...]:
        """Return the changes that the result lacks.

        These are the changes of excluded workers, and the changes of child jobs that a parent
        worker or a person has discarded.
        """
        return (*self._excluded_changes(), *self._discarded_changes())

    def _excluded_changes(self) -> Iterator[Missing]:
        for worker, branch in self.left_out.items():
            children = self._conflicts_of_child_jobs(worker)
            yield Missing(
                worker_id=worker,
                job_id=self.job_id,
                branch=""
                if worker in self.gone
                else next((each["branch"] for each in children), branch),
                cause=self._loss_cause(worker),
                why=self._loss_reason(worker),
                in_part=worker in self.merged,
                chosen=worker in self.chosen or self.strategy == Strategy.MANUAL,
                resolvable=worker in self.resolvable,
                child_job_ids=tuple(dict.fromkeys(each["child_job_id"] for each in children)),
            )

    def _conflicts_of_child_jobs(self, worker: str) -> list[dict[str, Any]]:
        """Return the conflicts in which child jobs of a merged worker lost all their changes."""
        if worker not in self.merged:
            return []
        return [each for each in self._conflicts_of(worker) if each.get("child_job_id")]

    def _loss_cause(self, worker: str) -> LossCause:
        if worker in self.causes:
            return LossCause(self.causes[worker])
        is_manual = self.strategy == Strategy.MANUAL and not self._conflicts_of(worker)
        return LossCause.MANUAL if is_manual else LossCause.CONFLICT

    def _loss_reason(self, worker: str) -> str:
        if worker in self.reasons:
            return self.reasons[worker]
        return self.conflict_in_words(worker) or f"merge_strategy: {self.strategy}"

    def conflict_in_words(self, worker: str) -> str:
        """Return a text that names the files in which a worker's changes conflict.

        Return "" without a conflict.
        """
        conflicts = self._conflicts_of(worker)
        paths = paths_in_words([each["path"] for each in conflicts])
        return f"conflict in {paths}{_children_in_words(conflicts)}" if conflicts else ""

    def _conflicts_of(self, worker: str) -> list[dict[str, Any]]:
        return [each for each in self.conflicts if each["worker_id"] == worker]

    def _discarded_changes(self) -> Iterator[Missing]:
        for each in self.discarded():
            paths = tuple(dict.fromkeys(place["path"] for place in each["places"]))
            child = each["child_job_id"]
            verb = "you excluded" if each["left"] else "discarded"
            yield Missing(
                worker_id=each["worker_id"],
                job_id=self.job_id,
                branch=each["branch"],
                cause=LossCause.UNDONE,
                why=f"{verb} the changes of child job {child}: {paths_in_words(paths)}",
                in_part=True,
                chosen=each["left"],
                paths=paths,
                child_job_id=child,
            )

    def discarded(self) -> list[dict[str, Any]]:
        """Return the items of ``undone`` whose changes were discarded completely."""
        return [each for each in self.undone if each["discarded"]]

    def overruled(self) -> tuple[Overruled, ...]:
        """Return the hunks of merged workers that the result lacks, grouped by their writer.

        Another worker's hunk replaced such a hunk, or a parent worker undid the hunk of its child
        job.
        """
        return (*self._replaced_hunks(), *self._undone_hunks())

    def _replaced_hunks(self) -> Iterator[Overruled]:
        for (writer, child), places in self._replaced_places(self.merged).items():
            yield Overruled(
                worker_id=writer,
                hunks=len(places),
                job_id=self.job_id,
                places=places[:MOST_PATHS],
                by_job=child,
            )

    def _undone_hunks(self) -> Iterator[Overruled]:
        for each in self.undone:
            for writer, places in each["by_worker"].items():
                texts = (_place_text(place["path"], place) for place in places[:MOST_PATHS])
                yield Overruled(
                    worker_id=writer,
                    hunks=len(places),
                    job_id=each["child_job_id"],
                    places=tuple(texts),
                    by_worker=each["worker_id"],
                )

    def overruled_in_parent(self, job: Job) -> tuple[Overruled, ...]:
        """Return the parent worker's hunks that the result of the child job ``job`` replaced."""
        return tuple(
            Overruled(
                worker_id=writer,
                hunks=len(places),
                job_id=job.parent_job_id or "",
                places=places[:MOST_PATHS],
                by_job=job.id,
            )
            for (writer, _), places in self._replaced_places([job.parent_worker_id]).items()
        )

    def _replaced_places(
        self, winners: Sequence[str | None]
    ) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the places of replaced hunks, such as ``a.py:3-7``.

        Each key is a pair: the hunk's writer, and the id of the child job that replaced the hunk
        ("" if a worker of this job replaced the hunk). ``winners``: ids of the workers whose merges
        replaced the hunks.
        """
        places: dict[tuple[str, str], tuple[str, ...]] = {}
        for conflict in self.conflicts:
            if conflict["resolved"] and conflict["worker_id"] in winners:
                for hunk in conflict.get("lost", ()):
                    for worker in hunk["workers"]:
                        place = _place_text(conflict["path"], hunk)
                        key = (worker, conflict.get("child_job_id", ""))
                        places[key] = (*places.get(key, ()), place)
        return places

    def both_kept(self) -> tuple[str, ...]:
        """Return the files of the result in which several workers added lines in the same place."""
        unions = (each for each in self.files if each["way"] == MergeRule.UNION)
        return tuple(sorted({each["path"] for each in unions if each["worker_id"] in self.merged}))


class MergeRecords:
    def __init__(self, workspace: Workspace, write: Write) -> None:
        self._workspace = workspace
        self._write = write

    def save(self, job: Job, record: MergeRecord) -> None:
        text = json.dumps(asdict(record), indent=1)
        self._write(self._workspace.job_directory(job.root_id), _relative_path(job), text)

    def read(self, job: Job) -> MergeRecord | None:
        """Return the job's merge record; None if the file does not exist or is unreadable."""
        return record_of(read_object(self._path(job), _MOST_BYTES) or {})

    def remove(self, job: Job) -> None:
        """Remove the record of a job that is about to be merged again. Idempotent."""
        self._path(job).unlink(missing_ok=True)

    def _path(self, job: Job) -> Path:
        return self._workspace.job_directory(job.root_id) / _relative_path(job)


def record_of(values: Mapping[str, Any]) -> MergeRecord | None:
    """Return the merge record in ``values``.

    Return None if ``values`` lacks a required field, or if a field has another type. Unknown
    fields, which other versions wrote, are ignored.
    """
    declared = {each.name: each for each in fields(MergeRecord)}
    arguments = {name: value for name, value in values.items() if name in declared}
    if not all(_has_type_of(declared[name], value) for name, value in arguments.items()):
        return None
    try:
        record = MergeRecord(**arguments)
    except TypeError:
        return None
    if "gone" not in values:
        record.gone = [name for name, why in record.reasons.items() if why == _GONE_ONCE]
    return record


def _has_type_of(declared: Field[Any], value: object) -> bool:
    if declared.default_factory is not MISSING:
        return isinstance(value, type(declared.default_factory()))
    if declared.default is None:
        return value is None or isinstance(value, dict)
    if isinstance(declared.default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str if declared.default is MISSING else type(declared.default))


def paths_in_words(paths: Sequence[str]) -> str:
    return listed(paths, MOST_PATHS)


def _children_in_words(conflicts: Sequence[Mapping[str, Any]]) -> str:
    """Return a text that names the child jobs whose changes conflict; "" if there are none."""
    children: dict[str, list[str]] = {}
    for conflict in conflicts:
        if child := conflict.get("child_job_id"):
            names = children.setdefault(child, [])
            names += [name for name in conflict["child_workers"] if name not in names]
    others = [
        " of ".join(filter(None, (", ".join(names[:MOST_PATHS]), f"child job {child}")))
        for child, names in children.items()
    ]
    if not others:
        return ""
    jobs = "this child job" if len(others) == 1 else "these child jobs"
    return f", also changed by {' and '.join(others)}; all changes of {jobs} are missing"


def _place_text(path: str, lines: Mapping[str, Any]) -> str:
    first, last = lines["first"], lines["last"]
    if not first:
        return path
    return f"{path}:{first}" if first == last else f"{path}:{first}-{last}"


def _relative_path(job: Job) -> str:
    return f"reports/{record_name(job.id)}"
