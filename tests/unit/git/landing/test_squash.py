"""``land --squash``: one commit, which counts as landed and can be undone."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.repository.landing import LandOptions
from orchestrator.git import GitRepository, Landing
from orchestrator.git.command import leftover_files
from orchestrator.git.landing.squash import subject_of
from tests.support.project import Project

RESULT = "refs/heads/orchestrator/1/result"
REQUEST = "Add a greeting\nwith many details"


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


@pytest.fixture
def result(project: Project, repository: GitRepository) -> str:
    repository.set_ref("refs/orchestrator/1/base/1", project.git("rev-parse", "main"))
    project.git("checkout", "-q", "-b", "work")
    work(project, "worker_1", {"new.txt": "new\n"})
    work(project, "worker_2", {"a.txt": "one\n2\nthree\n"})
    return ended(project, repository)


@pytest.fixture
def landing(project: Project, result: str) -> Landing:
    return Landing(project.path, "1", "1")


def work(project: Project, worker: str, files: dict[str, str]) -> None:
    trailers = f"Orchestrator-Job: 1\nOrchestrator-Worker: {worker}\nOrchestrator-Agent: shell"
    project.commit(files, f"Part of {worker}\n\n{trailers}")
    author = f"{worker} (shell) <{worker}@1.orchestrator.invalid>"
    project.git("commit", "-q", "--amend", "--no-edit", f"--author={author}")


def ended(project: Project, repository: GitRepository) -> str:
    commit = project.git("rev-parse", "HEAD")
    repository.set_ref(RESULT, commit)
    project.git("checkout", "-q", "main")
    project.git("branch", "-q", "-D", "work")
    return commit


def squash(landing: Landing) -> str:
    return landing.land(LandOptions.SQUASH, REQUEST).text


def crash(act: Callable[[], str], at: str) -> None:
    def stop(point: str) -> None:
        if point == at:
            raise KeyboardInterrupt

    failpoints.arm(stop)
    with pytest.raises(KeyboardInterrupt):
        act()
    failpoints.arm(None)


def test_a_squash_is_one_commit_with_all_trailers(project: Project, landing: Landing) -> None:
    before = project.git("rev-parse", "main")
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")

    assert "one commit" in squash(landing)

    assert project.git("log", "-1", "--format=%P|%an|%ae") == f"{before}|Ada|ada@example.org"
    assert project.git("log", "-1", "--format=%B") == (
        "Add a greeting\n\n- Part of worker_1\n- Part of worker_2\n\n"
        "Orchestrator-Job: 1\nOrchestrator-Worker: worker_1\nOrchestrator-Agent: shell\n"
        "Orchestrator-Worker: worker_2\n"
        "Co-authored-by: worker_1 (shell) <worker_1@1.orchestrator.invalid>\n"
        "Co-authored-by: worker_2 (shell) <worker_2@1.orchestrator.invalid>"
    )
    assert project.git("diff", "main", RESULT) == ""
    assert (project.path / "new.txt").read_text() == "new\n"


def test_a_subject_does_not_end_with_the_colon_of_its_first_line() -> None:
    assert subject_of('Fix issue 7, "Crash": \n````text\nboom\n````', "1") == 'Fix issue 7, "Crash"'


@pytest.mark.slow
def test_a_squash_counts_as_landed(project: Project, landing: Landing) -> None:
    squash(landing)
    landed = project.git("rev-parse", "main")
    project.commit({"later.txt": "later\n"}, "later")
    head = project.git("rev-parse", "main")

    for how in LandOptions:
        assert f"already landed on main, as commit {landed[:12]}" in landing.land(how, REQUEST).text
    assert project.git("rev-parse", "main") == head


@pytest.mark.slow
def test_a_squash_is_landed_again_once_it_is_reset(project: Project, landing: Landing) -> None:
    before = project.git("rev-parse", "main")
    squash(landing)
    project.git("reset", "-q", "--hard", before)

    assert "one commit" in squash(landing)


@pytest.mark.slow
def test_a_branch_that_moved_gets_one_commit(project: Project, landing: Landing) -> None:
    project.commit({"mine.txt": "mine\n"}, "mine")
    before = project.git("rev-parse", "main")

    squash(landing)

    assert project.git("log", "-1", "--format=%P") == before
    assert {"mine.txt", "new.txt"} <= {each.name for each in project.path.iterdir()}


def test_undo_removes_a_squash(project: Project, landing: Landing) -> None:
    before = project.git("rev-parse", "main")
    squash(landing)

    assert before[:12] in landing.undo().text

    assert project.git("rev-parse", "main") == before
    assert not (project.path / "new.txt").exists()
    with pytest.raises(NotFound, match="nothing to undo"):
        landing.undo()
    assert "one commit" in squash(landing)


@pytest.mark.slow
def test_a_squash_with_later_commits_is_reverted_by_the_command_that_is_named(
    project: Project, landing: Landing
) -> None:
    squash(landing)
    project.commit({"later.txt": "later\n"}, "later")

    with pytest.raises(Conflict, match=r"git -C .* revert") as raised:
        landing.undo()

    _typed(project, str(raised.value))
    assert not (project.path / "new.txt").exists()
    assert (project.path / "later.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["landing: about to move", "landing: moved"])
def test_a_crash_while_squashing_loses_nothing(
    project: Project, landing: Landing, point: str
) -> None:
    before = project.git("rev-parse", "main")
    crash(lambda: squash(landing), point)

    squash(landing)
    assert project.git("rev-list", "--count", f"{before}..main") == "1"
    landing.undo()
    assert project.git("rev-parse", "main") == before


@pytest.mark.slow
def test_a_squash_that_was_killed_among_the_files_is_finished(
    project: Project, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftover_files, "LEFT_SECONDS", 0.05)
    before = project.git("rev-parse", "main")
    crash(lambda: squash(landing), "landing: about to move")
    # The state after a killed git: git writes the index and the branch last.
    project.write("new.txt", "ne")
    project.write("a.txt", "one\n2\nthree\n")
    project.write(".git/index.lock", "")

    assert "one commit" in squash(landing)

    assert "already landed" in squash(landing)
    landing.undo()
    assert project.git("rev-parse", "main") == before
    assert not (project.path / "new.txt").exists()


@pytest.mark.slow
def test_an_undo_of_a_squash_that_was_killed_is_finished(
    project: Project, landing: Landing
) -> None:
    before = project.git("rev-parse", "main")
    squash(landing)
    crash(landing.undo, "landing: about to move")
    (project.path / "new.txt").unlink()

    assert before[:12] in landing.undo().text

    assert project.git("rev-parse", "main") == before
    assert "one commit" in squash(landing)


@pytest.mark.slow
def test_a_later_result_is_landed_on_top_of_an_earlier_squash(
    project: Project, landing: Landing, repository: GitRepository
) -> None:
    squash(landing)
    project.git("checkout", "-q", "-b", "work", "orchestrator/1/result")
    work(project, "worker_3", {"a.txt": "one\nTWO\nthree\n"})
    ended(project, repository)

    assert "one commit" in squash(landing)

    assert project.show("main", "a.txt") == "one\nTWO\nthree"
    assert project.git("rev-list", "--count", "--min-parents=2", "main") == "0"
    assert "already landed" in squash(landing)


@pytest.mark.parametrize("branch", ["main", "feature"])
def test_a_job_that_continues_a_squashed_result_does_not_conflict_with_it(
    project: Project, landing: Landing, repository: GitRepository, result: str, branch: str
) -> None:
    squash(landing)
    project.git("checkout", "-q", "-B", branch)
    project.git("rm", "-q", "new.txt")
    project.commit({"mine.txt": "mine\n"}, "mine")
    repository.set_ref("refs/orchestrator/2/base/2", result)
    project.git("checkout", "-q", "-b", "work", result)
    work(project, "worker_1", {"a.txt": "one\nTWO\nthree\n"})
    repository.set_ref("refs/heads/orchestrator/2/result", project.git("rev-parse", "HEAD"))
    project.git("checkout", "-q", branch)

    assert "one commit" in squash(Landing(project.path, "2", "2"))

    assert project.show(branch, "a.txt") == "one\nTWO\nthree"
    assert not (project.path / "new.txt").exists()


def forget(project: Project, repository: GitRepository) -> str:
    job: Path = project.path / "product" / "workspace" / "job_1"
    repository.remove_job_refs("1", str(job), str(job))
    return project.git("for-each-ref", "--format=%(refname)", "refs/heads/orchestrator")


@pytest.mark.slow
def test_a_result_that_was_squashed_is_removed_with_its_job(
    project: Project, landing: Landing, repository: GitRepository
) -> None:
    squash(landing)
    assert forget(project, repository) == ""
    assert project.show("main", "new.txt") == "new"


@pytest.mark.slow
def test_a_result_whose_squash_was_undone_stays(
    project: Project, landing: Landing, repository: GitRepository
) -> None:
    squash(landing)
    landing.undo()
    assert forget(project, repository) == RESULT


@pytest.mark.slow
def test_a_result_that_was_squashed_in_part_stays(
    project: Project, landing: Landing, repository: GitRepository
) -> None:
    squash(landing)
    project.git("checkout", "-q", "-b", "work", "orchestrator/1/result")
    work(project, "worker_3", {"more.txt": "more\n"})
    ended(project, repository)

    assert forget(project, repository) == RESULT


def _typed(project: Project, message: str) -> None:
    found = re.search(r"`([^`]+)`", message)
    assert found
    who = {
        f"GIT_{role}_{what}": "ada@x"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    env = {**os.environ, **who, "GIT_EDITOR": "true"}
    subprocess.run(["bash", "-ec", found[1]], cwd=project.path.parent, check=True, env=env)


TITLE = "work\n\nOrchestrator-Worker: worker_1\n"


def attempts(project: Project, *subjects: str) -> list[str]:
    """Return successive commits of a branch, from its start commit."""
    project.git("checkout", "-q", "-b", "attempts")
    found = [project.git("rev-parse", "HEAD")]
    for number, subject in enumerate(subjects):
        project.commit({f"{number}.txt": "x\n"}, subject)
        found.append(project.git("rev-parse", "HEAD"))
    return found


def test_a_refused_attempt_is_part_of_the_next_ones_commit(
    project: Project, repository: GitRepository
) -> None:
    start, refused, tip, last = attempts(project, TITLE, TITLE, "more")

    folded = repository.squash(start, refused, last, TITLE)

    assert project.git("log", "--format=%s", f"{start}..{folded}").split() == ["more", "work"]
    assert project.git("log", "-1", "--format=%B", f"{folded}~1") == TITLE.strip()
    assert project.git("diff", folded, last) == project.git("diff", f"{folded}~1", tip) == ""
    # The second commit is no longer on top of the rejected commit.
    assert repository.squash(start, refused, folded, TITLE) == folded


@pytest.mark.parametrize("where", ["in the refused attempt", "after it"])
def test_an_attempt_with_a_merge_stays(
    project: Project, repository: GitRepository, where: str
) -> None:
    start, first = attempts(project, "one")
    project.git("checkout", "-q", "-b", "side", start)
    project.commit({"side.txt": "x\n"}, "side")
    project.git("checkout", "-q", "attempts")
    project.git("merge", "-q", "--no-ff", "-m", "merged", "side")
    merged = project.git("rev-parse", "HEAD")
    project.commit({"last.txt": "x\n"}, "last")
    tip = project.git("rev-parse", "HEAD")

    refused = merged if where == "in the refused attempt" else first
    assert repository.squash(start, refused, tip, TITLE) == tip
