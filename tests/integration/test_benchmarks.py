"""The benchmarks run with one command. People and programs can read the results."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import counts, worktrees
from benchmarks.__main__ import BENCHMARKS
from benchmarks.accounts import Account, TreeAccount, account
from benchmarks.figures import Figure, Findings, quantile
from benchmarks.options import Options
from benchmarks.server import until
from tests.support.programs import skip_or_fail

FOLDER = Path(__file__).resolve().parents[2]
RUN = FOLDER / "benchmarks" / "run.sh"
FIGURE_KEYS = {"what", "value", "unit", "at_least", "at_most", "verdict"}


@pytest.fixture
def installed() -> None:
    """Require run.sh's packages, which are those of the checkout."""
    if (FOLDER / ".venv" / "bin" / "python").exists():
        return
    reason = "benchmarks/run.sh needs .venv in the checkout: run ./install.sh"
    skip_or_fail(reason)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The benchmarks themselves fail earlier; the machine may be busy.
    return subprocess.run(
        [str(RUN), *arguments], cwd=cwd, capture_output=True, text=True, timeout=600
    )


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_one_command_prints_tables_and_keeps_their_figures_as_json(tmp_path: Path) -> None:
    names = ("dispatch", "efficiency")

    ended = run("--quick", "--no-install", "--output", "found.json", *names, cwd=tmp_path)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [benchmark["name"] for benchmark in found["benchmarks"]] == list(names)
    for benchmark in found["benchmarks"]:
        assert benchmark["quick"] is True
        assert len(benchmark["load_average"]) == 3
        assert f"## {benchmark['title']}\n" in ended.stdout
        check_figures(benchmark["figures"], ended.stdout)


@pytest.mark.nightly
@pytest.mark.slow
def test_worktrees_are_measured() -> None:
    found = worktrees.measure(Options(quick=True, rounds=1))
    assert {"50 files: merged", "100 files: 8 at once, made"} <= {
        each.what for each in found.figures
    }


@pytest.mark.nightly
@pytest.mark.slow
def test_transactions_and_wake_ups_are_counted() -> None:
    found = {
        each.what: each.value for each in counts.measure(Options(quick=True, rounds=1)).figures
    }

    # A transaction may have the ends of many workers, and a job needs some more transactions.
    assert 0 < found["transactions"] < 10
    assert found["wake-ups of the server and its shims"] > 0.1
    if shutil.which("strace"):
        assert found["of these, rt_sigaction"] < found["system calls"]


#: Command that uses 0.2 s of processor time in a process that no process waits for.
BUSY = "import time\nwhile time.process_time() < 0.2: pass"
LEAVES = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}])"
WAITS = f"import subprocess, sys; subprocess.check_call([sys.executable, '-c', {BUSY!r}])"


def cpu_of(group: Account, program: str) -> float:
    before = group.seconds()
    process = subprocess.Popen([*group.prefix, sys.executable, "-c", program])
    group.hold(process.pid)
    process.wait(60)
    until(lambda: not group.pids(), "all its processes have ended")
    return group.seconds() - before


def test_the_cpu_time_of_a_program_counts_its_ended_children() -> None:
    assert cpu_of(TreeAccount(), WAITS) >= 0.2


def test_in_a_control_group_the_cpu_time_counts_processes_that_no_process_waits_for() -> None:
    with account() as group:
        if isinstance(group, TreeAccount):
            skip_or_fail("this test needs the right to create a control group")
        assert cpu_of(group, LEAVES) >= 0.2
        assert cpu_of(group, WAITS) >= 0.2


def test_rows_are_a_table_before_the_figures() -> None:
    findings = Findings(
        rows=[{"program": "ours", "ms": 1.25}, {"program": "xargs", "ms": 1234.5}],
        figures=[Figure(what="xargs / ours", value=2)],
    )

    assert findings.to_markdown().startswith(
        "| program | ms |\n| --- | ---: |\n| ours | 1.25 |\n| xargs | 1,234 |\n\n| what |"
    )


def check_figures(figures: list[dict[str, Any]], printed: str) -> None:
    assert figures
    for figure in figures:
        assert figure.keys() == FIGURE_KEYS
        assert figure["value"] > 0
        assert f"| {figure['what']} | " in printed
    judged = [figure for figure in figures if figure["verdict"]]
    assert judged
    assert {figure["verdict"] for figure in judged} <= {"OK", "MISSED"}


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_an_unknown_benchmark_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    ended = run("dispach", "--no-install", cwd=tmp_path)

    assert ended.returncode == 2
    assert "unknown 'dispach'; known: dispatch, latency" in ended.stderr


def test_the_help_names_every_benchmark(tmp_path: Path) -> None:
    assert " ".join(BENCHMARKS) in run("--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("at_least", "at_most", "verdict"),
    [
        (None, None, ""),
        (0.6, None, "OK"),
        (0.61, None, "MISSED"),
        (None, 0.6, "OK"),
        (None, 0.59, "MISSED"),
    ],
)
def test_a_target_is_met_at_its_bound_and_missed_beyond_it(
    at_least: float | None, at_most: float | None, verdict: str
) -> None:
    figure = Figure(what="share", value=0.6, at_least=at_least, at_most=at_most)

    assert figure.verdict == verdict


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(200, 0, -1)]

    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 100, 198, 200]
    assert quantile([7.0], 0.99) == 7


def test_there_is_no_quantile_without_a_measurement() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        quantile([], 0.5)


def test_findings_are_a_table_with_target_and_verdict_then_the_notes() -> None:
    findings = Findings(
        figures=[
            Figure(what="submit, p99", value=31.25, unit="ms", at_most=25),
            Figure(what="workers", value=12_345),
        ],
        notes=["Huey is left out."],
    )

    assert findings.to_markdown() == (
        "| what | measured | target | |\n"
        "| --- | --- | --- | --- |\n"
        "| submit, p99 | 31.2 ms | at most 25 | MISSED |\n"
        "| workers | 12,345 |  |  |\n"
        "\n"
        "- Huey is left out."
    )
