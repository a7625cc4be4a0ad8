"""The exit codes of the command line, in one table."""

from collections.abc import Mapping
from enum import IntEnum

from orchestrator.core.errors import OrchestratorError


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    KEY_REFUSED = 4
    UNREACHABLE = 5
    PARTIAL = 6
    LIMIT = 7
    TIMED_OUT = 124
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "success",
    ExitCode.FAILED: "the job failed or was cancelled, or the command failed",
    ExitCode.USAGE: "invalid arguments, plan, or configuration",
    ExitCode.NOT_FOUND: "no such job, worker, or report",
    ExitCode.KEY_REFUSED: "invalid API key",
    ExitCode.UNREACHABLE: "no answer from a server",
    ExitCode.PARTIAL: "some tasks of the job did not succeed, or its result is incomplete",
    ExitCode.LIMIT: "rejected: limit reached (depth, workers, child jobs, cost, or time)",
    ExitCode.TIMED_OUT: "timed out before the job ended",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}

_BY_JOB_STATUS = {
    "completed": ExitCode.OK,
    "partial": ExitCode.PARTIAL,
    "failed": ExitCode.FAILED,
    "cancelled": ExitCode.FAILED,
}

_BY_ERROR_KIND: Mapping[str, ExitCode] = {
    "config": ExitCode.USAGE,
    "invalid-request": ExitCode.USAGE,
    "not-found": ExitCode.NOT_FOUND,
    "unauthorized": ExitCode.KEY_REFUSED,
    "server-unreachable": ExitCode.UNREACHABLE,
    "no-server": ExitCode.UNREACHABLE,
    "limit": ExitCode.LIMIT,
}


def of_job(status: str) -> ExitCode:
    """Return the exit code for a job's status. A job that has not ended gets TIMED_OUT."""
    return _BY_JOB_STATUS.get(status, ExitCode.TIMED_OUT)


def of_error(error: OrchestratorError) -> ExitCode:
    """Return the exit code for an error, by the ``kind`` of the error's class.

    If the kind has no exit code, use the kind of the nearest base class that has an exit code.
    Without such a base class, return FAILED.
    """
    kinds = (str(vars(base).get("kind")) for base in type(error).__mro__)
    return next((_BY_ERROR_KIND[k] for k in kinds if k in _BY_ERROR_KIND), ExitCode.FAILED)


def table() -> str:
    return "\n".join(f"{code.value:>5}  {meaning}" for code, meaning in MEANINGS.items())
