"""Faults of a PostgreSQL database, such as lost connections."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, inspect, make_url, text

from orchestrator.core.errors import StoreAway, StoreError
from orchestrator.core.ports import StateChange
from orchestrator.store import SqlStore
from orchestrator.store.database import postgresql
from tests.contract.store_adapters import administer, database
from tests.contract.store_values import a_job, a_worker, an_attempt, an_event
from tests.faults.gateway import Gateway
from tests.integration.site import until

CUT_OTHERS_OFF = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


def cut_off(url: str) -> None:
    """Break every connection, as a restart of the database does."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(CUT_OTHERS_OFF)


def test_a_lost_connection_fails_one_save_and_no_read(url: str) -> None:
    store = SqlStore(url)
    store.open()
    store.save(StateChange(new_jobs=[a_job()]))
    assert store.job("a") == a_job()

    cut_off(url)

    assert store.job("a") == a_job()
    with pytest.raises(StoreError):
        store.save(StateChange(new_jobs=[a_job("b")]))
    store.save(StateChange(new_jobs=[a_job("b")]))
    assert store.job("b") == a_job("b")
    store.close()


def test_a_change_whose_commit_was_not_answered_is_not_stored_twice(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(url)
    store.open()
    commit = psycopg.Connection.commit

    def committed_but_cut_off(connection: psycopg.Connection[Any]) -> None:
        commit(connection)
        raise psycopg.OperationalError("the connection is lost")

    change = StateChange(new_jobs=[a_job()], events=[an_event(a_job(), 1)])
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", committed_but_cut_off)
        with pytest.raises(StoreError):
            store.save(change)

    store.save(change)
    store.save(StateChange(events=[an_event(a_job(), 2)]))
    assert [event.seq for event in store.events("a", 0, 10)] == [1, 2]
    store.close()


def test_a_change_whose_commit_never_came_is_stored(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(url)
    store.open()
    change = StateChange(new_jobs=[a_job()], events=[an_event(a_job(), 1)])

    def cut_off_before(connection: psycopg.Connection[Any]) -> None:
        connection.close()
        raise psycopg.OperationalError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", cut_off_before)
        with pytest.raises(StoreError):
            store.save(change)
    assert store.events("a", 0, 10) == []

    store.save(change)
    assert [event.seq for event in store.events("a", 0, 10)] == [1]
    store.close()


#: A slow commit, as with a slow disk or a standby server.
SLOW_COMMIT = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION slowly()
"""


def succeeds(call: Callable[[], object]) -> bool:
    with suppress(StoreError):
        call()
        return True
    return False


def saved(store: SqlStore, change: StateChange) -> bool:
    return succeeds(lambda: store.save(change))


@pytest.fixture
def gateway(url: str) -> Iterator[Gateway]:
    server = make_url(url)
    gateway = Gateway(server.host or "127.0.0.1", server.port or 5432)
    yield gateway
    gateway.close()


def through(gateway: Gateway, url: str) -> str:
    way = make_url(url).set(host="127.0.0.1", port=gateway.port)
    return way.render_as_string(hide_password=False)


def test_a_change_whose_commit_is_still_under_way_is_not_stored_twice(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(url, alone=True)
    store.open()
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as own:
        own.execute(SLOW_COMMIT)
    commit = psycopg.Connection.commit

    def cut_off_during(connection: psycopg.Connection[Any]) -> None:
        """Break the connection after the request, so that the answer is lost."""
        connection.pgconn.send_query(b"COMMIT")
        with closing(socket.socket(fileno=os.dup(connection.pgconn.socket))) as end:
            end.shutdown(socket.SHUT_RDWR)
        commit(connection)

    change = StateChange(new_jobs=[a_job()], events=[an_event(a_job(), 1)])
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", cut_off_during)
        assert not saved(store, change)

    until(lambda: saved(store, change), "it is stored")
    store.save(StateChange(events=[an_event(a_job(), 2)]))
    assert [event.seq for event in store.events("a", 0, 10)] == [1, 2]
    store.close()


def test_one_server_at_a_time_has_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.database.postgresql.PREDECESSOR_SECONDS", 0.2)
    first, second = SqlStore(url, alone=True), SqlStore(url, alone=True)
    first.open()

    with pytest.raises(StoreError, match="another server"):
        second.open()
    cut_off(url)
    until(lambda: saved(first, StateChange(new_jobs=[a_job()])), "it takes it again")
    with pytest.raises(StoreError, match="another server"):
        second.open()

    first.close()
    second.open()
    assert second.job("a") == a_job()
    second.close()


def test_a_table_that_is_locked_holds_up_nothing_for_long(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database.postgresql.LOCK_SECONDS", 0.2)
    store = SqlStore(url, alone=True)
    store.open()
    change = StateChange(new_jobs=[a_job()], events=[an_event(a_job(), 1)])
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as own:
        own.execute("LOCK TABLE jobs, events IN ACCESS EXCLUSIVE MODE")
        for call in (lambda: store.save(change), lambda: store.events("a", 0, 10)):
            with pytest.raises(StoreAway, match="lock timeout"):
                call()

    store.save(change)
    assert [event.seq for event in store.events("a", 0, 10)] == [1]
    store.close()


def test_options_of_the_url_count(url: str) -> None:
    store = SqlStore(f"{url}?options=-c%20lock_timeout%3D123")
    store.open()
    with store._opened().writer.begin() as step:
        assert step.connection.exec_driver_sql("SHOW lock_timeout").scalar() == "123ms"
    store.close()


def test_a_database_whose_tables_cannot_be_created_is_not_writable(url: str) -> None:
    store = SqlStore(f"{url}?options=-c%20search_path%3Dmissing")
    with pytest.raises(StoreError, match="no schema has been selected to create in"):
        store.check_writable()

    with create_engine(url, poolclass=NullPool).connect() as own:
        SqlStore(url).check_writable()
        assert inspect(own).get_table_names() == [], "the check leaves nothing"
        own.execute(text("CREATE TABLE jobs (other INTEGER)"))
        own.commit()
    with pytest.raises(StoreError, match='"jobs" already exists'):
        SqlStore(url).check_writable()


def test_text_is_stored_whatever_encoding_the_client_is_set_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    job = replace(a_job(), request="日本 → ok")
    store = SqlStore(url)
    store.open()

    store.save(StateChange(new_jobs=[job]))

    assert store.job("a") == job
    store.close()


def test_a_database_that_cannot_store_all_text_is_refused(url: str) -> None:
    name = f"orchestrator_test_{secrets.token_hex(6)}"
    administer(url, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    store = SqlStore(make_url(url).set(database=name).render_as_string(hide_password=False))
    try:
        for call in (store.open, store.check_writable):
            with pytest.raises(StoreError, match=r"has the encoding LATIN1; .* --encoding=UTF8"):
                call()
    finally:
        administer(url, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_server_waits_until_its_lost_connection_is_closed(url: str) -> None:
    store = SqlStore(url, alone=True)
    store.open()
    plain = make_url(url).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain, autocommit=True) as former:
        former.execute(str(CUT_OTHERS_OFF))
        found = former.execute(postgresql._ACQUIRE, (postgresql._KEY,)).fetchone()
        assert found == (True,)

        with pytest.raises(StoreError):
            store.save(StateChange(new_jobs=[a_job()]))
        with pytest.raises(StoreAway, match="has not closed this server's former connection"):
            store.save(StateChange(new_jobs=[a_job()]))

    until(lambda: succeeds(lambda: store.save(StateChange(new_jobs=[a_job()]))), "the lock is free")
    store.close()


def test_a_statement_does_not_wait_long_for_a_host_that_acknowledges_no_packet(url: str) -> None:
    store = SqlStore(url)
    store.open()
    with store._opened().writer.begin() as step:
        driver: Any = step.connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as own:
            milliseconds = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert milliseconds == 25_000
    store.close()


def test_every_call_fails_while_the_database_is_away_and_succeeds_afterwards(
    url: str, gateway: Gateway
) -> None:
    store = SqlStore(through(gateway, url), alone=True)
    store.open()
    worker = a_worker(a_job())
    change = StateChange(
        new_jobs=[a_job()], new_workers=[worker], new_attempts=[an_attempt(worker)], events=[]
    )
    store.save(change)
    calls = (
        lambda: store.take_leases(an_attempt(worker), ["db"], 5.0),
        lambda: store.end_leases(worker.key, ["other"]),
        lambda: store.forget(["none"]),
        lambda: store.save(StateChange(events=[an_event(a_job(), 1)])),
        lambda: store.events("a", 0, 10),
    )
    for call in calls:
        with gateway.closed():
            # Twice: on the second call, the lost connection is known.
            for _ in range(2):
                with pytest.raises(StoreError):
                    call()
        until(lambda call=call: succeeds(call), "it works again")

    assert [lease.name for lease in store.leases()] == ["db"]
    store.close()
