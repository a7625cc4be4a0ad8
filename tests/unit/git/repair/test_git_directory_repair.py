"""The repair of a git directory restores only the files that git needs."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from orchestrator.git.command.git_config import SETTLED_SECONDS
from orchestrator.git.repair import git_directory_repair
from tests.support.project import Project

pytestmark = pytest.mark.slow

Break = Callable[[Project], object]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_directory_repair, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def job(directory: str) -> Path:
    """A root job's directory, with a worktree of its one worker."""
    os.mkdir(directory)
    return Path(directory).parents[2]


def _written(name: str, content: str) -> Break:
    return lambda project: project.write(f".git/{name}", content)


def _gone(name: str) -> Break:
    return lambda project: (project.path / ".git" / name).unlink()


def _configured(name: str, value: str) -> Break:
    return lambda project: project.git("config", name, value)


def _replaced(name: str, make: Callable[[Path], object]) -> Break:
    def replace(project: Project) -> None:
        path = project.path / ".git" / name
        path.unlink()
        make(path)

    return replace


def _other_ids(project: Project) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "extensions.objectFormat", "sha256")


def _extended(project: Project) -> None:
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "extensions.unknown", "true")


BROKEN: dict[str, tuple[Break, str]] = {
    "not to be parsed": (_written("config", "[core"), "could not be used by git"),
    "empty": (_written("config", ""), "could not be used by git"),
    "gone": (_gone("config"), "was removed"),
    "a directory": (_replaced("config", Path.mkdir), "could not be used by git"),
    "a pipe": (_replaced("config", os.mkfifo), "could not be used by git"),
    "a link": (_replaced("config", lambda at: at.symlink_to("/x")), "could not be used by git"),
    "bare": (_configured("core.bare", "true"), "had invalid values of core.bare"),
    "elsewhere": (
        _configured("core.worktree", "/nonexistent"),
        "had invalid values of core.worktree",
    ),
    "another format": (
        _configured("core.repositoryFormatVersion", "99"),
        "had invalid values of core.repositoryformatversion",
    ),
    "an unknown extension": (_extended, "extensions.unknown: restored"),
    "other ids": (_other_ids, "extensions.objectformat: restored"),
    "no boolean": (_configured("core.autocrlf", "perhaps"), "had invalid settings"),
    "the index": (_written("index", "junk"), ".git/index could not be used by git"),
    "no index": (_gone("index"), ".git/index was removed"),
    "shallow": (_written("shallow", "junk"), ".git/shallow could not be used by git"),
    "worktrees": (_written("worktrees", "x"), ".git/worktrees was not a directory"),
    "HEAD gone": (_gone("HEAD"), "was removed"),
    "HEAD garbage": (_written("HEAD", "junk"), "could not be used by git"),
    "HEAD empty": (_written("HEAD", ""), "could not be used by git"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_git_cannot_use_are_restored_to_the_state_before_the_job(
    project: Project, repository: GitRepository, job: Path, name: str
) -> None:
    breaks, fault = BROKEN[name]
    files = [project.path / ".git" / each for each in ("config", "HEAD", "index")]
    before = [each.read_bytes() for each in files]
    repository.back_up_git_files(str(job))
    breaks(project)

    messages = repository.restore_git_files(str(job))

    assert [each.read_bytes() for each in files] == before
    assert len(messages) == 1
    assert fault in messages[0]
    assert messages[0].endswith("(workers with a worktree at that time: worker_1)")
    assert repository.restore_git_files(str(job)) == messages


@pytest.mark.parametrize(
    "change",
    [
        _configured("remote.mine.url", "https://example.org"),
        _configured("core.filemode", "false"),
        _written("HEAD", "ref: refs/heads/other"),
        _written("config.worktree", "[a]\n b = c\n"),
    ],
)
def test_files_that_git_can_use_stay(
    project: Project, repository: GitRepository, job: Path, change: Break
) -> None:
    repository.back_up_git_files(str(job))
    change(project)
    before = {each: (project.path / ".git" / each).read_bytes() for each in ("config", "HEAD")}

    assert repository.restore_git_files(str(job)) == []

    assert before == {each: (project.path / ".git" / each).read_bytes() for each in before}


def test_settings_that_are_not_the_cause_stay(
    project: Project, repository: GitRepository, job: Path
) -> None:
    repository.back_up_git_files(str(job))
    project.git("config", "remote.mine.url", "https://example.org")
    project.git("config", "core.bare", "true")

    repository.restore_git_files(str(job))

    assert project.git("config", "remote.mine.url") == "https://example.org"
    assert project.git("status", "--porcelain", "--untracked-files=no") == ""


def test_the_configuration_stays_if_another_file_is_broken(
    project: Project, repository: GitRepository, job: Path
) -> None:
    repository.back_up_git_files(str(job))
    project.git("config", "remote.mine.url", "https://example.org")
    os.rename(project.path / ".git" / "HEAD", project.path / ".git" / "elsewhere")
    (project.path / ".git" / "commondir").write_text("/nonexistent")

    assert [each.split(" ")[0] for each in repository.restore_git_files(str(job))] == [".git/HEAD"]

    assert "example.org" in (project.path / ".git" / "config").read_text()


def test_deleted_refs_are_restored(project: Project, repository: GitRepository, job: Path) -> None:
    project.git("branch", "packed")
    project.git("pack-refs", "--all")
    project.commit({"new.txt": "x"}, "second")
    project.git("branch", "orchestrator/2/result")
    repository.back_up_git_files(str(job))
    before = project.git("show-ref")
    shutil.rmtree(project.path / ".git" / "refs")

    messages = repository.restore_git_files(str(job))

    assert project.git("show-ref") == before
    assert messages[0].startswith(".git/refs was removed: recreated with its content")


@pytest.mark.parametrize("broken", ["garbage\n", "half a li", ""])
def test_unreadable_packed_refs_are_restored(
    project: Project, repository: GitRepository, job: Path, broken: str
) -> None:
    packed = project.path / ".git" / "packed-refs"
    project.git("branch", "early")
    project.git("pack-refs", "--all")
    repository.back_up_git_files(str(job))
    project.commit({"new.txt": "x"}, "second")
    project.git("branch", "late")
    project.git("pack-refs", "--all")
    project.commit({"new.txt": "y"}, "third")
    before = project.git("show-ref")
    if broken:
        packed.write_text(packed.read_text() + broken)

    messages = repository.restore_git_files(str(job))

    assert project.git("show-ref") == before
    assert [each.split(":")[0] for each in messages] == (
        [".git/packed-refs could not be used by git"] if broken else []
    )


def test_replaced_files_are_saved(project: Project, repository: GitRepository, job: Path) -> None:
    repository.back_up_git_files(str(job))
    for content in ("[first", "[second"):
        project.write(".git/config", content)
        repository.restore_git_files(str(job))

    saved = sorted((job / git_directory_repair.BROKEN).glob("config-*"))

    assert [each.read_text() for each in saved] == ["[first", "[second"]


def test_a_new_configuration_of_the_worktree_is_moved_away(
    project: Project, repository: GitRepository, job: Path
) -> None:
    project.git("config", "extensions.worktreeConfig", "true")
    repository.back_up_git_files(str(job))
    project.write(".git/config.worktree", "[core")

    repository.restore_git_files(str(job))

    assert not (project.path / ".git" / "config.worktree").exists()
    assert (job / git_directory_repair.BROKEN / "config.worktree-1").read_text() == "[core"


def test_every_job_whose_workers_may_have_caused_the_damage_is_named(
    project: Project, repository: GitRepository, job: Path
) -> None:
    other = job.parent / "job_2"
    (other / "depth_0" / "worker_7" / "worktree").mkdir(parents=True)
    for each in (job, other):
        repository.back_up_git_files(str(each))
    project.write(".git/HEAD", "junk")

    repository.restore_git_files(str(other))

    assert "worker_1, worker_7 of job_2)" in repository.restore_git_files(str(job))[0]
    assert "worker_7, worker_1 of job_1)" in repository.restore_git_files(str(other))[0]


def test_without_a_backup_nothing_is_restored(
    project: Project, repository: GitRepository, job: Path
) -> None:
    project.write(".git/config", "[core")
    assert repository.restore_git_files(str(job)) == []
    assert (project.path / ".git" / "config").read_text() == "[core"


def test_an_overwritten_backup_is_ignored(
    project: Project, repository: GitRepository, job: Path
) -> None:
    for content in ("", "[]", "{}", '{"top": 1, "common": 2, "files": {"x": 3}}'):
        (job / git_directory_repair.NAME).write_text(content)
        assert repository.restore_git_files(str(job)) == []


@pytest.mark.parametrize("name", ["not to be parsed", "bare", "elsewhere", "HEAD gone"])
def test_the_next_job_begins_with_what_is_sound(
    project: Project, repository: GitRepository, job: Path, name: str
) -> None:
    repository.back_up_git_files(str(job))
    before = (project.path / ".git" / "config").read_bytes()
    BROKEN[name][0](project)
    (job.parent / "job_2").mkdir()

    assert repository.base().commit == project.git("rev-parse", "main")
    BROKEN[name][0](project)
    repository.back_up_git_files(str(job.parent / "job_2"))

    assert (project.path / ".git" / "config").read_bytes() == before


def test_a_backup_starts_one_process(
    repository: GitRepository, job: Path, started: list[list[str]]
) -> None:
    # Until its files are this old, git's configuration is read on each use.
    time.sleep(2 * SETTLED_SECONDS)
    repository.base()
    repository.back_up_git_files(str(job))
    (job.parent / "job_2").mkdir()
    started.clear()
    repository.back_up_git_files(str(job.parent / "job_2"))
    assert ["for-each-ref" in each for each in started if "cat-file" not in each] == [True]
    places = [path.read_bytes() for path in sorted(job.parent.glob("job_*/refs-before"))]
    assert places[0] == places[1]


def test_a_repository_of_a_directory_above_is_not_backed_up(
    project: Project, repository: GitRepository, job: Path
) -> None:
    repository.base()
    Project(project.path.parent).begin({"above.txt": "x\n"})
    shutil.rmtree(project.path / ".git" / "objects")
    with pytest.raises(RepositoryError):
        repository.back_up_git_files(str(job))
    assert not (job / git_directory_repair.NAME).exists()
