"""Counts the product's files whose functions run in the server for one request.

``python -m benchmarks.walk tasks`` (or ``merge``) lists the files in the order in which the request
enters them.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.figures import Figure, Findings
from benchmarks.options import Options, place
from benchmarks.server import FOLDER, KEY, Client, until

PACKAGE = f"{FOLDER / 'orchestrator'}/"
HANG_SECONDS = 120.0

#: An agent that runs its prompt as a script in its worktree.
EDITOR = """
import json, os, pathlib, subprocess, sys
task = json.loads(pathlib.Path(os.environ["ORCHESTRATOR_WORKER_DIR"], "task.json").read_text())
sys.exit(subprocess.run(["bash", "-ec", task["prompt"]]).returncode)
"""
_CHILD = json.dumps([{"agent": "editor", "prompt": "echo c > child.txt; echo done"}])
_PARENT = (
    f"cat > ../child.json <<'END'\n{_CHILD}\nEND\n"
    "orchestrator spawn child --tasks ../child.json --wait\necho p > parent.txt; echo done"
)
#: The description and the tasks of each request, by the request's name.
STORIES: Mapping[str, tuple[str, list[dict[str, str]]]] = {
    "tasks": (
        "two shell tasks",
        [{"agent": "shell", "command": f"echo {each}"} for each in ("one", "two")],
    ),
    "merge": (
        "two workers with a child job and a merge",
        [
            {"agent": "editor", "prompt": _PARENT},
            {"agent": "editor", "prompt": "echo other > other.txt; echo done"},
        ],
    ),
}


@dataclass(kw_only=True)
class Walk:
    """The product's files in the order in which the request first reached them. Each file has the
    function that ran first.
    """

    functions: dict[str, str] = field(default_factory=dict)
    #: Number of times that a thread changed from one file to another.
    changes: int = 0
    #: Number of files until the request was accepted.
    accepted: int = 0


def measure(options: Options) -> Findings:
    figures, notes = [], []
    for name, (subject, _) in STORIES.items():
        command = [sys.executable, "-m", "benchmarks.walk", name, "--json"]
        completed = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
        walk = Walk(**json.loads(completed.stdout))
        figures += [
            Figure(what=f"{subject}: files", value=len(walk.functions)),
            Figure(what=f"{subject}: files until it is accepted", value=walk.accepted),
        ]
        packages = Counter(path.partition("/")[0] for path in walk.functions)
        counts = ", ".join(f"{package} {count}" for package, count in packages.most_common())
        notes.append(f"{subject}: {counts}; {walk.changes:,} changes of file")
    return Findings(figures=figures, notes=notes)


def walk(directory: Path, name: str) -> Walk:
    """Run the named request in a server in this process. Return the entered files."""
    request, tasks = STORIES[name]
    with (
        _profile() as (record, recording),
        _server(_folder(directory, git=name == "merge")) as client,
    ):
        recording.set()
        body = json.dumps({"request": request, "tasks": tasks}).encode()
        job_id = client.submit(body)
        record.accepted = len(record.functions)
        job_directory = directory / "workspace" / f"job_{job_id}"
        until((job_directory / "FINAL_RESULT.md").exists, "the reports are there", HANG_SECONDS)
        # Wait for the work after the last report, such as the removal of worktrees.
        time.sleep(2)
        recording.clear()
        status = client.get(f"/jobs/{job_id}/status")["status"]
        assert status == "completed", status
    return record


@contextmanager
def _profile() -> Iterator[tuple[Walk, threading.Event]]:
    record, recording, last_paths = Walk(), threading.Event(), dict[int, str]()

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE) or not recording.is_set():
            return
        path, thread = code.co_filename.removeprefix(PACKAGE), threading.get_ident()
        if code.co_name != "<module>":
            record.functions.setdefault(path, code.co_qualname)
            record.changes += last_paths.get(thread) != path
            last_paths[thread] = path

    threading.setprofile(note)
    try:
        yield record, recording
    finally:
        threading.setprofile(None)


@contextmanager
def _server(folder: Path) -> Iterator[Client]:
    # Import these modules after the profile function is set, so that all threads have it.
    from orchestrator.api.http_server.app import close_app, create_app
    from orchestrator.api.http_server.waitress_server import serve
    from orchestrator.cli.server.server_process import api_options
    from orchestrator.composition import JobManager
    from orchestrator.config import load
    from orchestrator.engine.housekeeping import BEGIN_SECONDS

    settings = load(folder, environ={}).settings
    manager = JobManager(folder, settings)
    manager.open()
    app = create_app(manager.service, api_options(settings))
    server = serve(app, host="127.0.0.1", port=0, threads=4)
    manager.start(server.url)
    server.start()
    client = Client(server.url)
    try:
        # The server's work after its start does not belong to a request.
        time.sleep(BEGIN_SECONDS + 1)
        yield client
    finally:
        client.close()
        manager.stop_workers()
        close_app(app)
        server.close()
        server.wait(HANG_SECONDS)
        manager.stop()


def _folder(folder: Path, *, git: bool) -> Path:
    project = folder / "project"
    project.mkdir(parents=True)
    if git:
        (project / "README.md").write_text("A project\n")
        who = ["-c", "user.name=User", "-c", "user.email=user@example.org"]
        for command in (
            ["init", "-q", "-b", "main"],
            ["add", "."],
            ["commit", "-q", "-m", "first"],
        ):
            subprocess.run(["git", *who, *command], cwd=project, check=True)
    (folder / "bin").symlink_to(FOLDER / "bin")
    (folder / "editor.py").write_text(EDITOR)
    (folder / "config.yaml").write_text(json.dumps(_settings(folder)))
    return folder


def _settings(folder: Path) -> dict[str, Any]:
    return {
        "orchestrator": {
            "workspace_root": str(folder / "workspace"),
            "project_root": str(folder / "project"),
        },
        "workers": {"min_available_memory_bytes": 0},
        "api": {"port": 0, "api_key": KEY},
        "logging": {"log_dir": str(folder / "logs")},
        "agents": {"editor": {"command": [sys.executable, str(folder / "editor.py")]}},
    }


def main(name: str, *options: str) -> None:
    record = walk(place(), name)
    if "--json" in options:
        print(json.dumps(vars(record)))
        return
    for path, function in record.functions.items():
        print(f"{path:60} {function}")
    print(f"{len(record.functions)} files, {record.accepted} until accepted", file=sys.stderr)


if __name__ == "__main__":
    os.chdir(FOLDER)
    main(*sys.argv[1:])
