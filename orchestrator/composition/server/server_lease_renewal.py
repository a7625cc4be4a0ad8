"""Server leases in PostgreSQL: renews this server's lease, and observes another server's lease.

A lease's duration starts when its latest renewal is sent, as for a node's lease (Gray and Cheriton,
"Leases", 1989). The shims of this machine read the end of this server's lease from a file.
"""

import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.errors import StoreError, Unavailable
from orchestrator.launchers.process.lease_file import LeaseFile, boot_time
from orchestrator.store.database.server_lease import Claimant, HeldLease, LeaseSession, busy
from orchestrator.system import process_table

logger = logging.getLogger(__name__)

#: Maximum seconds between two renewals, and minimum number of renewals during a lease.
_RENEWAL_SECONDS, _RENEWALS = 1.0, 8
#: Seconds for which the server's stop waits for a renewal in progress.
_END_SECONDS = 5.0


def claimant(seconds: float | None) -> Claimant:
    """Return the data that identify this server when it claims a database.

    ``seconds``: duration of the server's lease, in seconds; None: the server has no lease.
    """
    name = f"{socket.gethostname()} (process {os.getpid()})"
    return Claimant(machine=machine(), name=name, seconds=seconds or 0.0)


def machine() -> str:
    """Return a text that identifies this machine. The text changes when the machine restarts.

    Each container counts as a machine, because the processes of another container are not visible.
    """
    return f"{process_table.boot_id()} {process_table.pid_namespace()}"


def lease_path(workspace: Path) -> Path:
    """Return the path of the file with the lease's end, on a local disk.

    Create the file's directory. Raise Unavailable if the directory cannot be created, belongs to
    another user, or is accessible to other users.
    """
    directory = Path(tempfile.gettempdir()) / f"orchestrator-{os.getuid()}"
    name = hashlib.sha256(f"{workspace.resolve()} {machine()}".encode()).hexdigest()[:16]
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise Unavailable(f"cannot create {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Unavailable(
            f"{directory} must be a directory that only you can access (mode 700); remove "
            f"{directory}, then start the server again"
        )
    return directory / f"{name}.lease"


def _exit(reason: str) -> None:
    logger.error("the server exits: %s", reason)
    os._exit(1)


class ServerLease:
    """The lease that this server holds. One thread renews it. Another thread waits for its end."""

    def __init__(
        self,
        session: LeaseSession,
        seconds: float,
        path: Path,
        has_stopped_all: Callable[[], bool],
    ) -> None:
        """``has_stopped_all``: returns True if no worker of this machine still runs.

        ``path``: file in which the shims read the lease's end. ``seconds``: the lease's duration.
        """
        self.observer = LeaseObserver(session)
        self.path = path
        self._on_lost: Callable[[str], None] = _exit
        self._has_stopped_all = has_stopped_all
        self._session = session
        self._seconds = seconds
        self._file: LeaseFile | None = None
        self._epoch = 0
        self._ends_at = 0.0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._renewing = threading.Thread(target=self._keep_renewing, name="lease", daemon=True)

    def begin(self, epoch: int, on_lost: Callable[[str], None] | None = None) -> None:
        """Renew the lease, and start the threads that keep renewing it.

        ``epoch``: number of this server's claim of the database. ``on_lost``: a background thread
        calls this function with a reason if the lease ends, or if another server claims the
        database. The function must end the process. None: log the reason and exit.

        Raise StoreError if the database fails, or if another server has claimed the database. Raise
        Unavailable if the lease's file cannot be written.
        """
        self._on_lost = on_lost or _exit
        self._epoch = epoch
        try:
            self._file = LeaseFile(str(self.path))
        except OSError as error:
            raise Unavailable(f"cannot write {self.path}: {error.strerror}") from error
        if not self._renew():
            raise StoreError("another server has claimed the database at this moment; retry")
        self._renewing.start()
        threading.Thread(target=self._watch, name="lease-end", daemon=True).start()

    def record_recovery(self) -> None:
        """Record in the database that this server has recovered the former server's attempts.

        The caller must first store the ends of all attempts on the former server's machine. Raise
        StoreError if the database fails.
        """
        with self._lock:
            self._session.recovered(self._epoch)

    def end(self) -> None:
        """Stop the renewals. Release the lease if no worker of this machine runs. Idempotent."""
        self._ending.set()
        if self._renewing.is_alive():
            self._renewing.join(_END_SECONDS)
        if self._file is None or self._renewing.is_alive():
            return
        if self._has_stopped_all():
            try:
                self._session.release(self._epoch)
            except StoreError as error:
                logger.warning("cannot release the server's lease: %s", error)
        self._session.close()

    def _renew(self) -> bool:
        """Renew the lease. Return False if another server has claimed the database.

        Raise StoreError if the database fails. Raise Unavailable if the lease's file cannot be
        written.
        """
        sent_at = boot_time()
        with self._lock:
            if not self._session.renew(self._epoch):
                return False
        assert self._file is not None
        try:
            self._file.extend(sent_at + self._seconds)
        except OSError as error:
            raise Unavailable(f"cannot write {self.path}: {error.strerror}") from error
        self._ends_at = sent_at + self._seconds
        return True

    def _keep_renewing(self) -> None:
        pause, has_failed = min(_RENEWAL_SECONDS, self._seconds / _RENEWALS), False
        while not self._ending.wait(pause):
            try:
                if not self._renew():
                    self._on_lost("another server has replaced this server")
                has_failed = False
            except (StoreError, Unavailable) as error:
                if not has_failed:
                    logger.warning("cannot renew the server's lease: %s", error)
                has_failed = True

    def _watch(self) -> None:
        while not self._ending.wait(max(0.01, self._ends_at - boot_time())):
            if boot_time() >= self._ends_at:
                self._on_lost(
                    f"the server's lease (cluster.server_lease: {self._seconds:g}) ended, because "
                    f"the database did not answer, {self.path} could not be written, or the server "
                    "was suspended; workers are stopped, and start again without using a retry"
                )
                return


class LeaseObserver:
    """Watches the lease of a server on another machine, to detect the end of the lease.

    Only the clock of this machine is used, because the clocks of two machines may differ.
    """

    def __init__(self, session: LeaseSession) -> None:
        self._session = session
        self._machine = machine()
        #: The lease that was read last; None if there was no lease.
        self._lease: HeldLease | None = None
        #: Time at which the renewal in ``_lease`` was first read, in seconds since the boot.
        self._since = 0.0
        #: True if ``_lease`` replaced an earlier state of the lease, which shows that the other
        #: server renews its lease.
        self.is_renewed = False

    @property
    def has_ended(self) -> bool:
        """True if the lease has ended, and the other machine's workers have had time to stop.

        Also True if the latest ``read_lease`` found no lease.
        """
        # Import this module here, because few servers have a lease.
        from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms

        if self._lease is None:
            return True
        return boot_time() - self._since > NodeLeaseTerms(lease=self._lease.seconds).fenced_after

    def read_lease(self) -> HeldLease | None:
        """Read and return the lease of a server on another machine; None if there is no such lease.

        Raise StoreError if the database fails. After this error, the next successful call starts
        the wait for the lease's end again. Otherwise, the wait could be too short: the database may
        have lost a renewal that the other server made before the failure.
        """
        try:
            lease = self._session.read()
        except StoreError:
            self._lease = None
            raise
        if lease is None or not lease.seconds or lease.machine == self._machine:
            self._lease = None
        elif lease != self._lease:
            self.is_renewed = self._lease is not None
            self._lease, self._since = lease, boot_time()
        return self._lease

    def wait(self) -> HeldLease | None:
        """Wait until the lease of a server on another machine has ended, and return the lease.

        Return None at once if there is no such lease. Raise WorkspaceBusy if the other server
        renews its lease. Raise StoreError if the database fails.
        """
        while (lease := self.read_lease()) is not None and not self.has_ended:
            if self.is_renewed:
                raise busy(lease)
            time.sleep(_RENEWAL_SECONDS / 4)
        return lease
