"""The list of servers that one user runs."""

import json
import os
import time
from pathlib import Path

import pytest

from orchestrator.cli.server.server_registry import ServerRegistry


@pytest.fixture
def servers(tmp_path: Path) -> ServerRegistry:
    return ServerRegistry({"XDG_STATE_HOME": str(tmp_path)})


def record(tmp_path: Path, name: str, **fields: object) -> None:
    """Write the record of a server, by default with the pid of this process's parent."""
    folder = tmp_path / "orchestrator/servers"
    folder.mkdir(parents=True, exist_ok=True)
    values = {"url": "http://localhost:1", "project": f"/{name}", "pid": os.getppid()}
    (folder / f"{name}.json").write_text(
        json.dumps({**values, "started_at": time.time(), **fields})
    )


def test_others_are_listed_by_project(servers: ServerRegistry, tmp_path: Path) -> None:
    record(tmp_path, "b")
    record(tmp_path, "a", url="https://host:2")
    servers.add("http://localhost:3", tmp_path, time.time())
    found = [(each.project, each.url) for each in servers.others()]
    assert found == [("/a", "https://host:2"), ("/b", "http://localhost:1")]


@pytest.mark.parametrize(
    "fields",
    [{"pid": 2**22 + 1}, {"started_at": 1.0}, {"url": "javascript:alert(1)"}, {"pid": "x"}],
)
def test_records_of_ended_servers_are_skipped(
    servers: ServerRegistry, tmp_path: Path, fields: dict[str, object]
) -> None:
    record(tmp_path, "a", **fields)
    assert list(servers.others()) == []


def test_a_stopped_server_removes_its_record(servers: ServerRegistry, tmp_path: Path) -> None:
    servers.add("http://localhost:3", tmp_path, time.time())
    assert len(list(tmp_path.rglob("*.json"))) == 1
    servers.remove()
    servers.remove()
    assert not list(tmp_path.rglob("*.json"))


def test_the_last_server_leaves_nothing_in_the_user_s_home(tmp_path: Path) -> None:
    servers = ServerRegistry({"HOME": str(tmp_path)})
    servers.add("http://localhost:3", tmp_path, time.time())
    servers.remove()
    assert not list(tmp_path.iterdir())


def test_directories_with_other_files_stay(tmp_path: Path) -> None:
    record(tmp_path / ".local/state", "a")
    servers = ServerRegistry({"HOME": str(tmp_path)})
    servers.add("http://localhost:3", tmp_path, time.time())
    servers.remove()
    assert [each.name for each in tmp_path.rglob("*.json")] == ["a.json"]


def test_a_record_that_cannot_be_removed_costs_nothing(
    servers: ServerRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    servers.add("http://localhost:3", tmp_path, time.time())
    monkeypatch.setattr(Path, "unlink", refuse)
    servers.remove()


def test_a_home_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    servers = ServerRegistry({"XDG_STATE_HOME": str(tmp_path / "file")})
    servers.add("http://localhost:3", tmp_path, time.time())
    servers.remove()
    assert list(servers.others()) == []
