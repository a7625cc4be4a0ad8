"""Named pipes at paths that git or the product reads do not block reads."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from orchestrator.git.command import fifo_guard, runner
from tests.support.examples import nightly
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"
OTHER = "refs/heads/orchestrator/1/worker_2"
WITHIN = 20.0

#: Paths of the pipes: in the worktree, in the worktree's git directory, and in the repository.
IN_THE_FILES = (".gitignore", "dir/.gitattributes", "new/.gitignore", ".gitmodules", ".git")
IN_ITS_PART = (
    "gitdir",
    "commondir",
    "HEAD",
    "index",
    "logs/HEAD",
    "orchestrator-carried",
    "rebase-merge/orig-head",
    "MERGE_HEAD",
    "info/sparse-checkout",
)
IN_THE_REPOSITORY = (BRANCH, f"logs/{BRANCH}")


@pytest.fixture
def worktree_path(
    repository: GitRepository, directory: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    monkeypatch.setattr(runner, "PAUSES", (0.1,) * 200)
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    yield Path(directory)


def in_time(act: Callable[[], str]) -> str:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(act).result(WITHIN)
    finally:
        pool.shutdown(wait=False)


def put_pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def committed(repository: GitRepository, directory: Path) -> str:
    """Commit as after an attempt, and open and remove another worktree."""
    start = repository.base().commit
    beside = f"{directory}-2"
    repository.open_worktree(beside, OTHER, start)
    repository.repair_worktree(str(directory), BRANCH, start)
    repository.commit_ignored(str(directory), "Ignored\n", WHO)
    done = repository.commit(str(directory), BRANCH, "What it did\n", WHO)
    repository.close_worktree(beside, OTHER, WHO)
    return done


@pytest.mark.parametrize("name", [*IN_THE_FILES, *IN_ITS_PART, BRANCH, *nightly(f"logs/{BRANCH}")])
def test_a_planted_pipe_blocks_no_commit_and_loses_no_work(
    project: Project, repository: GitRepository, worktree_path: Path, name: str
) -> None:
    common = project.path / ".git"
    admin = common / "worktrees" / worktree_path.name
    places = {**dict.fromkeys(IN_ITS_PART, admin), **dict.fromkeys(IN_THE_REPOSITORY, common)}
    (worktree_path / "made.txt").write_text("x\n")
    (worktree_path / "a.txt").write_text("changed\n")
    put_pipe(places.get(name, worktree_path) / name)

    commit = in_time(lambda: committed(repository, worktree_path))

    assert project.show(commit, "made.txt") == "x"
    assert project.show(commit, "a.txt") == "changed"
    assert project.show(commit, "dir/b.txt") == "b"


@pytest.mark.parametrize("name", ["index", "logs/HEAD", "MERGE_HEAD", "gitdir", BRANCH])
def test_a_planted_link_to_a_pipe_blocks_no_commit(
    project: Project,
    repository: GitRepository,
    worktree_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
) -> None:
    common = project.path / ".git"
    place = (common if name == BRANCH else common / "worktrees" / worktree_path.name) / name
    pipe = tmp_path_factory.mktemp("elsewhere") / "pipe"
    os.mkfifo(pipe)
    (worktree_path / "made.txt").write_text("x\n")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(pipe)

    commit = in_time(lambda: committed(repository, worktree_path))

    assert project.show(commit, "made.txt") == "x"
    assert pipe.is_fifo(), "only the link is removed"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipe_or_socket_in_place_of_a_file_counts_as_its_removal(
    project: Project,
    repository: GitRepository,
    worktree_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (worktree_path / "new.txt").touch()
    (worktree_path / "a.txt").unlink()
    if kind == "pipe":
        os.mkfifo(worktree_path / "a.txt")
    else:
        monkeypatch.chdir(worktree_path)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("a.txt")

    tip = repository.commit(str(worktree_path), BRANCH, "What it did\n", WHO)

    assert project.files(tip) == ["dir/b.txt", "new.txt"]
    assert os.path.lexists(worktree_path / "a.txt-1")
    repository.close_worktree(str(worktree_path), BRANCH, WHO)
    assert project.worktrees() == []


def test_a_process_that_opens_a_pipe_during_its_removal_does_not_block(tmp_path: Path) -> None:
    """Open the pipe in several processes, so that some open it just before its removal."""
    pipe = tmp_path / "MERGE_HEAD"
    script = (
        "import os, sys\n"
        "while not os.path.exists(sys.argv[2]):\n"
        "    try: os.close(os.open(sys.argv[1], os.O_RDONLY))\n"
        "    except FileNotFoundError: pass\n"
    )
    command = [sys.executable, "-S", "-c", script, str(pipe), str(tmp_path / "enough")]
    readers = [subprocess.Popen(command) for _ in range(2)]
    try:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            os.mkfifo(pipe)
            fifo_guard.clear(tmp_path)
        (tmp_path / "enough").touch()
        assert [each.wait(WITHIN) for each in readers] == [0, 0]
    finally:
        for each in readers:
            each.kill()
            each.wait()


def test_a_pipe_of_the_user_stays(project: Project, repository: GitRepository) -> None:
    put_pipe(project.path / "fifo")
    put_pipe(project.path / "dir" / ".gitfifo")

    runner.fifo_guard.unblock(str(project.path), {})

    assert (project.path / "fifo").is_fifo() and (project.path / "dir" / ".gitfifo").is_fifo()


def test_the_input_of_git_is_sent_once_even_if_git_reads_late(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git waits one second for this lock before it reads more input."""
    monkeypatch.setattr(runner, "PAUSES", (0.0, *(0.05,) * 400))
    head = project.git("rev-parse", "HEAD").strip()
    project.git("pack-refs", "--all")
    lock = project.path / ".git" / "packed-refs.lock"
    lock.touch()
    lines = "".join(f"delete refs/heads/gone-{number}\n" for number in range(5000))
    commands = f"start\nupdate refs/heads/main {head}\n{lines}prepare\nabort\n".encode()
    with pytest.raises(RepositoryError, match=r"packed-refs\.lock"):
        runner.Git(str(project.path), {}).run("update-ref", "--stdin", stdin=commands)
