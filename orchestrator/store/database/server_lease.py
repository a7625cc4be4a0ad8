"""The lease of the server that uses a PostgreSQL database.

The holder renews its lease by changing one row. Another server measures, by its own clock, for how
long the row has stayed unchanged. Therefore the clocks of different machines are never compared.
Kubernetes uses the same method (client-go, tools/leaderelection). A write needs no check of the
lease: see ``postgresql.Fence``.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, select, update

from orchestrator.core.errors import WorkspaceBusy
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.command_name import COMMAND
from orchestrator.store.database import postgresql
from orchestrator.store.database.connections import as_store_errors
from orchestrator.store.schema.tables import server_lease

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimant:
    #: Identity of the machine, which changes when the machine starts again.
    machine: str = ""
    #: Name of the server in messages.
    name: str = ""
    #: Duration of the lease, in seconds; 0: no lease.
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldLease:
    """The lease of the server that most recently claimed the database.

    The fields are the columns of the table ``server_lease``; see ``schema.tables``.
    """

    epoch: int
    machine: str
    holder: str
    seconds: float
    renewals: int
    recovers: int


_COLUMNS = [server_lease.c[name] for name in HeldLease.__dataclass_fields__]


def read(connection: Connection, *, lock: bool = False) -> HeldLease:
    """Return the latest lease. ``lock``: True to lock its row until the transaction ends."""
    query = select(*_COLUMNS)
    row = connection.execute(query.with_for_update() if lock else query).one()
    return HeldLease(**row._mapping)


def claim(connection: Connection, claimant: Claimant, ended: HeldLease | None) -> HeldLease:
    """Claim the database in the caller's transaction, which must hold the writer's lock.

    ``ended``: a lease that has certainly ended; None if the caller has found no such lease. Raise
    WorkspaceBusy if a server on another machine has a lease other than ``ended``.
    """
    latest = read(connection, lock=True)
    is_elsewhere = latest.seconds > 0 and latest.machine != claimant.machine
    if is_elsewhere and latest != ended:
        raise busy(latest)
    claimed = HeldLease(
        epoch=latest.epoch + 1,
        machine=claimant.machine if claimant.seconds else "",
        holder=claimant.name,
        seconds=claimant.seconds,
        renewals=0,
        recovers=int(is_elsewhere or latest.recovers > 0),
    )
    values = {name: getattr(claimed, name) for name in HeldLease.__dataclass_fields__}
    connection.execute(update(server_lease).values(values))
    return claimed


def busy(lease: HeldLease) -> WorkspaceBusy:
    return WorkspaceBusy(
        f"the workspace is in use by the server on {lease.holder}; use that server, or start a "
        f"standby, which waits for that server's end: {COMMAND} serve --standby"
    )


class LeaseSession:
    """A connection that reads and renews the lease. One thread at a time may use it.

    All methods except ``close`` may raise StoreError. After an error, the next call opens a new
    connection.
    """

    def __init__(self, url: URL, where: str, seconds: float) -> None:
        """``seconds``: time after which an unreachable database is an error."""
        self._engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args=postgresql.connection_arguments(url, seconds),
        )
        self._where = where
        self._connection: Connection | None = None

    def read(self) -> HeldLease | None:
        """Return the latest lease; None if the database has no tables yet."""
        return self._run(_read_if_exists)

    def renew(self, epoch: int) -> bool:
        """Renew the lease. Return False if another server has claimed the database."""
        renewals = server_lease.c.renewals
        return self._change(epoch, renewals=renewals + 1)

    def recovered(self, epoch: int) -> None:
        """Record that all attempts on the former server's machine have ended."""
        self._change(epoch, recovers=0)

    def release(self, epoch: int) -> None:
        """End the lease now. Call this only after all workers of this machine have ended."""
        self._change(epoch, seconds=0.0)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _change(self, epoch: int, **values: object) -> bool:
        statement = update(server_lease).where(server_lease.c.epoch == epoch).values(values)
        return self._run(lambda connection: connection.execute(statement).rowcount > 0)

    def _run(self, action: Callable[[Connection], Result]) -> Result:
        with as_store_errors(self._where):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                return action(self._connection)
            except BaseException:
                self.close()
                raise


def _read_if_exists(connection: Connection) -> HeldLease | None:
    try:
        if not inspect(connection).has_table(server_lease.name):
            return None
        return read(connection)
    finally:
        connection.rollback()
