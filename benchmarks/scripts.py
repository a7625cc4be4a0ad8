"""Benchmarks of single parts. Each is a separate program that prints its own figures."""

import os
import re
import subprocess
import sys

from benchmarks.figures import Figure, Findings
from benchmarks.options import Options, place
from benchmarks.server import FOLDER

LAUNCHER_SHARE = 0.85


def launcher(options: Options) -> Findings:
    count = options.pick(500, 40)
    text = _output_of("launcher", "--count", str(count), "--rounds", str(options.rounds))
    ratio = re.search(r"median ratio ([\d.]+)", text)
    if ratio is None:
        raise RuntimeError(f"no ratio in: {text}")
    return Findings(
        figures=[
            Figure(
                what="launcher alone: xargs -P4 = 1",
                value=float(ratio[1]),
                at_least=LAUNCHER_SHARE,
            )
        ],
        text=text,
    )


def store(options: Options) -> Findings:
    return Findings(text=_output_of("store"))


def _output_of(name: str, *arguments: str) -> str:
    """Run a benchmark of this folder, and return its output. Raise RuntimeError if it fails."""
    command = [sys.executable, "-P", str(FOLDER / "benchmarks" / f"{name}.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    completed = subprocess.run(
        command, cwd=place(), env=environment, capture_output=True, text=True
    )
    if completed.returncode:
        raise RuntimeError(f"{name} failed: {completed.stderr}")
    return completed.stdout
