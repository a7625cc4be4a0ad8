"""Rank of a candidate among the candidates of its task."""

from dataclasses import dataclass
from enum import StrEnum


class Criterion(StrEnum):
    """Criteria for comparing candidates, in this order."""

    SUCCESS = "success"
    #: Gates that reject the result, their other findings, and alterations of judging files.
    GATES = "gates"
    #: Tests of the base that pass, with the base's versions of tests and configuration.
    BASE_TESTS = "base_tests"
    #: New tests that pass on two candidates, or that the task names.
    NEW_TESTS = "new_tests"
    #: In rows of earlier versions: all tests that passed, new ones included.
    TESTS = "tests"
    #: Findings in files, with the base's configuration, that block no candidate.
    LINT = "lint"
    #: The opinion of a reviewer.
    REVIEW = "review"
    #: The smaller change; one without changes comes last.
    SIZE = "size"
    COST = "cost"
    TIME = "time"
    #: The place in the task's list of agents.
    ORDER = "order"
    #: A person overruled the comparison.
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRank:
    """Created once, when all candidates of a task have ended and one of them succeeded."""

    #: 1 is the selected one.
    place: int
    #: The criterion by which it differs from the selected one; for that one, from the next.
    by: Criterion
    #: The criterion as text.
    why: str
    #: The place that a reviewer gave it, and why; None: no review counted.
    review: int | None = None
    remark: str = ""
    #: Known cost of it and all below it; None: nothing is known.
    cost_usd: float | None = None
