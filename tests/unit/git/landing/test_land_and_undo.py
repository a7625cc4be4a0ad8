"""Landing a result on the user's branch, and undoing a landing."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.repository.landing import LandOptions
from orchestrator.git import GitRepository, Landing
from orchestrator.git.command import leftover_files
from tests.support.project import Project
from tests.unit.git.conftest import WHO, branch_with


@pytest.fixture
def result(project: Project, repository: GitRepository) -> str:
    commit = branch_with(project, "work", {"new.txt": "new\n", "a.txt": "one\n2\nthree\n"})
    repository.set_ref("refs/heads/orchestrator/1/result", commit)
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    return commit


@pytest.fixture
def landing(project: Project, result: str) -> Landing:
    return Landing(project.path, "1", "1")


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


def test_landing_moves_the_branch_and_undo_moves_it_back(
    project: Project, landing: Landing, result: str
) -> None:
    before = project.git("rev-parse", "main")
    assert not landing.is_landed()

    text = landing.land().text
    assert "fast-forward" in text and "no gate" not in text
    assert landing.is_landed()
    assert project.git("rev-parse", "main") == result
    assert (project.path / "new.txt").exists()
    # A later commit may have reverted the files.
    assert landing.land().text == "nothing to do: main already has all commits of the job's result"

    assert before[:12] in landing.undo().text
    assert project.git("rev-parse", "main") == before
    assert not (project.path / "new.txt").exists()
    with pytest.raises(NotFound, match="is not landed on"):
        landing.undo()


def test_a_landing_names_the_files_that_a_merge_driver_merged(
    project: Project, landing: Landing
) -> None:
    project.git("config", "merge.mine.driver", "true")
    project.commit({".gitattributes": "*.txt merge=mine\n", "a.txt": "one\ntwo\n3\n"}, "mine")

    text = landing.land().text

    assert project.show("main", "a.txt") == "one\ntwo\n3"
    assert text.endswith("; your merge driver, which may omit changes, merged a.txt")


def test_a_branch_that_went_on_gets_a_merge_commit(
    project: Project, landing: Landing, result: str
) -> None:
    project.commit({"mine.txt": "mine\n"}, "mine")
    before = project.git("rev-parse", "HEAD")

    text = landing.land().text
    assert "a merge commit" in text
    assert text.endswith("together with the newer commits of main: run your tests")

    assert project.git("log", "-1", "--format=%P").split() == [before, result]
    assert {"mine.txt", "new.txt"} <= {each.name for each in project.path.iterdir()}
    landing.undo()
    assert project.git("rev-parse", "HEAD") == before


def test_a_landing_and_its_undo_name_the_command_that_updates_submodules(
    project: Project, tmp_path: Path
) -> None:
    inner = Project(tmp_path / "inner").begin({"m.txt": "m\n"})
    project.git("submodule", "--quiet", "add", str(inner.path), "the sub")
    project.git("commit", "-qm", "with a submodule")
    module, before = Project(project.path / "the sub"), project.git("rev-parse", "HEAD")
    old = module.git("rev-parse", "HEAD")
    new = module.commit({"m.txt": "n\n"}, "in the submodule").git("rev-parse", "HEAD")
    project.git("commit", "-qam", "next")
    project.git("branch", "orchestrator/1/result")
    project.git("reset", "-q", "--hard", before)
    module.git("checkout", "-q", old)
    landing = Landing(project.path, "1", "1")
    command = f"git -C {shlex.quote(str(project.path))} submodule update -- 'the sub'"

    assert landing.land().text.endswith(f"; to update the files of submodules: {command}")
    with pytest.raises(
        Conflict, match=re.escape(f"the sub; nothing was changed; update them: {command}")
    ):
        landing.undo()
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert module.git("rev-parse", "HEAD") == new
    assert landing.undo().text.endswith(f"; to update the files of submodules: {command}")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert module.git("rev-parse", "HEAD") == old
    # Changed files in the submodule are work of the user.
    (module.path / "m.txt").write_text("mine\n")
    with pytest.raises(Conflict, match="commit or stash them first: the sub"):
        landing.land()


def _dirty(project: Project) -> None:
    project.write("dir/b.txt", "work in progress\n")


def _conflicting(project: Project) -> None:
    project.commit({"a.txt": "one\nzwei\nthree\n"}, "mine")


def _in_the_way(project: Project) -> None:
    project.write("new.txt", "not tracked\n")


def _ignored(project: Project) -> None:
    project.write(".git/info/exclude", "new.txt\n")
    project.write("new.txt", "ignored, and dear to somebody\n")


def _a_link(project: Project) -> None:
    (project.path / "new.txt").symlink_to("nowhere")


def _history_of_its_own(project: Project) -> None:
    project.git("checkout", "-q", "--orphan", "other")
    project.commit({"m": "m\n"}, "orphan")


def _staged(project: Project) -> None:
    project.write("staged.txt", "staged\n")
    project.git("add", "staged.txt")


def _locked_branch(project: Project) -> None:
    (project.path / ".git/refs/heads/main.lock").touch()


def _locked_index(project: Project) -> None:
    (project.path / ".git/index.lock").touch()


def _changed_behind_gits_back(project: Project) -> None:
    project.git("update-index", "--assume-unchanged", "a.txt")
    project.write("a.txt", "dear to somebody\n")


def _rebase(project: Project) -> None:
    project.commit({"b.txt": "mine\n"}, "mine")
    (project.path / ".git/rebase-merge").mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_locked_branch, "main.lock.*nothing was changed"),
        (_locked_index, "index.lock.*nothing was changed"),
        (_changed_behind_gits_back, "a.txt"),
        (_rebase, "unfinished rebase"),
        (_dirty, "commit or stash"),
        (_conflicting, "a.txt; merge by hand"),
        (_in_the_way, "new.txt"),
        (_ignored, "new.txt; nothing was changed; move it away"),
        (_a_link, "new.txt; nothing was changed; move it away"),
        (_staged, "commit or stash"),
        (_history_of_its_own, "no common ancestor"),
    ],
)
def test_a_landing_that_fails_changes_nothing(
    project: Project, landing: Landing, prepare: Callable[[Project], None], message: str
) -> None:
    prepare(project)
    before = project.snapshot()
    with pytest.raises(Conflict, match=message):
        landing.land()
    assert project.snapshot() == before


@pytest.mark.slow
def test_files_are_restored_if_git_fails_in_the_middle(
    project: Project, repository: GitRepository
) -> None:
    changes = {"a.txt": "1\n", "dir/b.txt": None, "dir": "file\n", "new/n": "n\n", "z.txt": "z\n"}
    commit = branch_with(project, "work", changes)
    repository.set_ref("refs/heads/orchestrator/1/result", commit)
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    project.write(".git/info/attributes", "z.txt filter=broken\n")
    project.git("config", "filter.broken.smudge", "false")
    project.git("config", "filter.broken.required", "true")

    with pytest.raises(Conflict, match=r"smudge filter broken failed.*nothing was changed"):
        Landing(project.path, "1", "1").land()

    assert project.git("status", "--porcelain", "--", ".", ":!product") == ""
    assert project.git("rev-parse", "HEAD^{tree}") == project.git("write-tree")
    assert not (project.path / "new").exists()


@pytest.mark.slow
def test_a_detached_head_is_moved_and_no_branch_with_it(
    project: Project, landing: Landing, result: str
) -> None:
    before = project.git("rev-parse", "main")
    project.git("checkout", "-q", "--detach")

    assert "HEAD (detached" in landing.land().text

    assert project.git("rev-parse", "HEAD") == result
    assert project.git("rev-parse", "main") == before
    assert before[:12] in landing.undo().text
    assert project.git("rev-parse", "HEAD") == before
    assert project.git("symbolic-ref", "-q", "HEAD", check=False) == ""


@pytest.mark.slow
def test_a_merge_commit_may_be_wanted(project: Project, landing: Landing, result: str) -> None:
    before = project.git("rev-parse", "main")

    assert "a merge commit" in landing.land(LandOptions.MERGE).text

    assert project.git("log", "-1", "--format=%P").split() == [before, result]
    landing.undo()
    assert project.git("rev-parse", "main") == before


@pytest.mark.slow
def test_a_merge_commit_may_be_unwanted(project: Project, landing: Landing, result: str) -> None:
    project.commit({"mine.txt": "mine\n"}, "mine")
    before = project.snapshot()
    with pytest.raises(Conflict, match="cannot fast-forward"):
        landing.land(LandOptions.FAST_FORWARD)
    assert project.snapshot() == before
    project.git("reset", "-q", "--hard", "HEAD^")
    assert "fast-forward" in landing.land(LandOptions.FAST_FORWARD).text
    assert project.git("rev-parse", "main") == result


def test_a_file_where_a_directory_is_to_come_is_not_lost(
    project: Project, repository: GitRepository
) -> None:
    commit = branch_with(project, "work", {"place/new.txt": "new\n"})
    repository.set_ref("refs/heads/orchestrator/1/result", commit)
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    project.write(".git/info/exclude", "place\n")
    project.write("place", "ignored, and dear to somebody\n")
    with pytest.raises(Conflict, match="would be overwritten: place;"):
        Landing(project.path, "1", "1").land()


@pytest.fixture
def file_in_place_of_a_directory(project: Project, repository: GitRepository) -> Landing:
    project.commit({"place/old.txt": "old\n", "place/deep/er.txt": "old\n"}, "directory")
    changes = {"place/old.txt": None, "place/deep/er.txt": None, "place": "a file now\n"}
    commit = branch_with(project, "work", changes)
    repository.set_ref("refs/heads/orchestrator/1/result", commit)
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    return Landing(project.path, "1", "1")


@pytest.mark.slow
def test_a_file_lands_in_place_of_a_directory(
    project: Project, file_in_place_of_a_directory: Landing
) -> None:
    file_in_place_of_a_directory.land()
    assert (project.path / "place").read_text() == "a file now\n"
    file_in_place_of_a_directory.undo()
    assert (project.path / "place/deep/er.txt").read_text() == "old\n"


def test_ignored_files_of_a_directory_that_a_file_replaces_are_not_lost(
    project: Project, file_in_place_of_a_directory: Landing
) -> None:
    project.write(".git/info/exclude", "*.dear\n")
    project.write("place/deep/my.dear", "dear to somebody\n")
    with pytest.raises(Conflict, match=r"would be overwritten: place/deep/my\.dear;"):
        file_in_place_of_a_directory.land()
    assert (project.path / "place/old.txt").exists()


def test_undo_is_refused_over_uncommitted_changes(project: Project, landing: Landing) -> None:
    landing.land()
    _dirty(project)
    before = project.snapshot()
    with pytest.raises(Conflict, match="commit or stash"):
        landing.undo()
    assert project.snapshot() == before


@pytest.mark.slow
def test_files_that_were_only_touched_are_no_changes(project: Project, landing: Landing) -> None:
    before = project.git("rev-parse", "main")
    os.utime(project.path / "a.txt", (1, 1))
    landing.land()
    os.utime(project.path / "a.txt", (2, 2))
    landing.undo()
    assert project.git("rev-parse", "main") == before


@pytest.mark.slow
def test_undo_does_not_lose_files_that_git_ignores(
    project: Project, repository: GitRepository
) -> None:
    commit = branch_with(project, "work", {"dir/b.txt": None})
    repository.set_ref("refs/heads/orchestrator/1/result", commit)
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    landing = Landing(project.path, "1", "1")
    landing.land()
    project.write(".git/info/exclude", "b.txt\n")
    project.write("dir/b.txt", "dear to somebody\n")
    before = project.snapshot()
    with pytest.raises(Conflict, match=r"would be overwritten: dir/b\.txt;"):
        landing.undo()
    assert project.snapshot() == before


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["refs/heads/main.lock", "packed-refs.lock", "index.lock"])
def test_undo_changes_nothing_where_git_is_locked(
    project: Project, landing: Landing, lock: str
) -> None:
    landing.land()
    project.git("pack-refs", "--all")
    before = project.snapshot()
    (project.path / ".git" / lock).touch()
    with pytest.raises(Conflict, match=f"if none is running: `(rm .*{lock}')`") as raised:
        landing.undo()
    assert project.snapshot() == before
    _typed(project, str(raised.value))
    landing.undo()


def _typed(project: Project, message: str) -> None:
    """Run the command in a message, in a directory outside of the repository."""
    subprocess.run(["bash", "-ec", message.split("`")[1]], cwd=project.path.parent, check=True)


def crash(act: Callable[[], str], at: str) -> None:
    def stop(point: str) -> None:
        if point == at:
            raise KeyboardInterrupt

    failpoints.arm(stop)
    with pytest.raises(KeyboardInterrupt):
        act()
    failpoints.arm(None)


@pytest.mark.slow
def test_a_landing_that_a_crash_interrupted_can_be_undone(
    project: Project, landing: Landing
) -> None:
    before = project.git("rev-parse", "main")
    crash(landing.land, "landing: moved")

    assert before[:12] in landing.undo().text
    assert project.git("rev-parse", "main") == before


#: Files that a killed git leaves: git writes the index and the branch last.
KILLED: Mapping[str, Mapping[str, str]] = {
    "among the files": {"new.txt": "ne", "a.txt": "one\n2\nthree\n"},
    "at a new file": {"new.txt": "ne"},
    "at a changed file": {"a.txt": "o"},
}


def kill_among(project: Project, act: Callable[[], str], files: Mapping[str, str]) -> None:
    crash(act, "landing: about to move")
    for name, text in files.items():
        project.write(name, text)
    project.write(".git/index.lock", "")


@pytest.mark.slow
@pytest.mark.parametrize("again", [Landing.land, Landing.undo])
@pytest.mark.parametrize("files", KILLED.values(), ids=KILLED)
def test_a_landing_that_was_killed_among_the_files_is_finished_or_reverted(
    project: Project,
    landing: Landing,
    result: str,
    files: Mapping[str, str],
    again: Callable[[Landing], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leftover_files, "LEFT_SECONDS", 0.05)
    before = project.git("rev-parse", "main")
    kill_among(project, landing.land, files)

    again(landing)

    lands = again is Landing.land
    assert project.git("rev-parse", "main") == (result if lands else before)
    assert project.git("status", "--porcelain", "--", "*.txt") == ""
    assert (project.path / "new.txt").exists() is lands
    if lands:
        assert before[:12] in landing.undo().text


@pytest.mark.slow
def test_a_killed_landing_is_not_finished_over_what_was_changed_since(
    project: Project, landing: Landing, result: str
) -> None:
    kill_among(project, landing.land, {"new.txt": "ne", "a.txt": "mine\n"})
    before = project.snapshot()

    for act in (landing.land, landing.undo):
        with pytest.raises(
            Conflict, match=r"was interrupted.*`rm .*git -C .* reset --hard"
        ) as raised:
            act()

    assert project.snapshot() == before
    _typed(project, str(raised.value))
    assert project.git("rev-parse", "main") == result
    landing.undo()
    assert not (project.path / "new.txt").exists()


@pytest.mark.slow
def test_a_killed_landing_is_not_finished_while_another_git_is_at_work(
    project: Project, landing: Landing
) -> None:
    kill_among(project, landing.land, KILLED["among the files"])
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, cwd=project.path, stdin=subprocess.PIPE) as git:
        with pytest.raises(Conflict, match="another git process is running"):
            landing.land()
        assert (project.path / ".git/index.lock").exists()
        assert git.stdin
        git.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("again", [Landing.land, Landing.undo])
def test_an_undo_that_was_killed_among_the_files_is_finished_or_reverted(
    project: Project, landing: Landing, result: str, again: Callable[[Landing], str]
) -> None:
    before = project.git("rev-parse", "main")
    landing.land()
    crash(landing.undo, "landing: about to move")
    (project.path / "new.txt").unlink()

    again(landing)

    lands = again is Landing.land
    assert project.git("rev-parse", "main") == (result if lands else before)
    assert project.git("status", "--porcelain", "--", "*.txt") == ""
    if not lands:
        with pytest.raises(NotFound, match="nothing to undo"):
            landing.undo()
        landing.land()
    project.write("new.txt", "mine\n")
    with pytest.raises(Conflict, match=r"commit or stash them first: new\.txt"):
        landing.undo()


@pytest.mark.slow
@pytest.mark.parametrize("other", [["-b", "other"], ["--detach"]])
def test_undo_moves_no_branch_on_which_nothing_was_landed(
    project: Project, landing: Landing, other: list[str]
) -> None:
    before = project.git("rev-parse", "main")
    landing.land()
    project.git("checkout", "-q", *other)

    with pytest.raises(Conflict, match=r"was landed on main.*check out .+ first"):
        landing.undo()

    assert project.git("rev-parse", "HEAD") == project.git("rev-parse", "main") != before
    project.git("checkout", "-q", "main")
    landing.undo()
    assert project.git("rev-parse", "main") == before


@pytest.mark.slow
def test_a_result_that_was_landed_on_two_branches_is_undone_on_each(
    project: Project, landing: Landing
) -> None:
    before = project.git("rev-parse", "main")
    project.git("branch", "other")
    landing.land()
    project.git("checkout", "-q", "other")
    landing.land(LandOptions.MERGE)

    landing.undo()
    with pytest.raises(Conflict, match="was landed on main"):
        landing.undo()
    project.git("checkout", "-q", "main")
    landing.undo()

    assert project.git("rev-parse", "main", "other").split() == [before, before]
    with pytest.raises(NotFound, match="nothing to undo"):
        landing.undo()


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the given action instead of moving the checkout, then kill git."""

    def arm(instead: str, at: str = "reset --keep") -> None:
        place = tmp_path / "bin"
        place.mkdir()
        real = shutil.which("git")
        script = f"""#!/bin/bash
[ "$1" != -C ] || cd "$2"
case " $* " in *" {at} "*)
    [ -e "$0.done" ] || {{ touch "$0.done"; git() {{ "{real}" "$@"; }}; {instead}; kill -9 $$; }} ;;
esac
exec "{real}" "$@"
"""
        (place / "git").write_text(script)
        (place / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
        monkeypatch.setattr(leftover_files, "LEFT_SECONDS", 0.0)

    return arm


@pytest.mark.slow
def test_a_git_that_is_killed_once_all_is_moved_has_landed(
    project: Project, landing: Landing, killed: Callable[..., None]
) -> None:
    killed('git "$@"; touch .git/HEAD.lock .git/ORIG_HEAD.lock')

    assert "fast-forward" in landing.land().text

    assert project.git("status", "--porcelain", "--", "*.txt") == ""
    assert list((project.path / ".git").glob("*.lock")) == []


@pytest.mark.slow
def test_a_git_that_is_killed_before_leaves_nothing(
    project: Project, landing: Landing, killed: Callable[..., None]
) -> None:
    before = project.snapshot()
    killed("echo half > new.txt; touch .git/index.lock")

    with pytest.raises(Conflict, match=r"killed by signal 9; nothing was changed"):
        landing.land()

    assert {**project.snapshot(), "a.txt": ""} == {**before, "a.txt": ""}
    assert list((project.path / ".git").glob("*.lock")) == []
    with pytest.raises(NotFound, match="is not landed on"):
        landing.undo()


@pytest.mark.slow
def test_a_git_that_is_killed_after_an_undo_leaves_no_lock(
    project: Project, landing: Landing, killed: Callable[..., None]
) -> None:
    before = project.git("rev-parse", "main")
    landing.land()
    project.git("pack-refs", "--all")
    noted = ".git/refs/orchestrator/1/landed/1/before/heads"
    killed(f"mkdir -p {noted}; touch .git/packed-refs.lock {noted}/main.lock", "-d")

    assert before[:12] in landing.undo().text

    assert list((project.path / ".git").rglob("*.lock")) == []
    with pytest.raises(NotFound, match="nothing to undo"):
        landing.undo()


def test_changes_after_a_reset_landing_are_those_of_the_user(
    project: Project, landing: Landing
) -> None:
    landing.land()
    project.git("reset", "--hard", "HEAD~1")
    project.write("dir/b.txt", "mine\n")
    with pytest.raises(Conflict, match=r"commit or stash them first: dir/b\.txt"):
        landing.land()


def test_a_failed_landing_has_nothing_to_undo(project: Project, landing: Landing) -> None:
    _locked_branch(project)
    with pytest.raises(Conflict):
        landing.land()
    with pytest.raises(NotFound, match="is not landed on"):
        landing.undo()


@pytest.mark.slow
@pytest.mark.parametrize("how", [LandOptions.ANY, LandOptions.MERGE])
@pytest.mark.parametrize("workers", [1, 2])
def test_undo_keeps_later_commits_and_names_the_command_that_reverts_only_the_job(
    project: Project, repository: GitRepository, how: LandOptions, workers: int
) -> None:
    base, tip = project.git("rev-parse", "main"), ""
    for number in range(workers):
        made = branch_with(project, f"side_{number}", {f"new_{number}.txt": "new\n"})
        tip = repository.merge(tip or base, made, "merged", WHO, force=False).commit
    repository.set_ref("refs/heads/orchestrator/1/result", tip)
    landing = Landing(project.path, "1", "1")
    landing.land(how)
    project.commit({"later.txt": "later\n"}, "later")

    with pytest.raises(Conflict, match="to revert only") as caught:
        landing.undo()

    assert (project.path / "later.txt").exists()
    who = {"GIT_AUTHOR_NAME": "U", "GIT_AUTHOR_EMAIL": "u@x", "GIT_EDITOR": "true"}
    who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
    [command] = re.findall("`(.+)`", str(caught.value))
    elsewhere = project.path.parent
    subprocess.run(["bash", "-ec", command], cwd=elsewhere, env={**os.environ, **who}, check=True)
    assert sorted(each.name for each in project.path.glob("*.txt")) == ["a.txt", "later.txt"]


def test_the_diff_is_a_patch_that_git_accepts(
    project: Project, landing: Landing, result: str, tmp_path: Path
) -> None:
    (tmp_path / "patch").write_bytes(landing.diff(stat=False))
    project.git("apply", str(tmp_path / "patch"))
    assert (project.path / "new.txt").read_text() == "new\n"
    assert b"new.txt" in landing.diff(stat=True)


def test_without_a_repository_a_job_has_no_result(tmp_path: Path) -> None:
    landing = Landing(tmp_path, "2", "2")
    for call in (landing.result, lambda: landing.diff(stat=True)):
        with pytest.raises(
            NotFound, match=r"not a git repository; copy .*bin/orchestrator apply 2"
        ):
            call()
    with pytest.raises(NotFound, match="nothing to undo: the project is not a git repository"):
        landing.undo()


def test_a_job_without_a_result_is_not_found(project: Project) -> None:
    with pytest.raises(NotFound, match=r"has no merged result.*bin/orchestrator apply 2"):
        Landing(project.path, "2", "2").diff(stat=True)
    project.git("update-ref", "refs/orchestrator/2/start/worker_1", "HEAD")
    project.git("update-ref", "refs/heads/orchestrator/2/worker_1", "HEAD")
    with pytest.raises(NotFound, match="has no merged result: the branches of the job's workers"):
        Landing(project.path, "2", "2").diff(stat=True)
    changed = branch_with(project, "work", {"new.txt": "new\n"})
    project.git("update-ref", "refs/heads/orchestrator/2/worker_1", changed)
    with pytest.raises(NotFound, match=r"has no merged result.*bin/orchestrator status 2"):
        Landing(project.path, "2", "2").diff(stat=True)
