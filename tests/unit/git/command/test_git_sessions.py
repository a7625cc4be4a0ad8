"""git sessions give the same answers as a new git process for each request."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git.command import git_config, ref_files
from orchestrator.git.command.git_sessions import IDLE_SECONDS, SESSIONS, shared_part
from orchestrator.git.command.runner import Git
from tests.support.project import Project


@pytest.fixture
def git(project: Project) -> Git:
    return Git(str(project.path), {})


def _by_itself(git: Git, name: str) -> str:
    return git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name).split("\n")[-1]


def test_names_are_resolved_as_by_a_process_for_each(git: Git, project: Project) -> None:
    project.git("branch", "side")
    project.git("tag", "-a", "-m", "x", "annotated")
    commit = project.git("rev-parse", "HEAD")
    names = [
        *("HEAD", "HEAD^{commit}", "HEAD^{tree}", "HEAD:a.txt", "HEAD:dir", "HEAD:no such file"),
        *("refs/heads/side", "refs/heads/none", "side", "annotated", "annotated^{commit}"),
        *(commit, commit[:10], f"{commit}^", f"{commit}:dir/b.txt", "HEAD@{0}", "-x", "--all"),
        *("blob 5 missing", "a\nb", "HEADS", f"{commit} commit 5"),
    ]
    assert [git.resolve(each) for each in names] == [_by_itself(git, each) for each in names]


def test_the_head_of_a_worktree_is_its_own(git: Git, project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    project.git("commit", "-q", "--allow-empty", "-m", "second")
    place = {"GIT_DIR": str(project.path / ".git/worktrees/side"), "GIT_WORK_TREE": "/"}
    inside, linked = Git(str(tmp_path / "side"), place), Git(str(tmp_path / "side"), {})
    first = project.git("rev-parse", "side")
    assert inside.resolve("HEAD") == linked.resolve("HEAD") == first != git.resolve("HEAD")


def test_changes_by_other_processes_are_seen(git: Git, project: Project) -> None:
    assert git.resolve("refs/heads/new") == ""
    project.git("branch", "new")
    first = git.resolve("refs/heads/new")
    project.git("pack-refs", "--all")
    project.git("commit", "-q", "--allow-empty", "-m", "second")
    project.git("gc", "-q", "--prune=now")
    assert git.resolve("refs/heads/new") == first == project.git("rev-parse", "new")
    assert git.resolve("HEAD") == project.git("rev-parse", "HEAD") != first
    project.git("branch", "-D", "new")
    assert git.resolve("refs/heads/new") == ""


def test_a_repository_that_was_replaced_is_read_again(git: Git, project: Project) -> None:
    before = git.resolve("HEAD")
    shutil.rmtree(project.path / ".git")
    assert git.resolve("HEAD") == ""
    project.begin({"other.txt": "other"})
    assert git.resolve("HEAD") == project.git("rev-parse", "HEAD") != before


def test_a_pipe_in_place_of_a_ref_does_not_block(git: Git, project: Project) -> None:
    head = git.resolve("HEAD")
    os.mkfifo(project.path / ".git/refs/heads/pipe")
    assert git.resolve("refs/heads/pipe") == ""
    assert git.resolve("HEAD") == head


def test_refs_change_together_or_not_at_all(git: Git, project: Project) -> None:
    head, prefix = git.resolve("HEAD"), "refs/orchestrator/"
    git.update_refs({f"{prefix}a": head, f"{prefix}b": head})
    git.update_refs({f"{prefix}a": "", f"{prefix}none": "", f"{prefix}c": head})
    refs = ref_files.tips(git, project.path / ".git", prefix)
    assert refs == {f"{prefix}b": head, f"{prefix}c": head}
    with pytest.raises(RepositoryError, match="update-ref"):
        git.update_refs({f"{prefix}d": head, f"{prefix}b": "5" * 40})
    assert git.resolve(f"{prefix}d") == ""
    git.update_refs({f"{prefix}new": head}, new=True)
    with pytest.raises(RepositoryError, match="already exists"):
        git.update_refs({f"{prefix}new": head}, new=True)


def test_a_branch_that_became_a_link_is_replaced_itself(git: Git, project: Project) -> None:
    """A worker may have replaced its branch by a link to a branch of the user."""
    head, own = git.resolve("HEAD"), "refs/heads/orchestrator/x"
    project.git("symbolic-ref", own, "refs/heads/main")
    second = project.git("commit-tree", "-m", "second", "HEAD^{tree}")
    git.update_refs({own: second})
    assert (git.resolve("HEAD"), git.resolve(own)) == (head, second)


def test_unused_sessions_are_closed(git: Git, project: Project) -> None:
    git.resolve("HEAD")
    part = shared_part(git.directory, git.env)
    assert part is not None
    opened = [each for key, each in SESSIONS._open.items() if key[0] == part.common]
    deadline = time.monotonic() + 20 * IDLE_SECONDS
    while any(each.process.returncode is None for each in opened):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert opened


def test_many_threads_ask_at_once(git: Git, project: Project) -> None:
    names = ["HEAD", "HEAD^{tree}", "HEAD:a.txt", "refs/heads/none"]
    expected = {each: _by_itself(git, each) for each in names}
    wrong: list[str] = []

    def ask(name: str) -> None:
        wrong.extend(name for _ in range(50) if git.resolve(name) != expected[name])

    threads = [threading.Thread(target=ask, args=(each,)) for each in names * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("packed", [False, True])
def test_refs_are_listed_as_git_lists_them(git: Git, project: Project, packed: bool) -> None:
    common = project.path / ".git"
    for name in ("orchestrator/1/a", "orchestrator/1/b/c", "orchestrator/12/a", "orchestrator/1.x"):
        project.git("update-ref", f"refs/{name}", "HEAD")
    if packed:
        project.git("tag", "-a", "-m", "x", "annotated")
        project.git("pack-refs", "--all")
        second = project.git("commit-tree", "-m", "second", "HEAD^{tree}")
        project.git("update-ref", "refs/orchestrator/1/a", second)
        project.git("update-ref", "-d", "refs/orchestrator/1/b/c")
    one, all_ = "refs/orchestrator/1/", "refs/orchestrator/"
    single = (
        "refs/orchestrator/1/a",
        "refs/orchestrator/1.x",
        "refs/orchestrator/1.",
        "refs/tags/",
    )
    for places in ((one,), (all_,), ("refs/heads/",), ("refs/none/",), single, ("refs/heads",)):
        _check_places(git, project, *places)
    # git lists no invalid names.
    invalid = project.path / ".git/refs/orchestrator/a..b"
    invalid.write_text(project.git("rev-parse", "HEAD"))
    _check_places(git, project, all_)
    project.git("symbolic-ref", "refs/orchestrator/1/link", "refs/heads/main")
    head = project.git("rev-parse", "HEAD")
    assert ref_files.tips(git, common, "refs/orchestrator/1/")["refs/orchestrator/1/link"] == head


def _check_places(git: Git, project: Project, *places: str) -> None:
    shown = project.git("for-each-ref", "--format=%(refname) %(objectname)", *places)
    expected = dict(line.split(" ") for line in shown.splitlines())
    found = ref_files.tips(git, project.path / ".git", *places)
    assert list(found.items()) == list(expected.items())


def test_a_changed_configuration_is_read(git: Git, project: Project) -> None:
    def driver() -> bytes:
        return git_config.matching(git, r"^merge\..*\.driver$")

    config = project.path / ".git/config"
    past = time.time() - 100
    assert driver() == b""
    for number in range(3):
        project.git("config", "merge.x.driver", f"program {number}")
        assert driver() == f"merge.x.driver\nprogram {number}\0".encode()
    # Same size, same inode, former modification time: only the inode's change time differs.
    os.utime(config, (past, past))
    settled = time.monotonic() + 2 * git_config.SETTLED_SECONDS
    while time.monotonic() < settled:
        assert driver() == b"merge.x.driver\nprogram 2\0"
    text = config.read_text()
    with config.open("r+") as file:
        file.write(text.replace("program 2", "program 3"))
    os.utime(config, (past, past))
    assert driver() == b"merge.x.driver\nprogram 3\0"
    config.write_text("[broken")
    with pytest.raises(RepositoryError):
        driver()


def test_an_included_file_is_read_each_time(git: Git, project: Project, tmp_path: Path) -> None:
    more = tmp_path / "more"
    project.git("config", "include.path", str(more))
    settled = time.monotonic() + 2 * git_config.SETTLED_SECONDS
    while time.monotonic() < settled:
        assert git_config.value(git, "merge.default") == ""
    more.write_text("[merge]\n\tdefault = union\n")
    assert git_config.value(git, "merge.default") == "union"
