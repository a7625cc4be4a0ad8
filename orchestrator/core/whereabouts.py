"""Which changes of a job's workers are in its result, and where those are that are not. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.job_facts import Missing
from orchestrator.core.job_losses import merge_chain, take_command
from orchestrator.core.model import Job, Worker
from orchestrator.core.refs import child_refs, result_branch, short, start_ref, worker_branch
from orchestrator.core.repository import Strategy
from orchestrator.core.states import JobStatus, MergeState, StopCause

_HAS_RESULT = (MergeState.MERGED, MergeState.IN_PART)


class OutsideCause(StrEnum):
    """Why changes that a worker made are not in the result."""

    #: merging left them out, for a conflict or since they build on what was left out
    LEFT_OUT = "left_out"
    #: a person left them out
    CHOSEN = "chosen"
    #: the job's ``merge_strategy`` is ``manual``
    MANUAL = "manual"
    #: merging failed as a whole
    MERGE_FAILED = "merge_failed"
    #: another candidate of the task was better
    LOST_COMPARISON = "lost_comparison"
    #: the worker failed, ran out of time or was cancelled
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutsideWork:
    """Changes of one worker that were made, and are not in the result."""

    worker_id: str
    #: The job of that worker: the job itself, or one below it.
    job_id: str
    cause: OutsideCause
    #: The same for people.
    why: str = ""
    #: The branch that has the changes; empty: none has.
    branch: str = ""
    #: How many files it made or changed.
    files: int = 0
    #: The result has some changes of the worker.
    in_part: bool = False
    #: What brings them in, or shows them where nothing but a person can; empty: nothing does.
    command: str = ""
    #: What brings them in without another attempt, where ``command`` asks for one.
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Of a tree: ``jobs`` by id, ``workers`` by job."""

    jobs: Mapping[str, Job]
    workers: Mapping[str, Sequence[Worker]]

    def in_result(self, job: Job) -> list[Worker]:
        """The job's own workers whose changes, with those below them, its result has."""
        if job.merge_state not in _HAS_RESULT:
            return []
        lacking = {each.worker_id for each in job.facts.missing if not each.in_part}
        return [each for each in self._counting(job) if each.id not in lacking]

    def made_not_in_result(self, job: Job) -> list[OutsideWork]:
        """By worker, here and at any depth below, what was made and the result does not have."""
        found = [self._missing(each, job) for each in (*job.facts.missing, *job.facts.lost_below)]
        for each in self._jobs_that_count(job):
            found += self._of_job(each, job)
        return found

    def _of_job(self, job: Job, top: Job) -> Iterator[OutsideWork]:
        if job is not top:
            # What nobody chose is among the top job's facts.
            yield from (self._missing(each, top) for each in job.facts.missing if each.chosen)
        if job.merge_state is MergeState.FAILED:
            command = merge_chain("", job.id, self._above(job.id, top))
            for worker in self._counting(job):
                why = f"merging failed: {job.facts.merge_error}"
                yield self._kept(worker, OutsideCause.MERGE_FAILED, why, command)
        for worker in self.workers.get(job.id, ()):
            if not self._made(worker):
                continue
            if worker.chosen is False:
                yield self._kept(worker, OutsideCause.LOST_COMPARISON, _lost(worker))
            elif worker.status.ended and not worker.status.succeeded:
                yield self._kept(worker, OutsideCause.FAILED, _failed(worker))

    def _missing(self, missing: Missing, top: Job) -> OutsideWork:
        above = self._above(missing.job_id, top)
        job = self.jobs.get(missing.job_id, top)
        cause, command = OutsideCause.LEFT_OUT, take_command(missing, above)
        if missing.chosen:
            manual = job.config.merge_strategy == Strategy.MANUAL
            cause = OutsideCause.MANUAL if manual else OutsideCause.CHOSEN
            how = " --strategy auto" if manual else ""
            command = merge_chain(how, missing.job_id, above) if missing.branch else ""
        workers = self.workers.get(missing.job_id, ())
        return OutsideWork(
            worker_id=missing.worker_id,
            job_id=missing.job_id,
            cause=cause,
            why=missing.why,
            branch=missing.branch,
            files=next((_files(each) for each in workers if each.id == missing.worker_id), 0),
            in_part=missing.in_part,
            command=command,
            otherwise=take_command(missing, above, forced=True) if missing.resolvable else "",
        )

    def _kept(
        self, worker: Worker, cause: OutsideCause, why: str, command: str = ""
    ) -> OutsideWork:
        """Of a worker that changed nothing itself, what its child job came to."""
        branch, start = short(worker_branch(worker)), start_ref(worker)
        if not _changed(worker):
            child = self._merged_children(worker)[-1]
            branch = short(result_branch(worker.root_id, child))
            start = f"{child_refs(worker.root_id, worker.id)}{child}/base"
        if cause is OutsideCause.LOST_COMPARISON:
            command = f"git merge {branch}"
        return OutsideWork(
            worker_id=worker.id,
            job_id=worker.job_id,
            cause=cause,
            why=why,
            branch=branch,
            files=_files(worker),
            command=command or f"git diff {start} {branch}",
        )

    def _counting(self, job: Job) -> Iterator[Worker]:
        for worker in self.workers.get(job.id, ()):
            if worker.status.succeeded and worker.chosen is not False and self._made(worker):
                yield worker

    def _made(self, worker: Worker) -> bool:
        return _changed(worker) or bool(self._merged_children(worker))

    def _merged_children(self, worker: Worker) -> list[str]:
        known = (each for each in worker.child_job_ids if each in self.jobs)
        return [each for each in known if self.jobs[each].merge_state in _HAS_RESULT]

    def _jobs_that_count(self, job: Job) -> Iterator[Job]:
        """With those below workers that count: who does not count stands for all below it. A child
        job that was withdrawn, or that another one made up for, has lost nothing."""
        yield job
        for worker in self.workers.get(job.id, ()):
            if not worker.status.succeeded or worker.chosen is False:
                continue
            children = [self.jobs[each] for each in worker.child_job_ids if each in self.jobs]
            whole = {each.digest for each in children if each.status is JobStatus.COMPLETED}
            for child in children:
                made_up = child.status is not JobStatus.COMPLETED and child.digest in whole
                if child.stop_cause is not StopCause.WITHDRAWN and not made_up:
                    yield from self._jobs_that_count(child)

    def _above(self, job_id: str, top: Job) -> list[str]:
        """From the parent job up to the top one."""
        found = []
        while job_id != top.id and job_id in self.jobs:
            job_id = self.jobs[job_id].parent_job_id or top.id
            found.append(job_id)
        return found


def has_worktree(worker: Worker) -> bool:
    """Where none of a tree has one, there is nothing to say of its changes."""
    return worker.result is not None and worker.result.delivery is not None


def _changed(worker: Worker) -> bool:
    delivery = worker.result.delivery if worker.result else None
    return delivery is not None and delivery.changed


def _files(worker: Worker) -> int:
    return len(worker.result.files_created) if worker.result else 0


def _lost(worker: Worker) -> str:
    standing = worker.result.standing if worker.result else None
    words = standing.why if standing else ""
    return f"lost the comparison: {words}" if words else "lost the comparison"


def _failed(worker: Worker) -> str:
    return f"{worker.status}: {worker.reason}" if worker.reason else str(worker.status)
