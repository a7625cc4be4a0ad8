"""Compares the workers per second of the local launcher with ``xargs -P``, in alternating rounds.

    python benchmarks/launcher.py [--count 500] [--slots 4] [--rounds 5]

Every worker has a log, a lock, and a synced exit.json; a command of xargs has a log. The ratio is
the median over the rounds. The order within a round alternates.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.launcher import Launch
from orchestrator.launchers.local.local_launcher import Listener, LocalLauncher


class Loop:
    """Keeps ``slots`` workers running until ``count`` workers have ended."""

    def __init__(self, launcher: LocalLauncher, directory: Path, count: int, slots: int) -> None:
        self._launcher = launcher
        self._directory = directory
        self._left = count
        self._running = 0
        self._slots = slots
        self._lock = threading.Lock()
        self.done = threading.Event()
        self.failures = 0

    def started(self, attempt_id: str, pid: int) -> None:
        pass

    def begun(self, attempt_id: str, at: float) -> None:
        pass

    def returned(self, attempt_id: str) -> None:
        pass

    def ended(self, attempt_id: str, exit: Exit) -> None:
        self.failures += exit.code != 0
        with self._lock:
            self._running -= 1
        self.fill()

    def fill(self) -> None:
        with self._lock:
            while self._left and self._running < self._slots:
                self._left -= 1
                self._running += 1
                self._launcher.start(self._launch(self._left))
            if not self._running:
                self.done.set()

    def _launch(self, number: int) -> Launch:
        name = f"{self._directory}/{number}"
        return Launch(
            attempt_id=f"bench/{number}/1",
            argv=("/bin/true",),
            cwd=str(self._directory),
            env={"PATH": os.environ["PATH"], "HOME": "/"},
            log=f"{name}.log",
            exit_path=f"{name}.json",
            timeout=60.0,
        )


def run_launcher(directory: Path, count: int, slots: int) -> tuple[float, float]:
    """Run the workers. Return the wall seconds, and the CPU seconds of this process."""
    launcher = LocalLauncher()
    loop = Loop(launcher, directory, count, slots)
    launcher.open(loop)
    began, cpu = time.perf_counter(), time.process_time()
    with Listener(launcher):
        loop.fill()
        loop.done.wait()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    launcher.close(stop=False)
    if loop.failures:
        raise SystemExit(f"{loop.failures} workers failed")
    return wall, cpu


def run_xargs(directory: Path, count: int, slots: int) -> float:
    script = f"seq {count} | xargs -P{slots} -I{{}} sh -c '/bin/true > {directory}/{{}} 2>&1'"
    began = time.perf_counter()
    subprocess.run(["sh", "-c", script], check=True)
    return time.perf_counter() - began


def one_round(place: Path, number: int, count: int, slots: int) -> tuple[float, float, float]:
    ours, theirs = place / f"{number}-launcher", place / f"{number}-xargs"
    ours.mkdir()
    theirs.mkdir()
    xargs = run_xargs(theirs, count, slots) if number % 2 else 0.0
    wall, cpu = run_launcher(ours, count, slots)
    return wall, cpu, xargs or run_xargs(theirs, count, slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    # Remove the files only at the end, because ext4 creates files more slowly for some seconds
    # after removals.
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        compare(Path(place), options)


def compare(place: Path, options: argparse.Namespace) -> None:
    ratios = []
    for number in range(options.rounds):
        wall, cpu, xargs = one_round(place, number, options.count, options.slots)
        ratios.append(xargs / wall)
        print(
            f"launcher {options.count / wall:6.0f}/s  xargs {options.count / xargs:6.0f}/s  "
            f"ratio {xargs / wall:.2f}  server {cpu / options.count * 1e6:.0f} us CPU per worker",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f} (target: 0.85)")


if __name__ == "__main__":
    main()
