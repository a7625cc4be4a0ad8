"""Worktrees on a machine without the project's repository, with real git on both machines."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.core.ports.worktree_transfer import FileChange, WorktreeFiles
from orchestrator.git import GitRepository
from orchestrator.git.worktrees import node_worktrees
from orchestrator.git.worktrees.node_worktrees import NodeRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

pytestmark = pytest.mark.slow

BRANCH = "refs/heads/orch/1/worker_1"


class TwoMachines:
    """A project with a worktree, and a machine that has a copy of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {"a.txt": "one\n", "b.txt": "b\n", ".gitignore": "*.log\n", "c/d": "d\n"}
        self.project = Project(folder / "project").begin(files)
        workspace = folder / "workspace"
        (workspace / "job_1" / "depth_0" / "worker_1").mkdir(parents=True)
        self.repository = GitRepository(self.project.path, workspace, workspace)
        self.here = workspace / "job_1" / "depth_0" / "worker_1" / "worktree"
        self.base = self.project.git("rev-parse", "HEAD")
        self.repository.open_worktree(str(self.here), BRANCH, self.base)
        self.node = NodeRepository(folder / "node" / "repository.git")
        self.there = folder / "node" / "worktree"
        self.files = WorktreeFiles(
            directory=str(self.here), branch=BRANCH, commit=self.base, promised=("out/*.log",)
        )

    def send(self) -> int:
        """Open the worktree on the other machine. Return the size of the sent commits."""
        sent = self.folder / "sent"
        sent.mkdir(exist_ok=True)
        self.repository.pack(self.files, self.node.known(), str(sent))
        self.node.open(self.files, str(sent), str(self.there))
        return sum(each.stat().st_size for each in sent.glob("*.pack"))

    def bring_back(self, change: Callable[[Path], None] = lambda returned: None) -> None:
        returned = self.folder / "returned"
        returned.mkdir(exist_ok=True)
        self.node.pack(self.files, str(self.there), str(returned))
        change(returned)
        self.repository.apply_received(self.files, str(returned))

    def bring(self, then: str, **branches: str) -> None:
        """Change the files on the other machine from their current state to a commit."""
        name = f"change-{then[:6]}"
        (self.folder / name).mkdir()
        now = self.repository.snapshot(str(self.here), "now", WHO)
        named = {f"refs/heads/{each}": commit for each, commit in branches.items()}
        change = FileChange(now=now, then=then, branches=named)
        self.repository.pack_change(change, self.node.known(), str(self.folder / name))
        self.node.change_files(self.files, str(self.there), str(self.folder / name), change)

    def result(self, **files: str) -> str:
        """Return a commit on top of the current files, with new content for some of them."""
        now = self.repository.snapshot(str(self.here), "now", WHO)
        place = self.folder / "child"
        self.project.git("worktree", "add", "-q", "--detach", str(place), now)
        for name, content in files.items():
            (place / name).write_text(content)
        child = Project(place)
        child.git("add", "-A")
        child.git("commit", "-qm", "result")
        return child.git("rev-parse", "HEAD")

    def run(self, script: str) -> None:
        subprocess.run(["bash", "-ec", script], cwd=self.there, check=True, capture_output=True)

    def size(self) -> int:
        """Return the bytes of the other machine's objects."""
        files = (self.folder / "node" / "repository.git" / "objects").rglob("*")
        return sum(each.stat().st_size for each in files if each.is_file())

    def status(self) -> list[str]:
        listed = Project(self.here).git("status", "--porcelain", "-uall", "--ignored")
        return sorted(" ".join(each.split()) for each in listed.splitlines())


_AS = "git -c user.name=w -c user.email=w@example.org commit -qm"


@pytest.fixture
def machines(tmp_path: Path) -> TwoMachines:
    return TwoMachines(tmp_path)


def test_commits_and_loose_files_are_transferred_back(machines: TwoMachines) -> None:
    machines.send()
    machines.run(
        f"echo two >> a.txt; {_AS} own -a; echo three >> a.txt; git add a.txt; rm b.txt;"
        "echo n > n; chmod +x c/d; ln -s a.txt link;"
        "mkdir out; echo log > out/x.log; echo log > other.log"
    )
    machines.bring_back()
    assert machines.project.git("log", "-1", "--format=%s", BRANCH) == "own"
    assert machines.project.show(BRANCH, "a.txt") == "one\ntwo"
    assert machines.status() == [
        "!! out/x.log", "?? link", "?? n", "D b.txt", "M a.txt", "M c/d",
    ]  # fmt: skip
    assert (machines.here / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert machines.project.git("fsck", "--no-dangling") == ""
    commit = machines.repository.commit(str(machines.here), BRANCH, "rest", WHO)
    assert "n" in machines.project.files(commit)


def test_nothing_changed_is_nothing_sent(machines: TwoMachines) -> None:
    machines.send()
    machines.bring_back()
    assert machines.status() == []
    assert sorted(each.name for each in (machines.folder / "returned").iterdir()) == ["state.json"]


def test_a_machine_gets_only_the_commits_that_it_lacks(machines: TwoMachines) -> None:
    first = machines.send()
    assert first > 0
    assert machines.node.known() == [machines.base]
    subprocess.run(["rm", "-r", str(machines.there), str(machines.folder / "sent")], check=True)
    assert machines.send() == 0
    assert (machines.there / "a.txt").read_text() == "one\n"


def test_a_machine_with_many_commits_keeps_the_newest(
    machines: TwoMachines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_worktrees, "_MOST_KNOWN", 2)
    monkeypatch.setattr(node_worktrees, "_MOST_STORED", 3)
    machines.node.prune()
    commits = []
    for number in range(4):
        # Commits that do not contain one another.
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2030-01-01T00:00:0{number}Z")
        machines.project.git("reset", "--hard", "-q", machines.base)
        (machines.project.path / "large").write_bytes(os.urandom(100_000))
        machines.project.git("add", "-A")
        machines.project.git("commit", "-qm", f"{number}")
        commits.append(machines.project.git("rev-parse", "HEAD"))
        machines.files = replace(machines.files, commit=commits[-1])
        machines.send()
        if number == 2:
            machines.node.prune()
            assert machines.size() > 300_000, "there are few commits"
        shutil.rmtree(machines.there)
        shutil.rmtree(machines.folder / "sent")
    machines.node.prune()
    assert machines.node.known() == [commits[3], commits[2]]
    assert 200_000 < machines.size() < 300_000
    # The server sends objects again that the machine no longer has.
    machines.files = replace(machines.files, commit=commits[0])
    assert machines.send() > 100_000
    assert (machines.there / "large").stat().st_size == 100_000


def test_uncommitted_files_do_not_enter_the_repository(machines: TwoMachines) -> None:
    machines.send()
    machines.run("echo a secret > key")
    machines.bring_back()
    digest = Project(machines.here).git("hash-object", "key")
    assert (machines.here / "key").read_text() == "a secret\n"
    assert machines.project.git("cat-file", "-t", digest, check=False) == ""


def test_files_of_a_repository_inside_the_worktree_are_transferred_back(
    machines: TwoMachines,
) -> None:
    machines.send()
    machines.run(f"mkdir 'new [app]'; cd 'new [app]'; git init -q; echo x > x; git add x; {_AS} x")
    machines.bring_back()
    assert (machines.here / "new [app]" / "x").read_text() == "x\n"


def test_other_files_of_a_worktree_are_listed(machines: TwoMachines) -> None:
    (machines.here / "x.log").write_text("ignored")
    (machines.here / "new").write_text("untracked")
    assert sorted(machines.repository.files_outside_git(machines.files)) == ["new", "x.log"]


def test_a_worker_cannot_let_the_machine_run_its_programs(machines: TwoMachines) -> None:
    machines.send()
    ran = machines.folder / "ran"
    machines.run(
        f"git config filter.x.clean 'touch {ran}'; git config core.fsmonitor 'touch {ran}';"
        f"mkdir -p .git/hooks; echo 'touch {ran}' > .git/hooks/post-index-change;"
        "chmod +x .git/hooks/*; echo '* filter=x' > .gitattributes; echo 2 > a.txt"
    )
    ran.unlink(missing_ok=True)
    machines.bring_back()
    assert not ran.exists()
    assert (machines.here / "a.txt").read_text() == "2\n"


def _evil_tree(project: Project, name: str) -> str:
    """Return a commit whose tree has a file with a name that git itself never writes."""
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=project.path, input="evil", text=True, capture_output=True, check=True,
    ).stdout.strip()  # fmt: skip
    entry = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        cwd=project.path, input=entry, capture_output=True, check=True,
    ).stdout.decode().strip()  # fmt: skip
    return project.git("commit-tree", "-m", "evil", "-p", "HEAD", tree)


@pytest.mark.parametrize("name", [".git", "..", "."])
@pytest.mark.parametrize("kind", ["commits", "changes"])
def test_a_commit_with_a_dangerous_path_is_refused(
    machines: TwoMachines, name: str, kind: str
) -> None:
    machines.send()
    machines.run("echo 2 > a.txt")
    other = Project(machines.there)

    def attack(returned: Path) -> None:
        head = other.git("rev-parse", "HEAD")
        evil = _evil_tree(other, name)
        revisions = f"{evil}\n^{head}\n"
        packed = subprocess.run(
            ["git", "pack-objects", "--revs", "--stdout", "-q"],
            cwd=other.path, input=revisions.encode(), capture_output=True, check=True,
        )  # fmt: skip
        (returned / f"{kind}.pack").write_bytes(packed.stdout)
        state = {"head": evil if kind == "commits" else head, "changes": evil}
        if kind == "commits":
            (returned / "changes.pack").unlink(missing_ok=True)
        (returned / "state.json").write_text(json.dumps(state))

    with pytest.raises(RepositoryError):
        machines.bring_back(attack)
    assert machines.project.git("rev-parse", BRANCH) == machines.base
    assert machines.status() == []


@pytest.mark.parametrize(
    "state",
    ["", "[]", "{}", '{"head": "--all", "changes": "HEAD"}', '{"head": "HEAD", "changes": ""}'],
)
def test_a_state_without_commits_is_refused(machines: TwoMachines, state: str) -> None:
    machines.send()
    with pytest.raises(RepositoryError, match=r"no valid file state\.json"):
        machines.bring_back(lambda returned: (returned / "state.json").write_text(state) and None)


def test_incomplete_commits_are_refused(machines: TwoMachines) -> None:
    machines.send()
    machines.run(f"echo two >> a.txt; {_AS} own -a")
    with pytest.raises(RepositoryError):
        machines.bring_back(lambda returned: (returned / "commits.pack").unlink())
    assert machines.project.git("rev-parse", BRANCH) == machines.base


def test_a_removed_repository_is_an_error(machines: TwoMachines) -> None:
    machines.send()
    machines.run("rm -rf .git")
    with pytest.raises(RepositoryError, match=r"removed \.git"):
        machines.bring_back()


def test_changes_that_are_in_no_commit_are_sent(machines: TwoMachines) -> None:
    (machines.here / "a.txt").write_text("changed\n")
    (machines.here / "b.txt").unlink()
    (machines.here / "new").write_text("new\n")
    machines.send()
    there = Project(machines.there)
    assert there.git("status", "--porcelain").splitlines() == ["M a.txt", " D b.txt", "?? new"]
    assert (machines.there / "a.txt").read_text() == "changed\n"
    assert there.git("rev-parse", "HEAD") == machines.base


def test_files_that_the_node_removes_later_are_removed_here(machines: TwoMachines) -> None:
    machines.send()
    machines.run("echo x > gone; mkdir -p deep; echo y > deep/gone; echo z > stays")
    machines.bring_back()
    assert (machines.here / "deep" / "gone").exists()
    (machines.here / "kept.log").write_text("ignored")
    shutil.rmtree(machines.folder / "returned")
    machines.run("rm -r gone deep")
    machines.bring_back()
    assert machines.status() == ["!! kept.log", "?? stays"]


def test_a_result_changes_the_files_but_not_the_index(machines: TwoMachines) -> None:
    machines.send()
    machines.run(f"echo two >> a.txt; {_AS} own -a; echo loose > loose; git add loose")
    machines.bring_back()
    then = machines.result(**{"b.txt": "result\n", "new": "n\n"})
    machines.bring(then, result=then)
    there = Project(machines.there)
    assert (machines.there / "b.txt").read_text() == "result\n"
    assert there.git("status", "--porcelain").splitlines() == ["M b.txt", "A  loose", "?? new"]
    assert there.git("log", "-1", "--format=%s") == "own"
    assert there.git("log", "-1", "--format=%s", "result") == "result"


def test_a_result_replaces_no_file_that_has_changed_since(machines: TwoMachines) -> None:
    machines.send()
    then = machines.result(**{"a.txt": "result\n", "b.txt": "result\n"})
    machines.run("echo mine > b.txt")
    with pytest.raises(RepositoryError, match=r"b\.txt"):
        machines.bring(then)
    assert (machines.there / "a.txt").read_text() == "one\n", "all files are checked first"
    assert (machines.there / "b.txt").read_text() == "mine\n"


def test_a_damaged_repository_of_the_worker_gets_a_result_without_its_branch(
    machines: TwoMachines,
) -> None:
    machines.send()
    then = machines.result(**{"b.txt": "result\n"})
    machines.run("rm -rf .git/refs .git/HEAD")
    machines.bring(then, result=then)
    assert (machines.there / "b.txt").read_text() == "result\n"


def _closed(machines: TwoMachines) -> tuple[list[str], list[str]]:
    """Return the files that the worker's branch adds or changes, and the refs of its side work."""
    machines.repository.set_ref("refs/orchestrator/1/start/worker_1", machines.base)
    tip = machines.repository.commit(str(machines.here), BRANCH, "work\n", WHO)
    folded = machines.repository.merge_side_work(str(machines.here), BRANCH, tip, "work\n", WHO)
    found = list(machines.repository.changed_paths(machines.base, folded.commit))
    return found, [each.ref for each in folded.work if each.ref]


_COMMIT = f"git add .; {_AS}"


@pytest.mark.parametrize(
    ("script", "changed"),
    [
        (f"echo x > x; git add .; {_AS} b --amend", ["x"]),
        (f"echo b > second; {_COMMIT} b --amend; echo x > x; {_COMMIT} c", ["second", "x"]),
        (f"echo b > second; git reset -q --soft HEAD~1; {_COMMIT} b; echo x > x", ["second", "x"]),
        (f"echo x > x; {_COMMIT} c; git reset -q --soft HEAD~2; {_COMMIT} all", ["x"]),
    ],
)
def test_changes_count_also_if_an_agent_rewrites_the_start_commit(
    machines: TwoMachines, script: str, changed: list[str]
) -> None:
    machines.project.commit({"second": "s\n"}, "second")
    machines.base = machines.project.git("rev-parse", "HEAD")
    machines.files = replace(machines.files, commit=machines.base)
    machines.project.git("update-ref", BRANCH, machines.base)
    Project(machines.here).git("reset", "-q", "--hard")
    machines.send()
    machines.run(script)
    machines.bring_back()

    assert _closed(machines) == (changed, [])
    assert machines.project.git("merge-base", machines.base, BRANCH) == machines.base


_SWITCH = "git -c advice.detachedHead=false switch -q"


@pytest.mark.parametrize(
    ("script", "changed"),
    [
        (f"{_SWITCH} -c f; echo f > f; {_COMMIT} f; {_SWITCH} -; echo l > l", ["f", "l"]),
        (f"{_SWITCH} --detach; echo d > d; {_COMMIT} d; {_SWITCH} -; echo l > l", ["d", "l"]),
        (f"echo o > o; {_COMMIT} o; {_SWITCH} -c x HEAD~1; echo x > x; {_COMMIT} x", ["o", "x"]),
        (f"echo o > o; {_COMMIT} o; {_SWITCH} -c x HEAD~1; git branch -m {BRANCH[11:]} y", ["o"]),
        ("echo s > a.txt; echo n > n; git stash -q -u; echo l > l", ["a.txt", "l", "n"]),
        (f"echo o > o; {_COMMIT} o; echo s > a.txt; git stash -q; {_SWITCH} -c x HEAD~1",
         ["a.txt", "o"]),
    ],
)  # fmt: skip
def test_side_work_is_transferred_back_and_merged(
    machines: TwoMachines, script: str, changed: list[str]
) -> None:
    machines.send()
    machines.run(f"export GIT_COMMITTER_NAME=w GIT_COMMITTER_EMAIL={WHO.email}; {script}")
    machines.bring_back()
    # The files may be sent while the worker runs, and again at its end.
    machines.bring_back()

    assert _closed(machines) == (changed, [])
    assert _closed(machines) == (changed, [])
    assert not machines.project.git("for-each-ref", "refs/orchestrator/1/aside")
    assert machines.project.git("fsck", "--no-dangling") == ""


def test_conflicting_or_deleted_side_work_is_transferred_back_and_named(
    machines: TwoMachines,
) -> None:
    own = BRANCH.removeprefix("refs/heads/")
    machines.send()
    machines.run(
        f"export GIT_COMMITTER_NAME=w GIT_COMMITTER_EMAIL={WHO.email};"
        f"{_SWITCH} -c rival; echo rival > a.txt; {_COMMIT} r; {_SWITCH} -;"
        f"{_SWITCH} -c gone; echo gone > g; {_COMMIT} g; {_SWITCH} -; git branch -qD gone;"
        f"echo o > o; {_COMMIT} o; {_SWITCH} -c last HEAD~1; git branch -qD {own};"
        f"echo stashed > a.txt; git stash -q; echo mine > a.txt"
    )
    entry = Project(machines.there).git("rev-parse", "stash")
    machines.bring_back()

    changed, refs = _closed(machines)
    prefix = "refs/orchestrator-kept/1/worker_1"
    assert changed == ["a.txt"]
    assert sorted(refs) == [
        f"{prefix}/branch/{entry[:12]}", f"{prefix}/branch/rival",
        f"{prefix}/deleted/gone", f"{prefix}/deleted/{own}",
    ]  # fmt: skip
    assert machines.project.show(f"{prefix}/branch/{entry[:12]}", "a.txt") == "stashed"
    assert machines.project.show(f"{prefix}/deleted/{own}", "o") == "o"


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        '{"refs": {"../x": "%s"}, "left": [], "entries": []}',
        '{"refs": {"branch/x": "HEAD"}, "left": [], "entries": []}',
        '{"refs": {}, "left": ["HEAD"], "entries": []}',
        '{"refs": {}, "left": [], "entries": ["x\\\\ny"]}',
        f'{{"refs": {{}}, "left": ["{"d" * 40}"], "entries": []}}',
    ],
)  # fmt: skip
def test_an_invalid_record_of_side_work_is_refused(machines: TwoMachines, record: str) -> None:
    machines.send()
    machines.run("echo two >> a.txt")
    content = record.replace("%s", machines.base)
    with pytest.raises(RepositoryError):
        machines.bring_back(lambda at: (at / "side_work.json").write_text(content) and None)
    assert machines.status() == []
