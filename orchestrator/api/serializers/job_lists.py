"""Job lists, lists of needs, and events of all jobs, as JSON."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.api.serializers.answer_parts import job_path, job_summary, moment
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.core.outcome.job.human_needs import Need
from orchestrator.core.ports.read_models import JobCard, ListedJob, Progress
from orchestrator.engine.event_feed import FeedItem, FeedKind
from orchestrator.schemas import answers

#: Maximum number of jobs whose encoded rows are cached.
MOST_CACHED = 2000
#: JSON of an empty list of jobs.
_NO_JOBS = b'"jobs":[]'


class LatestCards:
    """Cache of encoded rows of job lists. Any thread may call.

    A row is encoded again after its job's tree has changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def of(
        self,
        jobs: Mapping[ListedJob, int],
        make: Callable[[Collection[str]], Sequence[JobCard]],
    ) -> Sequence[bytes]:
        """Return the encoded rows of ``jobs``, without deleted jobs.

        ``jobs`` maps each job to the version of its tree. The caller must read the versions before
        this call. ``make`` is called once, for the jobs that are not in the cache.
        """
        with self._lock:
            rows = {job.id: self._cached_row(job.id, version) for job, version in jobs.items()}
        missing = [job_id for job_id, row in rows.items() if row is None]
        for card in make(missing) if missing else ():
            rows[card.job.id] = encoded(job_card(card))
        with self._lock:
            self._store(jobs, rows)
        return [row for row in rows.values() if row is not None]

    def _cached_row(self, job_id: str, version: int) -> bytes | None:
        cached_version, row = self._cache.get(job_id, (version, None))
        return row if cached_version == version else None

    def _store(self, jobs: Mapping[ListedJob, int], rows: Mapping[str, bytes | None]) -> None:
        for job, version in jobs.items():
            row = rows[job.id]
            if row is not None:
                self._cache[job.id] = (version, row)
                self._cache.move_to_end(job.id)
        while len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)


def jobs_bytes(rows: Sequence[bytes], *, total: int, page: int, page_size: int) -> bytes:
    """Return a ``JobsAnswer`` as JSON; ``rows`` are encoded jobs."""
    body = encoded(
        answers.job_list.JobsAnswer(jobs=[], total=total, page=page, page_size=page_size)
    )
    return body.replace(_NO_JOBS, b'"jobs":[%b]' % b",".join(rows), 1)


def job_card(card: JobCard) -> answers.job_list.JobCardAnswer:
    tree = card.tree
    return answers.job_list.JobCardAnswer(
        **dict(job_summary(card.job)),
        counts=dict(card.own.counts),
        tree_counts=dict(tree.counts),
        usage=tree_usage(tree),
        needs=[need_answer(need) for need in card.needs],
        first_failure=card.first_failure
        and answers.job_list.FirstFailureAnswer(**card.first_failure._asdict()),
    )


def tree_usage(tree: Progress) -> answers.job_list.TreeUsage:
    return answers.job_list.TreeUsage(
        cost_usd=tree.cost_usd, tokens=tree.tokens, cost_partial=tree.cost_partial
    )


def need_answer(need: Need) -> answers.job_list.NeedAnswer:
    return answers.job_list.NeedAnswer(
        kind=need.kind,
        job_id=need.job_id,
        root_job_id=need.root_job_id,
        worker_id=need.worker_id,
        task_id=need.task_id,
        request=need.request,
        text=need.text,
        since=moment(need.since),
        command=need.command,
        links={"job": job_path(need.job_id)},
    )


def feed_values(item: FeedItem) -> Mapping[str, object]:
    values: dict[str, object] = {
        "job_id": item.job_id,
        "root_job_id": item.root_id,
        "at": moment(item.at).isoformat().replace("+00:00", "Z"),
    }
    if item.kind is FeedKind.NEEDS:
        return {**values, "needs": [need_answer(need).as_json() for need in item.needs]}
    if item.figures is not None:
        counts = dict(item.figures.counts)
        return {**values, "tree_counts": counts, "usage": tree_usage(item.figures).as_json()}
    return {**values, "data": dict(item.data)}
