"""The home of a command: its directory, and the settings that it may use."""

import os
from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.security.files import orchestrator_home
from orchestrator.security.files.product_files import FOLDER, product_file


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator_home, "IS_INSTALLED", True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "shop"
    (top / "src" / "api").mkdir(parents=True)
    (top / ".git").mkdir()
    (top / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    monkeypatch.chdir(top / "src" / "api")
    return top


def test_in_the_portable_folder_the_home_is_the_folder(repository: Path) -> None:
    assert orchestrator_home.home_here({orchestrator_home.VARIABLE: str(repository)}) == FOLDER
    assert not orchestrator_home.is_home(FOLDER, {orchestrator_home.VARIABLE: str(FOLDER)})


@pytest.mark.usefixtures("installed")
def test_an_installed_command_uses_the_home_of_the_repository(repository: Path) -> None:
    found = orchestrator_home.home_here({})
    assert found == repository / ".orchestrator" / "local" and orchestrator_home.is_home(found, {})
    assert not found.exists()


@pytest.mark.usefixtures("installed")
def test_a_named_home_comes_first(repository: Path, tmp_path: Path) -> None:
    named = {orchestrator_home.VARIABLE: str(tmp_path / "elsewhere")}
    assert orchestrator_home.home_here(named) == tmp_path / "elsewhere"
    assert orchestrator_home.is_home(tmp_path / "elsewhere", named)


@pytest.mark.usefixtures("installed")
def test_below_a_home_it_is_found_although_worktrees_are_repositories(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = orchestrator_home.local_home(repository)
    worktree = own / "workspace" / "job_1" / "depth_0" / "worker_1"
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text("gitdir: elsewhere\n")
    (own / "config.yaml").write_text("")
    monkeypatch.chdir(worktree)
    assert orchestrator_home.home_here({}) == own


@pytest.mark.usefixtures("installed")
def test_without_a_repository_the_home_is_in_the_nearest_directory_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes" / "old").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notes" / "old")
    assert orchestrator_home.home_here({}) == orchestrator_home.local_home(
        tmp_path / "notes" / "old"
    )
    orchestrator_home.local_home(tmp_path / "notes").mkdir(parents=True)
    (orchestrator_home.local_home(tmp_path / "notes") / "config.yaml").write_text("")
    assert orchestrator_home.home_here({}) == orchestrator_home.local_home(tmp_path / "notes")


def test_a_home_that_others_may_have_made_is_refused(tmp_path: Path) -> None:
    orchestrator_home.check_private(tmp_path / "missing")
    own = tmp_path / "local"
    own.mkdir(mode=0o700)
    orchestrator_home.check_private(own)
    own.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        orchestrator_home.check_private(own)
    (tmp_path / "link").symlink_to(own)
    with pytest.raises(ConfigError, match="not a directory"):
        orchestrator_home.check_private(tmp_path / "link")


def test_product_files_of_a_checkout_are_next_to_the_package() -> None:
    assert product_file("config.template.yaml").is_file()
    assert os.fspath(product_file("skills")) == f"{FOLDER}/skills"
