"""Jobs on a node that sees neither the server's workspace nor the project."""

import fnmatch
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.model_api import ModelApi
from tests.faults.test_cuts_at_messages import CUTTER
from tests.integration.engine.service.control.test_worker_messages import (
    held,
    messages,
    send,
    task,
)
from tests.integration.site import (
    REPOSITORY,
    Answer,
    ServerProcess,
    complete_lines,
    files_named,
    shell,
    until,
)
from tests.support.cluster import NodeProcess, TestCluster
from tests.support.examples import nightly
from tests.support.machines import hiding_prefix
from tests.support.project import Project, agents, edit

#: A stand-in for an AI tool with sessions.
TOOL = REPOSITORY / "tests" / "integration" / "agents" / "session_tool.py"
pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0
    and not os.environ.get("CI"),
    reason="this machine cannot create mount namespaces",
)


class ApartCluster:
    """A server that runs no workers itself, a repository, and a node with its own files."""

    def __init__(
        self,
        directory: Path,
        make_server: Callable[..., ServerProcess],
        before: str = "",
        **cluster: Any,
    ) -> None:
        """``before``: statements that the node runs first."""
        self.directory = directory
        self.project = Project(directory / "project").begin({"app.py": "print(1)\n", "b": "b\n"})
        self.project.write(".gitignore", "*.log\n")
        self.project.git("add", "-A")
        self.project.git("commit", "-qm", "ignore logs")
        self.cluster = TestCluster(directory)
        settings = {
            "listen": f"127.0.0.1:{self.cluster.port}",
            "certificates": str(self.cluster.certificates),
            "slots_here": 0,
            "lease": 3,
        }
        self.server = make_server(
            cluster={**settings, **cluster},
            orchestrator={
                "project_root": str(self.project.path),
                "claude_command": shlex.join([sys.executable, str(TOOL)]),
            },
            agents=agents(directory),
        )
        inherited = {each: v for each, v in os.environ.items() if "ORCHESTRATOR" not in each}
        self.node = NodeProcess(
            self.cluster.add("n1"),
            directory / "n1",
            environ=inherited,
            prefix=hiding_prefix(self.server.folder, self.project.path),
            before=before,
            own_files=True,
        )
        until(lambda: self.row["agents"], "the node is up")

    @property
    def row(self) -> Answer:
        rows = self.server.get("/nodes")["nodes"]
        return next((each for each in rows if each["name"] == "n1"), {"agents": []})


@pytest.fixture
def make_apart(
    tmp_path: Path, make_server: Callable[..., ServerProcess]
) -> Iterator[Callable[..., ApartCluster]]:
    made: list[ApartCluster] = []

    def make(before: str = "", **cluster: Any) -> ApartCluster:
        made.append(ApartCluster(tmp_path, make_server, before, **cluster))
        return made[-1]

    yield make
    for each in made:
        each.node.end()


def test_workers_change_files_and_commit_on_a_node_without_the_project(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart()
    server, project = apart.server, apart.project
    assert apart.row["own_files"] is True
    first = edit(
        f"[ ! -e {project.path}/app.py ]; git log --format=%s -1; pwd;"
        "echo 2 >> app.py; git commit -qam own; echo new > new; chmod +x new; rm b; mkdir deep;"
        "ln -s ../new deep/link; echo x > x.log; echo report > output.md",
        id="first",
    )
    second = shell(
        "cat app.py;"
        "cat $(python3 -c 'import json, os; found = json.load(open(os.environ["
        '"ORCHESTRATOR_WORKER_DIR"] + "/dependencies.json")); '
        'print(found["first"]["directory"])\')/output.md; echo 3 >> app.py',
        id="second",
        git="on",
        depends_on=["first"],
    )
    plain = shell("echo plain > plain.txt; echo $ORCHESTRATOR_NODE", id="plain", git="off")
    ended = server.run("x", [first, second, plain], gates=[{"name": "new", "run": "test -x new"}])
    job = ended["job_id"]
    assert ended["status"] == "completed", server.output()
    log = server.log(job, "worker_1").splitlines()
    assert log[0] == "ignore logs"
    assert log[1].startswith(str(apart.directory / "n1" / "files")), log
    assert server.log(job, "worker_2") == "print(1)\n2\nreport\n"
    assert server.log(job, "worker_3") == "n1\n"
    assert (server.directory(job) / "depth_0" / "worker_3" / "plain.txt").read_text() == "plain\n"
    result = f"orchestrator/{job}/result"
    assert project.files(result) == [".gitignore", "app.py", "deep/link", "new"]
    assert project.show(result, "app.py") == "print(1)\n2\n3"
    assert project.git("status", "--porcelain") == ""
    until(lambda: not list((apart.directory / "n1" / "files").iterdir()), "the node keeps no files")


@pytest.mark.nightly
def test_what_an_agent_does_with_git_on_such_a_node_is_in_the_result(
    make_apart: Callable[..., ApartCluster],
) -> None:
    """The worker stashes, creates a branch with its own email, and amends the user's commit."""
    apart = make_apart()
    script = (
        "echo s > b; git stash -q; export GIT_COMMITTER_EMAIL=tool@example.com;"
        "git switch -q -c f; echo f > f.txt; git add .; git commit -qm f; git switch -q -;"
        "echo '*.tmp' > .gitignore; git commit -qa --amend -m amended; echo l > loose.txt"
    )
    ended = apart.server.run("x", [edit(script)], gates="off")

    result = f"orchestrator/{ended['job_id']}/result"
    assert ended["status"] == "completed", ended
    assert apart.project.files(result) == [".gitignore", "app.py", "b", "f.txt", "loose.txt"]
    assert apart.project.show(result, ".gitignore") == "*.tmp"
    assert apart.project.show(result, "b") == "s"
    assert apart.project.git("merge-base", "main", result) == apart.project.git("rev-parse", "main")


def spawning(before: str, child: list[Answer], after: str) -> str:
    """Return a worker that changes files, lets a child job do the rest, and continues."""
    tasks = shlex.quote(json.dumps(child))
    place = '"$ORCHESTRATOR_WORKER_DIR/child.json"'
    return (
        f"{before}\necho {tasks} > {place}\norchestrator spawn child --tasks {place} --wait\n"
        f"echo spawn: $?\n{after}"
    )


def test_a_child_job_starts_from_the_files_of_a_worker_and_changes_them(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart()
    server, project = apart.server, apart.project
    inner = [
        edit("cat app.py loose; echo 3 >> app.py; rm b; mkdir sub; echo c > sub/child"),
        edit("echo ignored > x.log; git commit -qm inner --allow-empty; echo other > other"),
    ]
    before = "echo 2 >> app.py; git commit -qam own; echo l > loose; echo x > gone; git add loose"
    after = (
        "git status --porcelain; cat app.py; git log --format=%s -1; rm gone sub/child;"
        "git log --format=%s -1 $(git for-each-ref --format='%(refname)' | grep result);"
        "echo 4 >> app.py"
    )
    ended = server.run("x", [edit(spawning(before, inner, after))])
    job = ended["job_id"]
    log = server.log(job, "worker_1")
    assert ended["status"] == "completed", log
    assert server.log(job, "worker_1_1", depth=1) == "print(1)\n2\nl\ndone\n"
    _, _, rest = log.partition("spawn: 0\n")
    assert rest.splitlines() == [
        *(" M app.py", " D b", "A  loose", "?? gone", "?? other", "?? sub/"),
        *("print(1)", "2", "3", "own", "Merge worker_1_2: task_2", "done"),
    ], log
    result = f"orchestrator/{job}/result"
    assert project.files(result) == [".gitignore", "app.py", "loose", "other"]
    assert project.show(result, "app.py") == "print(1)\n2\n3\n4"
    assert project.git("status", "--porcelain") == ""
    until(lambda: not list((apart.directory / "n1" / "files").iterdir()), "the node keeps no files")
    remaining = [each.name for each in (server.directory(job) / "attempts").iterdir()]
    assert not [each for each in remaining if "snapshot" in each or each.endswith("result")], (
        remaining
    )


@pytest.mark.nightly
def test_a_worker_resolves_a_conflict_with_its_child_job_on_such_a_node(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart()
    server, go = apart.server, apart.directory / "go"
    inner = [edit(f"until [ -e {go} ]; do sleep 0.05; done; echo child > b; echo c > c")]
    tasks = shlex.quote(json.dumps(inner))
    script = (
        f"echo {tasks} > $ORCHESTRATOR_WORKER_DIR/t; spawn='orchestrator spawn x --tasks';"
        f"$spawn $ORCHESTRATOR_WORKER_DIR/t; echo parent > b; touch {go};"
        "$spawn $ORCHESTRATOR_WORKER_DIR/t --wait > log || echo spawn: $?; grep 'by hand' log;"
        "cat b; [ ! -e c ]; git commit -qm mine b;"
        "git merge -qs ours $(sed -n 's/.*git merge -s ours //p' log); rm log; echo merged"
    )
    ended = server.run("x", [edit(script)])
    job = ended["job_id"]
    log = server.log(job, "worker_1")
    assert ended["status"] == "completed", log
    assert "spawn: 6\n" in log
    assert "To resolve by hand: commit your changes, type git merge orchestrator/" in log
    assert "\nparent\nmerged\n" in log, "no part of a conflicting result is added"
    result = f"orchestrator/{job}/result"
    assert apart.project.files(result) == [".gitignore", "app.py", "b"]
    assert apart.project.show(result, "b") == "parent"


def test_a_worktree_with_submodules_waits_for_a_machine_that_shares_files(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart()
    server, project = apart.server, apart.project
    inner = Project(apart.directory / "inner").begin({"i": "i\n"})
    add = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.path), "sub")
    project.git(*add)
    project.git("commit", "-qm", "with a submodule")
    job = server.submit("x", [edit("ls", id="a"), shell("echo ran", id="b")])
    until(lambda: server.log(job, "worker_2") == "ran\n", "a command without a worktree runs")

    def reason() -> str:
        return str(server.get(f"/jobs/{job}")["workers"][0]["reason"])

    until(lambda: "shares the server's files" in reason(), "the worker waits, with the reason")
    server.call("POST", f"/jobs/{job}/cancel")
    assert server.wait(job)["status"] == "cancelled"


@pytest.mark.nightly
def test_the_diff_of_a_running_worker_shows_its_commits_on_such_a_node(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart()
    server, go = apart.server, apart.directory / "go"
    script = f"echo 2 >> app.py; git commit -qam own; until [ -e {go} ]; do sleep 0.05; done"
    job = server.submit("x", [edit(f"{script}; echo 3 >> app.py")])

    def changed() -> list[str]:
        response = server.call("GET", f"/jobs/{job}/diff?worker=worker_1")
        return [each["path"] for each in response.json().get("files", ())]

    until(lambda: changed() == ["app.py"], "the commit is shown")
    go.touch()
    assert server.wait(job)["status"] == "completed"
    assert apart.project.show(f"orchestrator/{job}/result", "app.py") == "print(1)\n2\n3"


@pytest.mark.nightly
def test_an_ai_tool_resumes_its_session_on_such_a_node(
    make_apart: Callable[..., ApartCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-tests")
    apart = make_apart()
    server = apart.server
    gate = {"name": "painted", "run": "test -f second.txt || { echo no second.txt here; exit 1; }"}
    task = {
        "agent": "claude",
        "prompt": "Paint the house.",
        "env": {"SESSION_TOOL": "writes=first.txt:1 answers|writes=second.txt:2 answers"},
        "retries": 1,
        "gates": [gate],
    }
    ended = server.run("x", [task])
    job = ended["job_id"]
    assert ended["status"] == "completed", server.log(job, "worker_1")
    runs = server.directory(job) / "depth_0" / "worker_1" / "runs.jsonl"
    first, second = map(json.loads, complete_lines(runs))
    assert (second["resumed"], second["known"]) == (first["session"], True)
    assert "no second.txt here" in second["prompt"]
    files = apart.project.files(f"orchestrator/{job}/result")
    assert files == [".gitignore", "app.py", "b", "first.txt", "second.txt"]


@pytest.mark.parametrize("is_cut", [True, *nightly(False)])
def test_a_message_reaches_a_worker_that_runs_on_such_a_node(
    make_apart: Callable[..., ApartCluster],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_cut: bool,
) -> None:
    """``is_cut``: True if the connection ends before the node has the message."""
    mark = tmp_path / "cut"
    cutter = CUTTER.format(cut=("down", "file", "before", str(mark)))
    with ModelApi() as api:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        api.scripts["held"] = held()
        apart = make_apart(f"exec({cutter!r}); " if is_cut else "")
        server = apart.server
        job = server.submit("x", [{**task("held"), "git": "off"}])
        files = apart.directory / "n1" / "files"
        until(lambda: files_named(files, "begun"), "the command runs")
        assert send(server, job, "Use tabs").status_code == 202
        if is_cut:
            until(mark.exists, "the connection has ended")

            def names() -> list[str]:
                return [name for _, _, found in os.walk(files) for name in found]

            until(lambda: fnmatch.filter(names(), "message-*.json"), "the message is sent again")
        [begun] = files_named(files, "begun")
        begun.with_name("go").touch()
        assert server.wait(job)["status"] == "completed"
        (message,) = messages(server, job)
        assert (message["attempt"], message["text"]) == (1, "Use tabs")
        assert "Use tabs" in json.dumps(api.requests[-1].body)


#: Code for the node: it stores commits slowly, and prints a line for each transfer of commits.
_SLOW = """
import os, time
from orchestrator.git.worktrees.node_worktrees import NodeRepository
add = NodeRepository._add_pack
def slow(self, pack):
    if os.path.exists(pack):
        print("commits arrived", flush=True)
        time.sleep(2)
    add(self, pack)
NodeRepository._add_pack = slow
"""


def test_workers_that_start_while_commits_arrive_wait_for_them(
    make_apart: Callable[..., ApartCluster],
) -> None:
    apart = make_apart(before=f"exec({_SLOW!r}); ")
    server = apart.server
    first = server.submit("x", [edit("cat app.py; echo 1 > first")])
    until(lambda: "commits arrived" in apart.node.output, "the first worker's files arrive")
    second = server.submit("y", [edit("cat app.py; echo 1 > second")])
    for job in (first, second):
        ended = server.wait(job)
        assert ended["status"] == "completed", ended["results"]["tasks"]
    assert apart.node.output.count("commits arrived") == 1
