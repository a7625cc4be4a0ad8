"""The errors that the orchestrator raises on purpose.

OrchestratorError
├── ConfigError          a setting is wrong
│   └── UnreadableConfig the configuration belongs to another user
├── InvalidRequest       a request cannot be carried out as it is written
│   ├── UnknownAgent
│   ├── UnknownRole
│   ├── PlanCycle
│   └── Refused          the request would exceed a limit, or repeat an ancestor job's request
│       └── MaxDepthReached
├── LimitReached         a limit is reached now; the same request may succeed later
├── NotFound             the object does not exist, or the caller may not see it
│   └── NoSuchJob
├── Conflict             the object is in a state that does not allow the action
│   ├── Outdated         the object has changed since the caller read it
│   ├── OutdatedPlan     the plan has changed since the caller read it
│   ├── Incomplete       the job is not completed, and the request does not set ``partial``
│   ├── OtherBranch      the checked-out branch is not the branch to land on
│   ├── BlockingFiles    files of the user's checkout block a landing
│   ├── NoRepository     the job does not use git
│   ├── Locked           another worker holds a lock
│   └── Deadlock         waiting for a lock would close a cycle of waits
├── TooLarge             the answer would be too large; the caller can request its parts
├── Unauthorized         the API key is missing or invalid
├── Forbidden            the API key does not have the scope for the action
├── Unavailable          not possible now, but may be later
├── WorkspaceBusy        another server holds the workspace
├── StoreError           the store could not be read or written
│   └── StoreAway        the store cannot be reached now, but may be later
├── LaunchError          a process could not be started
├── RepositoryError      a git command failed
└── ContainmentUnavailable  the configured containment of workers is not available
"""

from collections.abc import Mapping, Sequence


def summary_of(kind: type[BaseException]) -> str:
    """Return the first line of the docstring of an error's class. Users see this line."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


class OrchestratorError(Exception):
    """An error that is raised on purpose."""

    #: Stable slug: the last part of a problem's ``type`` in the API.
    kind = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or summary_of(type(self)))

    @property
    def message(self) -> str:
        return str(self.args[0])


class ConfigError(OrchestratorError):
    """The configuration is wrong."""

    kind = "config"


class UnreadableConfig(ConfigError):
    """The configuration belongs to another user."""

    kind = "config-unreadable"


class InvalidRequest(OrchestratorError):
    """The request is invalid."""

    kind = "invalid-request"

    def __init__(
        self, message: str | None = None, *, kind: str | None = None, field: str = ""
    ) -> None:
        """``field``: the invalid field; empty if the error concerns no single field."""
        super().__init__(message)
        self.field = field
        if kind is not None:
            self.kind = kind


class UnknownAgent(InvalidRequest):
    """Unknown agent."""

    kind = "unknown-agent"


class UnknownRole(InvalidRequest):
    """Unknown role."""

    kind = "unknown-role"


class PlanCycle(InvalidRequest):
    """The dependencies of tasks form a cycle."""

    kind = "plan-cycle"


class Refused(InvalidRequest):
    """The request would exceed a limit, or repeats the request of an ancestor job.

    ``left``: the remaining quota.
    """

    kind = "limit"

    def __init__(
        self, message: str, *, kind: str, left: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, kind=kind)
        self.left = dict(left or {})


class MaxDepthReached(Refused):
    """The child job would exceed the maximum depth.

    ``why``: the new job's depth and the maximum depth, as text.
    """

    def __init__(self, why: str, left: Mapping[str, object]) -> None:
        super().__init__(
            f"Max recursion depth reached: {why}; do the work without a child job",
            kind="limit-depth",
            left=left,
        )


class LimitReached(OrchestratorError):
    """A limit is reached now. The same request may succeed later.

    ``most``: the value of the limit. ``used``: the amount that is used.
    """

    kind = "limit"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        limit: str,
        most: float,
        used: float,
        free_at: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        #: Name of the limit in ``config.yaml``.
        self.limit = limit
        self.most = most
        self.used = used
        #: Time at which the limit resets (Unix time); None if unknown.
        self.free_at = free_at


class NotFound(OrchestratorError):
    """The object does not exist."""

    kind = "not-found"


class NoSuchJob(NotFound):
    """The job does not exist."""

    def __init__(self, job_id: str, where: str = "") -> None:
        super().__init__(f"there is no job {job_id}{where}")


class Conflict(OrchestratorError):
    """The object is in a state that does not allow the action."""

    kind = "conflict"

    def __init__(self, message: str | None = None, *, kind: str | None = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class Outdated(Conflict):
    """The object has changed since the caller read it.

    ``commit``: the object's present commit.
    """

    kind = "outdated"

    def __init__(self, message: str, commit: str) -> None:
        super().__init__(message)
        self.commit = commit


class OutdatedPlan(Conflict):
    """The plan has changed since the caller read it.

    ``version``: the plan's present version.
    """

    kind = "outdated"

    def __init__(self, message: str, *, version: int) -> None:
        super().__init__(message)
        self.version = version


class Incomplete(Conflict):
    """The job is not completed.

    ``status``: the job's status.
    """

    kind = "partial"

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class OtherBranch(Conflict):
    """The checked-out branch is not the branch to land on."""

    kind = "other-branch"


class BlockingFiles(Conflict):
    """Files of the user's checkout block the action.

    ``files``: the paths of these files.
    """

    kind = "dirty-checkout"

    def __init__(self, message: str, *, files: Sequence[str], kind: str | None = None) -> None:
        super().__init__(message, kind=kind)
        self.files = tuple(files)


class NoRepository(Conflict):
    """The job does not use git."""

    kind = "no-repository"


class TooLarge(OrchestratorError):
    """The answer would be too large.

    ``parts``: names of the parts, which the caller can request one by one.
    """

    kind = "too-large"

    def __init__(self, message: str, parts: Sequence[str]) -> None:
        super().__init__(message)
        self.parts = tuple(parts)


class Locked(Conflict):
    """Another worker holds the lock."""

    kind = "locked"


class Deadlock(Conflict):
    """Waiting for the lock would create a cycle of waits."""

    kind = "deadlock"


#: Message for an unknown API key, or the key of an attempt that has ended.
INVALID_KEY = "invalid or expired API key; a worker's key ends with its attempt"


class Unauthorized(OrchestratorError):
    """The API key is missing or invalid."""

    kind = "unauthorized"


class Forbidden(OrchestratorError):
    """The API key does not have the scope for the action."""

    kind = "forbidden"


class Unavailable(OrchestratorError):
    """Not possible now; retry later."""

    kind = "unavailable"


class WorkspaceBusy(OrchestratorError):
    """Another server uses the workspace."""

    kind = "workspace-busy"


class StoreError(OrchestratorError):
    """The database could not be read or written."""

    kind = "store"


class StoreAway(StoreError):
    """The database cannot be reached now."""


class LaunchError(OrchestratorError):
    """A process could not be started."""

    kind = "launch"


class RepositoryError(OrchestratorError):
    """A git command failed, or git or the repository cannot be used."""

    kind = "repository"


class ContainmentUnavailable(OrchestratorError):
    """The configured containment of workers is not available."""

    kind = "containment"
