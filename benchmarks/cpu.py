"""CPU time of git, of commands as strings, and of starts, each measured in turns with a peer.

CPU time depends little on other load. The result is the minimum of all rounds.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

from benchmarks.figures import Figure, Findings
from benchmarks.jobs import wait_for_end
from benchmarks.options import Options, place
from benchmarks.server import FOLDER, Client, Server, running_server
from benchmarks.worktrees import make_repository
from orchestrator.launchers.process.worker_process import start_worker

SIZES = (100, 5_000)
WORKERS = (1, 8)
STARTS = 60
#: Maximum cost of a worker: its processes of git, and its CPU time as a multiple of plain git's.
MOST_PROCESSES, MOST_CPU = 25, {100: 2.0, 5_000: 1.3}
SERVE = "serve, until it answers"
RUN_COLD = "run, with the server that it starts and stops"
#: Maximum CPU seconds of commands.
MOST_SECONDS = {SERVE: 0.4, "status": 0.1, "submit": 0.15, RUN_COLD: 1.0}
_WHO = ("-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "gc.auto=0")
_TICK = os.sysconf("SC_CLK_TCK")


def git(options: Options) -> Findings:
    figures = []
    for size in options.pick(SIZES, (50,)):
        for workers in options.pick(WORKERS, (1,)):
            figures += _git_figures(size, workers, options)
    notes = (f"The repositories are in {tempfile.gettempdir()}.",)
    return Findings(figures=figures, notes=notes)


def _git_figures(size: int, workers: int, options: Options) -> Sequence[Figure]:
    workers_text = "1 worker" if workers == 1 else f"{workers} workers"
    what, log = f"{size:,} files, {workers_text}", place() / "git.log"
    own, plain = [], []
    with running_server(8) as server:
        project = make_repository(server.directory / "project", size)
        client = server.client()
        _git_job(client, workers)
        for number in range(options.rounds):
            own.append(_cpu_of(server.pid, lambda: _git_job(client, workers)))
            plain.append(_own_cpu(lambda n=number: _plain_git(project, workers, n)))  # type: ignore[misc]
    with _logging_git(log), running_server(8) as server:
        make_repository(server.directory / "project", size)
        client = server.client()
        _git_job(client, workers)
        log.write_text("")
        _git_job(client, workers)
    processes = len(log.read_text().splitlines())
    ratio = min(own) / min(plain)
    return (
        Figure(
            what=f"{what}: processes per worker", value=processes / workers, at_most=MOST_PROCESSES
        ),
        Figure(what=f"{what}: CPU per worker", value=min(own) / workers * 1000, unit="ms"),
        Figure(what=f"{what}: CPU, plain = 1", value=ratio, at_most=MOST_CPU.get(size)),
    )


@contextmanager
def _logging_git(log: Path) -> Iterator[None]:
    """Put a git that logs its calls first on PATH."""
    former_path, directory = os.environ["PATH"], place()
    program = directory / "git"
    program.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    os.environ["PATH"] = f"{directory}:{former_path}"
    try:
        yield
    finally:
        os.environ["PATH"] = former_path


def _git_job(client: Client, workers: int) -> None:
    tasks = [
        {"agent": "shell", "command": f"echo {time.time()} > new_{number}.txt"}
        for number in range(workers)
    ]
    body = {"request": f"change {time.time()}", "config": {"git": "on"}, "tasks": tasks}
    wait_for_end(client, client.submit(json.dumps(body).encode()))


def _plain_git(project: Path, workers: int, number: int) -> None:
    """Create branches with one change each, and merge them, with git alone."""
    tip = _git_output(project, "rev-parse", "HEAD")
    for worker in range(workers):
        worktree, branch = place() / "worktree", f"plain-{number}-{worker}"
        _git_output(project, "worktree", "add", "-q", "--no-checkout", "-b", branch, str(worktree))
        _git_output(worktree, "reset", "-q", "--hard")
        (worktree / f"new_{worker}.txt").write_text("new\n")
        _git_output(worktree, "add", "-A")
        _git_output(worktree, "commit", "-q", "-m", "change")
        tree = _git_output(project, "merge-tree", "--write-tree", tip, branch)
        tip = _git_output(project, "commit-tree", "-p", tip, "-p", branch, "-m", "merge", tree)
        _git_output(project, "worktree", "remove", "--force", str(worktree))


def _git_output(directory: Path, *arguments: str) -> str:
    command = ["git", *_WHO, *arguments]
    completed = subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True)
    return completed.stdout.strip()


def commands(options: Options) -> Findings:
    """Measure a command given as a string, as separate arguments, and in bash."""
    ways = {
        "arguments": ["/bin/true"],
        "a string": ["bash", "-c", "/bin/true"],
        "a string that needs bash": ["bash", "-c", "/bin/true;"],
    }
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(options.rounds):
        for name, argv in ways.items():
            least[name] = min(least[name], _own_cpu(lambda a=argv: _start(a)) / STARTS)  # type: ignore[misc]
    figures = [Figure(what=name, value=least[name] * 1e6, unit="us of CPU") for name in ways]
    ratio = least["a string"] / least["arguments"]
    return Findings(figures=[*figures, Figure(what="a string, arguments = 1", value=ratio)])


def _start(argv: Sequence[str]) -> None:
    env = {"PATH": os.environ["PATH"]}
    with open(os.devnull, "r+b") as null, chdir("/"):
        for _ in range(STARTS):
            pid = start_worker(argv, "/", env, null.fileno(), null.fileno())
            os.waitpid(pid, 0)


def starts(options: Options) -> Findings:
    """Measure the CPU time of commands of the command line, and of the server's start."""
    least: dict[str, float] = {}

    def note(name: str, seconds: float) -> None:
        least[name] = min(seconds, least.get(name, seconds))

    for _ in range(options.rounds):
        with running_server(4) as server:
            note(SERVE, _cpu(server.pid))
            plan = server.directory / "plan.yaml"
            plan.write_text("request: x\ntasks: [{agent: shell, command: [/bin/true]}]\n")
            for words in (
                ("--version",),
                ("status",),
                ("submit", "--plan", str(plan)),
                ("run", "--plan", str(plan)),
            ):
                note(words[0], _own_cpu(lambda w=words: _command(server, w)))  # type: ignore[misc]
        run = "run", "--plan", str(plan)
        note(RUN_COLD, _own_cpu(lambda s=server, w=run: _command(s, w)))  # type: ignore[misc]
    return Findings(
        figures=[
            Figure(what=name, value=each, unit="s of CPU", at_most=MOST_SECONDS.get(name))
            for name, each in least.items()
        ]
    )


def _command(server: Server, words: Sequence[str]) -> None:
    port = server.url.rpartition(":")[2]
    env = {
        **server.environment,
        "ORCHESTRATOR_API__PORT": port,
        "PYTHONPATH": str(FOLDER),
    }
    subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", *words],
        cwd=server.directory,
        env=env,
        check=True,
        capture_output=True,
    )


def _own_cpu(act: Callable[[], object]) -> float:
    """Return the CPU seconds that this process and its ended children use during ``act``."""
    before = _used_cpu()
    act()
    return _used_cpu() - before


def _used_cpu() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = map(resource.getrusage, whose)
    return sum(each.ru_utime + each.ru_stime for each in usages)


def _cpu_of(pid: int, act: Callable[[], object]) -> float:
    before = _cpu(pid)
    act()
    return _cpu(pid) - before


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, its ended children, and its running descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK + sum(_cpu(int(each)) for each in children)
