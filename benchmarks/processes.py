"""CPU time and memory of processes, as Linux counts them."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in bytes. ``pss`` divides shared pages among the processes that share them."""

    rss: int = 0
    pss: int = 0

    def plus(self, other: "Memory") -> "Memory":
        return Memory(self.rss + other.rss, self.pss + other.pss)


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of one process, without its children."""
    fields = _fields(Path(f"/proc/{pid}/stat").read_text())
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of one process and its ended children; 0 if the process has ended."""
    try:
        fields = _fields(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Return the memory of one process; zeros if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return Memory()
    kibibytes = {name: int(words[0]) for name, *words in map(_words, lines)}
    return Memory(kibibytes.get("Rss:", 0) * KIB, kibibytes.get("Pss:", 0) * KIB)


def memory_of(pids: Sequence[int]) -> Memory:
    total = Memory()
    for pid in pids:
        total = total.plus(memory(pid))
    return total


def children() -> Mapping[int, Sequence[int]]:
    """Map each process id to the ids of its children."""
    by_parent = defaultdict(list)
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = _fields((directory / "stat").read_text())
        except OSError:
            continue  # the process has exited
        by_parent[int(fields[1])].append(int(directory.name))
    return by_parent


def _fields(stat: str) -> list[str]:
    """Return the fields that follow the program's name, which may contain spaces and brackets."""
    return stat.rpartition(")")[2].split()


def _words(line: str) -> list[str]:
    return line.split()
