"""Where a candidate stands among those that tried the same task."""

from dataclasses import dataclass
from enum import StrEnum


class Criterion(StrEnum):
    """What candidates are compared by, in this order."""

    SUCCESS = "success"
    #: Gates that refuse the result, what else they found, and whether it altered what judges.
    GATES = "gates"
    #: Tests of the base that pass, with the base's versions of tests and configuration.
    BASE_TESTS = "base_tests"
    #: New tests that pass on two candidates, or that the task names.
    NEW_TESTS = "new_tests"
    #: In rows of earlier versions: all tests that passed, new ones included.
    TESTS = "tests"
    #: Findings in files, with the base's configuration, that block no candidate.
    LINT = "lint"
    #: What an agent that was asked says.
    REVIEW = "review"
    #: The smaller change; one that changed nothing comes last.
    SIZE = "size"
    COST = "cost"
    TIME = "time"
    #: The place in the task's list of agents.
    ORDER = "order"
    #: A person overruled the comparison.
    PERSON = "person"


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateRank:
    """Made once, when all candidates of a task have ended and one of them succeeded."""

    #: 1 is the one that is taken.
    place: int
    #: What told it from the one that is taken; of that one, what told the next from it.
    by: Criterion
    #: The same in words.
    why: str
    #: The place that a reviewer gave it, and why; None: no review counted.
    review: int | None = None
    remark: str = ""
    #: What it and all below it are known to have cost; None: nothing is known.
    cost_usd: float | None = None
