"""Submodules in worktrees need no network, and no work in them is lost."""

import hashlib
import shutil
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.command.runner import Git
from orchestrator.git.commits import submodules
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a submodule that has its own submodule. Their origins no longer exist."""
    folder = tmp_path_factory.mktemp("submodules")
    inner = Project(folder / "inner").begin({"deep.txt": "deep\n"})
    middle = Project(folder / "middle").begin({"m.txt": "m\n"})
    middle.git("submodule", "--quiet", "add", str(inner.path), "in side")
    middle.git("commit", "-qm", "with a submodule")
    project = Project(folder / "the project").begin({"a.txt": "one\n"})
    project.git("submodule", "--quiet", "add", str(middle.path), "lib/sub")
    project.git("submodule", "--quiet", "update", "--init", "--recursive")
    project.git("commit", "-qm", "with submodules")
    shutil.rmtree(inner.path)
    shutil.rmtree(middle.path)
    return project.path


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    shutil.copytree(made, tmp_path / "the project", symlinks=True)
    return Project(tmp_path / "the project")


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    return Path(directory)


def users(project: Project) -> dict[str, str]:
    """Return the state of the user's submodules that must not change."""
    inner = project.path / ".git" / "modules" / "lib" / "sub"
    found = project.snapshot()
    for path in sorted(inner.rglob("*")):
        name = str(path.relative_to(inner))
        if path.is_file() and not any(part in name for part in ("objects/", "orchestrator")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def commit(repository: GitRepository, worktree: Path) -> str:
    return repository.commit(str(worktree), BRANCH, "work\n", WHO)


def gitlink(project: Project, revision: str, path: str) -> str:
    return project.git("rev-parse", f"{revision}:{path}")


def test_submodules_of_the_user_are_filled_at_every_level(worktree: Path) -> None:
    assert (worktree / "lib/sub/m.txt").read_text() == "m\n"
    assert (worktree / "lib/sub/in side/deep.txt").read_text() == "deep\n"
    assert Project(worktree).git("status", "--porcelain") == ""
    assert Project(worktree / "lib/sub").git("status", "--porcelain") == ""
    assert Project(worktree / "lib/sub").git("remote") == ""


def test_changes_are_committed_inside_and_outlive_the_worktree(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    before, start = users(project), repository.commit_of("HEAD")
    (worktree / "lib/sub/m.txt").write_text("changed\n")
    (worktree / "lib/sub/in side/new.txt").write_text("new\n")

    tip = commit(repository, worktree)
    repository.close_worktree(str(worktree), BRANCH, WHO)

    assert list(repository.changed_paths(start, tip)) == ["lib/sub"]
    sub = Project(project.path / "lib/sub")
    middle = gitlink(project, tip, "lib/sub")
    assert sub.show(middle, "m.txt") == "changed"
    assert sub.git("rev-parse", BRANCH) == middle
    assert sub.git("log", "-1", "--format=%an", middle) == "worker_1"
    deep = Project(project.path / "lib/sub/in side")
    assert deep.show(gitlink(sub, middle, "in side"), "new.txt") == "new"
    assert users(project) == before
    # Another worker that starts from this commit has it.
    other = f"{worktree}-2"
    repository.open_worktree(other, f"{BRANCH}-2", tip)
    assert Path(other, "lib/sub/in side/new.txt").read_text() == "new\n"


def test_without_changes_nothing_is_made_in_the_users_repositories(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    before, start = users(project), repository.commit_of("HEAD")
    assert commit(repository, worktree) == start
    assert Project(project.path / "lib/sub").git("for-each-ref", "refs/heads/orchestrator") == ""
    assert users(project) == before


def test_a_snapshot_has_what_is_uncommitted_and_the_worker_notices_nothing(
    repository: GitRepository, worktree: Path
) -> None:
    deep = worktree / "lib/sub/in side/deep.txt"
    deep.write_text("wip\n")
    inside = Project(deep.parent)
    head, status = inside.git("rev-parse", "HEAD"), inside.git("status", "--porcelain")

    shot = repository.snapshot(str(worktree), "shot", WHO)

    assert (inside.git("rev-parse", "HEAD"), inside.git("status", "--porcelain")) == (head, status)
    child = f"{worktree}-child"
    repository.open_worktree(child, f"{BRANCH}_1", shot)
    assert Path(child, "lib/sub/in side/deep.txt").read_text() == "wip\n"
    repository.roll_back(str(worktree), BRANCH, repository.commit_of("HEAD"), "")
    assert deep.read_text() == "deep\n"
    repository.roll_back(str(worktree), BRANCH, shot, "")
    assert deep.read_text() == "wip\n"


def test_uncommitted_work_in_a_submodule_is_saved_when_its_job_is_removed(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    (worktree / "lib/sub/wip.txt").write_text("wip\n")
    job = str(project.path / "product" / "workspace" / "job_1")

    [ref] = repository.remove_job_refs("1", job, job)

    assert not worktree.exists()
    inside = Project(project.path / "lib/sub")
    assert inside.show(gitlink(project, ref, "lib/sub"), "wip.txt") == "wip"


@pytest.mark.parametrize("damage", ["link", "repository", "entry"])
def test_damage_to_the_repository_of_a_submodule_loses_no_work(
    project: Project, repository: GitRepository, worktree: Path, damage: str
) -> None:
    sub = worktree / "lib/sub"
    (sub / "new.txt").write_text("new\n")
    (sub / ".git").unlink()
    if damage == "repository":
        Project(sub).begin({"own.txt": "own\n"})
    if damage == "entry":
        (admin,) = (project.path / ".git/worktrees").iterdir()
        shutil.rmtree(admin)
        repository.repair_worktree(str(worktree), BRANCH, repository.commit_of(BRANCH))
    tip = commit(repository, worktree)
    users_copy = Project(project.path / "lib/sub")
    assert users_copy.show(gitlink(project, tip, "lib/sub"), "new.txt") == "new"


def test_files_of_a_worker_in_an_empty_submodule_stay(
    project: Project, repository: GitRepository, directory: str
) -> None:
    users, away = project.path / "lib" / "sub", project.path.parent / "away"
    users.rename(away)
    users.mkdir()
    start = repository.base().commit
    repository.open_worktree(directory, BRANCH, start)
    own = Path(directory, "lib/sub/own.txt")
    own.write_text("own\n")
    users.rmdir()
    away.rename(users)
    repository.open_worktree(directory, BRANCH, start)
    assert own.read_text() == "own\n"
    assert not own.with_name("m.txt").exists()


def test_a_submodule_with_missing_objects_stays_empty(
    project: Project, repository: GitRepository, directory: str
) -> None:
    sub = Project(project.path / "lib/sub")
    blob = sub.git("rev-parse", "HEAD:m.txt")
    (project.path / f".git/modules/lib/sub/objects/{blob[:2]}/{blob[2:]}").unlink()
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    assert not list(Path(directory, "lib/sub").iterdir())
    assert commit(repository, Path(directory)) == repository.base().commit


def test_the_diff_that_is_searched_for_secrets_has_what_was_added_inside(
    repository: GitRepository, worktree: Path
) -> None:
    start = repository.commit_of("HEAD")
    (worktree / "lib/sub/key.txt").write_text("hunter2\n")
    tip = commit(repository, worktree)
    text = b"".join(repository.log_with_diffs(start, tip)).decode()
    assert "+hunter2" in text
    assert "+++ b/lib/sub/key.txt" in text


def test_a_change_of_the_user_s_own_submodule_is_reported(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    before = repository.checkout_state()
    (worktree / "lib/sub/m.txt").write_text("changed\n")
    commit(repository, worktree)
    assert repository.checkout_state() == before
    Project(project.path / "lib/sub").git("branch", "leaked", "HEAD~0")
    Project(project.path / "lib/sub").git("config", "user.name", "Somebody")
    after = repository.checkout_state()
    assert [name for name in after if after[name] != before.get(name)] == ["submodule lib/sub"]


def test_a_submodule_that_the_user_lacks_is_empty_and_named(
    project: Project, repository: GitRepository, directory: str
) -> None:
    project.git("submodule", "--quiet", "deinit", "--all", "--force")
    base = repository.base()
    assert "lib/sub are empty" in base.note
    repository.open_worktree(directory, BRANCH, base.commit)
    assert not list(Path(directory, "lib/sub").iterdir())
    assert commit(repository, Path(directory)) == base.commit


@pytest.mark.slow
def test_a_merge_reports_conflicts_and_removal_keeps_commits_that_exist_nowhere_else(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    start = repository.commit_of("HEAD")
    tips = []
    for number in (1, 2):
        place, branch = Path(f"{worktree}{number}"), f"{BRANCH}{number}"
        repository.open_worktree(str(place), branch, start)
        (place / f"lib/sub/{number}.txt").write_text("x\n")
        tips.append(repository.commit(str(place), branch, "work\n", WHO))
    assert repository.merge(start, tips[0], "m", WHO, force=False).commit
    both = repository.merge(tips[0], tips[1], "m", WHO, force=False)
    assert [each.path for each in both.conflicts] == ["lib/sub"]
    assert not both.commit
    forced = repository.merge(tips[0], tips[1], "m", WHO, force=True)
    assert gitlink(project, forced.commit, "lib/sub") == gitlink(project, tips[1], "lib/sub")

    sub = Project(project.path / "lib/sub")
    sub.git("branch", "taken", gitlink(project, tips[0], "lib/sub"))
    workspace = project.path / "product" / "workspace" / "job_1"
    repository.remove_job_refs("1", str(workspace), str(workspace))
    refs = sub.git("for-each-ref", "--format=%(refname)", "refs/heads/orchestrator")
    assert refs.splitlines() == [f"{BRANCH}2"]


def test_a_commit_without_submodules_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Project(tmp_path / "plain").begin({"a.txt": "a\n"})
    git, head = Git(str(plain.path), {}), plain.git("rev-parse", "HEAD")
    # The name of this branch is as long as the name of a commit.
    branch = f"refs/heads/{'x' * 29}"
    plain.git("update-ref", branch, head)
    assert submodules.links(git, head) == submodules.links(git, branch) == {}

    with monkeypatch.context() as patch:
        patch.setattr(Git, "resolve_all", lambda *_: pytest.fail("git was asked again"))
        assert submodules.links(git, head) == {}

    plain.write(".gitmodules", "")
    plain.git("update-index", "--add", "--cacheinfo", f"160000,{head},inner")
    plain.git("add", ".gitmodules")
    plain.git("commit", "-q", "-m", "a submodule")
    plain.git("update-ref", branch, "HEAD")
    assert submodules.links(git, branch) == submodules.links(git, "HEAD") == {"inner": head}
