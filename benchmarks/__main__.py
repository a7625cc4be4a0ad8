"""``python -m benchmarks``: runs benchmarks, prints their tables, and keeps them as JSON."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    cpu,
    dispatch,
    efficiency,
    growth,
    latency,
    load,
    memory,
    outbox,
    reads,
    restart,
    scripts,
    streams,
    walk,
    workflows,
    worktrees,
)
from benchmarks.figures import Findings
from benchmarks.options import Options

RESULTS = Path(__file__).resolve().parent / "results.json"

#: Name, title, and function of each benchmark, in the order of the table of contents.
BENCHMARKS: dict[str, tuple[str, Callable[[Options], Findings]]] = {
    "dispatch": ("Dispatch: short workers, durable and logged", dispatch.measure),
    "latency": ("Latency while clients poll", latency.measure),
    "streams": ("Event streams", streams.measure),
    "load": ("Load: parked connections and a burst of submissions", load.measure),
    "efficiency": ("Parallel efficiency", efficiency.measure),
    "workflows": ("Workflows of science projects", workflows.measure),
    "memory": ("Memory", memory.measure),
    "growth": ("Cost of a worker by size of job", growth.measure),
    "reads": ("Lists, columns, differences, and polls of large jobs", reads.measure),
    "outbox": ("Webhooks: cost for the supervisor's thread", outbox.measure),
    "restart": ("Restart after a kill -9", restart.measure),
    "worktrees": ("Worktrees and merges, by number of files", worktrees.measure),
    "git": ("CPU time and processes of git, against git itself", cpu.git),
    "commands": ("CPU time of a command as a string", cpu.commands),
    "starts": ("CPU time of commands and of a server's start", cpu.starts),
    "walk": ("Files of the product that a request crosses", walk.measure),
    "launcher": ("The launcher alone", scripts.launcher),
    "store": ("The store alone, against sqlite3", scripts.store),
}


def main() -> int:
    """0 also when a target was missed; 1 when something could not be measured."""
    given = _parser().parse_args()
    # The handlers of Ctrl-C stop the started programs and remove their files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rounds = given.rounds or (1 if given.quick else 5)
    options = Options(quick=given.quick, rounds=rounds)
    results = _surroundings(options)
    print(_heading(results), flush=True)
    for name in given.names or BENCHMARKS:
        results["benchmarks"].append(_run(name, options))
        given.output.write_text(json.dumps(results, indent=2) + "\n")
    return 1 if any("error" in result for result in results["benchmarks"]) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.sh", description=__doc__)
    known = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", type=_name, metavar="name", help=f"any of {known}")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--rounds", type=_count, metavar="N", help="5; 1 with --quick")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE")
    return parser


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"unknown '{text}'; known: {', '.join(BENCHMARKS)}")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("should be a number from 1 on")
    return int(text)


def _surroundings(options: Options) -> dict[str, Any]:
    return {
        "started_at": datetime.now(UTC).isoformat(),
        "quick": options.quick,
        "rounds": options.rounds,
        "load_average": list(os.getloadavg()),
        "machine": {
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "benchmarks": [],
    }


def _heading(results: dict[str, Any]) -> str:
    machine, load = results["machine"], results["load_average"]
    lines = [
        "# Benchmarks",
        "",
        f"{machine['processors']} processors, Linux {machine['kernel']}, "
        f"Python {machine['python']}; load average at the start "
        + " ".join(f"{value:.2f}" for value in load),
    ]
    if results["quick"]:
        lines += ["", "Small sizes: these figures say nothing about speed."]
    return "\n".join(lines)


def _run(name: str, options: Options) -> dict[str, Any]:
    """One benchmark; what goes wrong in it does not take the others with it."""
    title, measure = BENCHMARKS[name]
    print(f"{name} ...", file=sys.stderr)
    load, began = os.getloadavg()[0], time.monotonic()
    result = {"name": name, "title": title, "load_average": load}
    try:
        findings = measure(options)
    except Exception as error:
        print(f"\n## {title}\n\nNot measured: {error}", flush=True)
        return {**result, "error": str(error)}
    print(f"\n## {title}\n\n{findings.to_markdown()}", flush=True)
    return {**result, "seconds": time.monotonic() - began, **findings.to_json()}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
