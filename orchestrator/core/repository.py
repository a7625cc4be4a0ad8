"""The port to the host project's repository, and how its branches are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from orchestrator.core.model import Job, Worker

BRANCHES = "orchestrator"


class Strategy(StrEnum):
    """How workers' branches become one."""

    #: what merges cleanly; the rest is reported and kept
    AUTO = "auto"
    #: the later worker's file wins where two cannot both be had
    THEIRS = "theirs"
    #: nothing is merged; what would conflict is listed
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """Where workers start from."""

    #: Empty when there is nothing to make worktrees of.
    commit: str = ""
    #: What the user should know: why there are no worktrees, or what they lack.
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Who makes a commit."""

    name: str
    email: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileConflict:
    """One path that two sides changed in ways that exclude each other.

    Blob ids of the common ancestor and of both sides; empty where a side has no such file.
    """

    path: str
    base: str = ""
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    #: What came out; empty where conflicts stood in the way.
    commit: str = ""
    conflicts: tuple[FileConflict, ...] = ()


class Repository(Protocol):
    """The host project's repository. Directories are absolute; the user's own is only read.

    Every method may raise RepositoryError, which says in words what went wrong, and OSError
    where there is no room. Any thread may call.
    """

    def base(self) -> Base:
        """The commit that the user's checkout is at. Never raises."""

    def open_worktree(self, directory: str, branch: str, start: str) -> None:
        """Have ``branch`` checked out in ``directory``; a new one begins at ``start``.

        Idempotent: what is there, and whole, stays as it is; what a crash left half is made anew.
        """

    def close_worktree(self, directory: str, branch: str, signature: Signature) -> None:
        """Remove a worktree; what is not committed goes onto its branch first. Idempotent."""

    def inside(self, directory: str) -> str:
        """Where in a worktree the host project is: it may be a part of its repository."""

    def commit(self, directory: str, branch: str, message: str, signature: Signature) -> str:
        """Commit what was left uncommitted, if anything; what the branch is at then."""

    def snapshot(self, directory: str, message: str, signature: Signature) -> str:
        """A commit of the worktree as it is, that changes neither its branch nor its index."""

    def bring(self, directory: str, now: str, then: str) -> None:
        """Have the files of a worktree, which are as in ``now``, as in ``then``.

        Its branch and index stay. Raise RepositoryError, and change nothing, when a file that is
        to change is not as in ``now`` any more.
        """

    def tip(self, name: str) -> str:
        """The commit of a branch or ref; empty when there is none."""

    def tips(self, prefix: str) -> Mapping[str, str]:
        """The commits of all refs below a prefix, by full name."""

    def point(self, name: str, commit: str) -> None:
        """Have a full ref name point to a commit."""

    def contains(self, commit: str, ancestor: str) -> bool: ...

    def changed(self, start: str, end: str) -> Sequence[str]:
        """Paths of files that ``end`` has and ``start`` has not, or not so."""

    def tracks(self, commit: str, path: str) -> bool: ...

    def join(self, first: str, second: str, message: str, signature: Signature) -> str:
        """A commit with the content of ``first`` and both as parents."""

    def merge(
        self, ours: str, theirs: str, message: str, signature: Signature, *, force: bool
    ) -> Merge:
        """Merge two commits without touching any file; with ``force`` theirs win."""

    def checkout_state(self) -> Mapping[str, str]:
        """What must not change in the user's checkout: branch, refs, stash, config, files."""

    def forget(self, root_id: str, directory: str) -> None:
        """Remove worktrees and refs of a root job; a result that nobody took is left.

        ``directory`` is, or was, the job's. Idempotent.
        """


def worker_branch(worker: Worker) -> str:
    return branch_of(worker.root_id, worker.id)


def branch_of(root_id: str, worker_id: str) -> str:
    return f"refs/heads/{BRANCHES}/{root_id}/{worker_id}"


def result_branch(root_id: str, job_id: str) -> str:
    """Of a root job, or of a child job."""
    name = "result" if job_id == root_id else f"result_{job_id}"
    return f"refs/heads/{BRANCHES}/{root_id}/{name}"


def start_ref(worker: Worker) -> str:
    """What a worker began with."""
    return f"{hidden(worker.root_id)}start/{worker.id}"


def child_refs(root_id: str, worker_id: str) -> str:
    """Below this: for each child job of a worker what it began with, and its result."""
    return f"{hidden(root_id)}child/{worker_id}/"


def hidden(root_id: str) -> str:
    """Below this: refs of a root job that are no branches."""
    return f"refs/{BRANCHES}/{root_id}/"


def short(name: str) -> str:
    return name.removeprefix("refs/heads/")


def signature_of(worker: Worker) -> Signature:
    """One identity per worker; the address leads nowhere."""
    return Signature(
        name=f"{worker.id} ({worker.agent})",
        email=f"{worker.id}@{worker.root_id}.orchestrator.invalid",
    )


def merger_of(job: Job) -> Signature:
    return Signature(name="orchestrator", email=f"merge@{job.root_id}.orchestrator.invalid")


def record_name(job_id: str) -> str:
    """Under ``reports/``: what became of the changes of a job."""
    return f"merge_{job_id}.json"
