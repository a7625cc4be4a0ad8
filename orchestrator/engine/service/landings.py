"""The use cases that land a job's result on the user's branch, and undo the landing.

The command line also uses these use cases without a server. A landing is recorded on disk before
git moves the branch. If the process then ends before the landing is stored in the database, the
next process stores the landing (``recover``).
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from shlex import quote

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, Incomplete, NotFound, OrchestratorError, OtherBranch
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, Worker, with_descendants
from orchestrator.core.model.job_facts import Landed, Missing
from orchestrator.core.model.states import JobStatus, MergeState
from orchestrator.core.outcome.job.unmerged_changes import UnmergedChanges
from orchestrator.core.ports import Store, Tree
from orchestrator.core.repository.landing import (
    CONTINUES,
    BegunLanding,
    BranchMove,
    LandingJournal,
    Landings,
    LandPlan,
    LandRequest,
    ResultLanding,
)
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import listed
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.merge.record.merge_record import MergeRecords
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.supervisor.stored_trees import StoredTrees

logger = logging.getLogger(__name__)


class LandingCalls:
    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        trees: StoredTrees,
        merge_queue: MergeQueue,
        records: MergeRecords,
        journal: LandingJournal,
        landings: Landings,
    ) -> None:
        self._store = store
        self._access = access
        self._trees = trees
        self._merge_queue = merge_queue
        self._records = records
        self._journal = journal
        self._landings = landings
        #: Held during a landing, because all landings change the same checkout.
        self._moving = threading.Lock()

    def plan_landing(self, caller: Caller, job_id: str, request: LandRequest) -> LandPlan:
        """Return a preview of ``land``, without changing anything.

        Raise the same errors as ``land``, except OtherBranch.
        """
        job = self._landable_job(caller, job_id)
        return self._land_plan(job, self._landing_of(job, request), request)

    def land(
        self, caller: Caller, job_id: str, request: LandRequest
    ) -> tuple[LandPlan, BranchMove]:
        """Land a job's result on the branch that the user has checked out. Idempotent.

        Return the plan of the landing, and the move of the branch.

        Raise Forbidden without the scope admin. Raise NotFound if there is no result. Raise a
        Conflict, such as BlockingFiles, Incomplete, or OtherBranch, if landing is not possible.
        After an error, nothing has changed.
        """
        job = self._landable_job(caller, job_id)
        with self._moving:
            self._complete_landings(job_id)
            # The job may have been landed during the wait, or by the line above.
            job = self._store.job(job_id) or job
            landing = self._landing_of(job, request)
            plan = self._land_plan(job, landing, request)
            if plan.nothing:
                return plan, BranchMove(branch=plan.branch, before="", after="", text=plan.nothing)
            _check_branch(job_id, plan, request.onto, landing)
            with self._journaled(caller, job, plan.branch) as begun:
                move = landing.land(request.how, job.request)
                failpoints.reached("landing: about to be stored")
                if move.changed:
                    self._store_landed(begun, move.before, move.after)
                else:
                    self._store_completed(begun, job, landing)
        return plan, move

    def undo(self, caller: Caller, job_id: str) -> BranchMove:
        """Undo a landing: reset the user's branch to its commit before ``land``. Return the move.

        Raise Forbidden without the scope admin. Raise NotFound if the result was not landed. Raise
        Conflict if the branch has moved since the landing, or if the checkout has changes.
        """
        job = self._landable_job(caller, job_id)
        with self._moving:
            self._complete_landings(job_id)
            landing = self._landing_of(job, LandRequest())
            with self._journaled(caller, job, landing.branch()) as begun:
                move = landing.undo()
                failpoints.reached("landing: about to be stored")
                self._store_undone(begun, move.after, move.before, landing)
        return move

    def record_pull_request(self, job: Job, error: str) -> None:
        """Store whether a job's pull request was opened, and update the job's reports.

        ``error``: why the pull request could not be opened; "" if it is open.
        """
        self._trees.amend(job.root_id, lambda tree: tree.set_pull_request_error(job.id, error))
        self._trees.report(job.root_id, [job.id])

    def recover(self) -> None:
        """Store the landings that git completed before a crash, but that are not in the database.

        Errors of single landings are only logged.
        """
        with self._moving:
            self._complete_landings()

    # Checks

    def _landable_job(self, caller: Caller, job_id: str) -> Job:
        job = self._access.changeable(caller, job_id)
        self._access.check_admin(caller)
        self._merge_queue.check_idle(job_id)
        return job

    def _landing_of(self, job: Job, request: LandRequest) -> ResultLanding:
        project = self._access.project_of(self._root_of(job))
        return self._landings(project, job.root_id, job.id, request.as_user)

    def _root_of(self, job: Job) -> Job:
        return job if job.is_root else self._store.job(job.root_id) or job

    def _land_plan(self, job: Job, landing: ResultLanding, request: LandRequest) -> LandPlan:
        plan = LandPlan(branch=landing.branch(), base_branch=self._base_branch(job), commit="")
        if job.status is not JobStatus.COMPLETED and not request.partial:
            message = self._nothing_of_unfinished(job, landing)
            return replace(plan, nothing=message)
        try:
            commit, files = landing.result(), landing.files()
        except NotFound as error:
            message = self._changed_nothing(job) or _without_result(job, error)
            return replace(plan, nothing=message)
        record = self._records.read(job)
        if record and record.commit:
            landing.check_holds(record.commit)
        if plan.branch in job.facts.landed_on:
            landing.check_not_less()
        message = "" if files else self._changed_nothing(job)
        return replace(plan, commit="" if message else commit, files=files, nothing=message)

    def _nothing_of_unfinished(self, job: Job, landing: ResultLanding) -> str:
        """Return why nothing of a job that is not completed can be landed, as text.

        Raise Incomplete if the job has a result, which may lack changes, or if the job is partial
        and nothing was merged. Also raise the errors of ``_without_result``.
        """
        try:
            landing.result()
        except NotFound as error:
            has_lost_result = job.facts.discarded or job.merge_state is MergeState.MERGED
            if job.status is JobStatus.PARTIAL and not has_lost_result:
                raise _no_result_error(job, error) from None
            return _without_result(job, error)
        raise _incomplete_error(job, self._store.workers(job.id))

    def _base_branch(self, job: Job) -> str:
        """Return the branch from which the root job started; "" if unknown.

        If the root job continues an earlier job and has no stored branch, return the branch from
        which the earlier job started.
        """
        seen_ids: set[str] = set()
        current_job: Job | None = self._root_of(job)
        while current_job is not None and current_job.id not in seen_ids:
            seen_ids.add(current_job.id)
            if current_job.config.base_branch:
                return current_job.config.base_branch
            current_job = self._store.job(str(current_job.config.labels.get(CONTINUES) or ""))
        return ""

    def _changed_nothing(self, job: Job) -> str:
        """Return a message if the job is completed and has nothing to land; otherwise "".

        A job has nothing to land if it changed no files, or only files in the user's checkout.
        """
        tree = self._store.tree(job.root_id) if job.status is JobStatus.COMPLETED else None
        if tree is None or _has_unmerged_changes(job, tree):
            return ""
        job_ids = {each.id for each in with_descendants(job.id, tree.jobs)}
        project_workers = [
            each
            for each in tree.workers
            if each.job_id in job_ids and each.result and each.result.files_created
        ]
        if not all(_is_in_project(each, tree) for each in project_workers):
            return ""
        if project_workers:
            workers = listed([each.id for each in project_workers])
            return f"nothing to land: the files of {workers} are already in the project"
        return f"nothing to land: job {job.id} changed nothing"

    # Recovery after a crash

    @contextmanager
    def _journaled(self, caller: Caller, job: Job, branch: str) -> Iterator[BegunLanding]:
        begun = BegunLanding(
            root_id=job.root_id, job_id=job.id, branch=branch, at=time.time(), by=caller.name
        )
        self._journal.begin(begun)
        failpoints.reached("landing: recorded")
        try:
            yield begun
        except (Conflict, NotFound):
            # These errors mean that git changed nothing, so no recovery is needed.
            self._journal.end(job.id)
            raise
        failpoints.reached("landing: stored")
        self._journal.end(job.id)

    def _store_landed(self, begun: BegunLanding, before: str, after: str) -> None:
        landed = _landed(begun, before, after)
        self._trees.amend(begun.root_id, lambda tree: tree.landed(begun.job_id, landed))
        self._report(begun)

    def _store_undone(
        self, begun: BegunLanding, before: str, after: str, landing: ResultLanding
    ) -> None:
        undone, has_earlier = _landed(begun, before, after), landing.has_earlier_result()
        self._trees.amend(
            begun.root_id,
            lambda tree: tree.landing_undone(begun.job_id, undone, has_earlier=has_earlier),
        )
        self._report(begun)

    def _report(self, begun: BegunLanding) -> None:
        """Rewrite the job's reports. They show landings and the next command (land or undo)."""
        job = self._store.job(begun.job_id)
        # If the record of the merge is missing, the reporter would repeat the merge.
        if job is not None and self._records.read(job) is not None:
            self._trees.report(begun.root_id, [begun.job_id])

    def _complete_landings(self, job_id: str = "") -> None:
        for begun in list(self._journal.begun()):
            if job_id in ("", begun.job_id):
                try:
                    is_known = self._complete_landing(begun)
                except (OrchestratorError, OSError) as error:
                    logger.warning("cannot record an interrupted landing: %s", error)
                    continue
                if is_known:
                    self._journal.end(begun.job_id)

    def _complete_landing(self, begun: BegunLanding) -> bool:
        """Store the outcome of an interrupted landing or undo, if git has moved the branch.

        Return True if the outcome is now known; False if git may still be moving the branch.
        """
        job = self._store.job(begun.job_id)
        if job is None:
            return True
        landing = self._landing_of(job, LandRequest())
        if self._store_completed(begun, job, landing):
            return True
        stored_landing = _stored_landing(job, begun.branch)
        if stored_landing is None or landing.landed_on(begun.branch):
            return not landing.is_moving()
        self._store_undone(begun, stored_landing.before, stored_landing.commit, landing)
        return True

    def _store_completed(self, begun: BegunLanding, job: Job, landing: ResultLanding) -> bool:
        """Store a landing that git has completed, unless the landing is already stored.

        The landing can be missing from the store after a crash, or after a repeated merge with the
        same result. Return True if this call has stored the landing.
        """
        git_move = landing.landed_on(begun.branch)
        stored_landing = _stored_landing(job, begun.branch)
        if not git_move or (stored_landing and stored_landing.commit == git_move[1]):
            return False
        self._store_landed(begun, *git_move)
        return True


def _stored_landing(job: Job, branch: str) -> Landed | None:
    return next((each for each in job.facts.landed if each.branch == branch), None)


def _landed(begun: BegunLanding, before: str, after: str) -> Landed:
    return Landed(branch=begun.branch, commit=after, before=before, at=begun.at, by=begun.by)


def _check_branch(job_id: str, plan: LandPlan, onto: str, landing: ResultLanding) -> None:
    """Raise OtherBranch if the current branch is not the branch ``onto``.

    ``onto``: name of the branch in the request; empty: the branch from which the job started.
    ``plan``: the plan of the landing, which names the current branch.
    """
    if onto not in ("", plan.branch_name):
        raise OtherBranch(
            f"the current branch is {plan.branch}, not {onto}; nothing was changed; "
            f"switch to {onto} first: {landing.switch_command(onto)}"
        )
    if plan.is_elsewhere and not onto:
        raise OtherBranch(
            f"job {job_id} started from branch {plan.base_branch}, but the current branch is "
            f"{plan.branch}; nothing was changed; to land it on {plan.branch_name}: "
            f"{COMMAND} land {job_id} --onto {quote(plan.branch_name)}"
        )


def _without_result(job: Job, error: NotFound) -> str:
    """Return why a job without a result cannot be landed, as text.

    A person has excluded all changes, or ``merge_strategy`` is ``manual``. If the result is missing
    for another reason, raise Conflict, Incomplete, or NotFound.

    ``error``: the error of the search for the result.
    """
    if not job.status.ended:
        raise Conflict(
            f"job {job.id} is {job.status}, and has no result yet; wait for its end: "
            f"{COMMAND} wait {job.id}"
        ) from None
    if job.facts.discarded:
        raise NotFound(
            f"job {job.id} has no merged result: its branches were discarded; submit the request "
            f"as a new job; to show the request: {COMMAND} report {job.id}"
        ) from None
    if job.merge_state is MergeState.MERGED:
        raise NotFound(
            f"job {job.id} has no merged result, because its branch was removed; repeat the merge: "
            f"{COMMAND} merge {job.id}"
        ) from None
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        raise Conflict(f"the job is {job.status}; {error.message}") from None
    if not job.facts.lacking:
        raise error
    if job.status is JobStatus.PARTIAL:
        raise _no_result_error(job, error) from None
    text = "; ".join(map(_loss_in_words, job.facts.lacking))
    return f"nothing to land: no change of job {job.id} was merged: {text}"


def _incomplete_error(job: Job, workers: Collection[Worker]) -> Incomplete:
    losses = [each for each in job.facts.lacking if not each.chosen]
    covered_ids = {each.worker_id for each in losses}.union(job.facts.taken)
    # If one candidate of a task succeeded, the result does not lack the task's other candidates.
    succeeded_tasks = {each.task_id for each in workers if each.status.succeeded}
    loss_texts = list(map(_loss_in_words, losses))
    for each in workers:
        if each.task_id not in succeeded_tasks and each.id not in covered_ids:
            loss_texts.append(f"{each.id} ({each.status}): {each.reason}")
    text = f"; its result lacks: {listed(loss_texts, between='; ')}" if loss_texts else ""
    return Incomplete(
        f"job {job.id} is {job.status}; nothing was changed{text}; to land the incomplete result: "
        f"{COMMAND} land {job.id} --partial",
        status=job.status,
    )


def _no_result_error(job: Job, error: NotFound) -> Incomplete:
    """Return the error for a partial job of which nothing was merged.

    ``error``: the error of the search for the result.
    """
    return Incomplete(
        f"job {job.id} is {job.status}; nothing was changed; {error.message}", status=job.status
    )


def _loss_in_words(missing: Missing) -> str:
    return f"{missing.worker_id}: {missing.why}"


def _has_unmerged_changes(job: Job, tree: Tree) -> bool:
    workers_by_job: dict[str, list[Worker]] = {}
    for each in tree.workers:
        workers_by_job.setdefault(each.job_id, []).append(each)
    jobs_by_id = {each.id: each for each in tree.jobs}
    return bool(UnmergedChanges(jobs_by_id, workers_by_job).made_not_in_result(job))


def _is_in_project(worker: Worker, tree: Tree) -> bool:
    tasks = tree.tasks.get(worker.job_id, ())
    return any(each.id == worker.task_id and each.works_in_project for each in tasks)
