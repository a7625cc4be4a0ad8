"""Selects a job's gates, once, from the files of the commit from which the root job starts."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from orchestrator.core.dataclass import dataclass
from orchestrator.core.gates.gate import AUTO, Gate, GateFiles, GateFinder
from orchestrator.core.model.job import TaskSpec, WorkerKey
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.core.ports import Store
from orchestrator.core.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class GatePlan:
    """The gates of a job. Stored with the job, so that they do not change with the project."""

    gates: tuple[Gate, ...] = ()
    is_off: bool = False


class _NoFiles:
    def read(self, path: str) -> str:
        return ""

    def names(self, directory: str = "") -> Collection[str]:
        return ()

    def paths(self) -> Collection[str]:
        return ()


class GatePlans:
    """Selects the gates of jobs.

    Any thread may call. Methods raise InvalidRequest and RepositoryError.
    """

    def __init__(self, repository: Repository, finder: GateFinder, is_on: bool) -> None:
        self._repository = repository
        self._finder = finder
        self._is_on = is_on
        # The files of a commit never change, so the answer can be cached.
        self._found = lru_cache(maxsize=32)(self._find)

    def of_job(
        self, store: Store, parent: WorkerKey | None, config: ConfigRequest, base: str
    ) -> tuple[GatePlan, str]:
        """Return the gates of a new job, and the commit that defines the gates of its tasks.

        ``parent``: the worker that requests a child job.
        """
        if parent is None:
            return self.of_root(config.get("gates"), base), base
        worker, root = store.worker(parent), store.job(parent.root_id)
        job = None if worker is None else store.job(worker.job_id)
        if root is None or job is None:
            return GatePlan(), ""  # The request is rejected later, with a better message.
        first = root.config.base or job.config.base or base
        asked = config.get("gates")
        return self.of_child(asked, self._above(job.config, base), first), first

    def _above(self, parent: JobConfig, base: str) -> JobConfig:
        """Return the parent job's settings, with the default gates of ``base`` if they are needed.

        The defaults are not needed if the parent job has a base or gates, or switched gates off.
        """
        if parent.base or parent.gates or parent.gates_off:
            return parent
        return replace(parent, gates=self.of_root(None, base).gates)

    def of_root(self, asked: Sequence[Gate] | None, base: str) -> GatePlan:
        """Return the gates of a root job.

        ``asked`` is None if the request names no gates, and empty if it switches gates off.
        """
        if asked is None:
            return GatePlan(self._found(base)) if self._is_on else GatePlan(is_off=True)
        return GatePlan(self._named(asked, base), is_off=not asked)

    def of_child(self, asked: Sequence[Gate] | None, parent: JobConfig, root_base: str) -> GatePlan:
        """Return the gates of a child job: all gates of its parent, and its own further gates."""
        names = {gate.name for gate in parent.gates}
        more = [each for each in self._named(asked or (), root_base) if each.name not in names]
        return GatePlan((*parent.gates, *more), parent.gates_off and not more)

    def of_tasks(self, tasks: Sequence[TaskSpec], base: str) -> tuple[TaskSpec, ...]:
        return tuple(
            replace(task, gates=self._named(task.gates, base)) if task.gates else task
            for task in tasks
        )

    def of_commit(self, commit: str = "") -> tuple[Gate, ...]:
        """Return the default gates for a job that starts from a commit.

        An empty ``commit`` means the user's checkout.
        """
        return self._found(commit or self._repository.base().commit)

    def _find(self, base: str) -> tuple[Gate, ...]:
        return tuple(self._finder.found(self._files(base))) if base else ()

    def _named(self, asked: Sequence[Gate], base: str) -> tuple[Gate, ...]:
        if not asked:
            return ()
        if not base:
            asked = [each for each in asked if each.run != AUTO]
        return tuple(self._finder.named(asked, self._files(base)))

    def _files(self, base: str) -> GateFiles:
        return self._repository.files(base) if base else _NoFiles()
