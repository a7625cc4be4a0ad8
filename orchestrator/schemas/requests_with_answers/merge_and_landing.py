"""Merge results and landings, and requests to repeat a merge or to land a result."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from orchestrator.core.gates.gate import GateCause, GateOutcome, GateStatus
from orchestrator.core.model.states import JobStatus
from orchestrator.core.repository.landing import LandOptions, LandRequest
from orchestrator.core.repository.repository import Hindrance, MergeChoice, MergeRule
from orchestrator.schemas.answers.answer import Answer, Links, no_items
from orchestrator.schemas.answers.status import MissingAnswer, OutsideAnswer
from orchestrator.schemas.fields.bounded_types import StrictModel, Text
from orchestrator.schemas.requests.job_control import RepeatedMerge, WorkerNames


class MergeRequest(RepeatedMerge):
    """Request to repeat the merge of an ended job."""

    take: WorkerNames = ()
    """Alias of include; both lists count."""
    leave: WorkerNames = ()
    """Alias of exclude; both lists count."""

    def to_choice(self) -> MergeChoice:
        choice = super().to_choice()
        include, exclude = (*self.take, *self.include), (*self.leave, *self.exclude)
        return replace(choice, include=include, exclude=exclude)


class ChoiceRequest(StrictModel):
    """Request to choose a candidate of a task."""

    worker_id: Annotated[Text, Field(min_length=1, max_length=200)]
    reason: Annotated[Text, Field(max_length=1000)] = ""
    """Reason for the choice, for reports."""


class LandBody(StrictModel):
    """Request to land the result of a job on the branch that is checked out."""

    squash: bool = False
    """Create one commit; its message lists all commits and authors."""
    ff_only: bool = False
    """Fail if the landing needs a merge commit."""
    no_ff: bool = False
    """Always create a merge commit."""
    onto: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None
    """Name of the branch that is checked out; required if the job started from another branch."""
    partial: bool = False
    """Allow a job that is not completed."""
    author: Literal["worker", "user"] | None = None
    """Author of the landed commits (default: the setting git.author)."""
    check: bool = False
    """Check only: the answer has the branch and the files, and nothing changes."""

    @model_validator(mode="after")
    def _check_exclusive_options(self) -> Self:
        if self.squash + self.ff_only + self.no_ff > 1:
            raise PydanticCustomError(
                "two_ways", "squash, ff_only, and no_ff conflict; pass at most one of them"
            )
        return self

    def to_request(self) -> LandRequest:
        options = {
            LandOptions.SQUASH: self.squash,
            LandOptions.FAST_FORWARD: self.ff_only,
            LandOptions.MERGE: self.no_ff,
        }
        return LandRequest(
            how=next((how for how, is_given in options.items() if is_given), LandOptions.ANY),
            onto=self.onto or "",
            partial=self.partial,
            as_user=None if self.author is None else self.author == "user",
        )


class LandAnswer(Answer):
    """The outcome of landing a job's result, or of the check that the result can land."""

    job_id: str
    landed: bool
    """True if the branch has the result; false for a check, and if there is nothing to land."""
    changed: bool
    """True if this call moved the branch."""
    branch: str
    """Branch that is checked out; "HEAD (detached: ...)" without a branch."""
    base_branch: str
    """Branch from which the job started; empty: none. If it differs from `branch`, pass `onto`."""
    result: str
    """Commit of the job's result; empty if there is nothing to land."""
    commit: str | None = None
    """Commit of the branch after the call; omitted if the result has not landed."""
    before: str | None = None
    """Commit of the branch before the call; omitted if the result has not landed."""
    files: list[str]
    """Paths that the result changes, at most 1,000."""
    files_changed: int
    """Number of all changed paths."""
    nothing_to_land: bool
    """True if the job changed nothing that could land; `text` has the reason."""
    text: str
    """Outcome as text."""
    links: Links


class UndoAnswer(Answer):
    """The undo of a landing: the branch was reset to its commit before the landing."""

    job_id: str
    branch: str
    commit: str
    """Commit of the branch after this undo: the branch's commit before the landing."""
    before: str
    """Commit of the branch before this undo: the branch's commit after the landing."""
    text: str
    """Outcome as text."""
    links: Links


class LostHunkAnswer(Answer):
    """Lines that are not in the result, because another worker's lines replaced them."""

    first: int = 0
    """Number of the first line, in the previous merged result; 0: the whole file."""
    last: int = 0
    removed: bool = False
    """True if the lost change removed these lines; the line numbers then refer to the base."""
    text: list[str] = Field(default_factory=no_items)
    """The beginning of each replaced line."""
    commits: list[str] = Field(default_factory=no_items)
    workers: list[str] = Field(default_factory=no_items)
    """Workers that wrote the lines."""


class MergedFileAnswer(Answer):
    """A file that the server merged although git alone reports a conflict."""

    worker_id: str
    path: str
    way: MergeRule
    """Rule that merged the file."""


class ConflictAnswer(Answer):
    """A file that two workers changed incompatibly."""

    worker_id: str
    """The worker that was merged later."""
    branch: str
    """Branch of the worker that was merged later; for a child job's changes, the child job's result
    branch."""
    path: str
    child_job_id: str = ""
    """Child job of the worker that made the changes; empty: the worker made them."""
    child_workers: list[str] = Field(default_factory=no_items)
    """Workers of the child job `child_job_id` that changed the file."""
    base: str = ""
    """Blob in the base; empty if the base does not have the file."""
    ours: str = ""
    """Blob in the previous merged result; empty if this result does not have the file."""
    theirs: str = ""
    """Blob on the worker's branch; empty if the branch does not have the file."""
    resolved: bool = False
    """True if `merge_strategy: theirs` put the worker's lines or file into the result."""
    lost: list[LostHunkAnswer] = Field(default_factory=no_items)
    """For a resolved conflict: lines of the losing version, which are not in the result."""


class MergedGateAnswer(Answer):
    """Result of a gate on the merged state."""

    name: str
    status: GateStatus
    outcome: GateOutcome | None = None
    """Outcome of the gate; omitted in records of earlier versions."""
    cause: GateCause | None = None
    """Cause if the gate did not run; `note` has the cause as text."""
    note: str = ""
    required: bool = True
    seconds: float = 0.0
    failures: list[str] = Field(default_factory=no_items)
    """Findings that are not in the baseline."""
    baseline_findings: int = 0
    """Number of findings that are in the baseline."""
    known: int = 0
    """Alias of baseline_findings."""
    tests: int | None = None
    """Number of tests that passed; omitted if the gate does not count tests."""
    output: str = ""
    """Last part of the gate's output, if the gate did not pass."""
    flaky: list[str] = Field(default_factory=no_items)
    """Findings of only one of the gate's two runs. An empty text means that the whole gate failed
    in one run, and passed in the other run."""


class HandedAnswer(Answer):
    """A child-result conflict: changes of a worker conflict with the result of its child job."""

    worker_id: str
    """Worker that has to resolve the conflict."""
    branch: str
    """Branch of the worker that has to resolve the conflict."""
    ours: str
    """Commit with the worker's changes."""
    theirs: str
    """Branch with the child job's result."""
    paths: list[str]


class ConflictsAnswer(Answer):
    """Merge results of a job."""

    job_id: str
    status: JobStatus | None = None
    """Status of the job; a merge changes it."""
    strategy: str
    base: str = ""
    """Base commit of the workers; empty if the job does not use git."""
    branch: str = ""
    """Result branch; empty if the job has no result branch."""
    commit: str = ""
    merged: list[str] = Field(default_factory=no_items)
    """Workers whose changes are in the result."""
    unmerged: dict[str, str] = Field(default_factory=dict)
    """Unmerged workers, and their branches."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Alias of unmerged."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Reasons of unmerged workers, except conflicts."""
    missing: list[MissingAnswer] = Field(default_factory=no_items)
    """Changes that the result lacks, including changes of child jobs at any depth."""
    made_not_in_result: list[OutsideAnswer] = Field(default_factory=no_items)
    """All changes that are not in the result, also of failed workers and of candidates that were
    not chosen. Present after the job's end."""
    history: Literal["merge", "linear"] = "merge"
    gates: list[MergedGateAnswer] = Field(default_factory=no_items)
    """Results of the gates on the merged state."""
    unapplied: HandedAnswer | None = None
    """Only for a child job: the conflict between its result and the files of its parent worker."""
    handed: HandedAnswer | None = None
    """Alias of unapplied."""
    again: bool = False
    """True if the merge was repeated after the job's end."""
    earlier: str = ""
    """Ref of the previous result."""
    merging: bool = False
    """True while the merge is running; repeat the call."""
    conflicts: list[ConflictAnswer] = Field(default_factory=no_items)
    unresolved_reasons: dict[str, Hindrance] = Field(default_factory=dict)
    """By worker: why no further attempt resolves the worker's conflicts."""
    hindrances: dict[str, Hindrance] = Field(default_factory=dict)
    """Alias of unresolved_reasons."""
    files: list[MergedFileAnswer] = Field(default_factory=no_items)
    """Files that the server merged although git alone reports a conflict; `way` has the rule."""
    seconds: float = 0.0
    """Seconds from the end of the last worker to the end of the merge and its gates."""
    checkout_changes: list[str] = Field(default_factory=no_items)
    """Changes in the user's checkout while the job ran, as text."""
    leaks: list[str] = Field(default_factory=no_items)
    """Alias of checkout_changes."""
    repository_repairs: list[str] = Field(default_factory=no_items)
    """Repairs of a repository that git could not use, as text."""
    put_back: list[str] = Field(default_factory=no_items)
    """Alias of repository_repairs."""
    errors: list[str] = Field(default_factory=no_items)
    """Errors of the merge, as text."""
