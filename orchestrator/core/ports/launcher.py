"""The port to the launcher, which runs processes on this machine or a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.model.attempt.attempt_result import Exit


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that an exit record was written by its shim.

    Only the shim knows the secret, once the attempt runs; its SHA-256 is stored before.
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
    #: Output is appended here.
    log: str
    #: exit.json of this attempt; it also is the attempt's lock (see launchers.shim).
    exit_path: str
    #: Without a digest, any record counts.
    proof: Proof = Proof()
    #: Seconds of work; time spent waiting for child jobs does not count.
    timeout: float | None = None
    #: Seconds between SIGTERM and SIGKILL.
    grace: float = 5.0
    log_limit_bytes: int = 50 * 1024 * 1024
    #: Never written to the log, in whatever encoding.
    secrets: tuple[str, ...] = ()
    #: A file that is locked while a server runs.
    lease_lock: str = ""
    #: Seconds for which the attempt may continue without a server; 0: for ever.
    lease_seconds: float = 0.0


class LauncherEvents(Protocol):
    """Handler of a launcher's events, called by the thread that calls ``listen``."""

    def started(self, attempt_id: str, pid: int) -> None: ...

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Called exactly once for every attempt that ``start`` accepted."""


class Launcher(Protocol):
    """Runs processes."""

    def open(self, events: LauncherEvents) -> None:
        """Prepare the launcher; may start processes of its own."""

    def listen(self, seconds: float | None) -> bool:
        """Wait for events for at most ``seconds``, and report them; None: the launcher decides.

        For one thread at a time. What a report takes to determine never blocks this thread. Return
        False if the launcher is not open: then no event will ever come.
        """

    def wake(self) -> None:
        """Make ``listen`` return now, or at once at its next call."""

    def start(self, launch: Launch) -> None:
        """Start an attempt. Does not block; a failure is reported as an ended attempt."""

    def stop(self, attempt_id: str, ended_by: str, stopped_by: str) -> None:
        """Begin the stop ladder. Idempotent; unknown attempts are ignored."""

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        """Stop or resume the clock of an attempt's timeout."""

    def adopt(self, attempt_id: str, exit_path: str, digest: str = "") -> bool:
        """Watch an attempt that an earlier server started; False if the attempt does not run.

        ``digest`` is that of its ``Proof``: a record without the secret counts as none.
        """

    def settle(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        """Return the end of an attempt that does not run; it can never start then. Idempotent."""

    def close(self, stop: bool) -> None:
        """Release everything; with ``stop``, stop all attempts first. Idempotent.

        No thread listens any more: further events are reported from within this call.
        """

    @property
    def containment(self) -> str:
        """The active containment, for doctor and /health."""

    @property
    def limits_notice(self) -> str:
        """The workers' limits that are not enforced exactly, in one line; empty for none."""
