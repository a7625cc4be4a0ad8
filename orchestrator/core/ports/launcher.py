"""The port to the launcher, which runs processes on this machine or on nodes of a cluster."""

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.worktree_transfer import AttemptFiles


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that an exit record comes from the attempt's shim.

    While the attempt runs, only the shim knows ``secret``. ``digest``: SHA-256 of the secret,
    stored before the attempt starts.
    """

    digest: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """The data with which a launcher runs one attempt. Paths are absolute."""

    #: ``<root>/<worker>/<attempt>``. The environment variable ORCHESTRATOR_WORKER has the same
    #: value, and marks the attempt's processes.
    attempt_id: str
    argv: tuple[str, ...]
    cwd: str
    #: True to create ``cwd``, without its parents, if it is missing.
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
    #: Timeout in seconds. Time in which the worker waits for child jobs or locks does not count.
    timeout: float | None = None
    #: Seconds between SIGTERM and SIGKILL.
    grace: float = 5.0
    #: The umask of the process; None: files are private.
    umask: int | None = None
    log_limit_bytes: int = 50 * 1024 * 1024
    #: Texts that are never written to the log, in any encoding.
    secrets: tuple[str, ...] = ()
    #: A file that the server locks while it runs. This field and the next field keep their names,
    #: because nodes and shims of earlier releases read them.
    lease_lock: str = ""
    #: Orphan timeout: seconds for which the attempt may continue without a server; 0: no limit.
    lease_seconds: float = 0.0
    #: File with the end of the attempt's lease (see launchers.process.lease_file); empty: no lease.
    #: The shim reads the file four times a second, and stops the attempt when the lease has ended.
    lease_file: str = ""
    #: Node of a cluster that runs the attempt; empty: the server's machine.
    node: str = ""
    #: The attempt's files, for a node with its own file system; None on the server's machine.
    files: AttemptFiles | None = None


class LauncherEvents(Protocol):
    """Handler of a launcher's events.

    ``listen`` and ``close`` call the methods, in the thread of their caller.
    """

    def started(self, attempt_id: str, pid: int) -> None: ...

    def begun(self, attempt_id: str, at: float) -> None:
        """Handle the start of a worker from a preloaded launch. ``at``: the start, as Unix time."""

    def returned(self, attempt_id: str) -> None:
        """Handle the return of a preloaded launch, which the shim did not begin.

        No other event of the launch follows.
        """

    def ended(self, attempt_id: str, exit: Exit) -> None:
        """Handle the end of an attempt.

        Called once for each started or adopted attempt, and for each preloaded launch that was not
        returned. An end during a ``close`` that stops no attempts is not reported.
        """


class Launcher(Protocol):
    def open(self, events: LauncherEvents) -> None:
        """Prepare the launcher before the first attempt. Preparation may start processes.

        Raise ContainmentUnavailable if the requested containment of workers does not work.
        """

    def listen(self, seconds: float | None) -> bool:
        """Wait for events, and report them. Return False if the launcher is not open.

        ``seconds``: maximum wait; None: the launcher decides. Only one thread at a time may call
        this method, and this thread must not block elsewhere.
        """

    def gather(self, seconds: float) -> None:
        """Wait for ``seconds``, so that the next ``listen`` reports several events together.

        Only the thread that calls ``listen`` may call this method. ``wake`` ends the wait.
        """

    def wake(self) -> None:
        """Make the present or next call of ``listen`` return at once."""

    def start(self, launch: Launch) -> None:
        """Start an attempt. Does not block. A failure is reported as the end of the attempt."""

    def preload(self, launch: Launch) -> bool:
        """Pass a launch to a busy shim of this machine.

        The shim begins the launch after the shim's present attempt. Return False without a change
        if no shim accepts the launch. After True, either the event ``returned`` or the event
        ``ended`` follows. If the shim began the launch, ``begun`` usually precedes ``ended``.
        """

    def withdraw_launch(self, attempt_id: str) -> None:
        """Withdraw a preloaded launch that has not begun. Unknown attempts are ignored."""

    def stop(
        self,
        attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        """Begin to stop an attempt by SIGTERM, then SIGKILL. Idempotent.

        ``ended_by``, ``stopped_by``, ``cause``: as in the attempt's ``Exit``. Unknown attempts are
        ignored.
        """

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        """Pause the timeout of an attempt if ``waiting`` is True; otherwise resume the timeout."""

    def adopt(
        self, attempt_id: str, exit_path: str, digest: str = "", *, node: str = "", log: str = ""
    ) -> bool:
        """Watch an attempt that an earlier server started.

        Return False if the attempt does not run.

        ``digest``: the digest of the attempt's ``Proof``; a record with another digest is ignored.
        ``node``, ``log``: as in the attempt's ``Launch``. On a node, the attempt counts as running
        until the node reports its end, or until the node is lost.
        """

    def expect_late(
        self,
        attempt_id: str,
        exit_path: str,
        digest: str,
        *,
        node: str,
        log: str,
        is_replaced: bool,
    ) -> None:
        """Accept and store the exit record of a lost attempt, if a node still reports the record.

        Does not block; no event follows. ``is_replaced``: True if a newer attempt of the worker has
        started.
        """

    def determine_end(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        """Return the end of an attempt that does not run, and prevent any later start.

        Idempotent.
        """

    def close(self, stop: bool) -> None:
        """Release all resources. Idempotent.

        If ``stop`` is True, first stop all attempts, and report their ends. No thread may call
        ``listen`` during or after this call.
        """

    @property
    def adopted(self) -> int:
        """Number of running attempts that an earlier server started on this machine."""

    @property
    def containment(self) -> str:
        """Name of the active containment of workers."""

    @property
    def limits_notice(self) -> str:
        """Limits of workers that the launcher enforces only approximately, as one line of text.

        Empty if there are no such limits.
        """
