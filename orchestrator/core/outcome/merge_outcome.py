"""The outcome of a job's merge, as reported to the scheduler."""

from collections.abc import Mapping, Sequence
from dataclasses import field

from orchestrator.core.gates.gate import GateResult
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job_facts import (
    CheckoutChange,
    FlakyGate,
    GateFact,
    Missing,
    Overruled,
    SwitchedOff,
    UnjudgedFile,
)
from orchestrator.core.model.states import MergeState
from orchestrator.core.model.user_repository_changes import RepositoryChange


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeRejection:
    """Rejection of one worker's changes, after a merge with the changes of earlier workers."""

    worker_id: str
    #: Why the branch was rejected, as text.
    reason: str
    #: Results of the gates on the merged state.
    gates: tuple[GateResult, ...] = ()
    #: Conflicting files, for the agent that resolves the conflicts.
    conflicts: tuple[str, ...] = ()
    #: The agent of the next attempt; empty: the worker's own agent.
    agent: str = ""
    #: What happens to the worker if no further attempt follows. True: the worker fails. False: the
    #: worker keeps its status.
    required: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeOutcome:
    """What a job's merge produced, and what its result lacks."""

    rejections: Sequence[MergeRejection] = ()
    #: Why merging failed; empty if it succeeded.
    error: str = ""
    #: Changes that are not in the result.
    missing: tuple[Missing, ...] = ()
    #: See ``JobFacts.overruled``.
    overruled: tuple[Overruled, ...] = ()
    #: Files that contain additions of several workers in the same place.
    both_kept: tuple[str, ...] = ()
    #: See ``JobFacts.by_driver``.
    by_driver: tuple[str, ...] = ()
    #: See ``JobFacts.undone``.
    undone: tuple[str, ...] = ()
    #: Facts on the gates that did not pass: see ``gate_facts.gate_facts``.
    gates: tuple[GateFact, ...] = ()
    gates_passed: tuple[str, ...] = ()
    flaky: tuple[FlakyGate, ...] = ()
    unjudged: bool = False
    unjudged_files: tuple[UnjudgedFile, ...] = ()
    switched_off: tuple[SwitchedOff, ...] = ()
    #: Workers whose changes count only because a person merged them; None: keep the stored value.
    taken: tuple[str, ...] | None = None
    #: Child jobs whose discarded changes a person merged; None: keep the stored value.
    taken_jobs: tuple[str, ...] | None = None
    #: Files of the user's checkout that changed; None: keep the stored value.
    checkout: tuple[CheckoutChange, ...] | None = None
    #: Changes of the job in the user's repository, outside the job's branches; None: keep the
    #: stored value.
    repository_changes: tuple[RepositoryChange, ...] | None = None
    #: True if a result exists, with changes of at least one worker.
    has_result: bool = False
    #: See ``JobFacts.not_in_parent``.
    not_in_parent: tuple[str, ...] = ()
    #: The files that the result changes, as paths relative to the project.
    files: tuple[str, ...] = ()
    #: Promised files that a worker created, but that were removed after the worker's end, by worker
    #: id. The result lacks these files.
    removed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def state(self) -> MergeState:
        if self.error:
            return MergeState.FAILED
        if self.missing:
            return MergeState.IN_PART
        return MergeState.MERGED if self.has_result else MergeState.NONE
