"""What only a database on a server can suffer: lost connections."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine, text

from orchestrator.core.errors import StoreError
from orchestrator.core.ports import Change
from orchestrator.store import SqlStore
from tests.contract.store_adapters import database
from tests.contract.store_values import a_job, an_event

CUT_OTHERS_OFF = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


def cut_off(url: str) -> None:
    """What a restart of the server does to every connection."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(CUT_OTHERS_OFF)


def test_a_lost_connection_fails_one_save_and_no_read(url: str) -> None:
    store = SqlStore(url)
    store.open()
    store.save(Change(new_jobs=[a_job()]))
    assert store.job("a") == a_job()

    cut_off(url)

    assert store.job("a") == a_job()
    with pytest.raises(StoreError):
        store.save(Change(new_jobs=[a_job("b")]))
    store.save(Change(new_jobs=[a_job("b")]))
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

    change = Change(new_jobs=[a_job()], events=[an_event(a_job(), 1)])
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", committed_but_cut_off)
        with pytest.raises(StoreError):
            store.save(change)

    store.save(change)
    store.save(Change(events=[an_event(a_job(), 2)]))
    assert [event.seq for event in store.events("a", 0, 10)] == [1, 2]
    store.close()


def test_a_change_whose_commit_never_came_is_stored(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(url)
    store.open()
    change = Change(new_jobs=[a_job()], events=[an_event(a_job(), 1)])

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
