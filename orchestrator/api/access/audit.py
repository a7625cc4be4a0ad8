"""The audit log: one line of JSON, with the caller, for each change and each rejected call."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from orchestrator.security.files.private_log import PrivateLog

logger = logging.getLogger(__name__)

FILE_NAME = "audit.jsonl"
#: Key of the caller's name in a request's environment.
CALLER = "orchestrator.caller"
#: Key of the called MCP tool's name in a request's environment. Unset for all other calls.
TOOL = "orchestrator.tool"
#: Key that is set in the environment of a POST request that changes nothing.
READS = "orchestrator.reads"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSALS = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
#: Paths that are not logged, because every worker of an AI agent calls them once per second.
ROUTINE = frozenset({"/api/v1/usage"})
#: Maximum length of a logged path. No valid path is longer.
LONGEST_TARGET = 300
#: Maximum length of a logged method. No valid method is longer.
LONGEST_METHOD = 20


class AuditLog:
    """Writes the audit log. ``mask`` returns a text with the server's secrets replaced."""

    def __init__(self, directory: Path, mask: Callable[[str], str]) -> None:
        self._file = PrivateLog(directory / FILE_NAME, error_logger=logger)
        self._mask = mask

    def write(self, environ: WSGIEnvironment, status: int) -> None:
        """Log one HTTP call with the status of its answer.

        Never raises, so that a call is answered even if it cannot be logged.
        """
        entry = {
            "at": _now(),
            "key": environ.get(CALLER),
            "method": environ.get("REQUEST_METHOD", "")[:LONGEST_METHOD],
            "target": self._target(environ),
            **({"tool": environ[TOOL]} if TOOL in environ else {}),
            "status": status,
            "remote": environ.get("REMOTE_ADDR"),
        }
        self._put(entry)

    def log_change(self, key_name: str, method: str, target: str) -> None:
        """Log a change that is no HTTP call, such as a landing by the command line. Never raises.

        ``key_name``: the actor, such as ``(land)``, which the log shows in place of a key's name.
        """
        self._put({"at": _now(), "key": key_name, "method": method, "target": target})

    def _put(self, entry: dict[str, object]) -> None:
        self._file.handle(logging.makeLogRecord({"msg": json.dumps(entry)}))

    def _target(self, environ: WSGIEnvironment) -> str:
        # Omit the query, and mask API keys.
        path = environ.get("PATH_INFO", "")[:LONGEST_TARGET]
        for name in ("HTTP_X_API_KEY", "HTTP_AUTHORIZATION"):
            for word in environ.get(name, "").split():
                if len(word) >= 8:  # shorter words, such as "Bearer", are no keys
                    path = path.replace(word, "***")
        return self._mask(path)

    def close(self) -> None:
        self._file.close()


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")


class AuditMiddleware:
    """WSGI middleware that writes changes and rejected calls to the audit log.

    The class wraps the middleware that rejects calls, so that rejected calls are logged, too.
    """

    def __init__(self, application: WSGIApplication, log: AuditLog) -> None:
        self._application = application
        self._log = log

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status, headers, exc_info=None):  # type: ignore[no-untyped-def]
            code = int(status.split(" ", 1)[0])
            if code in REFUSALS or not _is_routine(environ):
                self._log.write(environ, code)
            # Return waitress' own ``write`` method: through this method, the socket loop finds the
            # task of waitress, and takes over the connection.
            return start_response(status, headers, exc_info)

        return self._application(environ, start)


def _is_routine(environ: WSGIEnvironment) -> bool:
    reads = environ.get("REQUEST_METHOD") in READING or READS in environ
    return reads or environ.get("PATH_INFO") in ROUTINE
