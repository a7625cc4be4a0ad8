"""New worktrees reuse the files of closed worktrees. Reused files equal newly written files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.worktrees import pool, worktrees
from tests.integration.site import until
from tests.support.crashing import Crash, crash_at
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

Open = Callable[[int], Path]


@pytest.fixture(autouse=True)
def small_trees_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LEAST_INDEX_BYTES", 1)


@pytest.fixture
def job(project: Project) -> Path:
    return project.path / "product" / "workspace" / "job_1"


@pytest.fixture
def opened(repository: GitRepository, job: Path) -> Open:
    def make(number: int, start: str = "") -> Path:
        holder = job / f"worker_{number}"
        holder.mkdir(parents=True, exist_ok=True)
        branch = f"refs/heads/orchestrator/1/worker_{number}"
        start = start or repository.base().commit
        repository.open_worktree(str(holder / "worktree"), branch, start)
        return holder / "worktree"

    return make


def close(repository: GitRepository, directory: Path) -> None:
    branch = f"refs/heads/orchestrator/1/{directory.parent.name}"
    repository.close_worktree(str(directory), branch, WHO)


def spoil(directory: Path) -> None:
    """Changes of agents that are hard to detect."""
    at = (directory / "a.txt").stat()
    (directory / "a.txt").write_text("ONE\ntwo\nthree\n")
    os.utime(directory / "a.txt", ns=(at.st_atime_ns, at.st_mtime_ns))
    (directory / "dir" / "b.txt").chmod(0o600)
    os.link(directory / "dir" / "b.txt", directory / "dir" / "second name")
    (directory / ".gitignore").write_text("*.log\n")
    (directory / "x.log").touch()
    (directory / "empty").mkdir()
    Project(directory / "nested").begin({"n.txt": "n\n"})
    git = Project(directory)
    git.git("update-index", "--assume-unchanged", "a.txt")
    git.git("update-index", "--skip-worktree", "dir/b.txt")
    git.git("config", "core.trustctime", "false")


def file_states(directory: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        at = path.lstat()
        if path.name != ".git":
            text = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(directory))] = (oct(at.st_mode), at.st_nlink, text)
    return {name: each for name, each in found.items() if not Path(directory / name).is_dir()}


def test_a_spare_worktree_equals_a_new_one(
    project: Project, repository: GitRepository, opened: Open, job: Path
) -> None:
    project.git("config", "core.trustctime", "false")
    expected = file_states(opened(1))
    first = opened(2)
    untouched = (first.parent / "worktree" / "dir").stat().st_ino
    # git compares whole seconds.
    until(lambda: int(time.time()) > (first / "a.txt").stat().st_mtime, "a second is over")
    spoil(first)
    close(repository, first)
    assert not first.exists() and len(list((job / pool.DIRECTORY).iterdir())) == 1

    second = opened(3)

    assert file_states(second) == expected
    assert (second / "dir").stat().st_ino == untouched, "the spare worktree was not reused"
    assert Project(second).git("status", "--porcelain", "--ignored") == ""
    assert Project(second).git("ls-files", "-v").split("\n") == ["H a.txt", "H dir/b.txt"]


def test_a_crash_while_a_spare_worktree_is_reused_loses_no_file(
    repository: GitRepository, opened: Open, job: Path
) -> None:
    expected = file_states(opened(1))
    for number in (2, 3):
        close(repository, opened(number))
    with crash_at(1, "worktree: spare worktree used"), pytest.raises(Crash):
        opened(4)
    count = len(list((job / pool.DIRECTORY).iterdir()))

    again = opened(4)

    assert file_states(again) == expected
    assert Project(again).git("status", "--porcelain", "--ignored") == ""
    assert count < 2, "a spare worktree was being created"


def test_a_spare_worktree_starts_at_the_requested_commit(
    project: Project, repository: GitRepository, opened: Callable[..., Path]
) -> None:
    first = opened(1)
    project.commit({"a.txt": "later\n"}, "later")
    later = project.git("rev-parse", "HEAD")
    close(repository, first)
    second = opened(2, later)
    assert (second / "a.txt").read_text() == "later\n"
    assert Project(second).git("rev-parse", "HEAD") == later


@pytest.mark.parametrize("what", ["config", "attributes", "closed directory"])
def test_a_spare_worktree_that_may_not_fit_is_recreated(
    project: Project, repository: GitRepository, opened: Callable[..., Path], what: str
) -> None:
    first = opened(1)
    start = project.git("rev-parse", "HEAD")
    if what == "config":
        project.git("config", "core.eol", "crlf")
    elif what == "attributes":
        project.commit({".gitattributes": "*.txt eol=crlf\n"}, "attributes")
        start = project.git("rev-parse", "HEAD")
    else:
        (first / "dir").chmod(0o500)
    close(repository, first)
    second = opened(2, start)
    assert (second / "dir" / "b.txt").read_bytes().rstrip() == b"b"
    assert (second / "dir").stat().st_mode & 0o700 == 0o700
    if what == "attributes":
        assert (second / "a.txt").read_bytes().count(b"\r\n") == 3
    assert Project(second).git("status", "--porcelain") == ""


def test_spare_worktrees_are_few_and_are_removed_with_the_job(
    repository: GitRepository, opened: Open, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST", 2)
    for directory in [opened(number) for number in range(4)]:
        close(repository, directory)
    assert len(list((job / pool.DIRECTORY).iterdir())) == 2
    repository.remove_spare_worktrees(str(job))
    repository.remove_spare_worktrees(str(job))
    assert not (job / pool.DIRECTORY).exists()


def test_small_trees_are_not_worth_it(
    repository: GitRepository, opened: Open, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LEAST_INDEX_BYTES", 256 * 1024)
    close(repository, opened(1))
    assert not (job / pool.DIRECTORY).exists()


def test_a_crash_on_the_way_leaves_nothing_half(
    repository: GitRepository, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(repository, opened(1))

    def crash(git: object, start: str) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(worktrees, "restore", crash)
        opened(2)

    again = opened(2)
    assert (again / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert Project(again).git("status", "--porcelain") == ""
