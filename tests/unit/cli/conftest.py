"""A fake server, and commands that use only this server."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from tests.unit.cli.fake_api import KEY, FakeApi, running

#: Runs one command in this process, and returns the exit code.
Orchestrator = Callable[..., int]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running(FakeApi()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the product with a key, but without a server."""
    folder = tmp_path / "the product"
    (folder / "workspace").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"api:\n  api_key: {KEY}\n")
    (folder / "config.yaml").chmod(0o600)
    return folder


@pytest.fixture
def environ() -> dict[str, str]:
    """Return the environment without variables that name another server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}


@pytest.fixture
def orchestrator(folder: Path, environ: dict[str, str]) -> Orchestrator:
    def run(*arguments: str, **variables: str) -> int:
        where = CliContext(folder=folder, environ={**environ, **variables})
        return execute(arguments, where)

    return run


@pytest.fixture
def served(folder: Path, api: FakeApi) -> FakeApi:
    """Record the fake server as the folder's running server."""
    record = f'{{"url": "{api.url}", "pid": {os.getpid()}, "started_at": 9999999999}}'
    (folder / "workspace" / "server.json").write_text(record)
    return api
