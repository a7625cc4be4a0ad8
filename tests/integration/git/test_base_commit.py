"""Jobs that start from another commit than HEAD, or with uncommitted changes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.git.conftest import Host, MakeHost
from tests.integration.site import InProcess
from tests.support.project import Project, edit

DIRTY = "one\nmine\nthree\n"


def body(*tasks: object, **config: object) -> dict[str, object]:
    return {"request": "x", "tasks": list(tasks), "config": config}


def rejection_detail(site: InProcess, *tasks: object, **config: object) -> str:
    answer = site.call("POST", "/orchestrate", body(*tasks, **config))
    assert answer.status_code == 422, answer.text
    return str(answer.json()["detail"])


def test_a_job_starts_from_the_commit_that_is_named(host: Host) -> None:
    first = host.project.git("rev-parse", "HEAD")
    host.project.git("branch", "old")
    host.project.git("tag", "-a", "v1", "-m", "a tag with a message")
    host.project.commit({"later.txt": "later\n"}, "later")
    unchanged = host.watch_changes()
    task = edit("test ! -e later.txt; echo x > x.txt")

    for base in ("old", "v1", "HEAD~1", first[:10], "refs/heads/old"):
        ended = host.run(task, base=base)

        assert ended["status"] == "completed", (base, ended)
        config = host.site.get(f"/jobs/{ended['job_id']}")["config"]
        assert (config["base"], config["include_dirty"]) == (first, False), base
        assert "later.txt" not in host.project.files(f"orchestrator/{ended['job_id']}/result")
    assert unchanged() == []


def test_the_base_stays_what_it_was_when_the_job_was_submitted(host: Host) -> None:
    host.project.git("branch", "old")
    base = host.project.git("rev-parse", "old")
    job = host.site.submit("x", [edit("echo x > x.txt")], base="old", approve=True)
    host.project.git("branch", "-D", "old")
    other = host.project.git("commit-tree", "-m", "other", "HEAD^{tree}")
    host.project.git("reset", "-q", "--soft", other)
    host.project.git("reflog", "expire", "--expire=now", "--all")
    host.project.git("gc", "-q", "--prune=now")

    host.site.call("POST", f"/jobs/{job}/approve", {})

    assert host.site.wait(job)["status"] == "completed"
    assert host.project.git("merge-base", base, f"orchestrator/{job}/result") == base


def test_an_unknown_base_is_rejected_with_the_reason(host: Host) -> None:
    unchanged = host.watch_changes()
    for base in ("nothing-like-it", "--help", "HEAD:README.md", "a b", "-", "0" * 40, "é" * 500):
        assert "base" in rejection_detail(host.site, edit("true"), base=base), base
    assert unchanged() == []


def test_a_base_without_a_worktree_or_of_another_commit_is_rejected(host: Host) -> None:
    assert "git: off" in rejection_detail(host.site, edit("true"), base="HEAD", git="off")
    host.project.git("branch", "old")
    host.project.commit({"later.txt": "later\n"}, "later")
    detail = rejection_detail(host.site, edit("true"), base="old", include_dirty=True)
    assert "only if the job starts from HEAD" in detail


def test_without_a_repository_a_base_is_refused(make_host: MakeHost, tmp_path: Path) -> None:
    plain = make_host(Project(tmp_path / "plain"))
    assert "is not a git repository" in rejection_detail(plain.site, edit("true"), base="main")
    assert "is not a git repository" in rejection_detail(
        plain.site, edit("true"), include_dirty=True
    )


# Uncommitted work


def make_dirty(project: Project) -> None:
    project.write("src/app.py", DIRTY)
    project.write("untracked file.txt", "untracked\n")
    project.write("staged.txt", "staged\n")
    project.git("add", "staged.txt")
    project.write("staged.txt", "staged, then changed\n")
    (project.path / "README.md").unlink()
    project.write("ignored.tmp", "ignored\n")


def test_uncommitted_work_goes_along_and_the_checkout_notices_nothing(host: Host) -> None:
    host.project.write("README.md", "stashed\n")
    host.project.git("stash", "-q")
    make_dirty(host.project)
    unchanged = host.watch_changes()
    script = (
        "grep -x mine src/app.py; grep -x untracked 'untracked file.txt'; test ! -e README.md;"
        "grep -x 'staged, then changed' staged.txt; test ! -e ignored.tmp; test ! -e product;"
        "sed -i s/mine/yours/ src/app.py"
    )

    ended = host.run(edit(script), include_dirty=True)

    assert ended["status"] == "completed", ended
    assert unchanged() == []
    job = ended["job_id"]
    assert host.site.get(f"/jobs/{job}")["config"]["include_dirty"] is True
    assert ended["results"]["tasks"][0]["files_created"] == ["src/app.py"]
    assert host.record(job)["leaks"] == []


def test_a_clean_checkout_has_nothing_to_take_along(host: Host) -> None:
    ended = host.run(edit("echo x > x.txt"), include_dirty=True)
    config = host.site.get(f"/jobs/{ended['job_id']}")["config"]
    assert config["base"] == host.project.git("rev-parse", "HEAD")
    assert config["include_dirty"] is False


def test_landing_waits_until_the_work_is_committed_and_then_merges_cleanly(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    make_dirty(host.project)
    script = "sed -i s/mine/yours/ src/app.py; echo more >> 'untracked file.txt'"
    job = host.run(edit(script), include_dirty=True)["job_id"]
    unchanged = host.watch_changes()

    assert host.command("land", job, "--yes") == 1
    error = capfd.readouterr().err
    assert "still uncommitted" in error and error.endswith(f"; then: bin/orchestrator land {job}\n")
    commit = error.partition("; commit first: ")[2].partition("; then: ")[0]
    assert host.command("diff", job) == 0
    shown = capfd.readouterr().out
    assert "-mine\n+yours" in shown and "staged" not in shown
    assert unchanged() == []

    who = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ann"}
    who |= {"GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "ann@example.org"}
    subprocess.run(["bash", "-c", f"{commit} -q -m mine"], env={**os.environ, **who}, check=True)
    before = host.project.git("rev-parse", "HEAD")
    assert host.command("land", job, "--yes") == 0
    assert host.project.show("HEAD", "src/app.py") == "one\nyours\nthree"
    assert host.project.show("HEAD", "untracked file.txt") == "untracked\nmore"
    assert host.project.git("rev-parse", "HEAD^1") == before
    assert host.command("undo", job, "--yes") == 0
    assert host.project.git("rev-parse", "HEAD") == before


def test_changes_and_landings_are_printed_as_the_answers_of_the_api(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    job = host.run(edit("sed -i s/two/2/ src/app.py"))["job_id"]
    before = host.project.git("rev-parse", "HEAD")
    capfd.readouterr()

    def printed(*words: str) -> dict[str, Any]:
        assert host.command(*words, "--json") == 0
        out, err = capfd.readouterr()
        assert err == ""
        answer: dict[str, Any] = json.loads(out)
        return answer

    assert printed("diff", job) == host.site.get(f"/jobs/{job}/diff")
    of_worker = host.site.get(f"/jobs/{job}/diff?worker=worker_1&stat=true")
    assert printed("diff", job, "worker_1", "--stat") == of_worker
    assert printed("diff", job, "worker_1", "--attempt", "1", "--stat")["files"]
    assert host.command("land", "last", "--json") == 1
    problem = json.loads(capfd.readouterr().err)
    assert f"bin/orchestrator land {job} --json --yes" in problem["detail"]

    landed = printed("land", job, "--yes")
    assert (landed["landed"], landed["changed"], landed["before"]) == (True, True, before)
    assert printed("land", job)["changed"] is False
    assert host.command("undo", job, "--json") == 1
    assert json.loads(capfd.readouterr().err)["type"] == "conflict"
    undone = printed("undo", job, "--yes")
    assert (undone["commit"], undone["before"]) == (before, landed["commit"])


def test_landing_brings_only_what_the_workers_changed(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    make_dirty(host.project)
    script = "echo new > new.txt; sed -i s/one/ONE/ src/app.py"
    job = host.run(edit(script), include_dirty=True)["job_id"]
    host.project.git("add", "-A", "--", ".", ":!product")
    host.project.git("stash", "-q")
    before = host.watch_changes()

    assert host.command("land", job, "--yes") == 1
    assert "src/app.py" in capfd.readouterr().err
    assert before() == []
    host.project.git("stash", "pop", "-q")
    host.project.git("checkout", "-q", "HEAD", "--", "README.md")
    host.project.git("commit", "-q", "-m", "all but the deletion", "-a")
    assert host.command("land", job, "--yes") == 0
    assert host.project.show("HEAD", "README.md") == "hello"
    assert host.project.show("HEAD", "new.txt") == "new"


def test_in_the_middle_of_a_merge_there_is_nothing_to_take_along(host: Host) -> None:
    project = host.project
    project.git("switch", "-qc", "other")
    project.commit({"README.md": "theirs\n"}, "theirs")
    project.git("switch", "-q", "main")
    project.commit({"README.md": "ours\n"}, "ours")
    project.git("merge", "other", check=False)
    unchanged = host.watch_changes()
    assert rejection_detail(host.site, edit("true"), include_dirty=True) == (
        "cannot include uncommitted changes: the checkout has an unfinished merge (README.md); "
        f"finish it: git -C {project.path} commit, or abort it: git -C {project.path} merge "
        "--abort; or start from the last commit: omit --include-dirty (include_dirty)"
    )
    assert unchanged() == []


@pytest.mark.usefixtures("spawning")
def test_a_child_job_has_its_workers_files_and_no_other_base(host: Host) -> None:
    script = (
        'cd "$ORCHESTRATOR_WORKER_DIR"; curl -s -o answer -w "%{http_code}" '
        '-H "X-API-Key: $ORCHESTRATOR_API_KEY" -H "Content-Type: application/json" '
        '-d \'{"request": "y", "config": {"base": "HEAD"}}\' '
        '"$ORCHESTRATOR_API_URL/api/v1/orchestrate"; cat answer'
    )
    ended = host.run(edit(script))
    assert "remove base" in str(ended["results"]["tasks"][0]["output"]), ended


def test_continue_and_land_name_what_a_partial_result_lacks(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    first = host.run(edit("echo a > README.md"), edit("echo b > README.md"), gates="off")
    lacks = f"job {first['job_id']} is partial: not in the result: worker_2 (conflict in README.md)"
    capfd.readouterr()

    assert host.command("continue", first["job_id"], "--agent", "editor", "echo c > c.txt") == 0
    assert f"this job starts from an incomplete result: {lacks}" in capfd.readouterr().err
    [second] = [
        each["job_id"]
        for each in host.site.get("/jobs")["jobs"]
        if each["job_id"] != first["job_id"]
    ]
    assert host.command("land", second, "--yes") == 0
    assert f"the landing includes an incomplete result: {lacks}" in capfd.readouterr().err
