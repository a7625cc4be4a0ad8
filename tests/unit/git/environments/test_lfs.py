"""Files of Git LFS, with the real git-lfs."""

import shlex
import shutil
from pathlib import Path

import pytest

from orchestrator.git import GitRepository, Landing
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = [pytest.mark.slow, pytest.mark.needs("git-lfs")]

BRANCH = "refs/heads/orchestrator/1/worker_1"
BIG = "content of a large file\n"


@pytest.fixture
def project(project: Project) -> Project:
    """A project with a remote that no command may call."""
    project.git("lfs", "install", "--local")
    project.git("config", "remote.origin.url", "http://127.0.0.1:9/nowhere.git")
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "a.bin": BIG})
    assert project.show("HEAD", "a.bin").startswith("version https://git-lfs")
    return project


def test_worktrees_have_the_content_and_changes_are_committed(
    project: Project, repository: GitRepository, directory: str
) -> None:
    before = project.snapshot()
    base = repository.base()
    assert base.note == ""
    repository.open_worktree(directory, BRANCH, base.commit)
    assert Path(directory, "a.bin").read_text() == BIG

    Path(directory, "b.bin").write_text("more\n")
    tip = repository.commit(directory, BRANCH, "work\n", WHO)
    repository.close_worktree(directory, BRANCH, WHO)

    assert project.snapshot() == before
    assert project.show(tip, "b.bin").startswith("version https://git-lfs")
    assert project.git("cat-file", "--filters", f"{tip}:b.bin") == "more"


def test_missing_content_stays_a_pointer_and_no_server_is_called(
    project: Project, repository: GitRepository, directory: str
) -> None:
    # Before the removal, because ``git status`` stores the objects of changed files again.
    base = repository.base()
    shutil.rmtree(project.path / ".git" / "lfs" / "objects")
    repository.open_worktree(directory, BRANCH, base.commit)
    assert Path(directory, "a.bin").read_text().startswith("version https://git-lfs")
    assert repository.commit(directory, BRANCH, "work\n", WHO) == repository.base().commit


def test_without_its_filter_pointers_stay_with_a_note(
    project: Project, repository: GitRepository, directory: str
) -> None:
    for name, value in {"process": "", "smudge": "", "clean": "", "required": "false"}.items():
        project.git("config", f"filter.lfs.{name}", value)
    base = repository.base()
    assert "git-lfs is not set up (git lfs install)" in base.note
    repository.open_worktree(directory, BRANCH, base.commit)
    assert Path(directory, "a.bin").read_text().startswith("version https://git-lfs")


def test_a_required_filter_without_its_program_stops_no_worker(
    project: Project,
    repository: GitRepository,
    directory: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The filter is required, for example after ``git lfs install`` on another machine."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(programs))
    assert project.git("config", "filter.lfs.required") == "true"

    base = repository.base()
    repository.open_worktree(directory, BRANCH, base.commit)
    Path(directory, "notes.txt").write_text("more\n")
    tip = repository.commit(directory, BRANCH, "work\n", WHO)

    assert "git-lfs is not installed here" in base.note
    assert project.show(tip, "a.bin").startswith("version https://git-lfs")
    assert project.show(tip, "notes.txt") == "more"


def test_copied_files_have_their_content_or_are_rejected(
    project: Project, repository: GitRepository, directory: str
) -> None:
    base = repository.base().commit
    repository.open_worktree(directory, BRANCH, base)
    for name in ("a.bin", "b.bin"):
        Path(directory, name).write_text(f"new {name}\n")
    tip = repository.commit(directory, BRANCH, "work\n", WHO)
    repository.set_ref("refs/heads/orchestrator/1/result", tip)
    repository.set_ref("refs/orchestrator/1/base/1", base)
    landing = Landing(project.path, "1", "1")

    found = {each.path: content for each, content in landing.changed()}

    assert found["a.bin"]() == b"new a.bin\n"
    shutil.rmtree(project.path / ".git" / "lfs" / "objects")
    with pytest.raises(OSError, match="was not fetched"):
        found["b.bin"]()


@pytest.mark.parametrize(
    "sets",
    [
        ["config --remove-section filter.lfs"],
        ["config filter.lfs.clean cat", "config filter.lfs.process ''"],
    ],
)
def test_a_worker_that_removes_the_filter_does_not_commit_contents(
    project: Project, repository: GitRepository, directory: str, sets: list[str]
) -> None:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    for each in sets:
        project.git(*shlex.split(each))

    Path(directory, "b.bin").write_text("more\n")
    tip = repository.commit(directory, BRANCH, "work\n", WHO)

    assert project.show(tip, "b.bin").startswith("version https://git-lfs")


def test_a_filter_that_a_worker_adds_is_none_for_the_others(
    project: Project, repository: GitRepository, directory: str
) -> None:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    project.git("config", "filter.mine.clean", "false")
    project.git("config", "filter.mine.required", "true")
    project.write(".git/info/attributes", "*.txt filter=mine\n")

    Path(directory, "b.txt").write_text("more\n")
    tip = repository.commit(directory, BRANCH, "work\n", WHO)

    assert project.show(tip, "b.txt") == "more"
    repository.close_worktree(directory, BRANCH, WHO)
    repository.open_worktree(directory, BRANCH, tip)
    assert Path(directory, "b.txt").read_text() == "more\n"
