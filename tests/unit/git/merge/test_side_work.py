"""Branches, worktrees, and stash entries that an agent creates: all are merged or kept."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.delivered_work import (
    SideWork,
    SideWorkKind,
    remarks_on,
)
from orchestrator.core.repository.repository import Signature
from orchestrator.git import GitRepository
from tests.faults.crash_points import OF_HEADS
from tests.support.crashing import Crash, crash_at
from tests.support.examples import nightly
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orchestrator/1/worker_1"
KEPT = "refs/orchestrator-kept/1/worker_1"


@pytest.fixture
def worktree(repository: GitRepository, directory: str) -> Path:
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    return Path(directory)


def run_as_worker(worktree: Path, script: str, who: str = WHO.email) -> None:
    """Run a script as the worker, with the worker's git identity."""
    names = {f"GIT_{role}_NAME": "worker_1" for role in ("AUTHOR", "COMMITTER")}
    emails = {f"GIT_{role}_EMAIL": who for role in ("AUTHOR", "COMMITTER")}
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **names, **emails}
    subprocess.run(["bash", "-ec", script], cwd=worktree, env=env, check=True, capture_output=True)


def closed(repository: GitRepository, worktree: Path) -> tuple[str, Sequence[SideWork]]:
    tip = repository.commit(str(worktree), BRANCH, "work\n", WHO)
    folded = repository.merge_side_work(str(worktree), BRANCH, tip, "work\n", WHO)
    return folded.commit, folded.work


def added(repository: GitRepository, tip: str) -> list[str]:
    return list(repository.changed_paths(repository.base().commit, tip))


def kept_refs(project: Project) -> list[str]:
    return project.git("for-each-ref", "--format=%(refname)", KEPT).splitlines()


FEATURE = """
git switch -q -c feature; echo f > f.txt; git add f.txt; git commit -qm f; git switch -q -
"""


def test_a_branch_of_its_own_is_merged(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, f"{FEATURE} echo loose > loose.txt")

    tip, work = closed(repository, worktree)

    assert added(repository, tip) == ["f.txt", "loose.txt"]
    assert work == (SideWork(kind=SideWorkKind.BRANCH, name="feature"),)
    assert (worktree / "f.txt").read_text() == "f\n"
    assert Project(worktree).git("status", "--porcelain") == ""
    assert project.git("rev-parse", BRANCH) == tip
    # The second time there is nothing to merge.
    assert closed(repository, worktree) == (tip, ())


def test_a_branch_on_top_is_a_fast_forward(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, FEATURE)
    tip, _ = closed(repository, worktree)
    assert tip == project.git("rev-parse", "feature")


def test_commits_of_the_worker_s_branch_before_a_switch_are_merged(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, "echo a > a2.txt; git add .; git commit -qm a")
    run_as_worker(
        worktree, "git switch -q -c other HEAD~1; echo b > b2.txt; git add .; git commit -qm b"
    )

    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == ["a2.txt", "b2.txt"]


def test_a_crash_during_the_return_to_the_branch_loses_no_commit(
    repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, "echo a > a2.txt; git add .; git commit -qm a; echo m >> a.txt")
    run_as_worker(worktree, "git commit -qam m; git switch -q -c other HEAD~2; echo b > b2.txt")

    with crash_at(1, OF_HEADS[0]), pytest.raises(Crash):
        closed(repository, worktree)
    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == ["a.txt", "a2.txt", "b2.txt"]
    assert (worktree / "a2.txt").exists()


#: Two commits, and a rebase of both onto another branch that stops before the second commit.
REBASE = """
git switch -q -c x; echo theirs > a.txt; git commit -qam x; git switch -q -
echo %s; git add .; git commit -qm first; echo n > next.txt; git add .; git commit -qm next
GIT_SEQUENCE_EDITOR="sed -i 1s/pick/edit/" git rebase -q -i x || true; %s
"""


def test_the_commits_of_a_rebase_that_was_not_finished_are_merged(
    repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, REBASE % ("f > first.txt", "test ! -e next.txt"))

    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == ["a.txt", "first.txt", "next.txt"]


def test_conflicting_commits_of_an_unfinished_rebase_are_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, REBASE % ("ours > a.txt", "echo both > a.txt"))

    old = project.git("rev-parse", BRANCH)
    tip, [work] = closed(repository, worktree)

    assert work.ref == f"{KEPT}/branch/{old[:12]}"
    assert project.show(tip, "a.txt") == "both"
    assert project.show(work.ref, "next.txt") == "n"
    assert closed(repository, worktree) == (tip, (work,))


#: A commit on a detached HEAD, which the agent leaves for its branch.
DETACHED = """
git switch -q --detach; echo %s; git add .; git commit -qm detached; git switch -q -
"""


def test_commits_on_a_detached_head_that_the_agent_left_are_merged(
    repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, f"{DETACHED % 'd > d.txt'} echo loose > loose.txt")

    tip, [work] = closed(repository, worktree)

    assert added(repository, tip) == ["d.txt", "loose.txt"]
    assert work.kind is SideWorkKind.BRANCH and not work.ref
    assert closed(repository, worktree) == (tip, ())


def test_conflicting_commits_on_a_detached_head_are_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, f"{DETACHED % 'theirs > a.txt'} echo ours > a.txt")

    tip, [work] = closed(repository, worktree)

    assert work.ref == f"{KEPT}/branch/{project.git('rev-parse', work.ref)[:12]}"
    assert (project.show(tip, "a.txt"), project.show(work.ref, "a.txt")) == ("ours", "theirs")
    assert closed(repository, worktree) == (tip, (work,))


def test_a_visit_to_commits_of_others_or_to_discarded_commits_merges_nothing(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    project.git("switch", "-q", "-c", "users")
    project.commit({"u.txt": "u\n"})
    visit = "git switch -q --detach %s; git switch -q -;"
    run_as_worker(worktree, visit % "users")
    run_as_worker(
        worktree, "echo d > d.txt; git add .; git commit -qm d; git reset -q --hard HEAD~1"
    )
    run_as_worker(worktree, visit % "ORIG_HEAD")

    tip, work = closed(repository, worktree)

    assert (added(repository, tip), work) == ([], ())


def test_the_commits_of_a_branch_that_the_agent_deleted_are_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, f"{FEATURE} git branch -qD feature; echo loose > loose.txt")

    tip, work = closed(repository, worktree)

    ref = f"{KEPT}/deleted/feature"
    assert work == (SideWork(kind=SideWorkKind.DELETED, name="feature", ref=ref),)
    assert not work[0].is_missing
    assert added(repository, tip) == ["loose.txt"]
    assert project.show(ref, "f.txt") == "f"
    assert closed(repository, worktree) == (tip, work)


@pytest.mark.parametrize(
    "then",
    [
        "git merge -q feature; git branch -qd feature",
        "git merge -q --squash feature; git commit -qm squashed; git branch -qD feature",
        "git switch -q feature; git commit -q --amend -m g; git switch -q -; "
        "git merge -q feature; git branch -qd feature",
        "git merge -q --squash feature; git commit -qm squashed; git branch -qD feature; "
        "echo other > f.txt",
        "git merge -q --squash feature; echo more >> f.txt; git add .; git commit -qm squashed; "
        "git branch -qD feature",
        "git branch -m feature other",
        "git branch -m feature other; echo mine > f.txt; git add .; git commit -qm mine",
    ],
)
def test_a_branch_that_the_agent_merged_or_renamed_is_not_deleted_work(
    repository: GitRepository, worktree: Path, then: str
) -> None:
    run_as_worker(worktree, f"{FEATURE} {then}")

    tip, work = closed(repository, worktree)

    assert added(repository, tip) == ["f.txt"]
    assert SideWorkKind.DELETED not in [each.kind for each in work]


def test_a_branch_that_conflicts_is_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(
        worktree, "git switch -q -c x; echo theirs > a.txt; git commit -qam x; git switch -q -"
    )
    (worktree / "a.txt").write_text("ours\n")

    tip, work = closed(repository, worktree)

    ref = f"{KEPT}/branch/x"
    assert work == (SideWork(kind=SideWorkKind.BRANCH, name="x", ref=ref),)
    assert project.show(tip, "a.txt") == "ours"
    assert project.show(ref, "a.txt") == "theirs"
    assert closed(repository, worktree) == (tip, work)


@pytest.mark.parametrize("place", ["inside", "../beside"])
def test_a_worktree_of_its_own_is_merged_with_its_loose_files(
    project: Project, repository: GitRepository, worktree: Path, place: str
) -> None:
    run_as_worker(
        worktree,
        f"git worktree add -q -b feature {place}; cd {place}; echo c > c.txt; git add c.txt;"
        "git commit -qm c; echo loose > loose.txt; mkdir n; cd n; git init -q; echo n > n.txt;"
        "git add .; git commit -qm n",
    )

    tip, work = closed(repository, worktree)

    assert added(repository, tip) == ["c.txt", "loose.txt", "n/n.txt"]
    assert [each.name for each in work if each.kind is SideWorkKind.WORKTREE] == [Path(place).name]
    assert kept_refs(project) == [f"{KEPT}/nested/n"]
    assert project.worktrees() == [str(worktree)]
    assert not (worktree / place).exists()
    assert closed(repository, worktree)[0] == tip


def test_a_submodule_that_the_agent_adds_is_not_reported_as_committed_files(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    new = "git init -q ../lib; cd ../lib; echo l > l.txt; git add .; git commit -qm l; cd -"
    run_as_worker(worktree, f"{new}; git -c protocol.file.allow=always submodule add -q ../lib lib")

    tip, work = closed(repository, worktree)

    ref = f"{KEPT}/nested/lib"
    assert work == (SideWork(kind=SideWorkKind.SUBMODULE, name="lib", ref=ref),)
    assert added(repository, tip) == [".gitmodules", "lib"]
    assert remarks_on(work) == (f"new submodules, whose commits are also saved: lib ({ref})",)
    assert project.show(ref, "l.txt") == "l"


def test_a_stash_is_applied_and_the_users_list_is_as_before(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    project.write("a.txt", "the user's\n")
    project.git("stash", "push", "-q", "-m", "mine")
    project.write("dir/b.txt", "the user's, too\n")
    project.git("stash", "push", "-q", "-m", "mine as well")
    before = project.git("stash", "list", "--format=%H %gs")
    log = (project.path / ".git/logs/refs/stash").read_bytes()
    run_as_worker(worktree, "echo s > a.txt; echo new > new.txt; git stash -q -u")
    run_as_worker(worktree, "echo stashed > dir/b.txt; git stash push -q -m second")

    tip, work = closed(repository, worktree)

    assert project.show(tip, "a.txt") == "s"
    assert project.show(tip, "new.txt") == "new"
    assert project.show(tip, "dir/b.txt") == "stashed"
    assert (worktree / "new.txt").exists()
    assert [each.kind for each in work] == [SideWorkKind.STASH] * 2
    assert project.git("stash", "list", "--format=%H %gs") == before
    assert (project.path / ".git/logs/refs/stash").read_bytes() == log


def test_side_work_is_merged_also_if_another_worker_has_emptied_the_logs_of_refs(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, f"{FEATURE} git branch b2")
    run_as_worker(worktree, "git worktree add -q --detach ../beside; echo b > ../beside/b.txt")
    run_as_worker(worktree, "echo s > a.txt; git stash -q")
    project.git("branch", "users", "feature~1")
    project.git("reflog", "expire", "--expire=now", "--all")

    tip, work = closed(repository, worktree)

    assert added(repository, tip) == ["a.txt", "b.txt", "f.txt"]
    assert {each.name for each in work if not each.ref} >= {"feature", "beside"}
    assert project.git("stash", "list") == "" and not project.git("for-each-ref", "refs/stash")
    assert project.worktrees() == [str(worktree)]
    assert closed(repository, worktree) == (tip, ())


def test_the_users_work_stays_if_a_worker_has_emptied_the_logs_of_refs(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    project.git("worktree", "add", "-q", "-b", "users", str(tmp_path / "users"))
    Project(tmp_path / "users").commit({"u.txt": "u\n"})
    project.write("a.txt", "stashed\n")
    project.git("stash", "-q")
    other = "worker_2@example.org"
    run_as_worker(worktree, FEATURE, who=other)
    project.git("reflog", "expire", "--expire=now", "--all")
    refs = project.git("for-each-ref", "refs/heads", "refs/stash")

    tip, work = closed(repository, worktree)

    assert (added(repository, tip), work) == ([], ())
    assert project.git("for-each-ref", "refs/heads", "refs/stash") == refs
    assert (tmp_path / "users" / "u.txt").exists()


def test_a_stash_between_stashes_of_the_user_is_removed_alone(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, "echo s > a.txt; git stash -q")
    project.write("a.txt", "the user's\n")
    project.git("stash", "push", "-q", "-m", "mine")
    mine = project.git("rev-parse", "stash@{0}")

    tip, _ = closed(repository, worktree)

    assert project.show(tip, "a.txt") == "s"
    assert project.git("stash", "list", "--format=%H") == mine


def test_a_stash_that_conflicts_is_saved_and_can_be_applied(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, "echo s > a.txt; git stash -q; echo other > a.txt")

    _, work = closed(repository, worktree)

    (stash,) = work
    assert stash.is_missing and project.git("stash", "list") == ""
    project.git("stash", "apply", stash.ref)
    assert (project.path / "a.txt").read_text() == "s\n"


def test_a_stash_on_commits_that_the_agent_discarded_brings_only_its_own_change(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(
        worktree,
        "echo x > x.txt; git add x.txt; git commit -qm x; echo s > a.txt; git stash -q;"
        "git reset -q --hard HEAD~1",
    )
    tip, _ = closed(repository, worktree)
    assert added(repository, tip) == ["a.txt"]


def test_work_of_the_user_and_of_other_workers_is_not_changed(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    """Work of the user on the worker's commits, and work of another worker."""
    run_as_worker(worktree, "echo a > a2.txt; git add .; git commit -qm a")
    project.git("branch", "peek", BRANCH)
    run_as_worker(worktree, "git reset -q --hard HEAD~1")
    other = "worker_2@example.org"
    run_as_worker(worktree, "git branch b2; git stash -q || true", who=other)
    run_as_worker(
        worktree,
        f"git worktree add -q -b b3 '{tmp_path}/w3'; cd '{tmp_path}/w3'; echo 3 > 3.txt;"
        "git add .; git commit -qm 3",
        who=other,
    )
    project.git("worktree", "add", "-q", "-b", "users", str(tmp_path / "users"))
    Project(tmp_path / "users").commit({"u.txt": "u\n"})
    project.write("a.txt", "stashed\n")
    project.git("stash", "-q")
    refs = project.git("for-each-ref", "refs/heads", "refs/stash")

    tip, work = closed(repository, worktree)

    assert (added(repository, tip), work) == ([], ())
    assert project.git("for-each-ref", "refs/heads", "refs/stash") == refs
    assert (tmp_path / "w3" / "3.txt").exists() and (tmp_path / "users" / "u.txt").exists()


def test_work_of_an_attempt_that_was_rolled_back_is_not_merged(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    run_as_worker(worktree, FEATURE)
    tip, _ = closed(repository, worktree)
    repository.set_ref("refs/orchestrator/1/checkpoint/worker_1/1-after", tip)
    repository.roll_back(str(worktree), BRANCH, repository.base().commit, "")
    (worktree / "new.txt").write_text("new\n")

    tip, work = closed(repository, worktree)

    assert (added(repository, tip), work) == (["new.txt"], ())


def test_a_worker_that_did_nothing_of_it_costs_few_processes(
    repository: GitRepository, worktree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes read the index, one adds files, one writes a tree, and one may read the
    configuration.
    """
    (tmp_path / "bin").mkdir()
    called, git = tmp_path / "called", tmp_path / "bin" / "git"
    git.write_text(f'#!/bin/sh\necho "$*" >> "{called}"\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")

    closed(repository, worktree)

    processes = called.read_text().splitlines()
    sessions = ("cat-file --batch-command", "update-ref --no-deref -m orchestrator --stdin")
    assert len([each for each in processes if not each.endswith(sessions)]) <= 5


#: The agent's address, the user's address, and no address, so that git uses its configuration.
ADDRESSES = [
    "export GIT_COMMITTER_EMAIL=tool@example.com GIT_AUTHOR_EMAIL=tool@example.com;",
    "export GIT_COMMITTER_EMAIL=user@example.org;",
    "unset GIT_COMMITTER_EMAIL GIT_AUTHOR_EMAIL; git config user.email tool@example.com;",
]


@pytest.mark.parametrize("address", [ADDRESSES[0], *nightly(*ADDRESSES[1:])])
@pytest.mark.parametrize(
    ("script", "paths"),
    [
        (FEATURE, ["f.txt"]),
        (DETACHED % "d > d.txt", ["d.txt"]),
        ("echo s > a.txt; git stash -q", ["a.txt"]),
        ("echo n > n.txt; git add .; git commit -qm n; echo s > a.txt; git stash push -q a.txt",
         ["a.txt", "n.txt"]),
        ("git worktree add -q --detach ../beside; cd ../beside; echo w > w.txt", ["w.txt"]),
        ("git worktree add -q -b b inside; cd inside; echo w > w.txt; git add .; git commit -qm w",
         ["w.txt"]),
    ],
)  # fmt: skip
def test_side_work_is_found_whatever_address_the_agent_gives_to_git(
    project: Project,
    repository: GitRepository,
    worktree: Path,
    script: str,
    paths: list[str],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project.write("a.txt", "the user's\n")
    with monkeypatch.context() as earlier:
        earlier.setenv("GIT_COMMITTER_DATE", f"@{int(time.time()) - 1} +0000")
        project.git("stash", "push", "-q")
    project.git("branch", "users")
    mine = project.git("rev-parse", "stash@{0}")
    run_as_worker(worktree, f"{address} {script}")

    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == paths
    assert project.git("stash", "list", "--format=%H") == mine
    assert project.worktrees() == [str(worktree)]
    assert closed(repository, worktree) == (tip, ())


@pytest.mark.parametrize("address", [ADDRESSES[0], ADDRESSES[2]])
def test_commits_with_another_address_on_a_branch_of_the_worker_are_merged(
    repository: GitRepository, worktree: Path, address: str
) -> None:
    """The branch's own log shows the commit: the log of the removed worktree no longer exists."""
    script = "git add .; git commit -qm w; cd -; git worktree remove inside"
    run_as_worker(
        worktree, f"git worktree add -q -b b inside; cd inside; {address} echo w > w.txt; {script}"
    )

    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == ["w.txt"]


@pytest.mark.parametrize("address", [ADDRESSES[0], *nightly(*ADDRESSES[1:])])
def test_a_deleted_branch_with_another_address_is_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path, address: str
) -> None:
    run_as_worker(worktree, f"{address} {FEATURE} git branch -qD feature")

    _, work = closed(repository, worktree)

    assert [each.ref for each in work] == [f"{KEPT}/deleted/feature"]
    assert project.show(f"{KEPT}/deleted/feature", "f.txt") == "f"


@pytest.mark.parametrize("address", [ADDRESSES[0], *nightly(*ADDRESSES[1:])])
def test_work_of_others_with_the_agents_address_is_not_touched(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path, address: str
) -> None:
    run_as_worker(worktree, f"{address} echo a > a2.txt; git add .; git commit -qm a")
    project.git("branch", "peek", BRANCH)
    run_as_worker(worktree, f"{address} git reset -q --hard HEAD~1")
    project.git("worktree", "add", "-q", "-b", "theirs", str(tmp_path / "w"))
    run_as_worker(tmp_path / "w", f"{address} echo t > t.txt; git add .; git commit -qm t")
    run_as_worker(tmp_path / "w", f"{address} echo s > a.txt; git stash -q")
    run_as_worker(worktree, f"{address} git switch -q --detach theirs; git switch -q -")
    refs = project.git("for-each-ref", "refs/heads", "refs/stash")

    tip, work = closed(repository, worktree)

    assert (added(repository, tip), work) == ([], ())
    assert project.git("for-each-ref", "refs/heads", "refs/stash") == refs


def test_an_entry_that_the_user_stashes_when_the_worker_starts_stays(
    project: Project, repository: GitRepository, directory: str
) -> None:
    project.write("a.txt", "the user's\n")
    project.git("stash", "push", "-q")
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    project.write("a.txt", "the user's second\n")
    project.git("stash", "push", "-q")
    entries = project.git("stash", "list", "--format=%H")

    tip, work = closed(repository, Path(directory))

    assert (added(repository, tip), work) == ([], ())
    assert project.git("stash", "list", "--format=%H") == entries


@pytest.mark.parametrize("away", ["--detach HEAD~1", "-c other HEAD~1"])
def test_the_commits_of_the_worker_s_deleted_branch_are_saved_and_named(
    project: Project, repository: GitRepository, worktree: Path, away: str
) -> None:
    own = BRANCH.removeprefix("refs/heads/")
    run_as_worker(worktree, "echo c > c.txt; git add .; git commit -qm c")
    run_as_worker(worktree, f"git switch -q {away}; git branch -qD {own}; echo loose > loose.txt")

    tip, work = closed(repository, worktree)

    ref = f"{KEPT}/deleted/{own}"
    assert work == (SideWork(kind=SideWorkKind.DELETED, name=own, ref=ref),)
    assert added(repository, tip) == ["loose.txt"]
    assert project.show(ref, "c.txt") == "c"
    assert project.git("rev-parse", BRANCH) == tip
    assert closed(repository, worktree) == (tip, work)


@pytest.mark.parametrize("how", ["branch -m", "branch -c"])
@pytest.mark.parametrize("away", ["--detach HEAD~1", "-c other HEAD~1"])
def test_its_own_branch_that_the_agent_renamed_is_merged(
    project: Project, repository: GitRepository, worktree: Path, away: str, how: str
) -> None:
    own = BRANCH.removeprefix("refs/heads/")
    run_as_worker(worktree, "echo c > c.txt; git add .; git commit -qm c")
    run_as_worker(worktree, f"git switch -q {away}; git {how} {own} saved; echo loose > loose.txt")

    tip, work = closed(repository, worktree)

    assert added(repository, tip) == ["c.txt", "loose.txt"]
    assert not [each for each in work if each.ref]
    assert project.git("rev-parse", BRANCH) == tip
    assert closed(repository, worktree) == (tip, ())


def test_later_commits_of_the_user_on_a_branch_of_the_worker_are_not_merged(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    run_as_worker(worktree, FEATURE)
    tip, _ = closed(repository, worktree)
    project.git("worktree", "add", "-q", str(tmp_path / "users"), "feature")
    Project(tmp_path / "users").commit({"u.txt": "u\n"})

    assert closed(repository, worktree) == (tip, ())


def test_both_workers_keep_their_commits_on_a_branch_that_both_use(
    project: Project, repository: GitRepository, worktree: Path
) -> None:
    branch, other = BRANCH.replace("_1", "_2"), worktree.parents[1] / "worker_2" / "worktree"
    repository.open_worktree(str(other), branch, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_2", repository.base().commit)
    second = Signature(name="worker_2", email="worker_2@1.orchestrator.invalid")
    more = FEATURE.replace("-c ", "").replace("f.txt", "more.txt")
    run_as_worker(worktree, FEATURE)
    run_as_worker(other, more, who=second.email)

    tip, _ = closed(repository, worktree)
    theirs = repository.commit(str(other), branch, "work\n", second)
    folded = repository.merge_side_work(str(other), branch, theirs, "work\n", second)

    assert added(repository, tip) == ["f.txt"]
    assert added(repository, folded.commit) == ["f.txt", "more.txt"]
    assert closed(repository, worktree) == (tip, ())


@pytest.mark.parametrize(
    ("address", "is_kept"), [(ADDRESSES[0], True), ("", False)], ids=["another", "the worker's"]
)
def test_commits_with_another_address_on_a_branch_of_the_user_are_saved_and_named(
    project: Project, repository: GitRepository, directory: str, address: str, is_kept: bool
) -> None:
    """Commits with the worker's address are reported as a moved branch."""
    project.git("branch", "dev")
    os.utime(project.path / ".git/logs/refs/heads/dev")
    log = project.path / ".git/logs/refs/heads/dev"
    log.write_text(re.sub(r"> \d+ ", "> 1700000000 ", log.read_text()))
    repository.open_worktree(directory, BRANCH, repository.base().commit)
    worker = f"{WHO.name}@1.orchestrator.invalid"
    run_as_worker(Path(directory), f"{address} {FEATURE.replace('-c feature', 'dev')}", who=worker)

    tip, work = closed(repository, Path(directory))

    assert added(repository, tip) == []
    ref = f"{KEPT}/user-branch/dev"
    words = f"commits on your branch dev were not merged; to merge them: git merge {ref}"
    assert remarks_on(work) == (words,) * is_kept


def test_the_staged_files_of_a_worktree_whose_directory_was_removed_are_merged(
    project: Project, repository: GitRepository, worktree: Path, tmp_path: Path
) -> None:
    """For example, $TMPDIR has a worktree, and is removed when the attempt ends."""
    place = tmp_path / "temporary" / "w"
    script = "echo s > s.txt; git add .; git commit -qm s; echo i > i.txt; git add .; rm -r $PWD"
    run_as_worker(worktree, f"git worktree add -q --detach {place}; cd {place}; {script}")

    tip, _ = closed(repository, worktree)

    assert added(repository, tip) == ["i.txt", "s.txt"]
    assert project.worktrees() == [str(worktree)]
    assert closed(repository, worktree) == (tip, ())
