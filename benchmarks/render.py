"""Writes ``docs/performance.md`` and its pictures from ``benchmarks/results.json``.

``benchmarks/render.sh`` calls this. Each sentence about a figure is computed from the figure, so
that the page is true for every result.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.dispatch import (
    CPU_TIME,
    DISK,
    MEMORY,
    OUR_CPU,
    OURS,
    RATE,
    THEIR_WALL,
    WALL,
    WORK,
)
from benchmarks.figures import Figure, number, table, table_of_rows

FOLDER = Path(__file__).resolve().parents[1]
RESULTS = FOLDER / "benchmarks" / "results.json"
PAGE = Path("docs/performance.md")
PICTURES = {
    "light": Path("docs/pictures/performance-light.svg"),
    "dark": Path("docs/pictures/performance-dark.svg"),
}
#: Minimum load per processor at which the page states that the machine had other work.
BUSY = 0.25
_PLACES = {DISK: "On disk", MEMORY: "In memory (tmpfs)"}
#: A path of the machine, which the page must not show. It shows ``/dev/shm``, which is memory.
_PATH = re.compile(r"(?<![\w.])(?!/dev/shm\b)(?:/[\w.+@-]+){2,}")

Result = Mapping[str, Any]
_Row = Mapping[str, Any]


def main() -> int:
    """Write the files. With ``--check``, write nothing, and return 1 if a file differs from the
    results.
    """
    results = json.loads(RESULTS.read_text("utf-8"))
    different = [
        path
        for path, text in rendered(results).items()
        if not (FOLDER / path).exists() or (FOLDER / path).read_text("utf-8") != text
    ]
    for path in different:
        if "--check" in sys.argv[1:]:
            print(f"{path} differs from {RESULTS.name}; write it: benchmarks/render.sh")
        else:
            (FOLDER / path).write_text(rendered(results)[path], "utf-8")
            print(f"{path} was written")
    return 1 if different and "--check" in sys.argv[1:] else 0


def rendered(results: Mapping[str, Any]) -> Mapping[Path, str]:
    """The text of each file, by its path below the folder. Raise ValueError for a quick run."""
    all_results: Sequence[Result] = results["benchmarks"]
    quick_names = [each["name"] for each in all_results if each["quick"]]
    if quick_names:
        raise ValueError(
            f"results of a quick run say nothing about speed: {', '.join(quick_names)}"
        )
    files = {PAGE: "\n".join(_page(all_results)) + "\n"}
    dispatch = _dispatch_of(all_results)
    for theme, path in PICTURES.items():
        files[path] = chart(dispatch, theme)
    return files


def _dispatch_of(results: Sequence[Result]) -> Result:
    for each in results:
        if each["name"] == "dispatch" and each.get("rows"):
            return each
    raise ValueError("the results lack the benchmark dispatch: run benchmarks/run.sh dispatch")


def _page(results: Sequence[Result]) -> Iterator[str]:
    dispatch = _dispatch_of(results)
    machine = dispatch["machine"]
    introduction = _lines(_INTRODUCTION, f"The machine: {_machine_text(machine)}.")
    yield from ("# Performance", "", *_lines(_main_result(dispatch)), "", *introduction)
    yield from _dispatch(dispatch)
    for each in results:
        if each is not dispatch:
            yield from _other(each, machine)
    yield from _REPEAT


def _lines(*sentences: str) -> Sequence[str]:
    return textwrap.wrap(" ".join(sentences), _COLUMNS, break_on_hyphens=False)


_COLUMNS = 128
_INTRODUCTION = (
    "This page has the results of the benchmarks. Other work on the machine increases wall times. "
    "CPU times and ratios change less. p50, p95, and p99 are percentiles: for example, 99 of 100 "
    "measured values are at most p99."
)
_WORK_OF_DISPATCH = (
    "Each program runs `/bin/true` many times on 4 slots, with a log file for each task. Times "
    f"exclude the start of the program. The times of {OURS} include its reports, except in the row "
    '"until the last worker ended". The last two columns have ratios: the time of a program, '
    f"divided by the time of {OURS}."
)
_RATIOS = (
    "Each ratio is the median of all rounds, so it can differ from the ratio of the times in the "
    "table."
)


def _main_result(dispatch: Result) -> str:
    """Return the wall times on disk as text, such as ``On disk, orchestrator takes 0.71 ms of wall
    time per short command, on 4 slots. xargs -P4 takes 1.02 times as long.``
    """
    rows = {row["program"]: row for row in dispatch["rows"] if row["on"] == DISK}
    comparison = ", ".join(
        f"{name} takes {number(rows[name][THEIR_WALL])} times as long"
        for name in _IN_MAIN_RESULT
        if name in rows
    )
    own_time = (
        f"On disk, {OURS} takes {number(rows[OURS][WALL])} ms of wall time per short command, on 4 "
        "slots."
    )
    return f"{own_time} {comparison}." if comparison else own_time


_IN_MAIN_RESULT = ("xargs -P4", "Celery + Redis")


def _dispatch(result: Result) -> Iterator[str]:
    yield from ("", "## Short commands, compared with other programs", "")
    yield from (*_lines(_WORK_OF_DISPATCH), "", *_stamp(result, result["machine"]), "")
    yield "<picture>"
    dark, light = (PICTURES[theme].relative_to(PAGE.parent) for theme in ("dark", "light"))
    yield f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    yield f'  <img src="{light}" width="800" alt="{ALT}">'
    yield "</picture>"
    for place, title in _PLACES.items():
        rows = _ranked(result, place)
        if rows:
            yield from ("", f"### {title}", "", *_compared(rows), "")
            yield table_of_rows([_shown(row) for row in rows])
    yield from ("", *_lines(_RATIOS))
    yield from _targets(result)
    yield from _notes(result)


ALT = "Tasks per second of orchestrator and of other programs, on disk and in memory"


def _ranked(result: Result, place: str) -> Sequence[_Row]:
    rows = [row for row in result["rows"] if row["on"] == place]
    return sorted(rows, key=lambda row: float(row[WALL]))


def _shown(row: _Row) -> Mapping[str, str | float]:
    return {
        "program": row["program"],
        "wall, ms per task": row[WALL],
        "tasks per second": row[RATE],
        "CPU, ms per task": row[CPU_TIME],
        f"wall, {OURS} = 1": row[THEIR_WALL],
        f"CPU, {OURS} = 1": 1 / row[OUR_CPU],
    }


def _compared(rows: Sequence[_Row]) -> Iterator[str]:
    """Sentences that compare orchestrator with the other programs, ordered by wall time."""
    [own_row] = [row for row in rows if row["program"] == OURS]
    peers = [row for row in rows if row["program"] not in (OURS, WORK)]
    wall, cpu = number(own_row[WALL]), number(own_row[CPU_TIME])
    yield f"{OURS} used {wall} ms of wall time and {cpu} ms of CPU time per task. In this run:"
    yield ""
    faster = [row["program"] for row in peers if row[THEIR_WALL] < 1]
    lighter = [row["program"] for row in peers if row[OUR_CPU] > 1]
    for kind, names in (("wall", faster), ("CPU", lighter)):
        others = [row["program"] for row in peers if row["program"] not in names]
        yield f"- less {kind} time than {OURS}: {', '.join(names) or 'none'}"
        yield f"- the same {kind} time as {OURS}, or more: {', '.join(others) or 'none'}"


#: What the rows of a benchmark's table measure, by the benchmark's name.
_MEANINGS = {
    "commands": (
        "The table has the CPU time to start the command `/bin/true`: as a list of arguments, as a "
        'string, or as a string that needs bash. The last row is the time of "a string", divided '
        'by the time of "arguments".'
    ),
    "growth": (
        '"CPU, 100 = 1" is the CPU time per worker, divided by the CPU time per worker of a job of '
        '100 workers. In the second table, "job of 1,000 / of 100" is the same kind of ratio.'
    ),
    "latency": '"Submit" and "status" are the times of one submission and of one read of a status.',
    "counts": '"Shims" are the processes that start and watch the workers.',
    "git": (
        '"Plain" is the same work by git alone: create a worktree, reset it, commit a change, '
        "merge it, remove the worktree. "
        "`/dev/shm` is a directory in memory."
    ),
    "streams": (
        '"Event to client" is the time from an event to its arrival at a watcher of the job.'
    ),
    "reads": (
        '"Columns" is the answer of `GET /api/v1/jobs/{job_id}/columns`: all workers, with one '
        "array per field. This answer is measured for a job of commands and for a job of agents. A "
        '"page" is one page of the list of workers, sorted by a field; "by attention" means failed '
        'workers first. A "difference" is the diff of two commits. "Best" is the shortest time of '
        'all reads. A "poll" reads a job\'s status: all workers, or only those that changed since '
        "the client's previous poll. In the rows of the server's CPU, \"cores\" is the server's "
        "CPU time per second with the clients, minus its CPU time per second without clients."
    ),
}


def _other(result: Result, machine: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", f"## {result['title']}", "", *_stamp(result, machine))
    if result["name"] in _MEANINGS:
        yield from ("", *_lines(_MEANINGS[result["name"]]))
    if "error" in result:
        yield from ("", "The run failed, so there are no figures.")
        return
    if result["rows"]:
        yield from ("", table_of_rows(result["rows"]))
    yield from _targets(result, all_figures=True)
    yield from _notes(result)
    if result["text"]:
        yield from ("", "```text", result["text"].strip(), "```")


def _targets(result: Result, *, all_figures: bool = False) -> Iterator[str]:
    fields = ("what", "value", "unit", "at_least", "at_most")
    figures = [Figure(**{name: each[name] for name in fields}) for each in result["figures"]]
    judged = [each for each in figures if each.verdict]
    shown = figures if all_figures else judged
    if not shown:
        return
    if judged:
        missed = sum(each.verdict == "MISSED" for each in judged)
        yield from ("", f"Targets: {len(judged) - missed} of {len(judged)} reached.")
    yield from ("", table(shown))


def _notes(result: Result) -> Iterator[str]:
    if result["notes"]:
        yield ""
    for note in result["notes"]:
        yield f"- {_PATH.sub('(path)', note)}"


def _machine_text(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['processors']} processors, {machine['memory_gib']} GiB of memory, "
        f"Linux {machine['kernel']}, Python {machine['python']}"
    )


def _stamp(result: Result, usual: Mapping[str, Any]) -> Sequence[str]:
    """Return when and under which load a benchmark ran, and where, if elsewhere."""
    machine, (load, *_) = result["machine"], result["load_average"]
    start = datetime.fromisoformat(result["started_at"])
    measured = (
        f"Measured on {start:%Y-%m-%d} at {start:%H:%M} UTC, "
        f"with load average {load:.1f} at the start."
    )
    other_machine = (
        []
        if _machine_text(machine) == _machine_text(usual)
        else [f"The machine: {_machine_text(machine)}."]
    )
    busy = ["Other work ran on the machine."] if load >= BUSY * machine["processors"] else []
    return _lines(measured, *other_machine, *busy)


_REPEAT = (
    "",
    "## Repeat it",
    "",
    "```bash",
    "benchmarks/run.sh dispatch --rounds 5    # about 5 minutes; all names and options: --help",
    "benchmarks/run.sh growth                 # 11 rounds of jobs with up to 30,000 workers",
    "benchmarks/render.sh                     # writes this page and its pictures",
    "```",
    "",
    *_lines(
        "The benchmarks need a clone of the repository. Use a machine without other work. A",
        "benchmark writes its results to `benchmarks/results.json`.",
        "`benchmarks/README.md` has the details.",
    ),
)

_COLORS = {
    "light": {"text": "#1f2328", "quiet": "#59636e", "own": "#0969da", "peer": "#b6bfc9"},
    "dark": {"text": "#e6edf3", "quiet": "#9198a1", "own": "#4493f8", "peer": "#4b535d"},
}
_WIDTH, _LEFT, _ROW, _BAR = 800, 170, 24, 400
_FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\""


def chart(result: Result, theme: str) -> str:
    """Draw bars of tasks per second, longest first, for disk and memory."""
    colors = _COLORS[theme]
    rows = [row for row in result["rows"] if row["program"] != WORK]
    most = max(float(row[RATE]) for row in rows)
    parts: list[str] = []
    y = 28
    parts.append(
        _text(
            0,
            18,
            "Tasks per second: /bin/true, 4 slots, a log file each",
            colors["text"],
            15,
            "600",
        )
    )
    for place, title in _PLACES.items():
        ranked = [row for row in _ranked(result, place) if row["program"] != WORK]
        if not ranked:
            continue
        y += 22
        parts.append(_text(0, y, title, colors["quiet"], 13, "600"))
        y += 8
        for row in ranked:
            parts += _bar(row, y, most, colors)
            y += _ROW
    date = datetime.fromisoformat(result["started_at"])
    machine, load = result["machine"], result["load_average"][0]
    footer = (
        f"Measured on {date:%Y-%m-%d}: {machine['processors']} processors, load average {load:.1f} "
        "at the start. CPU: time of all processes per task.",
        f"{OURS} and Huey (with fsync) wait until results are on the disk; other programs do not.",
    )
    for line in footer:
        y += 20
        parts.append(_text(0, y, line, colors["quiet"], 12))
    height = y + 12
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(ALT)}" {_FONT}>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _bar(row: _Row, y: int, most: float, colors: Mapping[str, str]) -> Sequence[str]:
    is_own = row["program"] == OURS
    width = max(1.0, _BAR * float(row[RATE]) / most)
    label = f"{number(row[RATE])} ({number(row[CPU_TIME])} ms CPU)"
    weight = "600" if is_own else "400"
    return (
        _text(_LEFT - 10, y + 15, row["program"], colors["text"], 13, weight, "end"),
        f'<rect x="{_LEFT}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 6}" rx="3" '
        f'fill="{colors["own" if is_own else "peer"]}"/>',
        _text(_LEFT + round(width) + 8, y + 15, label, colors["text"], 13, weight),
    )


def _text(
    x: int, y: int, text: str, fill: str, size: int, weight: str = "400", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
