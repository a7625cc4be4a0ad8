"""Sizes and directories of benchmarks."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: A directory in memory, if the machine has one.
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    quick: bool
    rounds: int
    #: Rounds of a benchmark that compares small differences.
    many_rounds: int = 1

    def pick(self, full: T, quick: T) -> T:
        """Return the normal size. In a quick run, return the small size, which only checks that
        the benchmark works.
        """
        return quick if self.quick else full


def place(parent: Path | None = None) -> Path:
    """Create an empty directory that is removed when this process ends.

    It is not removed earlier, because ext4 creates files more slowly for some seconds after
    removals.
    """
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-bench-", dir=parent))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
