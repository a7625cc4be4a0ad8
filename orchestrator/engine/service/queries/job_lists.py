"""The use cases that list jobs and workers, their needs, and their usage."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Final

from orchestrator.core.errors import Forbidden, NoSuchJob, UnknownAgent
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.question import PERSON
from orchestrator.core.model.job import Job, with_descendants
from orchestrator.core.model.states import JobStatus
from orchestrator.core.outcome.job.human_needs import Need, NeedKind, needs_in
from orchestrator.core.ports import Store
from orchestrator.core.ports.read_models import (
    JobCard,
    JobFilter,
    ListedJob,
    ListedPage,
    Progress,
    StatusCount,
    TreeSnapshot,
    UsageFilter,
    UsageRow,
    WorkerColumns,
    WorkerFilter,
    WorkerPage,
)
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.engine.event_feed import Feed, FeedItem
from orchestrator.engine.runtime import clock
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.queries.changes import ChangeReads
from orchestrator.engine.service.queries.worker_files import WorkerFiles


def of_jobs(counts: Sequence[StatusCount], job_ids: set[str]) -> Sequence[StatusCount]:
    return [each for each in counts if each.job_id in job_ids]


class JobLists:
    """Implements the calls that list jobs and workers.

    A method that gets the id of one object raises NotFound if the caller may not see the object.
    Lists omit such objects.
    """

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        changes: ChangeReads,
        files: WorkerFiles,
        feed: Feed,
        agent_names: Callable[[], Sequence[str]],
    ) -> None:
        self._store = store
        self._access = access
        self._agent_names = agent_names
        #: Differences between commits, and files in conflict.
        self.changes: Final = changes
        #: Prompts and transcripts of workers.
        self.files: Final = files
        #: Events of all jobs.
        self.feed: Final = feed

    # Jobs

    def jobs(
        self,
        caller: Caller,
        job_filter: JobFilter,
        kinds: Collection[NeedKind] = (),
        *,
        page: int,
        page_size: int,
    ) -> ListedPage:
        """Return a page of the jobs that the caller may see, newest first.

        ``kinds``: return only jobs that have a need of one of these kinds, and the root jobs of
        such jobs; empty: return all jobs.
        """
        if kinds:
            needs = [need for need in self.needs(caller) if need.kind in kinds]
            job_ids = {each for need in needs for each in (need.job_id, need.root_job_id)}
            job_filter = replace(job_filter, ids=job_ids)
        offset = (page - 1) * page_size
        if caller.attempt is None:
            submitted_by = None if caller.sees_all else caller.name
            return self._store.listed(
                replace(job_filter, submitted_by=submitted_by), offset, page_size
            )
        ids_below = [job.id for job in self._access.jobs_below(caller)]
        selected_ids = (
            ids_below
            if job_filter.ids is None
            else [each for each in ids_below if each in job_filter.ids]
        )
        return self._store.listed(replace(job_filter, ids=selected_ids), offset, page_size)

    def cards(self, job_ids: Collection[str]) -> Sequence[JobCard]:
        """Return the jobs with these ids, each with its progress and needs, in any order.

        Ids of deleted jobs are ignored.
        """
        jobs = self._store.jobs_of(JobFilter(ids=job_ids), 0, len(job_ids)).jobs
        roots = list(dict.fromkeys(job.root_id for job in jobs))
        counts = self._store.status_counts(roots)
        needs = needs_in(self._store.jobs_with_needs(roots, None)) if roots else []
        with_children = {job.root_id for job in jobs if not job.is_root}
        trees = {root_id: self._access.jobs_of(root_id) for root_id in with_children}
        unsuccessful = [
            job.id for job in jobs if job.status in (JobStatus.FAILED, JobStatus.PARTIAL)
        ]
        failures = self._store.first_failures(unsuccessful) if unsuccessful else {}
        cards = (_card(job, counts[job.root_id], needs, trees) for job in jobs)
        return [replace(card, first_failure=failures.get(card.job.id)) for card in cards]

    def needs(self, caller: Caller) -> Sequence[Need]:
        """Return the needs of jobs that the caller may see, latest first.

        A need is what a person must do for a job. Raise Forbidden for a worker.
        """
        if caller.attempt is not None:
            raise Forbidden(
                "a worker may not list the needs of jobs; use an API key from config.yaml"
            )
        needy = self._store.jobs_with_needs(None, None if caller.sees_all else caller.name)
        return sorted(needs_in(needy), key=lambda need: -need.since)

    def feed_filter(self, caller: Caller) -> Callable[[FeedItem], bool]:
        """Return a function that decides whether the caller may see an item of the feed.

        Raise Forbidden if the caller is a worker.
        """
        self._access.check_person(caller)
        return lambda item: caller.sees_all or item.submitted_by == caller.name

    def usage(self, caller: Caller, usage_filter: UsageFilter) -> Sequence[UsageRow]:
        """Return the usage of workers. Raise Forbidden if the caller is a worker."""
        self._access.check_person(caller)
        submitted_by = None if caller.sees_all else caller.name
        return self._store.usage(replace(usage_filter, submitted_by=submitted_by))

    # Workers

    def workers(
        self, caller: Caller, worker_filter: WorkerFilter, *, page: int, page_size: int
    ) -> WorkerPage:
        """Return a page of one job's workers.

        Raise UnknownAgent if a filter names an agent that is unknown to the server and that no
        worker of the job uses.
        """
        job = self._access.job(caller, worker_filter.job_id)
        self._check_agents(job, worker_filter)
        offset = (page - 1) * page_size
        return self._store.worker_page(job.root_id, worker_filter, offset, page_size, clock.now())

    def _check_agents(self, job: Job, worker_filter: WorkerFilter) -> None:
        known_names = {*self._agent_names(), PERSON}
        for name in worker_filter.agents:
            agent_filter = WorkerFilter(job_id=job.id, agents=(name,))
            if (
                name in known_names
                or self._store.worker_page(job.root_id, agent_filter, 0, 1, 0.0).total
            ):
                continue
            message = unknown_name(f"agent {name!r}", name, sorted(known_names))
            raise UnknownAgent(message, field="agent")

    def snapshot(self, caller: Caller, job_id: str) -> TreeSnapshot:
        """Return short rows of the job and its descendants, all read at the same moment.

        The first row of the jobs is the job itself.
        """
        job = self._access.job(caller, job_id)
        snapshot = self._store.snapshot(job.root_id)
        if snapshot is None:
            raise NoSuchJob(repr(job_id))
        return snapshot if job.is_root else _subtree_of(snapshot, job_id)

    def version(self, job: Job | ListedJob) -> int:
        """Return a number that grows with each change of the job's tree.

        The number starts at 0 in each process.
        """
        return self._store.version(job.root_id)

    def last_seq(self, caller: Caller, job_id: str) -> int:
        """Return the number of the latest event of the job's root job; 0 without events."""
        return self._store.last_seq(self._access.job(caller, job_id).root_id)


def _card(
    job: Job,
    counts: Sequence[StatusCount],
    needs: Sequence[Need],
    trees: Mapping[str, Sequence[Job]],
) -> JobCard:
    tree_needs = [need for need in needs if need.root_job_id == job.root_id]
    own_progress = Progress.of(of_jobs(counts, {job.id}))
    if job.is_root:
        return JobCard(job=job, own=own_progress, tree=Progress.of(counts), needs=tree_needs)
    members = {each.id for each in with_descendants(job.id, trees[job.root_id])}
    return JobCard(
        job=job,
        own=own_progress,
        tree=Progress.of(of_jobs(counts, members)),
        needs=[need for need in tree_needs if need.job_id in members],
    )


def _subtree_of(snapshot: TreeSnapshot, job_id: str) -> TreeSnapshot:
    ids = {job.id for job in with_descendants(job_id, snapshot.jobs)}
    selectors = [each in ids for each in snapshot.workers.job_id]
    return TreeSnapshot(
        jobs=[job for job in snapshot.jobs if job.id in ids],
        tasks=[task for task in snapshot.tasks if task.job_id in ids],
        workers=WorkerColumns._make(list(compress(each, selectors)) for each in snapshot.workers),
        last_seq=snapshot.last_seq,
    )
