"""Outcome of workers' changes, and requests to merge them again."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.core.model.gate import GateCause, GateOutcome, GateStatus
from orchestrator.core.model.job_settings import RESOLVE_OFF
from orchestrator.core.model.states import JobStatus
from orchestrator.core.repository.repository import FileWay, Hindrance, MergeChoice
from orchestrator.schemas.answers.common import Answer, MissingAnswer, OutsideAnswer
from orchestrator.schemas.fields.text import MOST_ITEMS, Text, Word
from orchestrator.schemas.fields.wire import Wire

WorkerNames = Annotated[
    tuple[Annotated[Text, Field(min_length=1, max_length=200)], ...],
    Field(strict=False, max_length=MOST_ITEMS),
]


class MergeRequest(Wire):
    """How a job that has ended is merged again."""

    strategy: Literal["theirs", "auto", "manual"] | None = None
    """The job's own if absent."""
    take: WorkerNames = ()
    """Workers whose changes belong to the result as well, such as failed workers, and candidates
    that were not chosen; and child jobs whose changes their parent worker discarded. They stay
    taken in later merges."""
    leave: WorkerNames = ()
    """Not the changes of these workers, or child jobs."""

    resolve: Word | None = None
    """Who resolves conflicts: worker (the one that has them), or an agent. The job runs again."""

    def to_choice(self) -> MergeChoice:
        resolve = "" if self.resolve in (None, RESOLVE_OFF) else self.resolve
        return MergeChoice(
            strategy=self.strategy or "", take=self.take, leave=self.leave, resolve=resolve or ""
        )


class ChoiceRequest(Wire):
    """Which candidate of a task is taken, whatever the comparison found."""

    worker_id: Annotated[Text, Field(min_length=1, max_length=200)]


class LostHunkAnswer(Answer):
    """Lines that are not in the result, since another worker's won there."""

    first: int = 0
    """Number of the first line, in the merged result before; 0: the whole file."""
    last: int = 0
    removed: bool = False
    """What is lost is the removal of these lines; their numbers are those of the base."""
    text: list[str] = Field(default_factory=list)
    """How the lines begin."""
    commits: list[str] = Field(default_factory=list)
    workers: list[str] = Field(default_factory=list)
    """Workers whose lines they are."""


class MergedFileAnswer(Answer):
    """A file that git alone would have left as a conflict, or in another place."""

    worker_id: str
    path: str
    way: FileWay
    """The rule that was used."""


class ConflictAnswer(Answer):
    """A file that two workers changed in ways that exclude each other."""

    worker_id: str
    """The later one of both."""
    branch: str
    """That worker's; for a child job's changes, that of its result."""
    path: str
    child_job_id: str = ""
    """The worker's child job whose changes these are; empty: they are the worker's own."""
    child_workers: list[str] = Field(default_factory=list)
    """Workers of that child job which changed the file."""
    base: str = ""
    """The blob that both began with; empty where there was none."""
    ours: str = ""
    """The blob in the merged result before; empty where it has none."""
    theirs: str = ""
    """The blob on the worker's branch; empty where it has none."""
    resolved: bool = False
    """By merge_strategy theirs: the worker's lines, or its file, are in the result."""
    lost: list[LostHunkAnswer] = Field(default_factory=list)
    """What of the other side is not in the result then."""


class MergedGateAnswer(Answer):
    """What one check says of the merged state."""

    name: str
    status: GateStatus
    outcome: GateOutcome | None = None
    """Null in records of earlier versions."""
    cause: GateCause | None = None
    """Why it did not run; the note says it in words."""
    note: str = ""
    required: bool = True
    seconds: float = 0.0
    failures: list[str] = Field(default_factory=list)
    """What it found that the base does not have."""
    known: int = 0
    """How much it found that the base has, too."""
    tests: int | None = None
    """How many tests passed; null for what does not count them."""
    output: str = ""
    """The end of what it printed, if it did not pass."""
    flaky: list[str] = Field(default_factory=list)
    """What only one of its two runs found; an empty name: the gate as a whole."""


class HandedAnswer(Answer):
    """Both sides of what a child job and the worker that asked for it changed."""

    worker_id: str
    """The worker that is to settle it."""
    branch: str
    """That worker's."""
    ours: str
    """The commit with what that worker had."""
    theirs: str
    """The branch with the child job's result."""
    paths: list[str]


class ConflictsAnswer(Answer):
    """What became of a job's changes to the host project's repository."""

    job_id: str
    status: JobStatus | None = None
    """The job's; merging changes it."""
    strategy: str
    base: str = ""
    """The commit that workers started from; empty when the job has nothing to do with git."""
    branch: str = ""
    """Of the merged result; empty when there is none."""
    commit: str = ""
    merged: list[str] = Field(default_factory=list)
    """Workers whose changes are in it."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Workers whose changes are not, and the branches that keep them."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Why, of those that were left out for something else than a conflict."""
    missing: list[MissingAnswer] = Field(default_factory=list)
    """What the result lacks, with what the results of child jobs lack at any depth."""
    made_not_in_result: list[OutsideAnswer] = Field(default_factory=list)
    """Everything that was made and is not in the result, with losing candidates and failed workers;
    once the job has ended."""
    history: Literal["merge", "linear"] = "merge"
    gates: list[MergedGateAnswer] = Field(default_factory=list)
    """What the checks of the merged state came to."""
    handed: HandedAnswer | None = None
    """Of a child job: what could not be put into the files of the worker that asked for it."""
    again: bool = False
    """It was merged again after the job had ended."""
    earlier: str = ""
    """A ref that keeps the result before this one."""
    merging: bool = False
    """It is being merged just now: ask again."""
    conflicts: list[ConflictAnswer] = Field(default_factory=list)
    hindrances: dict[str, Hindrance] = Field(default_factory=dict)
    """Why no attempt resolves the conflicts of a worker that was left out for them."""
    files: list[MergedFileAnswer] = Field(default_factory=list)
    """Files merged by line ends, by a union of added lines, or by a renamed directory."""
    seconds: float = 0.0
    """How long merging took, its gates included, after the last worker had ended."""
    leaks: list[str] = Field(default_factory=list)
    """What changed in the user's checkout while the job ran."""
    put_back: list[str] = Field(default_factory=list)
    """What was put back of the repository, as git could not work with it; in words."""
    errors: list[str] = Field(default_factory=list)
    """What could not be done."""
