"""Reviewers: workers that rank the candidates of a task.

All rules for workers apply to a reviewer, but a job's list of workers does not contain reviewers.
Tasks that depend on the reviewed task wait for its reviewer.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import islice

from orchestrator.core.candidates.selection import Opinion
from orchestrator.core.model.job import PLANNER_INDEX, REVIEWER, TaskSpec, Worker
from orchestrator.core.model.states import WorkerKind

#: Maximum number of attempts of a reviewer. After a rejected review, the next attempt gets the
#: reason.
TRIES_TO_REVIEW = 2
#: Minimum number of candidates for a review.
FEWEST_REVIEWED = 2


def reviewer_of(task: TaskSpec, candidates: Sequence[Worker]) -> Worker:
    """Return a new reviewer for a task whose candidates have all ended."""
    first = candidates[0]
    prefix, _, number = first.id.rpartition("_")
    name = REVIEWER if prefix == "worker" else f"{prefix}_{REVIEWER}"
    return Worker(
        id=f"{name}_{number}",
        job_id=first.job_id,
        root_id=first.root_id,
        task_id=task.id,
        index=PLANNER_INDEX - 1 - first.index,
        kind=WorkerKind.REVIEWER,
        depth=first.depth,
        agent=task.review,
    )


def reviewing_task(reviewer: Worker, task: TaskSpec) -> TaskSpec:
    return TaskSpec(
        id=task.id,
        title=f"Review: {task.title or task.id}",
        prompt=task.prompt,
        context=task.context,
        role=REVIEWER,
        agents=(reviewer.agent,),
        review_by_any=task.review_by_any,
        retries=TRIES_TO_REVIEW - 1,
        git="off",
    )


def opinions_of(reviewer: Worker | None) -> Mapping[str, Opinion]:
    """Return the opinions of a reviewer, by worker id; empty if there is no valid review."""
    if reviewer is None or not reviewer.status.succeeded or reviewer.result is None:
        return {}
    try:
        ranking = json.loads(reviewer.result.output)["ranking"]
        ranked = [(each["worker_id"], each["reason"]) for each in ranking]
    except (ValueError, TypeError, LookupError):
        # The review was valid when the reviewer ended, so the stored text was damaged later. The
        # other criteria then select a candidate.
        return {}
    return {
        worker_id: Opinion(place=place, remark=reason)
        for place, (worker_id, reason) in enumerate(ranked, 1)
    }


def candidates_to_review(candidates: Sequence[Worker]) -> list[Worker]:
    return [each for each in candidates if each.status.succeeded]


def worth_reviewing(candidates: Sequence[Worker]) -> bool:
    return len(list(islice(candidates_to_review(candidates), FEWEST_REVIEWED))) == FEWEST_REVIEWED
