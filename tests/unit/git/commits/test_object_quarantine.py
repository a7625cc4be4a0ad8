"""Files that are not committed take no space in the user's repository."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.git import CopyRules, GitRepository, NeverCommit
from tests.support.project import Project
from tests.unit.git.conftest import WHO

BRANCH = "refs/heads/orchestrator/1/worker_1"
RULES = CopyRules(never=NeverCommit(patterns=("node_modules/",), over=1000), derive=False)
KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.core import failpoints
from tests.unit.git.conftest import WHO
from tests.unit.git.commits.test_object_quarantine import BRANCH, of
from tests.support.project import Project
point = "worktree: objects written"
failpoints.arm(lambda name: name == point and os.kill(os.getpid(), signal.SIGKILL))
of(Project(Path(sys.argv[1]))).commit(sys.argv[2], BRANCH, "work", WHO)
"""


@pytest.fixture
def repository(project: Project) -> GitRepository:
    return of(project)


def of(project: Project) -> GitRepository:
    product = project.path / "product"
    (product / "workspace").mkdir(parents=True, exist_ok=True)
    return GitRepository(project.path, product / "workspace", product, RULES)


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    return Path(directory)


def write(worktree: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        path = worktree / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def committed(repository: GitRepository, worktree: Path) -> list[str]:
    tip = repository.commit(str(worktree), BRANCH, "work\n", WHO)
    return list(repository.changed_paths(repository.base().commit, tip))


def in_repository(project: Project, path: Path) -> bool:
    name = project.git("hash-object", str(path)).strip()
    command = ["git", "cat-file", "-e", name]
    return subprocess.run(command, cwd=project.path, capture_output=True).returncode == 0


def packs_over(project: Project, size: str) -> None:
    project.git("config", "core.bigFileThreshold", size)


def leftovers(project: Project) -> list[Path]:
    return list((project.path / ".git").rglob("orchestrator-objects-*"))


def check(project: Project) -> None:
    assert "missing" not in project.git("fsck", "--connectivity-only")


@pytest.mark.slow
@pytest.mark.parametrize("packed", ["512m", "1k"])
def test_held_back_files_leave_no_object(
    project: Project, repository: GitRepository, worktree: Path, packed: str
) -> None:
    packs_over(project, packed)
    big, held, new = os.urandom(5000), os.urandom(5000), os.urandom(500)
    write(worktree, big=big, node_modules__a=held, new=new)

    assert committed(repository, worktree) == ["new"]

    assert not in_repository(project, worktree / "big")
    assert not in_repository(project, worktree / "node_modules/a")
    assert in_repository(project, worktree / "new")
    assert leftovers(project) == []
    # Even if the files are read a second time.
    repository.snapshot(str(worktree), "seen", WHO)
    assert committed(repository, worktree) == ["new"]
    assert not in_repository(project, worktree / "big")
    check(project)


@pytest.mark.slow
@pytest.mark.parametrize("packed", ["512m", "1k"])
def test_content_that_is_held_back_and_committed_is_committed(
    project: Project, repository: GitRepository, worktree: Path, packed: str
) -> None:
    packs_over(project, packed)
    same = os.urandom(5000)
    write(worktree, big=same, a=b"a", promised=same)

    tip = repository.commit(str(worktree), BRANCH, "work\n", WHO, ["promised"])

    assert project.files(tip)[-1] == "promised" and "big" not in project.files(tip)
    check(project)


def test_files_that_are_hidden_during_a_job_are_committed_and_held_back_files_are_not(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    write(worktree, big=os.urandom(5000), hidden=b"x")
    exclude = project.path / ".git" / "info" / "exclude"
    exclude.write_text("hidden\n")
    os.utime(exclude, ns=(2**62, 2**62))

    assert committed(repository, worktree) == ["hidden"]

    assert not in_repository(project, worktree / "big")
    check(project)


@pytest.mark.slow
def test_a_killed_commit_leaves_nothing_once_it_was_repeated(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    write(worktree, big=os.urandom(5000), new=os.urandom(500), dir__new=os.urandom(500))
    command = [sys.executable, "-c", KILLED, str(project.path), str(worktree)]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert leftovers(project)

    # Reading the files also removes it.
    repository.snapshot(str(worktree), "seen", WHO)
    assert committed(repository, worktree) == ["dir/new", "new"]

    assert leftovers(project) == []
    assert not in_repository(project, worktree / "big")
    check(project)


def test_a_commit_in_a_project_whose_name_git_would_split(tmp_path: Path) -> None:
    project = Project(tmp_path / 'a:"b\\').begin({"a.txt": "one\n"})
    repository = of(project)
    directory = project.path / "product/workspace/job_1/d/worker_1/worktree"
    directory.parent.mkdir(parents=True)
    repository.open_worktree(str(directory), BRANCH, repository.base().commit)
    write(directory, new=b"new")

    assert committed(repository, directory) == ["new"]

    check(project)


def test_a_repository_that_cannot_be_written_to_is_named(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    project.git("gc", "-q")
    for number in range(256):
        (project.path / ".git" / "objects" / f"{number:02x}").write_text("no directory")
    write(worktree, new=b"new")

    with pytest.raises(RepositoryError, match=r"cannot write new objects.*objects/"):
        committed(repository, worktree)

    assert leftovers(project) == []


def test_garbage_collection_while_objects_are_written_loses_none(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    write(worktree, new=b"new\n")
    collected = []

    def collect(name: str) -> None:
        if name == "worktree: objects written":
            collected.append(project.git("gc", "--quiet"))

    failpoints.arm(collect)
    try:
        files = committed(repository, worktree)
    finally:
        failpoints.arm(None)

    assert (collected, files) == ([""], ["new"])
    assert Project(worktree).git("status", "--porcelain") == ""
    check(project)
