"""Callers of the API, and the scopes of their keys."""

from enum import StrEnum

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Attempt, WorkerKey


class Scope(StrEnum):
    """Scope of an API key; a key may have several scopes."""

    #: The key grants access to everything.
    ADMIN = "admin"
    #: The key may submit jobs, and may see, cancel, and retry only its own jobs.
    SUBMIT = "submit"
    #: The key may see every job and the statistics, and may change nothing.
    READ = "read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """An API key, or the attempt of a running worker.

    A worker has no scopes: it sees and controls its child jobs and their descendants.
    """

    name: str
    scopes: frozenset[Scope] = frozenset()
    attempt: Attempt | None = None

    @property
    def signature(self) -> str:
        """The caller's name in a reason such as "cancelled by ..."."""
        return f"key {self.name!r}" if self.attempt is None else self.name

    @property
    def full_name(self) -> str:
        """A unique name of the caller: a key's name, or ``<root job>/<worker>``."""
        key = self.worker_key
        return self.name if key is None else f"{key.root_id}/{key.worker_id}"

    @property
    def sees_all(self) -> bool:
        return not self.scopes.isdisjoint({Scope.ADMIN, Scope.READ})

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def may_change(self) -> bool:
        """True if the caller may do more than read."""
        return self.attempt is not None or not self.scopes.isdisjoint({Scope.ADMIN, Scope.SUBMIT})

    @property
    def worker_key(self) -> WorkerKey | None:
        return self.attempt.key if self.attempt else None
