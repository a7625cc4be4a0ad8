"""A full disk pauses work and corrupts nothing. The disk is small and in memory."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.cli.doctor.machine import repository_space
from orchestrator.core import failpoints
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.git import CopyRules, GitRepository, NeverCommit
from orchestrator.git.command.runner import Git
from orchestrator.git.environments.copied_files import NO_RULES
from tests.integration.conftest import MakeSite
from tests.integration.site import InProcess, shell, until
from tests.support.project import Project, agents, edit
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

DISK_MIB = 40
LEAST_FREE_MIB = 12
BRANCH = "refs/heads/orchestrator/1/worker_1"
BIG_FILES_ARE_PACKED = "'core.bigFileThreshold'='1m'"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a separate file system, which only root can create."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield directory
    # Unmounted lazily, because a process of a failed test may still have an open file.
    subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture
def site(disk: Path, make_site: MakeSite) -> InProcess:
    # In this order, so that the server stops before its disk is removed.
    site = make_site(
        orchestrator={"workspace_root": str(disk / "workspace")},
        workers={"min_free_disk_bytes": LEAST_FREE_MIB * 2**20},
    )
    site.workspace = disk / "workspace"
    return site


def fill(disk: Path, leave_mib: int = 0) -> Path:
    """Fill the disk except for some bytes. Return the file that fills it."""
    filler = disk / "filler"
    chunk = bytes(2**18)
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > leave_mib * 2**20:
            file.write(chunk)
    return filler


def waits_for_space(site: InProcess, job_id: str) -> str:
    reason = str(site.get(f"/jobs/{job_id}")["workers"][0]["reason"])
    return reason if reason.startswith("waiting for disk space: ") else ""


def test_below_the_mark_nothing_starts_everything_is_served_and_it_resumes_by_itself(
    site: InProcess, disk: Path
) -> None:
    filler = fill(disk, leave_mib=LEAST_FREE_MIB - 4)

    def noticed() -> str:
        site.submit("a look at the disk, at most twice a second", [shell("true")])
        return site.manager.service.server_status.health().paused

    until(noticed, "it is noticed")
    job_id = site.submit("one", [shell("echo done")])
    reason = until(
        lambda: site.get(f"/jobs/{job_id}")["workers"][0]["reason"], "the worker has the reason"
    )
    filler.unlink()

    assert reason.startswith("waiting for disk space: ")
    assert site.wait(job_id)["status"] == "completed"
    assert site.manager.service.server_status.health().paused == ""


def test_what_runs_on_a_full_disk_ends_with_its_end_stored(site: InProcess, disk: Path) -> None:
    begun, go = disk / "begun", disk / "go"
    command = f"touch {begun}; until [ -e {go} ]; do sleep 0.02; done"
    job_id = site.submit("one", [shell(command)])
    # The status "running" is not enough: it is stored before the process exists.
    until(begun.exists, "it runs")
    go_later = disk / "go-later"
    go_later.touch()
    filler = fill(disk)

    go_later.rename(go)
    until(lambda: site.status(job_id)["workers"].get("success"), "its end is stored")
    filler.unlink()

    assert site.wait(job_id)["status"] == "completed"
    assert site.run("another", [shell("echo fine")])["status"] == "completed"
    reserve = site.workspace / ".disk-reserve"
    until(reserve.exists, "space is set aside again")


def test_a_job_that_ends_on_a_full_disk_has_its_files_once_there_is_space(
    make_site: MakeSite, disk: Path, tmp_path: Path
) -> None:
    # Only the attempt's end can be stored, on another disk.
    site = make_site(
        orchestrator={"workspace_root": str(disk / "workspace")},
        store={"url": f"sqlite:///{tmp_path / 'state.db'}"},
        workers={"min_free_disk_bytes": 0},
    )
    site.workspace = disk / "workspace"
    begun, go = disk / "begun", disk / "go-on"
    command = f"touch {begun}; until [ -e {go} ]; do sleep 0.02; done"
    job_id = site.submit("one", [shell(command)])
    until(begun.exists, "it runs")
    go_later = disk / "go-later"
    go_later.touch()
    filler = fill(disk)

    go_later.rename(go)
    until(lambda: site.status(job_id)["status"] == "completed", "it has ended")
    filler.unlink()

    until(lambda: site.status_file(job_id)["status"] == "completed", "status.json has the status")
    until((site.directory(job_id) / "FINAL_RESULT.md").exists, "its report is there")


def test_a_full_disk_costs_no_worker_its_attempts(
    make_site: MakeSite, disk: Path, tmp_path: Path
) -> None:
    # The disk is not checked before a start: the start itself fails.
    site = make_site(
        orchestrator={"workspace_root": str(disk / "workspace")},
        store={"url": f"sqlite:///{tmp_path / 'state.db'}"},
        workers={"min_free_disk_bytes": 0, "max_retries": 0},
    )
    site.workspace = disk / "workspace"
    filler = fill(disk)

    job_id = site.submit("one", [shell("echo done")])
    until(lambda: waits_for_space(site, job_id), "the reason names the disk")
    filler.unlink()

    assert site.wait(job_id)["status"] == "completed"


def test_a_context_that_finds_no_space_costs_no_attempt(
    make_site: MakeSite, disk: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"README.md": "hello\n"})
    site = make_site(
        orchestrator={
            "project_root": str(project.path),
            "workspace_root": str(disk / "workspace"),
        },
        agents=agents(tmp_path),
        store={"url": f"sqlite:///{tmp_path / 'state.db'}"},
        workers={"min_free_disk_bytes": 0, "max_retries": 0},
    )
    site.workspace = disk / "workspace"
    filler = fill(disk)

    job_id = site.submit("one", [edit("echo 1 > one.txt")])
    until(lambda: waits_for_space(site, job_id), "the reason names the disk")
    filler.unlink()

    assert site.wait(job_id)["status"] == "completed"
    assert attempts_and_events(site, job_id)[0] == 1


def test_a_checkout_that_finds_no_space_is_a_full_disk(disk: Path, tmp_path: Path) -> None:
    """git prints only "unable to write file", without the cause."""
    repository = tmp_path / "repository"
    git = Git(str(tmp_path), {})
    git.run("init", "-q", str(repository))
    inside = Git(str(repository), {})
    (repository / "large").write_bytes(os.urandom(2**20))
    inside.run("add", "large")
    inside.run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "large")
    inside.run("worktree", "add", "-q", "--no-checkout", "--detach", str(disk / "tree"))
    filler = fill(disk)
    with pytest.raises(OSError, match="git reset") as refused:
        Git(str(disk / "tree"), {}).run("reset", "-q", "--hard")
    assert is_shortage(refused.value)
    filler.unlink()
    Git(str(disk / "tree"), {}).run("reset", "-q", "--hard")
    assert (disk / "tree" / "large").stat().st_size == 2**20


# The repository and the workspace on different disks


def repository_on(disk: Path, make_site: MakeSite, least_free_mib: int = 0) -> InProcess:
    project = Project(disk / "project").begin({"README.md": "hello\n"})
    return make_site(
        orchestrator={"project_root": str(project.path)},
        agents=agents(disk.parent),
        workers={"min_free_disk_bytes": least_free_mib * 2**20, "max_retries": 0},
    )


def temporary_objects(disk: Path) -> list[Path]:
    return list((disk / "project" / ".git" / "objects").rglob("tmp_*"))


def attempts_and_events(site: InProcess, job_id: str) -> tuple[int, list[str]]:
    [worker] = site.get(f"/jobs/{job_id}")["workers"]
    events = [str(each.kind) for each in site.manager.parts.store.events(job_id, 0, 100)]
    return len(worker["attempts"]), events


def test_below_the_mark_on_the_repositorys_disk_nothing_starts(
    make_site: MakeSite, disk: Path
) -> None:
    site = repository_on(disk, make_site, LEAST_FREE_MIB)
    assert site.run("before", [edit("echo 1 > one.txt")])["status"] == "completed"
    filler = fill(disk, leave_mib=LEAST_FREE_MIB - 4)

    def noticed() -> str:
        site.submit("a look at the disk, at most twice a second", [shell("true")])
        return site.manager.service.server_status.health().paused

    paused = until(noticed, "it is noticed")
    job_id = site.submit("two", [edit("echo 2 > two.txt")])
    until(
        lambda: site.get(f"/jobs/{job_id}")["workers"][0]["reason"] == paused,
        "the reason is stored",
    )
    doctor = repository_space(disk / "project", site.workspace, LEAST_FREE_MIB * 2**20)
    filler.unlink()

    assert f"under {disk}/project/.git" in paused
    assert doctor is not None and doctor.ok is False and f"{disk}/project/.git" in doctor.message
    assert site.wait(job_id)["status"] == "completed"
    assert attempts_and_events(site, job_id)[0] == 1


def test_a_start_that_finds_no_space_in_the_repository_waits_in_its_one_attempt(
    make_site: MakeSite, disk: Path
) -> None:
    site = repository_on(disk, make_site)
    assert site.run("before", [edit("echo 1 > one.txt")])["status"] == "completed"
    filler = fill(disk)

    job_id = site.submit("two", [edit("echo 2 > two.txt")])
    reason = until(lambda: waits_for_space(site, job_id), "the reason names the disk")
    paused = site.manager.service.server_status.health().paused
    _, events = attempts_and_events(site, job_id)
    filler.unlink()

    assert paused == reason
    assert site.wait(job_id)["status"] == "completed"
    tried, after = attempts_and_events(site, job_id)
    assert tried == 1 and after[: len(events)] == events
    assert after.count("worker_started") == 1 and "worker_retrying" not in after
    assert site.manager.service.server_status.health().paused == ""


def test_a_start_that_waits_for_space_is_cancelled_at_once(make_site: MakeSite, disk: Path) -> None:
    site = repository_on(disk, make_site)
    assert site.run("before", [edit("echo 1 > one.txt")])["status"] == "completed"
    fill(disk)
    job_id = site.submit("two", [edit("echo 2 > two.txt")])
    until(lambda: waits_for_space(site, job_id), "it waits")

    assert site.call("POST", f"/jobs/{job_id}/cancel").status_code == 202

    assert site.wait(job_id)["status"] == "cancelled"


def test_a_git_that_finds_no_space_leaves_nothing_temporary(disk: Path) -> None:
    project = Project(disk / "project").begin({"README.md": "hello\n"})
    git = Git(str(project.path), {})
    (disk / "project" / "large").write_bytes(os.urandom(2**22))
    filler = fill(disk)
    for written in (git, Git(str(project.path), {"GIT_CONFIG_PARAMETERS": BIG_FILES_ARE_PACKED})):
        with pytest.raises(OSError, match="git add") as refused:
            written.run("add", "large")
        assert is_shortage(refused.value)
        assert temporary_objects(disk) == []
    # For a ref, git reports no cause.
    with pytest.raises(OSError, match="git update-ref") as refused:
        git.run("update-ref", "refs/heads/another", "HEAD")
    assert is_shortage(refused.value)
    filler.unlink()


# The worker's files are too large to be committed


LARGE = f"for n in 1 2 3 4 5 6; do head -c {2**22} /dev/urandom > large$n; done; touch begun; "
LARGE += "until [ -e go ]; do sleep 0.02; done; rm begun go"


def used_mib(path: Path) -> float:
    found = subprocess.run(["du", "-sk", str(path)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0]) / 1024


def left_too_much(site: InProcess, disk: Path) -> tuple[str, Path]:
    """Return a job whose ended worker waits for disk space for its files, and the worktree."""
    assert site.run("before", [edit("echo 1 > one.txt")])["status"] == "completed"
    job_id = site.submit("large", [edit(LARGE)])
    worktree = site.directory(job_id) / "depth_0" / "worker_1" / "worktree"
    until((worktree / "begun").exists, "it has left it")
    (worktree / "go").touch()
    until(lambda: waits_for_space(site, job_id), "its commit finds no space")
    return job_id, worktree


@pytest.fixture
def small_site(disk: Path, make_site: MakeSite) -> InProcess:
    """Workspace and repository on the small disk."""
    project = Project(disk / "project").begin({"README.md": "hello\n"})
    root = {"project_root": str(project.path), "workspace_root": str(disk / "workspace")}
    workers = {"min_free_disk_bytes": 0, "max_retries": 0}
    site = make_site(orchestrator=root, agents=agents(disk.parent), workers=workers)
    site.workspace = disk / "workspace"
    return site


def test_a_commit_that_finds_no_space_is_taken_up_again(small_site: InProcess, disk: Path) -> None:
    job_id, _ = left_too_much(small_site, disk)

    # Between two retries, the disk has no complete or partial objects.
    until(lambda: used_mib(disk / "project" / ".git") < 1, "what git could not write is removed")
    assert temporary_objects(disk) == []
    larger = f"remount,size={DISK_MIB * 3}m"
    subprocess.run(["mount", "-o", larger, str(disk)], check=True)

    ended = small_site.wait(job_id)
    assert ended["status"] == "completed", ended
    assert attempts_and_events(small_site, job_id)[0] == 1
    assert "large6" in Project(disk / "project").files(f"orchestrator/{job_id}/result")


def test_what_waits_for_a_commit_is_cancelled_at_once_and_can_be_freed(
    small_site: InProcess, disk: Path
) -> None:
    job_id, worktree = left_too_much(small_site, disk)

    assert small_site.call("POST", f"/jobs/{job_id}/cancel").status_code == 202
    assert small_site.wait(job_id)["status"] == "cancelled"

    refused = small_site.call("POST", f"/jobs/{job_id}/remove", {})
    assert refused.status_code == 409 and f"discard {job_id}" in refused.json()["detail"]
    assert (worktree / "large1").exists(), "nothing was removed"
    lost = small_site.manager.service.checkpoints._worktrees.checkpoints.repository.unlanded(job_id)
    assert lost[str(worktree)] == "uncommitted"

    assert small_site.call("POST", f"/jobs/{job_id}/discard", {}).status_code == 200
    assert not worktree.exists()
    assert used_mib(disk / "project" / ".git") < 1, "objects stay in the user's repository"
    assert small_site.call("POST", f"/jobs/{job_id}/remove", {}).status_code == 200
    assert small_site.run("after", [edit("echo 2 > two.txt")])["status"] == "completed"


def open_repository(project: Project, rules: CopyRules = NO_RULES) -> tuple[GitRepository, Path]:
    """Return the product's repository on the disk, and a worktree."""
    product = project.path / "product"
    directory = product / "workspace" / "job_1" / "depth_0" / "worker_1" / "worktree"
    directory.parent.mkdir(parents=True)
    repository = GitRepository(project.path, product / "workspace", product, rules)
    repository.open_worktree(str(directory), BRANCH, repository.base().commit)
    repository.set_ref("refs/orchestrator/1/start/worker_1", repository.base().commit)
    return repository, directory


def test_files_that_are_held_back_need_no_space_to_commit_the_others(disk: Path) -> None:
    project = Project(disk / "project").begin({"README.md": "hello\n"})
    never = NeverCommit(patterns=("node_modules/",), over=2**20)
    repository, directory = open_repository(project, CopyRules(never=never, derive=False))
    (directory / "node_modules").mkdir()
    for name in ("huge", "node_modules/other"):
        (directory / name).write_bytes(os.urandom(11 * 2**20))
    (directory / "[!new]*").write_text("new\n")

    tip = repository.commit(str(directory), BRANCH, "work\n", WHO)
    folded = repository.merge_side_work(str(directory), BRANCH, tip, "work\n", WHO)

    assert project.files(tip) == ["README.md", "[!new]*"]
    held = {each.path: each.size for each in folded.held_back}
    assert held == {"huge": 11 * 2**20, "node_modules": 11 * 2**20}
    assert used_mib(project.path / ".git") < 1


def test_a_commit_that_a_full_disk_cut_off_is_whole_when_it_is_repeated(disk: Path) -> None:
    """The index of git then has files whose objects are missing in the repository."""
    project = Project(disk / "project").begin({"README.md": "hello\n"})
    repository, directory = open_repository(project)
    (directory / "new").write_bytes(os.urandom(2**20))
    cut_off: list[str] = []

    def full(name: str) -> None:
        if name == "worktree: objects written" and not cut_off:
            cut_off.append(name)
            raise OSError(errno.ENOSPC, "no space")

    failpoints.arm(full)
    try:
        with pytest.raises(OSError, match="no space"):
            repository.commit(str(directory), BRANCH, "work\n", WHO)
    finally:
        failpoints.arm(None)
    assert used_mib(project.path / ".git") < 1

    commit = repository.snapshot(str(directory), "kept\n", WHO)
    tip = repository.commit(str(directory), BRANCH, "work\n", WHO)

    assert project.files(tip) == project.files(commit) == ["README.md", "new"]
    assert "missing" not in project.git("fsck", "--connectivity-only", commit, tip)


def test_a_repository_whose_objects_are_on_another_disk_gets_whole_commits(
    disk: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project").begin({"README.md": "hello\n"})
    objects = project.path / ".git" / "objects"
    shutil.move(objects, disk / "objects")
    objects.symlink_to(disk / "objects")
    repository, directory = open_repository(project)
    (directory / "new").write_text("new\n")

    tip = repository.commit(str(directory), BRANCH, "work\n", WHO)

    assert project.show(tip, "new") == "new"
    assert "missing" not in project.git("fsck", "--connectivity-only", tip)
    assert temporary_objects(tmp_path) == []
