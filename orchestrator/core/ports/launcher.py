"""The port to the launcher, which runs processes on this machine or a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that the attempt's shim wrote its exit record.

    ``digest`` is the SHA-256 of ``secret``, and is stored before the attempt starts. Once the
    attempt runs, only its shim knows the secret.
    """

    digest: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """Everything a launcher needs to run one attempt. Paths are absolute."""

    #: ``<root>/<worker>/<attempt>``: also the process marker ORCHESTRATOR_WORKER.
    attempt_id: str
    argv: tuple[str, ...]
    cwd: str
    #: Create ``cwd``, without its parents, if it is missing.
    make_cwd: bool = False
    env: Mapping[str, str]
    #: A file for the process to read as standard input; None is /dev/null.
    stdin: str | None = None
    #: File to which the output is appended.
    log: str
    #: Path of the attempt's exit.json, which is also the attempt's lock (see launchers.shim).
    exit_path: str
    #: Proof of the exit record; without a digest, any record counts.
    proof: Proof = Proof()
    #: Timeout in seconds; time spent waiting for child jobs does not count.
    timeout: float | None = None
    #: Seconds between SIGTERM and SIGKILL.
    grace: float = 5.0
    log_limit_bytes: int = 50 * 1024 * 1024
    #: Texts that are never written to the log, in any encoding.
    secrets: tuple[str, ...] = ()
    #: A file that is locked while a server runs.
    lease_lock: str = ""
    #: Orphan timeout: seconds for which the attempt may continue without a server; 0: no limit.
    lease_seconds: float = 0.0


class LauncherEvents(Protocol):
    """Handler of a launcher's events; the thread that calls ``listen`` calls its methods."""

    def started(self, attempt_id: str, pid: int) -> None: ...

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Handle the end of an attempt. Called once for every attempt that ``start`` accepted."""


class Launcher(Protocol):
    """Runs the processes of attempts."""

    def open(self, events: LauncherEvents) -> None:
        """Prepare the launcher, which reports to ``events``; may start processes of its own."""

    def listen(self, seconds: float | None) -> bool:
        """Wait for events for at most ``seconds``, and report them; None: the launcher decides.

        Only one thread may call at a time, and no other work blocks this thread. Return False if
        the launcher is not open: then no event will ever come.
        """

    def wake(self) -> None:
        """Make ``listen`` return now. If no thread is in ``listen``, its next call returns at
        once.
        """

    def start(self, launch: Launch) -> None:
        """Start an attempt. Does not block; a failure is reported as an ended attempt."""

    def stop(
        self,
        attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        """Begin to stop an attempt: SIGTERM, then SIGKILL. Idempotent.

        Unknown attempts are ignored.
        """

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        """Pause the clock of an attempt's timeout if ``waiting``; otherwise resume the clock."""

    def adopt(self, attempt_id: str, exit_path: str, digest: str = "") -> bool:
        """Watch an attempt that an earlier server started. Return False if it does not run.

        ``digest`` is the digest of the attempt's ``Proof``: a record without the secret is ignored.
        """

    def settle(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        """Return the end of an attempt that does not run. Idempotent.

        After this call the attempt can never start.
        """

    def close(self, stop: bool) -> None:
        """Release everything; with ``stop``, stop all attempts first. Idempotent.

        The caller's threads no longer call ``listen``: this call reports the remaining events.
        """

    @property
    def containment(self) -> str:
        """Name of the active containment, for ``doctor`` and ``/health``."""

    @property
    def limits_notice(self) -> str:
        """Worker limits that are not enforced exactly, in one line; empty if there are none."""
