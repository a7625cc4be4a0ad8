"""The server lease in PostgreSQL, which fences the sessions of a replaced server."""

import os
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
from sqlalchemy import make_url

from orchestrator.composition.server.server_lease_renewal import LeaseObserver, ServerLease
from orchestrator.core.errors import StoreError, Unavailable, WorkspaceBusy
from orchestrator.core.ports import StateChange
from orchestrator.store import SqlStore
from orchestrator.store.database.server_lease import Claimant, HeldLease
from tests.contract.store_adapters import database
from tests.contract.store_values import a_job
from tests.faults.gateway import Gateway
from tests.integration.site import until
from tests.support.programs import needs_full_device


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


def server(url: str, machine: str, seconds: float = 3.0) -> SqlStore:
    return SqlStore(
        url, alone=True, claimant=Claimant(machine=machine, name=machine, seconds=seconds)
    )


def lease_in(url: str) -> HeldLease:
    session = SqlStore(url).lease_session(3)
    assert session is not None
    found = session.read()
    session.close()
    assert found is not None
    return found


def refusal(store: SqlStore) -> str:
    """Return the error of a replaced server that stores a job."""
    with pytest.raises(StoreError) as caught:
        store.save(StateChange(new_jobs=[a_job("late")]))
    return str(caught.value)


def test_a_replaced_server_writes_nothing(url: str) -> None:
    first, second = server(url, "one"), server(url, "two")
    first.open()
    first.save(StateChange(new_jobs=[a_job()]))
    first.outbox.fail_pending("x", "", 0)
    ended = lease_in(url)

    second.open(ended)

    for _ in range(2):
        with pytest.raises(StoreError):
            first.save(StateChange(new_jobs=[a_job("late")]))
        with pytest.raises(StoreError):
            first.outbox.fail_pending("x", "", 0)
    second.save(StateChange(new_jobs=[a_job("b")]))
    assert second.job("late") is None
    assert second.claimed is not None and second.claimed.recovers
    second.close()
    # Even if no other server runs any more. PostgreSQL closes the second server's connection some
    # time after its end. Until then, the first server may get another error.
    until(lambda: "another server has replaced this server" in refusal(first), "the last error")
    assert first.job("late") is None
    first.close()


def test_a_lease_that_was_renewed_since_is_not_ended(url: str) -> None:
    first, second = server(url, "one"), server(url, "two")
    first.open()
    ended = lease_in(url)
    session = first.lease_session(3)
    assert session is not None
    assert first.claimed is not None
    assert session.renew(first.claimed.epoch)

    with pytest.raises(WorkspaceBusy, match="in use by the server on one"):
        second.open(ended)

    second.close()
    # The first server's session was ended, and the server continues with a new session.
    with pytest.raises(StoreError):
        first.save(StateChange(new_jobs=[a_job()]))
    first.save(StateChange(new_jobs=[a_job()]))
    first.close()
    session.close()


def test_a_server_of_the_same_machine_needs_no_wait_and_one_of_another_does(url: str) -> None:
    first = server(url, "one")
    first.open()
    first.close()

    other = server(url, "two", seconds=0.0)
    with pytest.raises(WorkspaceBusy):
        other.open()
    again = server(url, "one")
    again.open()
    assert again.claimed is not None and not again.claimed.recovers
    session = again.lease_session(3)
    assert session is not None
    session.release(again.claimed.epoch)
    session.close()
    again.close()
    other.open()
    assert other.claimed is not None and not other.claimed.recovers
    other.close()


def test_recovery_of_a_lost_machine_is_remembered_until_it_is_done(url: str) -> None:
    first, second, third = server(url, "one"), server(url, "two"), server(url, "two")
    first.open()
    first.close()
    second.open(lease_in(url))
    second.close()

    third.open()

    assert third.claimed is not None and third.claimed.recovers
    session = third.lease_session(3)
    assert session is not None
    session.recovered(third.claimed.epoch)
    session.close()
    third.close()
    assert not lease_in(url).recovers


def has_ended(observer: LeaseObserver) -> bool:
    assert observer.read_lease()
    return observer.has_ended


def test_an_observer_begins_again_after_it_lost_the_database(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may have lost the latest renewal."""
    first = server(url, "one")
    first.open()
    now = 100.0
    monkeypatch.setattr(
        "orchestrator.composition.server.server_lease_renewal.boot_time", lambda: now
    )
    target = make_url(url)
    gateway = Gateway(target.host or "127.0.0.1", target.port or 5432)
    through = target.set(host="127.0.0.1", port=gateway.port)
    session = SqlStore(through.render_as_string(hide_password=False)).lease_session(3)
    assert session is not None
    observer = LeaseObserver(session)
    assert not has_ended(observer)
    now += 5.0
    with gateway.closed(), pytest.raises(StoreError):
        observer.read_lease()
    now += 5.0
    assert not has_ended(observer)
    now += 5.0
    assert not has_ended(observer)
    now += 1.0
    assert has_ended(observer)
    session.close()
    gateway.close()
    first.close()


@needs_full_device
def test_a_lease_cannot_begin_if_its_file_cannot_be_written(url: str) -> None:
    first = server(url, "one")
    first.open()
    assert first.claimed is not None
    session = first.lease_session(3)
    assert session is not None
    lease = ServerLease(session, 3.0, Path("/dev/full"), lambda: True)
    reasons: list[str] = []

    with pytest.raises(Unavailable, match="cannot write /dev/full: No space left on device"):
        lease.begin(first.claimed.epoch, reasons.append)

    lease.end()
    assert not reasons
    first.close()


@needs_full_device
def test_a_lease_that_ends_because_its_file_cannot_be_written_names_the_file(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = server(url, "one")
    first.open()
    assert first.claimed is not None
    session = first.lease_session(3)
    assert session is not None
    path = tmp_path / "server.lease"
    lease = ServerLease(session, 1.0, path, lambda: True)
    reasons: Queue[str] = Queue()
    lease.begin(first.claimed.epoch, reasons.put)
    assert lease._file is not None
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, lease._file._descriptor)
    os.close(full)

    reason = reasons.get(timeout=10)

    assert f"{path} could not be written" in reason
    warning = f"cannot renew the server's lease: cannot write {path}: No space left on device"
    assert caplog.messages.count(warning) == 1
    lease.end()
    first.close()
