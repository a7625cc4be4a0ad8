"""Outcome of a job's merge, for its reports."""

from collections.abc import Mapping
from dataclasses import field

from orchestrator.core.gates.gate import GateOutcome
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ChangeSize


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedGate:
    name: str
    outcome: GateOutcome
    #: The gate's first findings, or why the gate did not run; empty if it passed.
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeReport:
    """Outcome of a job's merge. All fields are empty for a job without changes or without git."""

    #: The result branch; empty: nothing was merged.
    branch: str = ""
    commit: str = ""
    #: Numbers of added and removed lines of each changed file; empty if unknown. Paths are relative
    #: to the top of the repository.
    lines: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Size of all changes; None: unknown.
    size: ChangeSize | None = None
    gates: tuple[MergedGate, ...] = ()
    #: Seconds from the end of the last worker to the end of the merge, including gates.
    seconds: float = 0.0
    #: Further facts about the merge, one line each.
    notes: tuple[str, ...] = ()


#: The report of a job that merged nothing.
NO_MERGE = MergeReport()
NO_MERGES: Mapping[str, MergeReport] = {}
