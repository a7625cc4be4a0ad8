"""``python -m tests.faults.reliability``: runs the fault table, and writes the page on reliability.

The page contains the table's facts and the tests' results. The page is written even if a test
fails. The exit code is pytest's exit code. Options of pytest, such as ``-k``, are rejected: rows
without a test run would be shown as "not run".
"""

import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.faults.promises import PROMISES
from tests.faults.row import Row
from tests.faults.table import TABLE, all_tests

REPOSITORY = Path(__file__).absolute().parents[2]
PAGE = REPOSITORY / "docs" / "internals" / "reliability.md"
Results = Mapping[str, Counter[str]]

HEAD = """# Reliability

Tests inject each of these faults, with real processes, files, and servers. The column "Promise"
states what holds during the fault. Each fault keeps its number, and a new
fault gets the next number. Therefore the numbers in a table are not consecutive. To run the tests
and write this page:

```bash
.venv/bin/python -m tests.faults.reliability
```

"""

TERMS = """Terms of these tables:

- A *shim* runs workers, one at a time. It starts, watches, and stops each worker.
- The *keeper* starts the *spawner*, and the spawner starts the shims. If the spawner dies, the
  keeper serves the existing shims.
- A *failpoint* is a point in the code at which tests crash the server.
- A *node* is another machine that runs workers. Its *lease* is the time that its workers may run
  without an answer from the server ([cluster.md](../cluster.md#faults)).

"""

ABOUT_PROMISES = """## Promises

These tests fail if one of the [promises of the README](../../README.md#promises) is broken:

"""

#: The tables of the page, with the numbers of their rows.
SECTIONS = {
    "Crashes and restarts": (*range(1, 8), 26, *range(46, 55), 60, 61, 86),
    "Workers": (*range(8, 18), 33, 44, 62, 63, 66),
    "Full disks and other limits": (*range(18, 26), 27, 28, 56, 57, 64, 65),
    "Load and recursion": (*range(29, 33), *range(34, 38), 59),
    "Attacks": (*range(38, 44), 55),
    "Git and the project": (45, 58, 67, 68),
    "Several machines": (*range(69, 86), *range(87, 95)),
}


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "results.xml"
        code = run(report)
        results = read_results(report)
    PAGE.write_text(page(results), "utf-8")
    print(f"{PAGE} is written; pytest ended with {code}", file=sys.stderr)
    return code


def run(report: Path) -> int:
    tests = [f"tests/{each}" for each in all_tests()]
    options = ["-q", "-n", "2", f"--junitxml={report}"]
    argv = [sys.executable, "-m", "pytest", *options, *tests]
    return subprocess.run(argv, cwd=REPOSITORY).returncode


def read_results(report: Path) -> Results:
    """Return the number of passed, failed, and skipped cases of each test."""
    results: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = test_of(case.get("classname", ""), case.get("name", ""))
        results.setdefault(name, Counter())[outcome_of(case)] += 1
    return results


def test_of(classname: str, name: str) -> str:
    """Return a test's name in the table; all cases of a class count for the class."""
    path, _, group = re.sub(r"^tests\.", "", classname).partition(".Test")
    return f"{path.replace('.', '/')}.py::" + (f"Test{group}" if group else name.partition("[")[0])


def outcome_of(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def page(results: Results) -> str:
    total = sum((results[each] for each in all_tests() if each in results), Counter())
    ran = f"{platform.system()}, Python {platform.python_version()}"
    ran += f": {format_counts(total)}. A test of several rows is counted once."
    lines = [HEAD, f"Run on {ran}\n\n", TERMS, promises()]
    for title, numbers in SECTIONS.items():
        lines += [f"## {title}\n\n"]
        lines += ["| # | Fault | Injected by | Promise | Result |\n", "| --- " * 5 + "|\n"]
        rows = (row for row in TABLE if row.number in numbers)
        lines += [*(f"{facts(row)} {result(row, results)} |\n" for row in rows), "\n"]
    lines += ["## Tests\n\n", "Each number is the number of a row.\n\n"]
    lines += [f"{row.number}. {format_tests(row)}\n" for row in TABLE]
    return "".join(lines)


def promises() -> str:
    """Return the section of the page that names, for each promise, its tests."""
    lines = [f"- **{words.rstrip('.')}**: {in_code(tests)}\n" for words, tests in PROMISES.items()]
    return "".join([ABOUT_PROMISES, *lines, "\n"])


def facts(row: Row) -> str:
    """Return the cells of a row, except its result."""
    texts = (str(row.number), row.fault, row.injection, row.promise)
    return "".join(f"| {each.replace('|', '&#124;')} " for each in texts) + "|"


def result(row: Row, results: Results) -> str:
    if row.cannot_run:
        return f"no test: {row.cannot_run}"
    if any(test not in results for test in row.tests):
        return "**not run**"
    return format_counts(sum((results[test] for test in row.tests), Counter()))


def format_counts(counts: Counter[str]) -> str:
    order = ("failed", "passed", "skipped")
    return ", ".join(f"{counts[kind]} {kind}" for kind in order if counts[kind]) or "**not run**"


def format_tests(row: Row) -> str:
    return in_code(row.tests) or "no test"


def in_code(tests: Sequence[str]) -> str:
    return ", ".join(f"`{test}`" for test in tests)


if __name__ == "__main__":
    sys.exit(main())
