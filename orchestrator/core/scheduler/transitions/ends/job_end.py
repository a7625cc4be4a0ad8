"""End of a job: requests its reports once all workers have ended.

Also records facts for people, such as unjudged code and exceeded limits.
"""

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.core.dataclass import changed
from orchestrator.core.events import EventKind
from orchestrator.core.limits.budgets import is_unpriced, passed
from orchestrator.core.model.gate import altered_judges
from orchestrator.core.model.job import NO_PLAN, SURVEY, Job, Worker
from orchestrator.core.model.job_facts import JobFacts, Shortfall, UnjudgedWork
from orchestrator.core.model.states import Workdir
from orchestrator.core.outcome.job.job_outcome import job_outcome, unjudged_code
from orchestrator.core.outcome.job.reason import reason_of
from orchestrator.core.outcome.job.unmerged_changes import has_worktree
from orchestrator.core.scheduler.scheduler_commands import Render, TakePlan
from orchestrator.core.scheduler.state.job_trees import JobTrees


class JobEnd:
    def __init__(self, trees: JobTrees) -> None:
        self._trees = trees
        self._unit_of_work = trees.unit_of_work
        #: Jobs whose workers have all ended, and which are being merged and reported.
        self.rendering: set[str] = set()
        #: Jobs whose planner has ended, and whose tasks are being added.
        self.planning: set[str] = set()

    def check_job(self, job_id: str, now: float) -> None:
        """Request a job's reports if all its workers have ended.

        If its planner has ended, request its plan instead.
        """
        job, plan = self._unit_of_work.jobs[job_id], self._trees.plans[job_id]
        if plan.open_workers or job_id in self.rendering:
            return
        if plan.planner is None or job.stop_cause is not None or job.plan_source == NO_PLAN:
            self.request_reports(job, now)
        elif job_id not in self.planning:
            self.planning.add(job_id)
            self._trees.commands.append(TakePlan(job_id))

    def request_reports(self, job: Job, now: float) -> None:
        job_id = job.id
        self.planning.discard(job_id)
        self._note_deliveries(job)
        self._note_caps(self._unit_of_work.jobs[job_id])
        self._trees.begin_job(job, now)
        self.rendering.add(job_id)
        above = [each.id for each in self._trees.ancestors(job)]
        family = (*above, *self._trees.subtree(job_id))
        self._trees.commands.append(Render(job.root_id, job_id, family))

    def end(self, job_id: str, now: float) -> Job | None:
        """End a job whose reports were written, or could not be written. Return the job.

        None if no reports of the job were requested.
        """
        if job_id not in self.rendering:
            return None
        self.rendering.discard(job_id)
        job = self._unit_of_work.jobs[job_id]
        workers = [each for each in self._trees.workers_of(job_id) if not each.is_planner]
        status = job_outcome(
            workers,
            job.cancelled,
            incomplete=job.lacks_changes,
            fails_unjudged=job.fails_unjudged,
        )
        reason = reason_of(changed(job, status=status, pause=None))
        ended = self._unit_of_work.move_job(job_id, status, ended_at=now, reason=reason, pause=None)
        self._unit_of_work.emit(EventKind.JOB_ENDED, ended, now, status=str(status), reason=reason)
        return ended

    def _note_deliveries(self, job: Job) -> None:
        workers = list(self._trees.workers_of(job.id))
        agents = [each for each in workers if not each.is_question]
        surveyed = all(each.agent == SURVEY for each in agents)
        surveyed = surveyed and any(each.status.succeeded for each in agents)
        facts = replace(
            job.facts,
            shortfalls=tuple(each for each in map(shortfall_of, workers) if each),
            unjudged_work=tuple(self._unjudged_work(job)),
            nothing_built=job.config.asks_to_build and surveyed,
        )
        self._note(job, facts)

    def _unjudged_work(self, job: Job) -> Iterator[UnjudgedWork]:
        """Yield code that no gate judged, with the workers that may have changed it.

        Includes code of the child jobs of workers without a worktree.
        """
        if job.config.gates_off:
            return
        workers = [each for each in self._trees.workers_of(job.id) if not each.is_adviser]
        maybe = {each.id: self._of_others_too(each) for each in workers}
        told = set[str]()
        for worker in (each for each in workers if each.counts):
            by_names: dict[tuple[str, ...], list[str]] = {}
            for path in (each for each in unjudged_code(worker) if each not in told):
                others = (name for name, paths in maybe.items() if path in paths)
                names = tuple(others) if path in maybe[worker.id] else (worker.id,)
                by_names.setdefault(names, []).append(path)
            for (name, *beside), paths in by_names.items():
                told.update(paths if beside else ())
                yield UnjudgedWork(worker_id=name, files=tuple(paths), beside=tuple(beside))
            if not has_worktree(worker):
                for child in worker.child_job_ids:
                    yield from self._unit_of_work.jobs[child].facts.unjudged_work

    def _of_others_too(self, worker: Worker) -> frozenset[str]:
        """Return the files that changed in the project while the worker ran there.

        Another worker may have changed them.
        """
        delivery = worker.result.delivery if worker.result else None
        is_there = self._trees.task_of(worker).workdir == Workdir.PROJECT
        return frozenset(delivery.checkout if delivery and is_there else ())

    def _note_caps(self, job: Job) -> None:
        spent = self._trees.spending.of(job.id)
        usages = {
            worker.id: worker.result.usage
            for each in self._trees.subtree(job.id)
            for worker in self._trees.workers_of(each)
            if worker.result is not None
        }
        partial = any(usage.partial for usage in usages.values())
        caps = passed(job.config, spent, at_least=partial)
        limited = job.config.max_cost_usd is not None
        unpriced = tuple(name for name, usage in usages.items() if limited and is_unpriced(usage))
        self._note(job, replace(job.facts, caps_passed=caps, unpriced=unpriced))

    def _note(self, job: Job, facts: JobFacts) -> None:
        if facts != job.facts:
            noted = changed(job, facts=facts)
            self._unit_of_work.update_job(job.id, facts=facts, reason=reason_of(noted))


def shortfall_of(worker: Worker) -> Shortfall | None:
    """Return what people should check in the changes of a worker.

    None if nothing needs a check, or if its changes do not count.
    """
    delivery = worker.result.delivery if worker.result else None
    if delivery is None or not worker.status.succeeded or worker.chosen is False:
        return None
    altered = altered_judges(worker.result.gates if worker.result else ())
    unchanged = delivery.is_in_doubt
    # With a worktree, leave out the checkout: the job's facts already name all workers that may
    # have changed it.
    checkout = () if delivery.has_worktree else delivery.checkout
    found = delivery.outside or altered.paths or unchanged or checkout
    if not (found or delivery.held_back):
        return None
    return Shortfall(
        worker_id=worker.id,
        outside=delivery.outside,
        judges=altered.paths,
        judges_with_code=altered.with_code,
        unchanged=unchanged,
        held_back=delivery.held_back,
        checkout=checkout,
        has_worktree=delivery.has_worktree,
    )
