"""Holds, which delay the starts of a job's workers until two conditions are met:

- The job's shared context exists.
- The first worker of the same agent has an answer from the model. The other workers then find the
  beginning of their prompts in the provider's cache, and an invalid login fails only once.
"""

from collections.abc import Iterable
from dataclasses import field

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Worker, WorkerKey
from orchestrator.core.ports import Prompting


@dataclass(slots=True)
class _Group:
    """Workers of one job and agent that wait until the model has answered the worker ``first``.

    ``behind``: the waiting workers. The wait ends at the time ``until`` even without an answer.
    """

    first: Worker
    until: float
    behind: list[WorkerKey] = field(default_factory=list)


class SharedPromptHolds:
    def __init__(self, prompting: Prompting) -> None:
        self._prompting = prompting
        self.reads_prompt = prompting.reads
        #: Jobs whose shared context exists.
        self._prepared: set[str] = set()
        #: Workers that wait for their job's shared context, by job id.
        self._unprepared: dict[str, list[WorkerKey]] = {}
        #: Groups whose first worker has no answer yet, by job id and agent.
        self._groups: dict[tuple[str, str], _Group] = {}
        #: Pairs (job, agent) whose shared beginning of prompts is probably in the provider's cache.
        self._answered: set[tuple[str, str]] = set()

    # -- the shared context ---------------------------------------------------------------------

    def lacks_context(self, worker: Worker) -> bool:
        return self._prompting.reads(worker.agent) and worker.job_id not in self._prepared

    def wait_for_context(self, worker: Worker) -> bool:
        """Hold the worker until its job's context exists.

        Return True if no other worker of the job waits yet. The caller must then request the
        context.
        """
        is_first = worker.job_id not in self._unprepared
        self._unprepared.setdefault(worker.job_id, []).append(worker.key)
        return is_first

    def context_created(self, job_id: str) -> list[WorkerKey]:
        """Record that the job's context exists. Return the workers that waited for the context."""
        if job_id not in self._unprepared:  # The job has ended since the request.
            return []
        self._prepared.add(job_id)
        return self._unprepared.pop(job_id)

    # -- the first worker ----------------------------------------------------------------------

    def ahead_of(self, worker: Worker) -> Worker | None:
        """Return the worker that must get an answer from the model before ``worker`` may start.

        This is the first worker of the same job and agent. Return None if ``worker`` need not wait.
        """
        group = self._groups.get((worker.job_id, worker.agent))
        return group.first if group else None

    def wait_behind(self, worker: Worker) -> None:
        self._groups[worker.job_id, worker.agent].behind.append(worker.key)

    def caches(self, agent: str) -> bool:
        return self._prompting.caches(agent)

    def started(self, worker: Worker, now: float, doubtful: bool = False) -> None:
        """Record a worker's start. ``doubtful``: True if the agent's login may fail."""
        group, others_wait = (worker.job_id, worker.agent), doubtful or self.caches(worker.agent)
        if others_wait and group not in self._groups and group not in self._answered:
            self._groups[group] = _Group(worker, now + self._prompting.ahead_seconds)

    def model_answered(self, worker: Worker) -> list[WorkerKey]:
        """Record that the model has answered the worker. Return the workers that may start now."""
        group = worker.job_id, worker.agent
        if group not in self._groups and not self.caches(worker.agent):
            return []
        self._answered.add(group)
        return self._dissolve_group(group)

    def process_ended(self, worker: Worker) -> list[WorkerKey]:
        """Record that the worker's process has ended. Return the workers that may start now.

        These workers waited for the model's first answer to the ended worker.
        """
        group = self._groups.get((worker.job_id, worker.agent))
        if group is None or group.first.key != worker.key:
            return []
        return self._dissolve_group((worker.job_id, worker.agent))

    def release_overdue(self, now: float) -> list[WorkerKey]:
        """End the waits that have lasted too long. Return the workers that may start now."""
        late = [each for each, group in self._groups.items() if group.until <= now]
        self._answered.update(late)
        return [key for each in late for key in self._dissolve_group(each)]

    @property
    def next_time(self) -> float | None:
        deadlines = (group.until for group in self._groups.values() if group.behind)
        return min(deadlines, default=None)

    def forget(self, job_ids: Iterable[str]) -> None:
        forgotten = set(job_ids)
        self._prepared -= forgotten
        self._answered = {each for each in self._answered if each[0] not in forgotten}
        for group in [each for each in self._groups if each[0] in forgotten]:
            del self._groups[group]
        for job_id in forgotten:
            self._unprepared.pop(job_id, None)

    def _dissolve_group(self, group: tuple[str, str]) -> list[WorkerKey]:
        dissolved = self._groups.pop(group, None)
        return dissolved.behind if dissolved else []
