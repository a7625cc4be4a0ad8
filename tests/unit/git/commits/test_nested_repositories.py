"""Repositories that an agent creates in its worktree: files are committed, history is kept."""

from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"
KEPT = "refs/orchestrator-kept/1/worker_1/nested"


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    return Path(directory)


def commit(repository: GitRepository, worktree: Path) -> str:
    return repository.commit(str(worktree), BRANCH, "work\n", WHO)


def kept_commits(project: Project) -> dict[str, str]:
    listed = project.git("for-each-ref", "--format=%(refname) %(objectname)", KEPT)
    lines = (line.split(" ") for line in listed.splitlines())
    return {name.removeprefix(f"{KEPT}/"): commit for name, commit in lines}


def added(repository: GitRepository, tip: str) -> list[str]:
    return list(repository.changed_paths(repository.base().commit, tip))


def test_files_of_a_nested_repository_are_committed_and_its_history_is_kept(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub").begin({"src/main.py": "one\n", "README.md": "sub\n"})
    nested.commit({"src/main.py": "two\n"}, "second")
    nested.write("loose.txt", "not committed\n")
    (worktree / "beside.txt").write_text("beside\n")

    tip = commit(repository, worktree)

    names = ["beside.txt", "sub/README.md", "sub/loose.txt", "sub/src/main.py"]
    assert added(repository, tip) == names
    assert project.show(tip, "sub/src/main.py") == "two"
    assert kept_commits(project) == {"sub": nested.git("rev-parse", "HEAD")}
    assert project.git("log", "--format=%s", f"{KEPT}/sub").split() == ["second", "first"]
    # Nothing stays uncommitted, and a second commit adds nothing.
    assert Project(worktree).git("status", "--porcelain") == ""
    assert commit(repository, worktree) == tip
    repository.close_worktree(str(worktree), BRANCH, WHO)
    assert project.git("fsck", "--no-dangling") == ""


def test_a_link_that_the_agent_committed_itself_becomes_files(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub").begin({"a.py": "a\n"})
    Project(worktree).git("add", "--all")
    Project(worktree).git("commit", "-q", "-m", "with a link")

    tip = commit(repository, worktree)

    assert added(repository, tip) == ["sub/a.py"]
    assert kept_commits(project) == {"sub": nested.git("rev-parse", "HEAD")}


def test_a_repository_without_a_commit_is_committed_as_files(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub")
    nested.git("init", "-q")
    nested.write("a.py", "a\n")
    (worktree / "b.txt").write_text("b\n")

    tip = commit(repository, worktree)

    assert added(repository, tip) == ["b.txt", "sub/a.py"]
    assert (nested.path / ".git" / "HEAD").is_file()
    assert kept_commits(project) == {}


def test_every_level_and_every_branch_is_kept(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    outer = Project(worktree / "a b~").begin({"o.txt": "o\n"})
    outer.git("switch", "-q", "-c", "feature/x")
    feature = outer.commit({"f.txt": "f\n"}, "feature").git("rev-parse", "HEAD")
    outer.git("switch", "-q", "main")
    inner = Project(worktree / "a b~" / "inner").begin({"i.txt": "i\n"})

    tip = commit(repository, worktree)

    assert added(repository, tip) == ["a b~/inner/i.txt", "a b~/o.txt"]
    assert kept_commits(project) == {
        "a%20b%7E": outer.git("rev-parse", "HEAD"),
        "a%20b%7E+heads/feature/x": feature,
        "a%20b%7E+/inner": inner.git("rev-parse", "HEAD"),
    }


def test_ignored_files_stay_ignored_and_tracked_ones_are_committed(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    project_ignores = "*.secret\n"
    (worktree / ".gitignore").write_text(project_ignores)
    nested = Project(worktree / "sub").begin({".gitignore": "dist/\nbuild/\n", "x.secret": "x\n"})
    nested.write("dist/kept.js", "tracked all the same\n")
    nested.git("add", "--force", "dist/kept.js")
    nested.git("commit", "-q", "-m", "dist")
    nested.write("build/out.o", "ignored\n")

    tip = commit(repository, worktree)

    assert added(repository, tip) == [".gitignore", "sub/.gitignore", "sub/dist/kept.js"]


def test_a_repository_among_tracked_files_keeps_its_history(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "dir")
    nested.begin({"new.txt": "new\n"})

    tip = commit(repository, worktree)

    assert added(repository, tip) == ["dir/new.txt"]
    assert kept_commits(project) == {"dir": nested.git("rev-parse", "HEAD")}


def test_a_shallow_clone_keeps_its_state_and_leaves_the_users_repository_whole(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    origin = Project(tmp_path / "origin").begin({"a": "1\n"}).commit({"a": "2\n"}, "second")
    Project(worktree).git("clone", "-q", "--depth=1", f"file://{origin.path}", "sub")

    tip = commit(repository, worktree)

    assert added(repository, tip) == ["sub/a"]
    assert project.show(f"{KEPT}/sub", "a") == "2"
    assert not (project.path / ".git" / "shallow").exists()
    assert project.git("fsck", "--no-dangling") == ""


def test_a_later_history_replaces_an_earlier_one_only_if_it_has_it(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub").begin({"a": "1\n"})
    commit(repository, worktree)
    first = nested.git("rev-parse", "HEAD")
    nested.commit({"a": "2\n"}, "second")
    commit(repository, worktree)
    second = nested.git("rev-parse", "HEAD")
    assert kept_commits(project) == {"sub": second}

    nested.git("commit", "-q", "--amend", "-m", "other")
    tip = commit(repository, worktree)

    assert first != second
    assert kept_commits(project) == {
        "sub": nested.git("rev-parse", "HEAD"),
        f"sub+{second[:12]}": second,
    }
    assert added(repository, tip) == ["sub/a"]


def test_a_link_of_the_base_stays_a_link(
    project: Project, repository: GitRepository, directory: str
) -> None:
    inner = Project(project.path / "linked").begin({"i.txt": "i\n"})
    project.git("add", "linked")
    project.git("commit", "-q", "-m", "a link without .gitmodules")
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    Project(Path(directory)).write("new.txt", "new\n")
    worktree = Path(directory)
    Project(worktree / "linked").begin({"other.txt": "other\n"})

    tip = commit(repository, worktree)

    assert project.git("ls-tree", tip, "linked").startswith("160000 commit ")
    assert inner.git("rev-parse", "HEAD") in project.git("ls-tree", "HEAD", "linked")


def test_a_submodule_that_the_agent_added_stays_one_and_its_history_is_kept(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    origin = Project(tmp_path / "origin").begin({"a": "1\n"})
    own = Project(worktree)
    own.git("submodule", "--quiet", "add", str(origin.path), "lib")
    head = Project(worktree / "lib").commit({"a": "2\n"}, "in it").git("rev-parse", "HEAD")
    (worktree / "lib" / "loose.txt").write_text("loose\n")

    tip = commit(repository, worktree)

    assert project.git("rev-parse", f"{tip}:lib") == head
    assert added(repository, tip) == [".gitmodules", "lib"]
    assert kept_commits(project) == {"lib": head}


def test_a_snapshot_has_the_files_and_the_agent_notices_nothing(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub").begin({"a.py": "a\n"})
    Project(worktree / "unborn").git("init", "-q")
    (worktree / "unborn" / "b.py").write_text("b\n")
    index = (project.path / ".git/worktrees/worktree/index").read_bytes()

    shot = repository.snapshot(str(worktree), "shot", WHO)

    assert added(repository, shot) == ["sub/a.py", "unborn/b.py"]
    assert (project.path / ".git/worktrees/worktree/index").read_bytes() == index
    assert nested.git("status", "--porcelain") == ""
    assert kept_commits(project) == {}


def test_nested_history_is_saved_with_the_work_of_a_removed_job(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    nested = Project(worktree / "sub").begin({"a.py": "a\n"})
    head = nested.git("rev-parse", "HEAD")
    tip = commit(repository, worktree)
    repository.close_worktree(str(worktree), BRANCH, WHO)
    job = str(worktree.parents[2])

    names = repository.remove_job_refs("1", job, job)

    above = "refs/orchestrator-kept/1/worker_1"
    assert list(names) == [f"{above}+work", f"{above}/nested/sub"]
    assert project.git("rev-parse", f"{above}+work") == tip
    assert kept_commits(project) == {"sub": head}
