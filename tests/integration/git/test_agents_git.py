"""Agents that use git themselves: no work is lost, and the user's repository is unchanged."""

import json
import os
from pathlib import Path

import pytest

from tests.faults import crash_points
from tests.integration.conftest import MakeCrashing
from tests.integration.git.conftest import FILES, Host
from tests.integration.site import shell, until
from tests.support.examples import nightly
from tests.support.project import Project, edit

SCAFFOLD = """
mkdir -p web/src; cd web; git init -q
echo 'console.log(1)' > src/main.js; echo '# web' > README.md
git add --all; git commit -q -m scaffold
echo 'console.log(2)' > src/main.js
cd ..
"""


def test_a_nested_scaffold_is_in_the_result_and_its_history_is_kept(host: Host) -> None:
    changes = host.watch_changes()
    ended = host.run(edit(SCAFFOLD, id="a"), edit("cat web/src/main.js", depends_on=["a"]))

    assert ended["status"] == "completed", ended
    job, project = ended["job_id"], host.project
    first, second = ended["results"]["tasks"]
    assert first["files_created"] == ["web/README.md", "web/src/main.js"]
    assert "console.log(2)" in second["output"]
    result = f"orchestrator/{job}/result"
    assert project.show(result, "web/src/main.js") == "console.log(2)"
    history = f"refs/orchestrator-kept/{job}/worker_1/nested/web"
    assert project.git("log", "--format=%s", history) == "scaffold"
    assert changes() == []

    assert host.command("land", job, "--yes") == 0
    assert (project.path / "web" / "src" / "main.js").read_text() == "console.log(2)\n"


def test_a_child_job_finds_the_files_of_its_workers_nested_repository(host: Host) -> None:
    child = "orchestrator spawn look --command 'cat web/src/main.js > seen.txt' --wait"
    ended = host.run(edit(f"{SCAFFOLD} {child}"), git="on")

    assert ended["status"] == "completed", ended
    result = f"orchestrator/{ended['job_id']}/result"
    assert host.project.show(result, "seen.txt") == "console.log(2)"
    assert "web/README.md" in host.project.files(result)


def test_what_a_dependency_is_named_by_exists(host: Host) -> None:
    ended = host.run(
        edit("echo a > a.txt", id="a"),
        shell("echo b > b.txt", id="b"),
        shell("cat dependencies.json", depends_on=["a", "b"]),
        edit('cat "$ORCHESTRATOR_WORKER_DIR/dependencies.json"', depends_on=["a"]),
    )

    job, rows = ended["job_id"], ended["results"]["tasks"]
    with_git, without = (json.loads(rows[2]["output"])[each] for each in ("a", "b"))
    assert host.project.show(with_git["commit"], "a.txt") == "a"
    assert with_git["branch"] == f"orchestrator/{job}/worker_1"
    assert os.path.isdir(with_git["directory"])
    assert (without["branch"], without["commit"]) == ("", "")
    assert os.path.isfile(f"{without['directory']}/b.txt")
    assert with_git["commit"] in rows[3]["output"]


def test_dependencies_and_large_files_are_held_back_and_named(host: Host) -> None:
    script = """
    mkdir -p web/node_modules; for n in $(seq 30); do echo $n > web/node_modules/$n.js; done
    head -c 11000000 /dev/zero > dump.bin; head -c 11000000 /dev/zero > promised.bin; echo a > a.txt
    """
    ended = host.run(
        edit(script, writes=["promised.bin"], gates=["test -e web/node_modules/3.js", "test -d ."])
    )

    assert ended["status"] == "completed", ended
    job, [row] = ended["job_id"], ended["results"]["tasks"]
    assert row["files_created"] == ["a.txt", "promised.bin"]
    result = host.project.files(f"orchestrator/{job}/result")
    assert {"a.txt", "promised.bin"} <= set(result) and "dump.bin" not in result
    reason = (
        "not committed (git.never_commit): dump.bin (11.0 MB, saved in files/ of the worker's "
        "directory), web/node_modules (30 files)"
    )
    assert reason in row["reason"] and f"worker_1: {reason}" in ended["reason"]
    saved = host.site.directory(job) / "depth_0" / "worker_1" / "files" / "dump.bin"
    assert saved.stat().st_size == 11_000_000


def test_what_an_agent_has_committed_itself_does_not_stay_in_the_history(host: Host) -> None:
    script = """
    mkdir node_modules; echo 1 > node_modules/1.js; echo a > a.txt
    git add .; git commit -q -m "add a"; echo b > b.txt; git add .; git commit -q -m "add b"
    """
    ended = host.run(edit(script, title="Both files", gates=["test -e node_modules/1.js"]))

    assert ended["status"] == "completed", ended
    result = f"orchestrator/{ended['job_id']}/result"
    log = host.project.git("log", "--format=%s%n%b", "--name-only", f"main..{result}")
    assert "node_modules" not in log
    assert "Both files\n- add a\n- add b\n" in log.replace("\n\n", "\n")
    assert {"a.txt", "b.txt"} <= set(host.project.files(result))
    reason = (
        "the worker's commits with git.never_commit files were replaced by one commit without "
        "these files"
    )
    assert reason in ended["reason"]


def test_an_agents_own_commit_never_waits_for_a_signature(host: Host) -> None:
    for name in ("commit.gpgSign", "tag.gpgSign"):
        host.project.git("config", name, "true")
    host.project.git("config", "gpg.program", "false")

    variables = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "own.key",
        "GIT_CONFIG_VALUE_0": "mine",
    }
    script = "git config own.key > a.txt; git add a.txt; git commit -q -m own; git tag -m t own-tag"
    ended = host.run(edit(script, env=variables))

    assert ended["status"] == "completed", ended
    result = f"orchestrator/{ended['job_id']}/result"
    assert host.project.git("log", "--format=%s", "-1", result, "--", "a.txt") == "own"
    assert host.project.show(result, "a.txt") == "mine"


def test_agents_push_nothing_and_the_configuration_stays(host: Host) -> None:
    project = host.project
    remotes = {name: project.path.parent / f"{name}.git" for name in ("origin", "mirror")}
    for name, path in remotes.items():
        project.git("init", "-q", "--bare", str(path))
        project.git("remote", "add", name, str(path))
    project.git("remote", "set-url", "--push", "mirror", f"file://{remotes['mirror']}")
    project.git("push", "-q", "origin", "main")
    config = (project.path / ".git" / "config").read_bytes()
    tries = (
        "git fetch -q origin",
        "if git push origin HEAD:refs/heads/leak; then exit 9; fi",
        "if git push mirror HEAD:refs/heads/leak; then exit 9; fi",
        f"if git push {remotes['origin']} HEAD:refs/heads/leak; then exit 9; fi",
        "if git push https://127.0.0.1:9/x.git HEAD; then exit 9; fi",
        "git init -q --bare ../own.git; git push -q ../own.git HEAD:refs/heads/mine",
    )

    ended = host.run(
        edit("\n".join(tries)), shell("git push -q origin HEAD:refs/heads/own"), git="on"
    )

    assert ended["status"] == "completed", ended
    log = Path(ended["results"]["tasks"][0]["log"]).read_text()
    assert log.count("pushing is off for workers (git.push)") == 4
    assert (project.path / ".git" / "config").read_bytes() == config
    own, mirrored = (
        project.git("ls-remote", "--heads", str(each)).split("refs/heads/")
        for each in remotes.values()
    )
    assert (len(own), len(mirrored)) == (3, 1)


def test_the_job_names_a_branch_that_an_agent_deleted_before_it_was_merged(host: Host) -> None:
    script = "git switch -q -c try; echo t > t.txt; git add .; git commit -q -m t; git switch -q -"
    ended = host.run(edit(f"{script}; git branch -q -D try; echo a > a.txt"))

    job = ended["job_id"]
    ref = f"refs/orchestrator-kept/{job}/worker_1/deleted/try"
    reason = f"worker_1: not merged, because the branch was deleted: try ({ref})"
    assert (ended["status"], ended["reason"]) == ("completed", reason)
    assert ref in host.final(job)
    assert host.project.show(ref, "t.txt") == "t"


def test_a_worker_that_empties_the_reflogs_is_noticed_and_costs_no_work(host: Host) -> None:
    """One worker creates a branch and a stash entry. The other worker empties all reflogs."""
    flags = host.site.folder
    wait = "until [ -e '{}' ]; do sleep 0.02; done"
    feature = (
        "git switch -q -c feature; echo f > f.txt; git add .; git commit -qm f; git switch -q -"
    )
    first = (
        f"{feature}; echo s > README.md; git stash -q; touch '{flags}/1'; {wait}; echo a > a.txt"
    )
    second = f"{wait}; git reflog expire --expire=now --all; touch '{flags}/2'; echo b > b.txt"
    ended = host.run(edit(first.format(flags / "2")), edit(second.format(flags / "1")), gates="off")

    result = f"orchestrator/{ended['job_id']}/result"
    assert ended["status"] == "completed", ended
    assert {"a.txt", "b.txt", "f.txt"} <= set(host.project.files(result))
    assert host.project.show(result, "README.md") == "s"
    assert "): reflogs removed" in ended["reason"]
    assert host.command("restore", ended["job_id"], "--yes") == 1


@pytest.mark.parametrize(
    "rewrites",
    [
        "git commit -q -a -m a; b=$(git branch --show-current); git checkout -q --orphan new; "
        "git commit -q -m all; git branch -q -D $b; git branch -m $b",
        *nightly(
            "git commit -q -a --amend -m amended",
            "git checkout -q --orphan new; git commit -q -a -m all",
        ),
    ],
)
def test_changes_count_also_if_an_agent_rewrites_the_first_commit(
    host: Host, rewrites: str
) -> None:
    script = "echo more >> README.md; git rm -q src/app.py"
    ended = host.run(
        edit(f"{script}; {rewrites}; echo a > a.txt"), edit("echo b > b.txt"), gates="off"
    )

    assert ended["status"] == "completed", ended
    result = f"orchestrator/{ended['job_id']}/result"
    assert host.project.show(result, "README.md") == "hello\nmore"
    assert {*host.project.files(result)} == {".gitignore", "README.md", "a.txt", "b.txt"}
    assert host.project.git("rev-list", "--max-parents=0", "--count", result) == "1"


@pytest.mark.parametrize(
    ("script", "second"),
    [
        ("echo a > second.txt; git commit -qa --amend -m a; echo b > second.txt; "
         "git commit -qa --amend -m b; git commit -q --allow-empty -m c", "b"),
        ("git switch -q -c fix HEAD~1; git commit -q --allow-empty -m fix", "s"),
        ("git reset -q --hard HEAD~1; log=$(git rev-parse --git-path logs/HEAD); "
         "printf 'x\\nx rebase\\tx\\nx none a\\trebase (start): x\\n' >> $log", "s"),
        *nightly(
            ("echo b > second.txt; git commit -qa --amend -m b", "b"),
            ("git rm -q second.txt; touch x; git add .; git commit -q --amend -m b", None),
            ("git switch -q --detach HEAD~1", "s"),
            ("git commit -q --amend -m b; git reset -q --hard HEAD~1", "s"),
            ("git reset -q --hard HEAD~1", "s"),
            ("echo b > second.txt; git reset -q --soft HEAD~1; git add .; git commit -q -m b", "b"),
            ("echo b > second.txt; git commit -qa --fixup HEAD; git commit -q --allow-empty -m c; "
             "GIT_SEQUENCE_EDITOR=true git rebase -q -i --autosquash HEAD~3", "b"),
        ),
    ],
)  # fmt: skip
def test_changes_count_also_if_an_agent_amends_the_users_last_commit(
    host: Host, script: str, second: str | None
) -> None:
    host.project.commit({"second.txt": "s\n"}, "second")
    ended = host.run(edit(f"{script}; echo a > a.txt"), edit("echo b > b.txt"), gates="off")

    assert ended["status"] == "completed", ended
    assert "lines" not in ended["reason"]
    result = f"orchestrator/{ended['job_id']}/result"
    files = host.project.files(result)
    assert {"a.txt", "b.txt"} <= {*files}
    assert (host.project.show(result, "second.txt") if "second.txt" in files else None) == second


def test_the_reason_names_what_the_candidate_lacks_that_a_person_chose(host: Host) -> None:
    """The other candidate creates a file that git ignores."""
    script = "echo $ORCHESTRATOR_WORKER_ID > a.txt; case $ORCHESTRATOR_WORKER_ID in"
    script += " *_2) head -c 11000000 /dev/zero > large.bin; sleep 0.5;; esac"
    ended = host.run({**edit(script, id="t"), "agent": ["editor", "editor"]}, gates="off")
    job = ended["job_id"]

    for worker in ("worker_2", "worker_1", "worker_2"):
        assert host.command("choose", job, "t", worker) == 0
        reason = host.site.status(job)["reason"]
        assert ("worker_2: not committed" in reason) is (worker == "worker_2")


@pytest.mark.parametrize("how", ["pop -q", *nightly("drop -q", "clear")])
def test_a_users_stash_entry_that_an_agent_removes_is_named_and_can_be_restored(
    host: Host, how: str
) -> None:
    """For example, `git stash pop` after a `git stash` that found no change."""
    project = host.project
    for number in (1, 2):
        project.write("README.md", f"the user's {number}\n")
        project.git("stash", "push", "-q", "-m", f"mine {number}")
    before = project.git("stash", "list", "--format=%H %gs")
    entry = before.split()[0]

    ended = host.run(edit(f"git stash -q; git stash {how}; echo a > a.txt"), gates="off")

    assert ended["status"] == "completed"
    assert f"stash entry {entry} removed" in ended["reason"]
    assert host.command("restore", ended["job_id"], "--yes") == 0
    after = project.git("stash", "list", "--format=%H %gs")
    assert sorted(after.splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize(
    ("then", "undone"),
    [
        ("git revert --no-edit HEAD; echo b > b.txt", True),
        *nightly(
            ("git checkout -q HEAD~1 -- README.md; git rm -qf n.txt", True),
            ("git rm -qf n.txt; echo b > b.txt", False),
        ),
        ("echo other > n.txt; git checkout -q HEAD~1 -- README.md", False),
    ],
)
def test_the_job_names_a_worker_whose_changes_a_later_task_undid(
    host: Host, then: str, undone: bool
) -> None:
    ended = host.run(
        edit("echo n > n.txt; echo more >> README.md", id="a"),
        edit(then, id="b", depends_on=["a"]),
        edit("echo c > c.txt", depends_on=["b"]),
        gates="off",
    )

    reason = "later tasks undid all changes of worker_1"
    assert (ended["status"], ended["reason"]) == ("completed", reason * undone)


ELSEWHERE = """
git switch -q -c feature; echo f > f.txt; git add f.txt; git commit -q -m feature; git switch -q -
git worktree add -q -b second wt
(cd wt; echo s > s.txt; git add .; git commit -q -m s; echo l > l.txt)
echo stashed > README.md; git stash -q
git switch -q -c rival; echo rival > src/app.py; git commit -q -am rival; git switch -q -
echo mine > src/app.py
"""


def has_all(project: Project, job: str) -> None:
    """Check that every item of ELSEWHERE exists once, and the user's stash list and worktrees are
    unchanged.
    """
    result, rival = (
        f"orchestrator/{job}/result",
        f"refs/orchestrator-kept/{job}/worker_1/branch/rival",
    )
    assert {"f.txt", "s.txt", "l.txt"} <= set(project.files(result))
    assert "wt" not in project.files(result)
    assert (project.show(result, "README.md"), project.show(result, "src/app.py")) == (
        "stashed",
        "mine",
    )
    assert project.show(rival, "src/app.py") == "rival"
    assert project.git("log", "--format=%s", result).splitlines().count("feature") == 1
    assert project.git("stash", "list", "--format=%gs") == "On main: the user's"
    assert project.worktrees() == []


def test_what_an_agent_does_elsewhere_is_merged_or_named_with_a_command(host: Host) -> None:
    project = host.project
    project.write("src/app.py", "the user's\n")
    project.git("stash", "push", "-q", "-m", "the user's")
    before = project.git("rev-parse", "stash@{0}", "main")

    ended = host.run(edit(ELSEWHERE, gates=["test -e f.txt", "test -e l.txt"]))

    job = ended["job_id"]
    has_all(project, job)
    assert project.git("rev-parse", "stash@{0}", "main") == before
    assert [each["status"] for each in ended["results"]["tasks"]] == ["success"], ended
    [row] = ended["results"]["tasks"]
    assert (
        "merged into the worker's branch: worktree wt, branch feature, stash WIP on"
        in row["reason"]
    )
    command = f"git merge refs/orchestrator-kept/{job}/worker_1/branch/rival"
    assert (
        "branch rival was not merged, because it conflicts with the worker's branch; to merge it: "
        f"{command}" in ended["reason"]
    )
    assert command in host.final(job)
    assert (ended["status"], ended["merge_state"]) == ("partial", "in_part")
    [lost] = ended["missing"]
    assert (lost["cause"], lost["command"]) == ("side_work", command)
    [outside] = ended["made_not_in_result"]
    assert (outside["command"], outside["in_part"], outside["brings_in"]) == (command, True, True)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(each, marks=[] if number % 4 == 2 else pytest.mark.nightly)
        for number, each in enumerate(crash_points.OF_SIDE_WORK)
    ],
)
def test_a_crash_in_the_middle_loses_nothing_and_doubles_nothing(
    crashing: MakeCrashing, point: str
) -> None:
    site, project = crashing(point, files=FILES)
    project.write("src/app.py", "the user's\n")
    project.git("stash", "push", "-q", "-m", "the user's")
    job = site.submit_once([edit(ELSEWHERE)])
    until(lambda: any(point in each for each in site.reached()), f"it came to {point!r}", 60)
    site.crashes = ""

    answer = site.wait_through(job)

    assert answer["status"] == "partial", (answer, site.tail())
    has_all(project, job)
