"""Worktrees of workers: creating, registering, reusing, and removing them."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.core.errors import InvalidRequest, RepositoryError
from orchestrator.git import GitRepository
from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees import worktrees
from orchestrator.git.worktrees.pool import WorktreePool
from tests.support.project import Project
from tests.support.soaking.disk import fill, mounted, unmount
from tests.unit.git.conftest import WHO

BRANCH = "refs/heads/orchestrator/1/worker_1"


@pytest.fixture
def worktree_path(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    return Path(directory)


def commit(repository: GitRepository, directory: Path) -> str:
    return repository.commit(str(directory), BRANCH, "What it did\n", WHO)


def test_a_worktree_has_the_files_and_a_lock_and_its_own_branch(
    project: Project, worktree_path: Path
) -> None:
    assert (worktree_path / "dir" / "b.txt").read_text() == "b\n"
    project.git("worktree", "prune", "--expire=now")
    assert project.worktrees() == [str(worktree_path)]
    assert project.git("rev-parse", BRANCH) == project.git("rev-parse", "main")
    assert "locked" in project.git("worktree", "list", "--porcelain")


@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_checkout_is_reported_as_full(
    project: Project, repository: GitRepository, tmp_path: Path
) -> None:
    disk = mounted(tmp_path / "small")
    if disk is None:
        pytest.skip("only root can mount a small disk")
    project.commit({"large.txt": "x" * 1_000_000})
    fill(disk, 300_000)
    try:
        with pytest.raises(OSError, match=r"large\.txt") as raised:
            repository.open_worktree(str(disk / "worktree"), BRANCH, repository.base().commit)
        assert raised.value.errno == errno.ENOSPC
    finally:
        unmount(disk)


def test_opening_again_changes_nothing(
    repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (worktree_path / "a.txt").write_text("mine\n")
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert (worktree_path / "a.txt").read_text() == "mine\n"


def test_a_worktree_that_was_removed_by_hand_is_recreated(
    repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    commit(repository, worktree_path)
    shutil.rmtree(worktree_path)

    repository.open_worktree(directory, BRANCH, repository.base().commit)

    assert (worktree_path / "new.txt").exists()


def test_a_worktree_that_a_crash_left_incomplete_is_recreated(
    project: Project, repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    Path(f"{worktree_path}.filling").touch()
    (worktree_path / "a.txt").unlink()

    repository.open_worktree(directory, BRANCH, repository.base().commit)

    assert (worktree_path / "a.txt").exists()
    assert project.worktrees() == [str(worktree_path)]


@pytest.mark.slow
def test_many_are_made_side_by_side(project: Project, repository: GitRepository) -> None:
    base = repository.base().commit
    root = project.path / "product" / "workspace"

    def make(number: int) -> None:
        holder = root / f"worker_{number}"
        holder.mkdir()
        branch = f"refs/heads/orchestrator/1/worker_{number}"
        repository.open_worktree(str(holder / "worktree"), branch, base)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, range(12)))

    assert len(project.worktrees()) == 12
    assert all((Path(each) / "a.txt").exists() for each in project.worktrees())


def test_a_commit_has_all_files_that_are_not_ignored_under_any_name(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / ".gitignore").write_text("*.log\n")
    (worktree_path / "x.log").touch()
    names = ["with space", "-dash", "new\nline", ":colon", "é", 'quo"te', "star*"]
    for name in names:
        (worktree_path / name).write_text(name)
    Path(os.fsdecode(os.path.join(os.fsencode(worktree_path), b"latin-\xe9"))).touch()
    (worktree_path / "link").symlink_to("/etc/passwd")
    (worktree_path / "a.txt").unlink()

    tip = commit(repository, worktree_path)

    found = repository.changed_paths(repository.base().commit, tip)
    assert sorted(found) == sorted([".gitignore", "link", os.fsdecode(b"latin-\xe9"), *names])
    assert "a.txt" not in project.git("ls-tree", "--name-only", tip).splitlines()
    assert commit(repository, worktree_path) == tip


def test_a_lock_of_a_killed_git_does_not_stop_the_next_attempt(
    project: Project, repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (project.path / ".git" / "worktrees" / "worktree" / "index.lock").touch()
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    (worktree_path / "new.txt").touch()
    assert commit(repository, worktree_path) == project.git("rev-parse", BRANCH)


def test_a_lock_of_a_killed_git_does_not_stop_the_commit(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").touch()
    (project.path / ".git" / "worktrees" / "worktree" / "index.lock").touch()
    (project.path / ".git" / f"{BRANCH}.lock").touch()
    assert commit(repository, worktree_path) == project.git("rev-parse", BRANCH)


def test_with_a_reftable_no_lock_of_a_branch_is_removed(tmp_path: Path) -> None:
    """With a reftable, ``refs/heads`` is a file."""
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "heads").write_text("this repository uses the reftable format\n")
    admin = tmp_path / "worktrees" / "worktree"
    admin.mkdir(parents=True)
    git = Git(str(tmp_path), {})
    found = worktrees.RegisteredWorktree(str(tmp_path), admin)

    worktrees.GitWorktrees(git, tmp_path, WorktreePool(git, tmp_path, tmp_path)).unlock(
        found, BRANCH
    )


def test_pruned_objects_of_an_index_are_written_again(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("new\n")
    subprocess.run(["git", "add", "new.txt"], cwd=worktree_path, check=True)
    name = project.git("hash-object", str(worktree_path / "new.txt"))
    (project.path / ".git" / "objects" / name[:2] / name[2:]).unlink()

    assert project.show(commit(repository, worktree_path), "new.txt") == "new"


def test_an_entry_can_be_removed_by_several_processes_at_once(tmp_path: Path) -> None:
    """For example, ``git gc`` of the user prunes worktrees, and so removes their entries."""
    entry = tmp_path / "entry"
    (entry / "logs").mkdir(parents=True)
    for number in range(500):
        (entry / "logs" / f"{number}").touch()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(worktrees.remove_entry, [entry] * 4))

    assert not entry.exists()


def test_a_git_file_that_an_agent_replaces_is_not_followed(
    project: Project, repository: GitRepository, worktree_path: Path, tmp_path: Path
) -> None:
    evil = Project(tmp_path / "evil").begin({"e.txt": "e\n"})
    evil.git("config", "core.fsmonitor", f"touch {tmp_path}/ran")
    (worktree_path / ".git").write_text(f"gitdir: {evil.path}/.git\n")
    (worktree_path / "new.txt").touch()

    assert commit(repository, worktree_path) == project.git("rev-parse", BRANCH)
    assert not (tmp_path / "ran").exists()


def test_removing_keeps_what_was_not_committed(
    project: Project, repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (worktree_path / "wip.txt").write_text("wip\n")
    (worktree_path / "closed").mkdir(mode=0o500)

    repository.close_worktree(directory, BRANCH, WHO)
    repository.close_worktree(directory, BRANCH, WHO)

    assert project.show(BRANCH, "wip.txt") == "wip"
    assert not worktree_path.exists()
    assert project.worktrees() == []


def killed_while_removing(directory: str) -> None:
    Path(directory, "a.txt").unlink()
    raise KeyboardInterrupt


@pytest.fixture
def half_removed(
    repository: GitRepository, directory: str, worktree_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A worktree whose server was killed while it removed the files."""
    (worktree_path / "new.txt").write_text("new\n")
    with monkeypatch.context() as patched:
        patched.setattr(worktrees, "remove", killed_while_removing)
        with pytest.raises(KeyboardInterrupt):
            repository.close_worktree(directory, BRANCH, WHO)
    return worktree_path


def test_files_that_a_killed_server_had_removed_are_no_change(
    project: Project, repository: GitRepository, directory: str, half_removed: Path
) -> None:
    repository.close_worktree(directory, BRANCH, WHO)

    assert project.files(BRANCH) == ["a.txt", "dir/b.txt", "new.txt"]
    assert not half_removed.exists()
    assert project.worktrees() == []


def test_a_worktree_that_was_removed_in_part_is_recreated(
    repository: GitRepository, directory: str, half_removed: Path
) -> None:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert (half_removed / "a.txt").exists()


def test_a_detached_worktree_that_was_removed_in_part_is_recreated(
    repository: GitRepository, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.base().commit
    repository.open_detached_worktree(directory, commit)
    with monkeypatch.context() as patched:
        patched.setattr(worktrees, "remove", killed_while_removing)
        with pytest.raises(KeyboardInterrupt):
            repository.remove_detached_worktree(directory)

    repository.open_detached_worktree(directory, commit)

    assert Path(directory, "a.txt").exists()


def test_a_snapshot_has_uncommitted_work_and_changes_nothing(
    project: Project, repository: GitRepository, directory: str, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    index = project.path / ".git" / "worktrees" / "worktree" / "index"
    before = index.read_bytes()

    snapshot = repository.snapshot(directory, "as it is", WHO)

    assert project.show(snapshot, "new.txt") == "x"
    assert project.git("rev-parse", BRANCH) == project.git("rev-parse", "main")
    assert index.read_bytes() == before


def test_removal_of_a_job_leaves_only_a_result_that_was_not_landed(
    project: Project, repository: GitRepository, worktree_path: Path
) -> None:
    (worktree_path / "new.txt").write_text("x\n")
    tip = commit(repository, worktree_path)
    repository.set_ref("refs/heads/orchestrator/1/result", tip)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    job = str(project.path / "product" / "workspace" / "job_1")

    repository.remove_job_refs("1", job, job)

    assert project.worktrees() == []
    assert project.git("for-each-ref", "--format=%(refname)", "refs/orchestrator") == ""
    assert project.git("branch", "--list", "--format=%(refname:short)", "orchestrator/*") == (
        "orchestrator/1/result"
    )
    project.git("merge", "-q", "--ff-only", tip)
    repository.remove_job_refs("1", job, job)
    assert project.git("branch", "--list", "orchestrator/*") == ""


def test_forgetting_touches_no_other_job_and_no_worktree_of_the_users(
    project: Project, repository: GitRepository, worktree_path: Path, tmp_path: Path
) -> None:
    project.git("worktree", "add", "-q", str(tmp_path / "mine"), "-b", "mine")
    job = str(project.path / "product" / "workspace" / "job_2")
    assert repository.remove_job_refs("2", job, job) == ()
    assert sorted(project.worktrees()) == sorted([str(worktree_path), str(tmp_path / "mine")])


def test_the_workspace_is_hidden_once_and_only_where_it_shows(
    project: Project, repository: GitRepository, worktree_path: Path, directory: str
) -> None:
    exclude = project.path / ".git" / "info" / "exclude"
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert exclude.read_text().count("/product/workspace/\n") == 1
    assert project.git("status", "--porcelain") == ""

    again = GitRepository(project.path, project.path / "product" / "workspace", project.path)
    again.open_worktree(directory, BRANCH, again.base().commit)
    assert exclude.read_text().count("workspace") == 1


def test_a_branch_that_blocks_ours_is_reported(project: Project, repository: GitRepository) -> None:
    project.git("branch", "orchestrator")
    base = repository.base()
    assert base.commit == ""
    assert "a branch is named 'orchestrator'" in base.note


@pytest.mark.parametrize("inside", [".", "main"])
def test_a_bare_repository_has_no_files_for_workers(
    project: Project, tmp_path: Path, inside: str
) -> None:
    """Cases: the bare repository itself, and a directory that contains it and its worktrees."""
    top = tmp_path / "top"
    project.git("clone", "-q", "--bare", ".", str(top if inside == "." else top / ".bare"))
    if inside != ".":
        (top / ".git").write_text("gitdir: ./.bare\n")
    product = top / "product"

    base = GitRepository(top, product / "workspace", product).base()

    assert (base.commit, "the project is a bare repository" in base.note) == ("", True), base
    assert GitRepository(top, product / "workspace", product).remove_job_refs("1", "x", "x") == ()


def test_a_directory_without_a_repository_needs_no_git(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    if subprocess.run(["git", "rev-parse"], cwd=tmp_path, capture_output=True).returncode == 0:
        pytest.skip("the temporary directory lies in a repository")
    base = GitRepository(tmp_path / "plain", tmp_path, tmp_path).base()
    assert (base.commit, base.note) == ("", "")


def test_a_project_that_its_repository_does_not_know_is_none(project: Project) -> None:
    (project.path / "strange").mkdir()
    base = GitRepository(project.path / "strange", project.path / "w", project.path / "w").base()
    assert base.commit == "" and "does not exist in the last commit" in base.note


def test_errors_are_words(repository: GitRepository) -> None:
    with pytest.raises(RepositoryError, match=r"git diff-tree failed: .*nothing-like-it"):
        repository.changed_paths("nothing-like-it", "HEAD")


def test_an_extension_that_this_git_does_not_know_is_named(
    project: Project, repository: GitRepository
) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "extensions.somethingNew", "true")
    assert "unknown repository extension found" in repository.base().note
    with pytest.raises(InvalidRequest, match="somethingnew"):
        repository.base("HEAD")


def test_a_base_whose_files_a_partial_clone_does_not_have_is_refused(
    project: Project, tmp_path: Path
) -> None:
    first = project.git("rev-parse", "HEAD")
    project.commit({"a.txt": "other\n"}, "second")
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("clone", "-q", "--filter=blob:none", project.path.as_uri(), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    repository = GitRepository(clone.path, tmp_path / "workspace", tmp_path / "product")

    assert repository.base().note == ""
    with pytest.raises(
        InvalidRequest, match=r"1 of the commit's files are missing in this partial.*`git diff "
    ) as raised:
        repository.base(first)

    subprocess.run(["bash", "-ec", str(raised.value).split("`")[1]], cwd=clone.path, check=True)
    assert repository.base(first).commit == first


@pytest.fixture
def common(project: Project) -> Path:
    project.git("update-ref", BRANCH, "main")
    return project.path / ".git"


def register(project: Project, common: Path, directory: Path) -> Path | None:
    return worktrees.register(Git(str(project.path), {}), common, str(directory), BRANCH)


def test_the_files_are_those_that_git_writes(project: Project, common: Path) -> None:
    own, gits = project.path.parent / "a dir" / "own", project.path.parent / "a dir" / "gits"
    admin = register(project, common, own)
    project.git("branch", "other", BRANCH)
    how = ("--no-checkout", "--lock", "--reason", worktrees.REASON)
    project.git("worktree", "add", "-q", *how, str(gits), "other")

    assert admin == common / "worktrees" / "own"
    expected = {name: text.replace("gits", "own") for name, text in _files(gits, common)}
    expected["HEAD"] = f"ref: {BRANCH}\n"
    assert dict(_files(own, common)) == expected
    assert project.git("fsck", "--strict") == ""
    listed = project.git("worktree", "list", "--porcelain").split("\n\n")
    assert {f"worktree {own}", f"branch {BRANCH}", f"locked {worktrees.REASON}"} <= {
        *listed[-1].splitlines(),
        *listed[-2].splitlines(),
    }


def _files(directory: Path, common: Path) -> Iterator[tuple[str, str]]:
    yield ".git", (directory / ".git").read_text()
    admin = common / "worktrees" / directory.name
    for path in sorted(admin.rglob("*")):
        # Some versions of git create empty directories for refs. The log of HEAD begins with the
        # checkout.
        if path.is_file() and "logs" not in path.parts:
            yield str(path.relative_to(admin)), path.read_text()


def test_the_log_of_a_worktree_begins_with_its_checkout(
    project: Project, repository: GitRepository, directory: str
) -> None:
    """A log that began with an agent's commit would mark the worktree as the agent's own."""
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    first = (project.path / ".git/worktrees/worktree/logs/HEAD").read_text().splitlines()[0]
    assert first.endswith("\torchestrator: updating HEAD")


def test_a_used_name_gets_a_number(project: Project, common: Path, tmp_path: Path) -> None:
    admins = [register(project, common, tmp_path / each / "worktree") for each in "abc"]
    assert [each and each.name for each in admins] == ["worktree", "worktree1", "worktree2"]
    assert len(project.worktrees()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extensions.worktreeConfig", "true"),
        ("core.sharedRepository", "group"),
        ("core.sparseCheckout", "true"),
    ],
)
def test_a_setting_that_changes_the_files_leaves_it_to_git(
    project: Project, common: Path, repository: GitRepository, directory: str, name: str, value: str
) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", name, value)
    assert register(project, common, Path(directory)) is None
    assert not os.path.lexists(directory)

    repository.open_worktree(directory, f"{BRANCH}0", repository.base().commit)
    assert project.worktrees() == [directory]


def test_links_are_absolute_even_if_the_setting_asks_for_relative_links(
    project: Project, common: Path, repository: GitRepository, directory: str
) -> None:
    project.git("config", "worktree.useRelativePaths", "true")
    # With this setting, git itself creates the worktree.
    project.git("config", "core.sharedRepository", "group")
    repository.open_worktree(directory, f"{BRANCH}0", repository.base().commit)
    assert Path(directory, ".git").read_text() == f"gitdir: {common}/worktrees/worktree\n"
    assert not project.git("config", "--get-all", "extensions.relativeWorktrees", check=False)


def test_worktrees_with_relative_links_are_found(
    project: Project, common: Path, repository: GitRepository, directory: str
) -> None:
    """``git worktree repair`` writes relative links if ``worktree.useRelativePaths`` is set."""
    repository.open_worktree(directory, f"{BRANCH}0", repository.base().commit)
    admin = common / "worktrees" / "worktree"
    link = Path(directory, ".git")
    (admin / "gitdir").write_text(f"{os.path.relpath(link, admin)}\n")
    link.write_text(f"gitdir: {os.path.relpath(admin, directory)}\n")

    git = Git(str(project.path), {})
    all_worktrees = worktrees.GitWorktrees(git, common, WorktreePool(git, common, common))
    found = all_worktrees.find(directory)
    assert found is not None
    assert (found.directory, found.admin) == (os.path.realpath(directory), admin)
    assert [each.directory for each in all_worktrees.all()] == [os.path.realpath(directory)]


def test_a_path_that_cannot_be_registered_is_deferred_to_git(
    project: Project, common: Path
) -> None:
    occupied = project.path.parent / "taken"
    occupied.write_text("a file of the user\n")
    assert register(project, common, occupied) is None
    assert occupied.read_text() == "a file of the user\n"
    assert list((common / "worktrees").iterdir()) == []


def test_only_one_of_two_registrations_gets_a_name(project: Project, common: Path) -> None:
    """A registration in another process, such as ``git worktree add`` of a user."""
    occupied = common / "worktrees" / "worktree"
    occupied.mkdir(parents=True)
    admin = register(project, common, project.path.parent / "x" / "worktree")
    assert admin is not None and admin.name == "worktree1"
    assert list(occupied.iterdir()) == []


def test_a_new_worktree_is_registered_without_a_process(
    repository: GitRepository, directory: str, started: list[list[str]]
) -> None:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert not [each for each in started if "worktree" in each]
    assert [each for each in started if "reset" in each]
