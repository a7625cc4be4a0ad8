"""The same job succeeds in many kinds of repositories, and changes no file of the user."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestrator.core import failpoints
from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees import worktrees
from tests.integration.git import scenarios
from tests.integration.git.conftest import FILES, Host, MakeHost
from tests.integration.site import Answer
from tests.support.examples import nightly
from tests.support.project import Project, edit

#: Both workers change the first file in different lines, and each creates a file.
FIRST = edit("sed -i s/one/ONE/ src/app.py; echo 1 > first.txt")
SECOND = edit("sed -i s/three/THREE/ src/app.py; echo 2 > 'second file.txt'; chmod +x src/app.py")
MakeProject = Callable[[], Project]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project").begin(FILES)


def check(host: Host) -> Answer:
    """Run the job. Check that only the product's refs changed, and that no leftovers exist."""
    mine, unchanged = host.project.worktrees(), host.watch_changes()
    ended = host.run(FIRST, SECOND)
    assert ended["status"] == "completed", ended
    assert unchanged() == []
    job = ended["job_id"]
    record = host.record(job)
    assert (record["leaks"], record["errors"], record["left_out"]) == ([], [], {}), record
    assert record["merged"] == ["worker_1", "worker_2"]
    assert host.project.show(record["commit"], "src/app.py").split() == ["ONE", "two", "THREE"]
    names = host.project.git("diff", "--name-only", record["base"], record["commit"]).splitlines()
    # git reports a file as changed if its attributes require another content.
    assert set(names) - {"mixed.txt"} == {"first.txt", "second file.txt", "src/app.py"}
    assert host.project.worktrees() == mine
    return ended


def by_day(name: str) -> bool:
    return name not in (*scenarios.OF_FILES, *scenarios.OF_CHECKOUTS)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(scenarios.OF_FILES, id="files of all kinds"),
        pytest.param(scenarios.OF_CHECKOUTS, id="a checkout of many kinds"),
        *(
            pytest.param((name,), id=name, marks=[] if by_day(name) else pytest.mark.nightly)
            for name in scenarios.ALL
        ),
    ],
)
def test_in_a_repository_with(names: Sequence[str], project: Project, make_host: MakeHost) -> None:
    for name in names:
        scenarios.ALL[name](project)
    check(make_host(project))


@pytest.mark.parametrize(
    "options",
    [
        ["--filter=blob:none", "--sparse"],
        *nightly(
            ["--depth=1"],
            ["--filter=blob:none"],
            ["--shared"],
            ["--branch=main", "--single-branch"],
        ),
    ],
    ids=" ".join,
)
def test_in_a_clone_made_with(options: list[str], project: Project, make_host: MakeHost) -> None:
    project.commit({"second.txt": "2\n"}, "second")
    clone = scenarios.clone(project, *options)
    if "--sparse" in options:
        clone.git("sparse-checkout", "set", "src")
    check(make_host(clone))


@pytest.mark.usefixtures("spawning")
@pytest.mark.parametrize("shape", [("--no-cone", "/src/"), *nightly((("--cone", "src"),))])
def test_what_is_made_outside_of_a_sparse_checkout_is_kept(
    project: Project, make_host: MakeHost, shape: tuple[str, str]
) -> None:
    project.commit({"big/a.txt": "a\n", "big/b.txt": "b\n"}, "more")
    project.git("sparse-checkout", "set", *shape)
    host = make_host(project)
    unchanged = host.watch_changes()
    # A child job's worktree is also sparse: its parent's new files are only in the commit.
    below = json.dumps([edit("git show HEAD:own/new; mkdir far; echo c > far/child")])
    script = (
        "mkdir own big; echo p > own/new; echo changed > big/a.txt\n"
        f"cat > ../c.json <<'END'\n{below}\nEND\norchestrator spawn y --tasks ../c.json --wait"
    )

    ended = host.run(edit(script))

    assert ended["status"] == "completed", ended
    commit = host.record(ended["job_id"])["commit"]
    made = {"own/new", "far/child", "big/a.txt", "big/b.txt"}
    assert made <= set(project.files(commit))
    assert project.show(commit, "big/a.txt") == "changed"
    assert unchanged() == []


def test_in_a_repository_with_sha256(tmp_path: Path, make_host: MakeHost) -> None:
    project = Project(tmp_path / "project")
    project.git("init", "-q", "-b", "main", "--object-format=sha256")
    check(make_host(project.commit(FILES)))


def test_in_a_worktree_of_a_bare_repository(
    tmp_path: Path, project: Project, make_host: MakeHost
) -> None:
    bare = tmp_path / "bare.git"
    project.git("clone", "-q", "--bare", str(project.path), str(bare))
    Project(bare).git("worktree", "add", "-q", str(tmp_path / "work"), "-b", "work")
    host = make_host(Project(tmp_path / "work"))
    check(host)


@pytest.mark.parametrize(
    "name",
    [
        "-new\nline with space, quo'te\" ümlaut ",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("with space", "new\nline", "ümlaut", "quo'te\"", "-dash", "tail ")
        ),
    ],
)
def test_in_a_directory_named(name: str, tmp_path: Path, make_host: MakeHost) -> None:
    check(make_host(Project(tmp_path / name / name).begin(FILES)))


def test_in_a_part_of_a_repository(project: Project, make_host: MakeHost) -> None:
    project.commit({"part/src/app.py": "x\n"}, "part")
    host = make_host(project, inside="part")
    unchanged = host.watch_changes()
    ended = host.run(edit("test -e ../README.md; echo new > new.txt; echo up > ../up.txt"))
    assert ended["status"] == "completed", ended
    assert host.project.show(host.record(ended["job_id"])["commit"], "part/new.txt") == "new"
    assert [each for each in unchanged() if not each.startswith(b"part/product")] == []


# Messages about impossible operations


def plain(host: Host, reason: str) -> None:
    """The worker has a plain directory, and the report names the reason."""
    unchanged = host.watch_changes()
    ended = host.run(edit("test ! -e .git; echo x > x.txt"))
    assert ended["status"] == "completed", ended
    assert reason in host.final(ended["job_id"])
    assert unchanged() == []


def test_the_report_names_a_blocking_branch(project: Project, make_host: MakeHost) -> None:
    project.git("branch", "orchestrator")
    plain(make_host(project), "a branch is named 'orchestrator'")


def test_the_report_names_a_repository_without_a_commit(
    tmp_path: Path, make_host: MakeHost
) -> None:
    project = Project(tmp_path / "empty")
    project.git("init", "-q")
    plain(make_host(project), "no commit")


def test_the_report_names_a_broken_head(project: Project, make_host: MakeHost) -> None:
    (project.path / ".git" / "HEAD").write_text("ref: refs/heads/nothing\n")
    plain(make_host(project), "no commit")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_report_names_a_repository_of_another_user(
    project: Project, make_host: MakeHost
) -> None:
    host = make_host(project)
    for parent, directories, files in os.walk(project.path):
        for name in (*directories, *files):
            os.lchown(f"{parent}/{name}", 12345, 12345)
    os.chown(project.path, 12345, 12345)
    ended = host.run(edit("test ! -e .git; echo x > x.txt"))
    assert ended["status"] == "completed", ended
    assert "safe.directory" in host.final(ended["job_id"])


def test_the_report_names_a_required_smudge_filter_that_fails(
    project: Project, make_host: MakeHost
) -> None:
    project.commit({".gitattributes": "*.dat filter=broken\n", "a.dat": "a\n"}, "filtered")
    project.git("config", "filter.broken.smudge", "echo no key here >&2; false")
    project.git("config", "filter.broken.required", "true")
    host = make_host(project)
    unchanged = host.watch_changes()
    ended = host.run(edit("true", retries=0))
    assert ended["status"] == "failed"
    assert "smudge filter broken failed" in host.final(ended["job_id"])
    assert unchanged() == []
    assert host.project.worktrees() == []


def test_the_report_names_a_required_clean_filter_that_fails(
    project: Project, make_host: MakeHost
) -> None:
    project.commit({".gitattributes": "*.dat filter=broken\n"}, "filtered")
    project.git("config", "filter.broken.clean", "false")
    project.git("config", "filter.broken.required", "true")
    host = make_host(project)
    ended = host.run(edit("echo x > x.dat; echo y > y.txt", retries=0))
    assert ended["status"] == "failed"
    assert "clean filter 'broken' failed" in host.final(ended["job_id"])


# Actions of a person while a worker runs


def meanwhile(host: Host, script: str, **config: object) -> Answer:
    """Run a person's actions in the checkout while a worker runs."""
    command = f"(cd '{host.project.path}'; export GIT_AUTHOR_NAME=U GIT_AUTHOR_EMAIL=u@e "
    command += f"GIT_COMMITTER_NAME=U GIT_COMMITTER_EMAIL=u@e; {script}) >/dev/null\n"
    return host.run(
        edit(f"echo before > before.txt\n{command}echo after > after.txt", **config),
        edit("echo other > other.txt"),
    )


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            "git worktree prune --expire=now; git worktree repair; git pack-refs --all --prune; "
            "git gc -q --prune=now; echo dirty > README.md; git stash -q",
            id="housekeeping, and a stash",
        ),
        "git switch -q -c elsewhere; echo e > e.txt; git add e.txt; git commit -qm e",
        *nightly(
            "touch .git/index.lock",
            "git branch -m main trunk",
            "git config core.autocrlf input",
        ),
        # Not prune --expire=now, which git's documentation calls unsafe while others write
        # objects.
        *nightly("git reflog expire --expire=now --all; git gc -q"),
        "git checkout -q --orphan fresh; git rm -rfq .",
    ],
)
def test_a_person_at_work_in_the_checkout_harms_no_job(host: Host, script: str) -> None:
    ended = meanwhile(host, script)
    assert ended["status"] == "completed", ended
    files = host.project.files(host.record(ended["job_id"])["commit"])
    assert {"before.txt", "after.txt", "other.txt", "README.md"} <= set(files)
    assert host.project.worktrees() == []


@pytest.mark.parametrize(
    "script",
    [
        "rm -rf .git/worktrees",
        *nightly('rm -rf "$OLDPWD"', 'git worktree remove --force --force "$OLDPWD"'),
        'git worktree unlock "$OLDPWD"; mv "$OLDPWD" "$OLDPWD.moved"; git worktree prune',
        *nightly(
            'rm -f "$OLDPWD/.git"',
            'echo broken > "$(git -C "$OLDPWD" rev-parse --git-path index)"',
        ),
        'echo broken > "$(git -C "$OLDPWD" rev-parse --git-path HEAD)"',
    ],
)
def test_a_worktree_that_is_removed_during_a_job_is_recreated(host: Host, script: str) -> None:
    flag = host.project.path.parent / "flag"
    once = f'[ -e "{flag}" ] || {{ touch "{flag}"; {script}; exit 1; }}'
    ended = meanwhile(host, once, retries=1)
    assert ended["status"] == "completed", ended
    files = host.project.files(host.record(ended["job_id"])["commit"])
    assert {"before.txt", "after.txt", "other.txt", "README.md"} <= set(files)
    assert host.project.worktrees() == []


def test_a_worktree_that_is_removed_while_its_attempt_is_closed_is_closed_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = worktrees.repair, []

    def repair(git: Git, admin: Path, branch: str) -> None:
        if not gone:
            gone.append(admin)
            shutil.rmtree(admin)
            monkeypatch.setattr(worktrees, "_is_sound", lambda _git: False)
        else:
            monkeypatch.undo()
        real(git, admin, branch)

    monkeypatch.setattr(worktrees, "repair", repair)
    ended = host.run(edit("echo after > after.txt"))

    assert ended["status"] == "completed", ended
    assert "after.txt" in host.project.files(host.record(ended["job_id"])["commit"])


@pytest.fixture
def at_first() -> Iterator[Callable[[str, Callable[[], None]], None]]:
    """Yield a function that lets an action run at the first time that a failpoint is reached."""

    def arm(name: str, action: Callable[[], None]) -> None:
        actions = [action]
        failpoints.arm(lambda reached: actions.pop()() if reached == name and actions else None)

    yield arm
    failpoints.arm(None)


def test_a_worktree_that_is_removed_while_its_attempt_is_closed_is_repaired(
    host: Host, at_first: Callable[[str, Callable[[], None]], None]
) -> None:
    entries = host.project.path / ".git" / "worktrees"
    at_first("worktree: committed", lambda: shutil.rmtree(entries))
    ended = host.run(FIRST)
    assert ended["status"] == "completed", ended
    assert "first.txt" in host.project.files(host.record(ended["job_id"])["commit"])


def test_a_worktree_that_is_removed_while_it_is_created_costs_no_attempt(
    host: Host, at_first: Callable[[str, Callable[[], None]], None]
) -> None:
    entries = host.project.path / ".git" / "worktrees"
    at_first("worktree: registered", lambda: shutil.rmtree(entries))
    ended = host.run(FIRST)
    assert ended["status"] == "completed", ended
    assert "first.txt" in host.project.files(host.record(ended["job_id"])["commit"])
    assert host.project.worktrees() == []


def test_what_a_worker_does_to_its_own_worktree_stays_there(host: Host) -> None:
    unchanged = host.watch_changes()
    script = (
        "git config --worktree x.y z 2>/dev/null || true; git stash list; git checkout -q -b mine;"
        "git commit -q --allow-empty -m x; git switch -q -; git clean -fdxq; echo x > x.txt"
    )
    ended = host.run(edit(script))
    assert ended["status"] == "completed", ended
    # A branch that an agent creates is in the shared repository, and is reported.
    assert [each for each in unchanged() if b"refs/heads/mine" not in each] == []
    [leak] = host.record(ended["job_id"])["leaks"]
    assert leak.startswith("branch mine added at ") and leak.endswith(" by worker_1")
    shutil.rmtree(host.project.path / "product" / "none", ignore_errors=True)
