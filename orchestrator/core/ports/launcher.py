"""The port to where processes run: this machine, or a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.model.attempt.attempt_result import Exit


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that an exit record was written by its shim.

    The secret is known to the shim alone, once the attempt runs; its SHA-256 is stored before.
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
    #: Whether ``cwd``, without its parents, is to be made where it is missing.
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
    #: Seconds between the polite stop and the hard one.
    grace: float = 5.0
    log_limit_bytes: int = 50 * 1024 * 1024
    #: Never written to the log, in whatever encoding.
    secrets: tuple[str, ...] = ()
    #: A file that is locked for as long as a server is there.
    lease_lock: str = ""
    #: Seconds that the attempt may go on without one; 0: for ever.
    lease_seconds: float = 0.0


class LauncherEvents(Protocol):
    """Where a launcher reports, to whoever calls ``listen``."""

    def started(self, attempt_id: str, pid: int) -> None: ...

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Said exactly once for every attempt that ``start`` took."""


class Launcher(Protocol):
    """Where processes run."""

    def open(self, events: LauncherEvents) -> None:
        """Get ready; may start processes of its own."""

    def listen(self, seconds: float | None) -> bool:
        """Wait at most so long for something to happen, and report it; None is as long as it likes.

        For one thread at a time, which is never held up by what a report takes to find out.
        False when the launcher is not open: then nothing will ever happen.
        """

    def wake(self) -> None:
        """Have ``listen`` return now, or return at once when it is called next."""

    def start(self, launch: Launch) -> None:
        """Start an attempt. Does not block; a failure is reported as an ended attempt."""

    def stop(self, attempt_id: str, ended_by: str, stopped_by: str) -> None:
        """Begin the stop ladder. Idempotent; unknown attempts are ignored."""

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        """Stop or resume the clock of an attempt's timeout."""

    def adopt(self, attempt_id: str, exit_path: str, digest: str = "") -> bool:
        """Watch over an attempt that an earlier server started; False when it does not run.

        ``digest`` is that of its ``Proof``: a record without the secret counts as none.
        """

    def settle(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        """How an attempt ended that does not run; after this it can never start. Idempotent."""

    def close(self, stop: bool) -> None:
        """Release everything; with ``stop``, stop all attempts first. Idempotent.

        Nobody listens any more: what still happens is reported from within.
        """

    @property
    def containment(self) -> str:
        """The containment in force, for doctor and /health."""

    @property
    def limits_notice(self) -> str:
        """The limits of workers that are not held exactly, in one line; empty for none."""
