"""Other programs that run many commands at once, with a log file each."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).resolve().parent
HUEY_PYTHON = HERE / ".venv" / "bin" / "python"
SLOTS = 4
STOP_SECONDS = 30.0
XARGS = "xargs -P4"
HUEY = "Huey"
#: This mode is less durable than ours, so there is no target for it.
NOT_DURABLE = "Huey without fsync"


class Peer(Protocol):
    def run(self, directory: Path, count: int) -> float:
        """Wall seconds for ``count`` times /bin/true, with a log file each in ``directory``."""


class Pipeline:
    """A shell pipeline that runs in the directory of its logs; ``%d`` is the number of tasks."""

    def __init__(self, pipeline: str, environment: Mapping[str, str] | None = None) -> None:
        self._pipeline = pipeline
        self._environment = {**os.environ, **(environment or {})}

    def run(self, directory: Path, count: int) -> float:
        command = ["sh", "-c", self._pipeline % count]
        began = time.perf_counter()
        subprocess.run(command, cwd=directory, env=self._environment, check=True)
        return time.perf_counter() - began


class Huey:
    """Huey's consumer in a process of its own, which is started before the clock is."""

    def __init__(self, database: Path, mode: str) -> None:
        self._process = subprocess.Popen(
            [str(HUEY_PYTHON), "-P", str(HERE / "huey_peer.py"), str(database), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, directory: Path, count: int) -> float:
        assert self._process.stdin and self._process.stdout
        began = time.perf_counter()
        self._process.stdin.write(f"{count} {directory}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError(f"Huey has ended with status {self._process.wait()}")
        return time.perf_counter() - began

    def close(self) -> None:
        """End its input, at which it ends; by force when it does not."""
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def have_gnu_parallel() -> bool:
    """moreutils has another program of this name."""
    if shutil.which("parallel") is None:
        return False
    said = subprocess.run(["parallel", "--version"], capture_output=True, text=True)
    return said.stdout.startswith("GNU parallel")


def have_huey() -> bool:
    return HUEY_PYTHON.exists() and not subprocess.call(
        [str(HUEY_PYTHON), "-P", "-c", "import huey"], stderr=subprocess.DEVNULL
    )


def left_out() -> Sequence[str]:
    """Why some peers are not measured."""
    here = {"GNU parallel": have_gnu_parallel(), HUEY: have_huey()}
    return [
        f"{name} is not installed here and left out." for name, found in here.items() if not found
    ]


@contextmanager
def peers(directory: Path) -> Iterator[Mapping[str, Peer]]:
    """The peers that are installed, ready to run; ``directory`` holds what they need."""
    found: dict[str, Peer] = {
        XARGS: Pipeline("seq %d | xargs -P4 -I{} sh -c '/bin/true > {} 2>&1'")
    }
    if have_gnu_parallel():
        found["GNU parallel -j4"] = Pipeline(
            "seq %d | parallel --will-cite -j4 '/bin/true > {} 2>&1'",
            {"PARALLEL_HOME": str(directory)},
        )
    hueys = _hueys(directory) if have_huey() else {}
    try:
        yield {**found, **hueys}
    finally:
        for huey in hueys.values():
            huey.close()


def _hueys(directory: Path) -> dict[str, Huey]:
    """As it comes it waits for the disk, as we do; without that for comparison only."""
    return {
        HUEY: Huey(directory / "huey.db", "synced"),
        NOT_DURABLE: Huey(directory / "huey-unsynced.db", "unsynced"),
    }
