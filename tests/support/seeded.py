"""The command line of random tests. The same seed repeats a test's random choices."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tests.faults.zygote import Zygote


class Figures(Protocol):
    """The result of a random test. ``str()`` returns the counts; ``wrong`` has the errors."""

    @property
    def wrong(self) -> Sequence[str]: ...


#: A random test: its arguments are an empty directory, a zygote, a seed, and a time in seconds.
Run = Callable[[Path, Zygote, int, float], Figures]


def main(description: str | None, run: Run) -> int:
    """Run the test and print the figures; return 1 if there were errors."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        zygote = Zygote()
        try:
            figures = run(Path(place), zygote, options.seed, options.minutes * 60)
        finally:
            zygote.close()
    print(f"seed {options.seed}: {figures}")
    for finding in figures.wrong:
        print(finding, file=sys.stderr)
    return 1 if figures.wrong else 0
