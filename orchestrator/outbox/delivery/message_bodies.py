"""The bodies of messages, created from the stored job at the time of sending."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.core.model.job import Job
from orchestrator.core.outcome.job.human_needs import Need, needs_in
from orchestrator.core.ports import Store
from orchestrator.core.ports.outbox import OutboxEntry, Topic
from orchestrator.core.ports.read_models import Progress
from orchestrator.core.text.formatting import cut, one_line

#: Value of a message's field ``type``, by topic.
TYPES: Mapping[Topic, str] = {
    Topic.JOB_STARTED: "job.started",
    Topic.JOB_ENDED: "job.ended",
    Topic.NEEDS_YOU: "job.needs_you",
    Topic.JOB_LANDED: "job.landed",
}
#: Maximum characters of a request, and of a reason, in a message.
MOST_REQUEST, MOST_REASON = 300, 1000
#: Maximum number of needs and of labels in a message.
MOST_NEEDS, MOST_LABELS = 10, 20
#: Maximum characters of a label's name, and of its value.
MOST_LABEL = 200


class MessageBodies:
    """Creates the bodies of messages. Methods raise StoreError if the store fails.

    Any thread may call.
    """

    def __init__(
        self, store: Store, base_url: Callable[[], str], mask: Callable[[str], str]
    ) -> None:
        """``base_url`` returns the server's address. ``mask`` replaces secrets in a text."""
        self._store = store
        self._base_url = base_url
        self._mask = mask

    def of(self, entry: OutboxEntry) -> dict[str, Any] | None:
        """Return the body of an entry's message; None if the entry's job was removed."""
        job = self._store.job(entry.job_id)
        if job is None:
            return None
        needs = self.needs(entry.root_id)
        data = {
            "job_id": job.id,
            "root_job_id": job.root_id,
            "seq": entry.seq,
            **self._status(job, entry),
            "request": self._line(job.request, MOST_REQUEST),
            "labels": self._labels(job),
            **self._figures(job),
            "changes": self._changes(job),
            "needs": [self._need(each) for each in needs[:MOST_NEEDS]],
            "links": self._links(job.id),
        }
        return {"type": TYPES[entry.topic], "timestamp": moment(entry.created_at), "data": data}

    def needs(self, root_id: str) -> Sequence[Need]:
        """Return the open needs of all jobs in the tree of a root job."""
        jobs_and_workers = self._store.jobs_with_needs([root_id], None)
        return needs_in(jobs_and_workers)

    def _status(self, job: Job, entry: OutboxEntry) -> dict[str, str]:
        """Return the fields ``status`` and ``reason`` of a message.

        A message about a job's end has the values of the event ``job_ended``. Any other message has
        the job's current values.
        """
        if entry.topic is Topic.JOB_ENDED:
            events = self._store.events(entry.root_id, entry.seq - 1, 1)
            payload = events[0].data if events else {}
            if "status" in payload:
                reason = self._line(str(payload.get("reason", "")), MOST_REASON)
                return {"status": str(payload["status"]), "reason": reason}
        return {"status": str(job.status), "reason": self._line(job.reason, MOST_REASON)}

    def _figures(self, job: Job) -> dict[str, Any]:
        counts = self._store.status_counts([job.root_id]).get(job.root_id, ())
        shown_counts = counts if job.is_root else [each for each in counts if each.job_id == job.id]
        progress = Progress.of(shown_counts)
        usage = {
            "cost_usd": progress.cost_usd,
            "tokens": progress.tokens,
            "cost_partial": progress.cost_partial,
        }
        return {"counts": dict(progress.counts), "usage": usage}

    def _changes(self, job: Job) -> dict[str, Any]:
        snapshot = self._store.snapshot(job.root_id)
        rows = zip(snapshot.workers.job_id, snapshot.workers.files, strict=True) if snapshot else ()
        files = sum(number for job_id, number in rows if job_id == job.id)
        branches = (*(each.branch for each in job.facts.landed), *job.facts.landed_on)
        return {"files": files, "landed_on": list(dict.fromkeys(branches))}

    def _labels(self, job: Job) -> dict[str, str]:
        labels = list(job.config.labels.items())[:MOST_LABELS]
        return {cut(name, MOST_LABEL): self._line(value, MOST_LABEL) for name, value in labels}

    def _need(self, need: Need) -> dict[str, Any]:
        return {
            "kind": str(need.kind),
            "job_id": need.job_id,
            "worker_id": need.worker_id,
            "task_id": need.task_id,
            "text": self._line(need.text, MOST_REQUEST),
            "command": need.command,
        }

    def _links(self, job_id: str) -> dict[str, str]:
        base = self._base_url()
        api = f"{base}/api/v1/jobs/{job_id}"
        return {"self": api, "results": f"{api}/results", "dashboard": f"{base}/jobs/{job_id}"}

    def _line(self, text: str, characters: int) -> str:
        return cut(one_line(self._mask(text)), characters)


def moment(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
