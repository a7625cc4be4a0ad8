"""Jobs while another program locks the file of SQLite."""

import sqlite3
import time

import pytest

from tests.integration.conftest import MakeSite
from tests.integration.site import shell, until


def test_a_locked_file_is_named_by_health_and_holds_up_no_read(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.database.connections.LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr("orchestrator.engine.supervisor.supervisor.CALL_TIMEOUT_SECONDS", 1.0)
    site = make_site()
    ended = site.run("one", [shell("true")])["job_id"]
    path = site.manager.parts.store.file
    assert path is not None
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    begun = time.monotonic()
    refused = site.post("two", [shell("true")])

    assert refused.status_code == 503
    assert f"{path} is locked by another program; stop that program" in refused.json()["detail"]
    detail = refused.json()["detail"]
    assert detail.endswith("; before you repeat it, list the jobs: bin/orchestrator jobs"), detail
    assert time.monotonic() - begun < 10
    health = site.manager.service.server_status.health()
    assert "locked by another program" in str(health.checks["store"])
    begun = time.monotonic()
    assert site.status(ended)["status"] == "completed"
    assert time.monotonic() - begun < 3
    other.execute("ROLLBACK")
    other.close()
    until(lambda: site.manager.service.server_status.health().ready, "it is ready again")
    assert site.run("three", [shell("true")])["status"] == "completed"
