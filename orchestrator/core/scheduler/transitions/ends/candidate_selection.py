"""Review and selection, after all candidates of a task have ended.

The end of the last candidate and the selection are stored in the same turn, so that a crash cannot
separate them.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.candidates.reviewer import opinions_of, reviewer_of, worth_reviewing
from orchestrator.core.candidates.selection import candidates_of, ranked
from orchestrator.core.errors import Conflict
from orchestrator.core.events import EventKind
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from orchestrator.core.scheduler.state.job_trees import JobTrees, UnfinishedWorker
from orchestrator.core.text.command_name import COMMAND


class CandidateSelection:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work

    def after(self, worker: Worker, now: float) -> None:
        """Begin a review or select a candidate, if either is due.

        Call this whenever a candidate or a reviewer has ended.
        """
        candidates = self._candidates(worker)
        if not any(each.status.succeeded for each in candidates):
            return
        key = self._trees.plans[worker.job_id].reviewers.get(worker.task_id)
        reviewer = self._unit_of_work.workers[key] if key else None
        if self._is_chosen_by_person(worker) or not all(each.status.ended for each in candidates):
            return
        if reviewer is not None and not worker.is_reviewer and reviewer.status.ended:
            self._after_rerun(worker, candidates, reviewer, now)
        elif reviewer is None and self._is_to_be_reviewed(worker, candidates):
            self._begin_review(worker, candidates)
        elif reviewer is None or reviewer.status.ended:
            self._select_best(candidates, reviewer, now)

    def _after_rerun(
        self, worker: Worker, candidates: Sequence[Worker], reviewer: Worker, now: float
    ) -> None:
        if not self._is_to_be_reviewed(worker, candidates):
            self._select_best(candidates, None, now)
            return
        result = replace(reviewer.result or WorkerResult(), output="")
        queued_reviewer = self._unit_of_work.move_worker(
            reviewer.key,
            WorkerStatus.PENDING,
            reason="",
            failure="",
            budget_from=reviewer.attempt,
            not_before=0.0,
            ended_at=None,
            result=result,
        )
        self._trees.plans[worker.job_id].reopen_task(reviewer.task_id)
        self._trees.unfinished[reviewer.key] = UnfinishedWorker()
        self._trees.queue(queued_reviewer)

    def overrule(self, worker: Worker, by: str, now: float, reason: str) -> None:
        """Select a candidate by a person's decision, which overrules the comparison. Idempotent.

        Raise Conflict if the worker is not a candidate, or did not succeed.
        """
        candidates = self._candidates(worker)
        check_choosable(worker, candidates)
        if worker.chosen:
            return
        others = sorted((each for each in candidates if each.id != worker.id), key=_rank_order)
        why = f"chosen by key {by!r}{f': {reason}' if reason else ''}"
        self._store_rank(worker, 1, why)
        for place, each in enumerate(others, 2):
            self._store_rank(each, place, f"{worker.id} was {why}")
        payload = {"task_id": worker.task_id, "by": str(Criterion.PERSON), "reason": why}
        # Save the root job, too, because the status.json of an ended job is written only when its
        # root job changes.
        self._unit_of_work.update_job(worker.root_id)
        order = [worker.id, *(each.id for each in others)]
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(
            EventKind.CANDIDATE_CHOSEN, job, now, worker.id, order=order, **payload
        )

    def _store_rank(self, worker: Worker, place: int, why: str) -> None:
        """Store a candidate's new rank, after a person has chosen a candidate.

        ``place``: the new place; 1 is best. ``why``: the reason for the new rank. A failed
        candidate that already has a rank keeps its earlier reason.
        """
        result = worker.result or WorkerResult()
        standing = result.standing or CandidateRank(place=place, by=Criterion.PERSON, why=why)
        if worker.status.succeeded:
            standing = replace(standing, by=Criterion.PERSON, why=why)
        result = replace(result, standing=replace(standing, place=place))
        self._unit_of_work.update_worker(worker.key, result=result)

    def _candidates(self, worker: Worker) -> Sequence[Worker]:
        if worker.is_planner:
            return ()
        keys = self._trees.plans[worker.job_id].workers_of(worker.task_id)
        return [self._unit_of_work.workers[key] for key in keys]

    def _is_to_be_reviewed(self, worker: Worker, candidates: Sequence[Worker]) -> bool:
        stopping = self._trees.job_of(worker).stop_cause is not None
        task = self._trees.plans[worker.job_id].tasks[worker.task_id]
        return bool(task.review) and not stopping and worth_reviewing(candidates)

    def _begin_review(self, worker: Worker, candidates: Sequence[Worker]) -> None:
        job, plan = self._trees.job_of(worker), self._trees.plans[worker.job_id]
        reviewer = reviewer_of(plan.tasks[worker.task_id], candidates)
        self._unit_of_work.add_tasks(job, (), (reviewer,))
        plan.add_reviewer(reviewer)
        self._trees.unfinished[reviewer.key] = UnfinishedWorker()
        self._trees.queue(reviewer)

    def _is_chosen_by_person(self, worker: Worker) -> bool:
        standing = worker.standing
        by_person = standing is not None and standing.by is Criterion.PERSON
        return by_person and bool(worker.chosen) and worker.status.succeeded

    def _select_best(
        self, candidates: Sequence[Worker], reviewer: Worker | None, now: float
    ) -> None:
        worker_by_id = {worker.id: worker for worker in candidates}
        spent = self._trees.spending.of
        child_job_costs = {
            worker.id: sum(spent(job_id)["max_cost_usd"] for job_id in worker.child_job_ids)
            for worker in candidates
        }
        first = candidates[0]
        task = self._trees.plans[first.job_id].tasks[first.task_id]
        ranking = ranked(
            candidates_of(candidates, opinions_of(reviewer), child_job_costs, task.words)
        )
        for candidate, standing in ranking:
            worker = worker_by_id[candidate.worker_id]
            result = replace(worker.result or WorkerResult(), standing=standing)
            self._unit_of_work.update_worker(worker.key, result=result)
        best, standing = ranking[0]
        worker = worker_by_id[best.worker_id]
        names = [candidate.worker_id for candidate, _ in ranking]
        payload = {"task_id": worker.task_id, "by": str(standing.by), "reason": standing.why}
        job = self._trees.job_of(worker)
        self._unit_of_work.emit(
            EventKind.CANDIDATE_CHOSEN, job, now, worker.id, order=names, **payload
        )


def check_choosable(worker: Worker, candidates: Sequence[Worker]) -> None:
    """Raise Conflict if the worker is not a candidate, or did not succeed."""
    if worker.is_adviser or len(candidates) < 2:
        raise Conflict(
            f"cannot choose {worker.id}: task {worker.task_id!r} does not have several candidates; "
            "nothing was changed"
        )
    if not worker.status.succeeded:
        raise Conflict(
            f"cannot choose {worker.id}: it did not succeed (status {worker.status}); nothing was "
            "changed; to merge its commits without choosing it: "
            f"{COMMAND} merge {worker.job_id} --include {worker.id}"
        )


def _rank_order(worker: Worker) -> tuple[int, int]:
    standing = worker.standing
    return standing.place if standing else worker.index, worker.index
