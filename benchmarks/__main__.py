"""``python -m benchmarks``: runs benchmarks, prints their tables, and stores the results as
JSON.
"""

import argparse
import json
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    counts,
    cpu,
    dispatch,
    efficiency,
    growth,
    latency,
    load,
    memory,
    nodes,
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

HERE = Path(__file__).resolve().parent
#: The stored results, from which ``benchmarks.render`` makes a page and pictures.
RESULTS = HERE / "results.json"
QUICK_RESULTS = HERE / "quick-results.json"

#: Name, title, and function of each benchmark, in the order of the table of contents.
BENCHMARKS: dict[str, tuple[str, Callable[[Options], Findings]]] = {
    "dispatch": ("Dispatch: short workers, durable and logged", dispatch.measure),
    "latency": ("Latency while clients poll", latency.measure),
    "streams": ("Event streams", streams.measure),
    "load": ("Load: waiting connections and a burst of submissions", load.measure),
    "efficiency": ("Parallel efficiency", efficiency.measure),
    "workflows": ("Workflows of science projects", workflows.measure),
    "memory": ("Memory", memory.measure),
    "growth": ("Cost of a worker by size of job", growth.measure),
    "reads": ("Lists, columns, differences, and polls of large jobs", reads.measure),
    "outbox": ("Webhooks: cost for the supervisor's thread", outbox.measure),
    "restart": ("Restart after a kill -9", restart.measure),
    "worktrees": ("Worktrees and merges, by number of files", worktrees.measure),
    "git": ("CPU time and processes of orchestrator's git work, compared with git alone", cpu.git),
    "commands": ("CPU time to start a command, as arguments or as a string", cpu.commands),
    "starts": ("CPU time of commands and of a server's start", cpu.starts),
    "counts": ("System calls, transactions, and wake-ups per worker", counts.measure),
    "walk": ("Files of the product that a request crosses", walk.measure),
    "launcher": ("The launcher alone", scripts.launcher),
    "nodes": ("Nodes of a cluster, against the local launcher", nodes.measure),
    "store": ("The store alone, against sqlite3", scripts.store),
}


def main() -> int:
    """Return 0, even if a target was missed; return 1 if a benchmark could not be measured."""
    arguments = _parser().parse_args()
    # The handlers of Ctrl-C stop the started programs and remove their files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    many_rounds = arguments.rounds or (1 if arguments.quick else 11)
    options = Options(quick=arguments.quick, rounds=rounds, many_rounds=many_rounds)
    output = arguments.output or (QUICK_RESULTS if arguments.quick else RESULTS)
    print(_heading(_surroundings(), options), flush=True)
    has_failed = False
    for name in arguments.names or BENCHMARKS:
        result = _run(name, options)
        has_failed = has_failed or "error" in result
        _store_result(output, result)
    return 1 if has_failed else 0


def _store_result(output: Path, result: dict[str, Any]) -> None:
    """Replace the result of this benchmark in the file. The results of other benchmarks stay."""
    results = {}
    if output.exists():
        results = {each["name"]: each for each in json.loads(output.read_text())["benchmarks"]}
    results[result["name"]] = result
    ordered = [results[name] for name in BENCHMARKS if name in results]
    output.write_text(json.dumps({"benchmarks": ordered}, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.sh", description=__doc__)
    names = ", ".join(BENCHMARKS)
    parser.add_argument(
        "names", nargs="*", type=_benchmark_name, metavar="name", help=f"any of {names}"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes")
    rounds_help = "5, growth 11; 1 with --quick"
    parser.add_argument("--rounds", type=_positive_count, metavar="N", help=rounds_help)
    parser.add_argument("--output", type=Path, metavar="FILE")
    return parser


def _benchmark_name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"unknown '{text}'; known: {', '.join(BENCHMARKS)}")
    return text


def _positive_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("should be a number from 1 on")
    return int(text)


def _surroundings() -> dict[str, Any]:
    """Return the properties of the machine that affect the figures, without its name."""
    release = re.match(r"\d+(\.\d+)*", platform.release())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "machine": {
            "processors": os.cpu_count(),
            "memory_gib": round(memory / 2**30),
            "kernel": release.group() if release else "unknown",
            "python": platform.python_version(),
        },
    }


def _heading(surroundings: dict[str, Any], options: Options) -> str:
    machine, load = surroundings["machine"], surroundings["load_average"]
    lines = [
        "# Benchmarks",
        "",
        f"{machine['processors']} processors, {machine['memory_gib']} GiB of memory, "
        f"Linux {machine['kernel']}, Python {machine['python']}; load average at the start "
        + " ".join(f"{value:.2f}" for value in load),
    ]
    if options.quick:
        lines += ["", "Small sizes: these figures say nothing about speed."]
    return "\n".join(lines)


def _run(name: str, options: Options) -> dict[str, Any]:
    """Run one benchmark. An error of this benchmark does not stop the others."""
    title, measure = BENCHMARKS[name]
    print(f"{name} ...", file=sys.stderr)
    began = time.monotonic()
    result = {"name": name, "title": title, "quick": options.quick, **_surroundings()}
    try:
        findings = measure(options)
    except Exception as error:
        print(f"\n## {title}\n\nNot measured: {error}", flush=True)
        return {**result, "error": str(error)}
    print(f"\n## {title}\n\n{findings.to_markdown()}", flush=True)
    return {**result, "seconds": round(time.monotonic() - began, 1), **findings.to_json()}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
