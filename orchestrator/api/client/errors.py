"""Errors of calls to the server.

ClientError
├── ApiError             the server rejected the call; ``problem`` is its problem object
│   ├── AuthError        401, 403: the key is missing, invalid, or grants no access
│   ├── NotFoundError    404: the object does not exist, or belongs to another caller
│   ├── ConflictError    409: the object's state does not allow the call
│   ├── InvalidError     413, 415, 422 ...: the request is invalid
│   │   └── RefusedError     a limit forbids the request; ``remaining`` has the remaining quota
│   └── QuotaError       429: a limit is reached now; ``free_at`` is when quota becomes free
└── ServerUnreachable    no answer, after all retries
    └── NoServer         no server runs for this folder
"""

from collections.abc import Mapping
from typing import Any

from orchestrator.core.errors import OrchestratorError

#: Types of errors 422 that report a limit. All other types report an invalid request.
LIMIT_KINDS = frozenset({"limit", "cycle", "recursion-disabled"})


class ClientError(OrchestratorError):
    """The call failed, or the server rejected it."""

    kind = "client"


class ConnectionLost(Exception):
    """The server could not be reached, or the connection broke before the whole answer arrived.

    A retry may help.
    """


class ServerUnreachable(ClientError):
    """No answer from the server."""

    kind = "server-unreachable"


class NoServer(ServerUnreachable):
    """No server is running for this folder."""

    kind = "no-server"


class ApiError(ClientError):
    """The server answered with an error; ``problem`` is its RFC 9457 object."""

    kind = "api-error"

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        super().__init__(self.detail or self.title or f"HTTP {self.status}")

    @property
    def status(self) -> int:
        return int(self.problem.get("status") or 0)

    @property
    def type(self) -> str:
        return str(self.problem.get("type") or "about:blank")

    @property
    def slug(self) -> str:
        """The stable last part of ``type``, such as ``limit-depth``."""
        return self.type.replace("#", "/").replace(":", "/").rstrip("/").rsplit("/", 1)[-1]

    @property
    def title(self) -> str:
        return str(self.problem.get("title") or "")

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail") or "")


class AuthError(ApiError):
    """Missing or invalid API key."""

    kind = "unauthorized"


class NotFoundError(ApiError):
    """Not found."""

    kind = "not-found"


class ConflictError(ApiError):
    """The present state does not allow this call."""

    kind = "conflict"


class InvalidError(ApiError):
    """The request is invalid."""

    kind = "invalid-request"


class RefusedError(InvalidError):
    """A limit was reached."""

    kind = "limit"

    @property
    def remaining(self) -> dict[str, Any]:
        """The remaining quota: depth, child_jobs, workers, wall_seconds, ..."""
        return dict(self.problem.get("remaining") or self.problem.get("left") or {})

    @property
    def left(self) -> dict[str, Any]:
        return self.remaining


class QuotaError(ApiError):
    """A limit is reached, but quota becomes free again; ``free_at`` is the time."""

    kind = "limit"

    @property
    def free_at(self) -> str | None:
        """Time at which quota is free again, in ISO 8601, UTC.

        None if the quota becomes free when a job ends, because this time is unknown.
        """
        return self.problem.get("free_at")


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthError,
    403: AuthError,
    404: NotFoundError,
    409: ConflictError,
}


def error_of(problem: Mapping[str, Any]) -> ApiError:
    plain = ApiError(problem)
    error_class = _BY_STATUS.get(plain.status)
    if error_class is not None:
        return error_class(problem)
    if plain.status == 429 and plain.slug.startswith("limit-"):
        return QuotaError(problem)
    if plain.status == 429 or not 400 <= plain.status < 500:
        return plain
    is_limit = plain.slug in LIMIT_KINDS or plain.slug.startswith("limit-")
    return (RefusedError if is_limit else InvalidError)(problem)
