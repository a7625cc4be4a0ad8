"""Commits of workers that land as commits of the user."""

import os

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.core.repository.landing import LandOptions
from orchestrator.core.repository.repository import Signature
from orchestrator.git import GitRepository, Landing
from tests.support.project import Project

RESULT = "refs/heads/orchestrator/1/result"
MERGER = Signature(name="orchestrator", email="merge@1.orchestrator.invalid")
SHOWN = "--format=%an|%cn|%s|%(trailers:separator=%x2C)"


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


@pytest.fixture
def user(project: Project) -> None:
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")


@pytest.fixture
def result(project: Project, repository: GitRepository) -> str:
    base = project.git("rev-parse", "main")
    repository.set_ref("refs/orchestrator/1/base/1", base)
    first = work(repository, project, "worker_1", "new.txt")
    second = work(repository, project, "worker_2", "a.txt")
    merged = repository.merge(first, second, "Merge worker_2\n", MERGER, force=False).commit
    repository.set_ref(RESULT, merged)
    return merged


def work(repository: GitRepository, project: Project, worker: str, name: str) -> str:
    job = project.path / "product" / "workspace" / "job_1"
    directory = job / "depth_0" / worker / "worktree"
    directory.parent.mkdir(parents=True)
    branch = f"refs/heads/orchestrator/1/{worker}"
    repository.open_worktree(str(directory), branch, project.git("rev-parse", "main"))
    (directory / name).write_text("work\n")
    who = Signature(name=f"{worker} (shell)", email=f"{worker}@1.orchestrator.invalid")
    message = f"Part of {worker}\n\nOrchestrator-Worker: {worker}\n"
    return repository.commit(str(directory), branch, message, who)


@pytest.fixture
def landing(project: Project, result: str) -> Landing:
    return Landing(project.path, "1", "1", as_user=True)


@pytest.mark.slow
def test_commits_land_as_the_users_with_the_worker_as_co_author(
    project: Project, landing: Landing, user: None
) -> None:
    before = project.git("rev-parse", "main")

    assert "fast-forward, author Ada" in landing.land().text

    assert sorted(project.git("log", SHOWN, f"{before}..main").split("\n")) == [
        "Ada|Ada|Merge worker_2|",
        "Ada|Ada|Part of worker_1|Orchestrator-Worker: worker_1,"
        "Co-authored-by: worker_1 (shell) <worker_1@1.orchestrator.invalid>",
        "Ada|Ada|Part of worker_2|Orchestrator-Worker: worker_2,"
        "Co-authored-by: worker_2 (shell) <worker_2@1.orchestrator.invalid>",
    ]
    dates = ("log", "--format=%aI %cI")
    assert project.git(*dates, f"{before}..main") == project.git(*dates, f"{before}..{RESULT}")
    assert project.git("diff", "main", RESULT) == ""
    assert "already landed" in landing.land().text
    landing.undo()
    assert project.git("rev-parse", "main") == before


def test_a_merge_commit_of_landing_has_the_job_as_trailer(
    project: Project, landing: Landing, user: None
) -> None:
    project.commit({"mine.txt": "mine\n"}, "mine")
    before = project.git("rev-parse", "main")

    assert "a merge commit, author Ada" in landing.land().text

    assert project.git("log", "-1", SHOWN) == (
        "Ada|Ada|Merge the result of job 1|Orchestrator-Job: 1"
    )
    assert {*project.git("log", "--format=%an", f"{before}..main").split("\n")} == {"Ada"}


@pytest.mark.slow
def test_a_landing_as_the_user_is_repeated_after_a_reset(
    project: Project, landing: Landing, user: None
) -> None:
    before = project.git("rev-parse", "main")
    landing.land()
    project.git("reset", "-q", "--hard", before)

    landing.land()

    assert {*project.git("log", "--format=%an", f"{before}..main").split("\n")} == {"Ada"}


@pytest.mark.parametrize("next_job", ["1", "2"])
def test_a_later_result_lands_as_the_users_on_top_of_an_earlier_one(
    project: Project,
    landing: Landing,
    repository: GitRepository,
    result: str,
    user: None,
    next_job: str,
) -> None:
    before = project.git("rev-parse", "main")
    landing.land()
    project.git("checkout", "-q", "-b", "more", result)
    project.commit({"a.txt": "more\n"}, "Part of worker_3")
    author = "worker_3 (shell) <worker_3@1.orchestrator.invalid>"
    project.git("commit", "-q", "--amend", "--no-edit", f"--author={author}")
    head = project.git("rev-parse", "HEAD")
    repository.set_ref(f"refs/heads/orchestrator/{next_job}/result", head)
    project.git("checkout", "-q", "main")

    Landing(project.path, next_job, next_job, as_user=True).land()

    assert project.show("main", "a.txt") == "more"
    assert {*project.git("log", "--format=%an", f"{before}..main").split("\n")} == {"Ada"}


@pytest.mark.slow
def test_commits_of_others_keep_their_author(
    project: Project, landing: Landing, result: str, repository: GitRepository, user: None
) -> None:
    project.git("checkout", "-q", "-b", "more", "orchestrator/1/result")
    project.commit({"more.txt": "more\n"}, "by a person")
    project.git("commit", "-q", "--amend", "--no-edit", "--author=Grace <grace@example.org>")
    repository.set_ref(RESULT, project.git("rev-parse", "HEAD"))
    project.git("checkout", "-q", "main")

    landing.land()

    shown = project.git("log", "-1", "--format=%an|%(trailers)")
    assert shown == "Grace|"


@pytest.mark.slow
def test_a_squash_does_not_name_the_user_as_co_author(
    project: Project, landing: Landing, user: None
) -> None:
    landing.land(LandOptions.SQUASH, "Do it")
    found = project.git("log", "-1", "--format=%an|%(trailers:key=Co-authored-by,valueonly)")
    assert "orchestrator <" not in found
    assert found.startswith("Ada|worker_")


@pytest.mark.slow
def test_without_an_identity_nothing_lands(project: Project, landing: Landing) -> None:
    before = project.snapshot()
    with pytest.raises(Conflict, match=r"git -C .* config user.name"):
        landing.land()
    assert project.snapshot() == before
