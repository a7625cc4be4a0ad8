"""Rank of a candidate among the candidates of its task."""

from dataclasses import dataclass
from enum import StrEnum


class Criterion(StrEnum):
    """Criteria for comparing candidates: an earlier criterion decides before a later one."""

    SUCCESS = "success"
    #: Gates that reject the result, their other findings, and alterations of judging files.
    GATES = "gates"
    #: Number of the base's tests that pass with the base's versions of tests and configuration.
    BASE_TESTS = "base_tests"
    #: Number of new tests that pass on two candidates, or that the task names.
    NEW_TESTS = "new_tests"
    #: Only in rows of earlier versions: the number of all passed tests, including new tests.
    TESTS = "tests"
    #: Number of findings in files, with the base's configuration, that block no candidate.
    LINT = "lint"
    #: The opinion of a reviewer.
    REVIEW = "review"
    #: The smaller change is better; a candidate without changes comes last.
    SIZE = "size"
    COST = "cost"
    TIME = "time"
    #: The place in the task's list of agents.
    ORDER = "order"
    #: A person's choice, which overrules the comparison.
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRank:
    """Rank of one candidate.

    Created once, when all candidates of the task have ended and at least one of them succeeded.
    """

    #: 1 for the chosen candidate.
    place: int
    #: The criterion that separates the candidate from the chosen candidate. For the chosen
    #: candidate: the criterion that separates it from the second.
    by: Criterion
    #: The criterion as text.
    why: str
    #: The place that a reviewer gave the candidate; None: no review counted.
    review: int | None = None
    #: The reviewer's reason for that place.
    remark: str = ""
    #: Known cost of the candidate and its child jobs; None: unknown.
    cost_usd: float | None = None
