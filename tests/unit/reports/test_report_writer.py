"""The reports of a job, their paths, and their maximum sizes."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import trees
from markdown_it import MarkdownIt
from planted import ROOT, TreeBuilder

from orchestrator.core.gates.gate import GateResult, GateStatus
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.model.states import JobStatus, StopCause, WorkerStatus
from orchestrator.core.outcome.job.job_outcome import tasks_succeeded
from orchestrator.core.outcome.job.listed_workers import LISTED_WORKERS
from orchestrator.reports import Reports
from orchestrator.reports.figures import job_tree_index
from orchestrator.reports.template_filters import document
from orchestrator.reports.timeline import BAR_LIMIT


def names(paths: list[Path], directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in paths]


def test_a_root_job_has_all_reports(tmp_path: Path) -> None:
    written = Reports().render(trees.two_levels(), ROOT, tmp_path)
    assert sorted(names(written, tmp_path)) == [
        "FINAL_RESULT.md",
        "depth_0/LEVEL_0_REPORT.md",
        "depth_1/LEVEL_1_REPORT.md",
        "reports/analytics.json",
        "reports/job_d4e5f6.md",
        "reports/timeline.md",
        "reports/tree.txt",
    ]
    assert all(path.is_file() for path in written)


def test_a_child_job_has_one_report(tmp_path: Path) -> None:
    written = Reports().render(trees.two_levels(), "d4e5f6", tmp_path)
    assert names(written, tmp_path) == ["reports/job_d4e5f6.md"]


def test_a_child_job_has_its_report_while_its_parent_still_runs(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    parent = builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 9), status=WorkerStatus.WAITING)
    child = builder.job("y", job_id="c1", parent=parent, span=(1, 1))
    builder.worker(child, "worker_1_1", TaskSpec(id="b"), (1, 3))
    Reports().render(builder.tree, "c1", tmp_path)
    report = (tmp_path / "reports/job_c1.md").read_text()
    assert report.startswith("# Completed: 1 of 1 task succeeded")
    assert "Time: 2.0 s." in report


def test_a_child_job_needs_no_more_of_the_tree_than_its_line(tmp_path: Path) -> None:
    tree = trees.large(200)
    line = {ROOT, "c50"}
    part = replace(
        tree,
        jobs=[job for job in tree.jobs if job.id in line],
        tasks={job_id: tree.tasks[job_id] for job_id in line},
        workers=[worker for worker in tree.workers if worker.job_id in line],
        attempts=[attempt for attempt in tree.attempts if attempt.job_id in line],
    )
    (report,) = Reports().render(tree, "c50", tmp_path)
    of_whole = report.read_text()
    Reports().render(part, "c50", tmp_path)
    assert report.read_text() == of_whole


def test_child_jobs_of_one_instant_are_listed_in_the_order_of_their_start(
    tmp_path: Path,
) -> None:
    builder = TreeBuilder()
    root = builder.job("Survey")
    parent = builder.worker(root, "worker_1", TaskSpec(id="all"), (0, 9))
    # stores return them in order of their ids
    for number, job_id in enumerate(("b0", "a0"), start=1):
        child = builder.job(f"Part {number}", job_id=job_id, parent=parent, span=(1, 5))
        builder.worker(child, f"worker_1_{number}", TaskSpec(id="part"), (1, 5))
    tree = builder.tree
    stored = sorted(tree.jobs, key=lambda job: (job.created_at, job.id))
    Reports().render(replace(tree, jobs=stored), ROOT, tmp_path)
    for name in ("reports/tree.txt", "reports/timeline.md", "depth_1/LEVEL_1_REPORT.md"):
        text = (tmp_path / name).read_text()
        assert text.index("worker_1_1") < text.index("worker_1_2"), name


def test_rendering_again_replaces_the_reports(tmp_path: Path) -> None:
    first = Reports().render(trees.two_levels(), ROOT, tmp_path)
    before = {path: path.read_text() for path in first}
    again = Reports().render(trees.two_levels(), ROOT, tmp_path)
    assert {path: path.read_text() for path in again} == before


def test_a_job_of_another_tree_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Reports().render(trees.single_success(), "other", tmp_path)


@pytest.mark.parametrize("case", sorted(trees.ALL))
def test_links_have_existing_targets_and_no_other_text_is_active(case: str, tmp_path: Path) -> None:
    tree = trees.ALL[case]()
    written = Reports().render(tree, tree.root.id, tmp_path)
    for worker in (each for each in tree.workers if each.attempt):
        (tmp_path / f"depth_{worker.depth}" / worker.id).mkdir(parents=True)
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / f"logs/depth_{worker.depth}_{worker.id}.log").touch()
        for path in (path for each in worker.failures for path in each.gate_logs):
            (tmp_path / path).touch()
    (tmp_path / "status.json").touch()
    for report in written:
        if report.suffix == ".md":
            for link in links(report.read_text()):
                assert (report.parent / unquote(link)).exists(), f"{report}: {link}"


@pytest.mark.parametrize("case", sorted(trees.ALL))
def test_every_row_of_a_table_has_the_cells_of_its_heading(case: str, tmp_path: Path) -> None:
    merges = trees.MERGES.get(case, {})
    for report in Reports().render(trees.ALL[case](), ROOT, tmp_path, merges=merges):
        lines = report.read_text().splitlines() if report.suffix == ".md" else []
        for above, line in pairwise(lines):
            if above.startswith("|") and line.startswith("|"):
                assert above.count("|") == line.count("|"), f"{report.name}: {line}"
            # Otherwise, a renderer would show the row as text, not as a table.
            assert not line.startswith("|") or above.startswith("|") or not above, above


def test_the_first_screen_has_the_outcome_and_the_next_commands(tmp_path: Path) -> None:
    merges = trees.MERGES["not_in_result"]
    Reports().render(trees.not_in_result(), ROOT, tmp_path, merges=merges)
    first = (tmp_path / "FINAL_RESULT.md").read_text().splitlines()[:22]

    assert first[0] == "# Partial: 4 of 5 tasks succeeded, 2 merged"
    for title in ("Merged", "Not merged", "Failed", "Gates on the merged result", "Time"):
        assert any(line.startswith(f"| **{title}** | ") for line in first), title
    commands = [line.partition("  #")[0].split()[1] for line in first if line.startswith("bin/")]
    assert commands == ["diff", "land", "merge", "merge", "merge", "retry"]


def test_the_report_of_a_job_of_one_command_is_short(tmp_path: Path) -> None:
    Reports().render(trees.single_success(), ROOT, tmp_path)
    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert len(report.splitlines()) < 35
    headings = [line for line in report.splitlines() if line.startswith("## ")]
    assert headings == ["## Request", "## Results", "## Files", "## Details"]


def links(report: str) -> Iterator[str]:
    """Yield the links of a report, rendered with HTML and with automatic links for bare
    addresses.
    """
    renderer = MarkdownIt("gfm-like", {"html": True})
    assert renderer.linkify is not None
    # Otherwise "parser.py" would count as a host in Paraguay, unlike on GitHub.
    renderer.linkify.set({"fuzzy_link": False})
    for block in renderer.parse(report):
        for token in (block, *(block.children or ())):
            assert token.type not in {"html_block", "html_inline", "image"}, token.content
            if token.type == "link_open":
                yield str(token.attrs["href"])


def test_a_report_names_no_directory_of_the_machine(tmp_path: Path) -> None:
    for case, tree in trees.ALL.items():
        place = tmp_path / case
        place.mkdir()
        for report in Reports().render(tree(), ROOT, place):
            assert str(tmp_path) not in report.read_text(), report


def test_failures_come_before_results(tmp_path: Path) -> None:
    Reports().render(trees.failure_skip_timeout(), ROOT, tmp_path)
    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert report.index("## Failures") < report.index("## Results")


def test_a_notice_is_at_the_top(tmp_path: Path) -> None:
    tree = trees.single_success()
    Reports().render(tree, ROOT, tmp_path, notice="Nothing was built: <b>")
    lines = (tmp_path / "FINAL_RESULT.md").read_text().splitlines()
    assert lines[2] == "> Nothing was built: &lt;b>"


def test_a_notice_appears_once_and_the_headline_agrees_with_it(tmp_path: Path) -> None:
    notice = "Nothing was built: no agent."
    builder = TreeBuilder()
    job = builder.job("Build a shop")
    for number in (1, 2):
        output = f"# What there is\n\n**{notice}**\n\nPart {number}"
        builder.worker(job, f"worker_{number}", TaskSpec(id=str(number)), (0, 1), output=output)

    Reports().render(builder.tree, ROOT, tmp_path, notice=notice)

    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert report.startswith("# Surveyed, nothing built: 2 of 2 tasks succeeded\n")
    assert report.count("Nothing was built") == 1
    assert "Part 1" in report and "Part 2" in report


def test_a_failure_deep_below_is_in_the_final_result(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    parent = builder.worker(
        job, "worker_1", TaskSpec(id="a"), (0, 9), status=WorkerStatus.FAILED, reason="see below"
    )
    child = builder.job("y", job_id="c1", parent=parent, span=(1, 3), status=JobStatus.FAILED)
    builder.worker(
        child,
        "worker_1_1",
        TaskSpec(id="b"),
        (1, 3),
        status=WorkerStatus.FAILED,
        reason="disk is full",
    )
    Reports().render(builder.tree, ROOT, tmp_path)
    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert "Reason: disk is full" in report
    assert "- Child job [c1](reports/job_c1.md): failed." in report


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param(TaskSpec(id="a", command="make"), True, id="own directory"),
        pytest.param(TaskSpec(id="a", command="make", workdir="project"), False, id="project"),
        pytest.param(TaskSpec(id="a", command="make", git="on"), False, id="worktree"),
        pytest.param(TaskSpec(id="a", prompt="make"), False, id="prompt"),
    ],
)
def test_the_failure_of_a_command_notes_that_it_ran_without_the_project_s_files(
    tmp_path: Path, task: TaskSpec, expected: bool
) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.FAILED, span=(0, 9))
    builder.worker(job, "worker_1", task, (0, 9), status=WorkerStatus.FAILED, reason="exit code 2")
    Reports().render(builder.tree, ROOT, tmp_path)
    assert ("without the project's files" in (tmp_path / "FINAL_RESULT.md").read_text()) == expected


def test_a_job_that_could_not_be_planned_has_reports(tmp_path: Path) -> None:
    builder = TreeBuilder()
    builder.job("x")
    Reports().render(builder.tree, ROOT, tmp_path)
    assert (tmp_path / "FINAL_RESULT.md").read_text().startswith("# Failed: no task")


def test_a_job_that_was_cancelled_before_its_start_has_no_time(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.CANCELLED, cancelled_by="key 'default'")
    for name in ("worker_1", "worker_2"):
        task, status = TaskSpec(id=name), WorkerStatus.CANCELLED
        builder.worker(job, name, task, status=status, reason="cancelled by key 'default'")

    Reports().render(builder.tree, ROOT, tmp_path)

    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert "| **Time** | no worker started |" in report


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        pytest.param(30, 1, id="whole output"),
        pytest.param(600, 551, id="the last lines"),
        pytest.param(40, 10, id="the last characters"),
    ],
)
def test_a_failure_has_the_end_of_the_output(tmp_path: Path, lines: int, first: int) -> None:
    text = "x" * 60 if lines == 40 else "line"
    output = "\n".join(f"{text} {number}" for number in range(1, lines + 1))
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.FAILED, span=(0, 9))
    task = TaskSpec(id="a", command="make")
    builder.worker(job, "worker_1", task, (0, 9), status=WorkerStatus.TIMEOUT, output=output)
    Reports().render(builder.tree, ROOT, tmp_path)

    report = (tmp_path / "FINAL_RESULT.md").read_text()
    shown = [int(number) for number in re.findall(rf"^{text} (\d+)$", report, re.MULTILINE)]
    assert shown == list(range(first, lines + 1))
    assert ("*The last " in report) == (first > 1)


def test_a_long_ending_that_outputs_share_appears_once_in_a_report(tmp_path: Path) -> None:
    rule = "How lines are counted\n\n" + "Every line counts once. " * 20
    short = "Tests\n\nAll pass."
    builder = TreeBuilder()
    job = builder.job("x")
    for number, ending in ((1, rule), (2, rule), (3, short), (4, short)):
        task = TaskSpec(id=f"t{number}")
        output = f"# Part {number}\n\nfound\n\n## {ending}"
        builder.worker(job, f"worker_{number}", task, (0, 1), output=output)
    Reports().render(builder.tree, ROOT, tmp_path)

    text = (tmp_path / "FINAL_RESULT.md").read_text()
    assert (text.count("Every line counts once."), text.count("All pass.")) == (20, 2)
    assert "How lines are counted: as above." in text and "*The first " not in text


def test_level_0_does_not_repeat_what_the_final_result_has(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("Build a shop")
    passed = (GateResult(name="pytest", status=GateStatus.PASSED, tests=14),)
    good, bad, late = (TaskSpec(id=each) for each in ("good", "bad", "late"))
    shop = ("shop.py",)
    builder.worker(job, "worker_1", good, (0, 1), output="It sells.", gates=passed, files=shop)
    failed, skipped = WorkerStatus.FAILED, WorkerStatus.SKIPPED
    long = "the first words\n" + "a line of a log\n" * 300
    builder.worker(job, "worker_2", bad, (0, 1), status=failed, reason="no till", output=long)
    builder.worker(job, "worker_3", late, status=skipped, reason="bad did not succeed")
    Reports().render(builder.tree, ROOT, tmp_path)

    final = (tmp_path / "FINAL_RESULT.md").read_text()
    level = (tmp_path / "depth_0/LEVEL_0_REPORT.md").read_text()
    for words in ("Build a shop", "It sells.", "no till", "bad did not succeed", "| shop.py |"):
        assert words in final and words not in level, words
    assert "| pytest | passed |" in level and "pytest" not in final
    # The final result does not have the whole output.
    assert "the first words" in level and "the first words" not in final


def test_a_long_output_is_cut_with_a_link_to_the_rest(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1), output="line of text\n" * 100_000)
    Reports().render(builder.tree, ROOT, tmp_path)
    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert len(report) < 50_000
    assert "of 1,299,999 characters" in report
    assert "logs/depth_0_worker_1.log" in report
    # The report has only this part of the output.
    assert "line of text" not in (tmp_path / "depth_0/LEVEL_0_REPORT.md").read_text()
    assert "More: [directory]" in report


@pytest.mark.parametrize(("workers", "whole"), [(1, True), (20, False)])
def test_the_final_result_has_more_room_for_each_of_few_workers(
    tmp_path: Path, workers: int, whole: bool
) -> None:
    builder = TreeBuilder()
    job = builder.job("x")
    for number in range(workers):
        task = TaskSpec(id=f"t{number}")
        builder.worker(job, f"worker_{number + 1}", task, (0, 1), output="line of text\n" * 1_500)
    Reports().render(builder.tree, ROOT, tmp_path)

    report = (tmp_path / "FINAL_RESULT.md").read_text()
    assert ("of 19,499 characters" not in report) is whole
    assert len(report) < 150_000


def test_a_long_request_is_cut(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("many words " * 100_000)
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1))
    Reports().render(builder.tree, ROOT, tmp_path)
    for name in ("FINAL_RESULT.md", "depth_0/LEVEL_0_REPORT.md"):
        assert len((tmp_path / name).read_text()) < 10_000
    assert "of 1,100,000 characters" in (tmp_path / "FINAL_RESULT.md").read_text()


@pytest.mark.parametrize(
    "piece", ["`", "` `` ", "[", "![a](", "- ", "> ", "**a", "\x1b]", "\x1b[", "|"]
)
def test_no_text_of_a_worker_makes_rendering_slow(piece: str) -> None:
    began = time.process_time()
    document(piece * (20_000 // len(piece)))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("workers", "seconds"), [(1_000, 3), pytest.param(10_000, 12, marks=pytest.mark.nightly)]
)
def test_a_large_job_has_its_reports_in_seconds_and_no_report_is_endless(
    workers: int, seconds: float, tmp_path: Path
) -> None:
    tree = trees.large(workers)
    began = time.process_time()
    Reports().render(tree, ROOT, tmp_path)
    # CPU time of this process, with three times the usual value as limit, because the machine may
    # be busy.
    assert time.process_time() - began < seconds
    assert len((tmp_path / "FINAL_RESULT.md").read_text()) < 200_000
    lines = (tmp_path / "reports/tree.txt").read_text().splitlines()
    assert len(lines) == len(tree.jobs) + len(tree.workers)
    timeline = (tmp_path / "reports/timeline.md").read_text()
    assert timeline.count(" :done, ") == BAR_LIMIT
    assert f"**{BAR_LIMIT} of {len(tree.workers):,} attempts are shown:**" in timeline
    assert len(timeline) < 50_000


def test_reports_of_a_larger_job_list_its_failures_and_link_all_workers(
    tmp_path: Path,
) -> None:
    tree = trees.large(1_300)
    last = next(worker for worker in reversed(tree.workers) if worker.depth == 0)
    workers = [
        replace(worker, status=WorkerStatus.FAILED) if worker is last else worker
        for worker in tree.workers
    ]
    at_top = sum(worker.depth == 0 for worker in workers)
    Reports().render(replace(tree, workers=workers), ROOT, tmp_path)

    figures = json.loads((tmp_path / "reports/analytics.json").read_text())
    assert figures["schema"] == 2
    assert len(figures["workers"]) == LISTED_WORKERS
    assert last.id in {worker["worker_id"] for worker in figures["workers"]}
    assert sum(figures["workers_by_status"].values()) == len(workers)
    assert figures["workers_omitted"] == {
        "count": len(workers) - LISTED_WORKERS,
        "all": f"GET /api/v1/jobs/{ROOT}/columns",
        "pages": f"GET /api/v1/jobs/{ROOT}/workers?page=1&order=attention",
        "results": f"GET /api/v1/jobs/{ROOT}/results",
    }

    level = (tmp_path / "depth_0/LEVEL_0_REPORT.md").read_text()
    assert f"This report has {LISTED_WORKERS:,} of {at_top:,} workers of this job" in level
    assert f"`GET /api/v1/jobs/{ROOT}/columns`" in level
    assert level.count("\n| [worker") == LISTED_WORKERS
    assert f"({last.id}/)" in level
    # All workers of the child jobs fit.
    assert "This report has" not in (tmp_path / "depth_1/LEVEL_1_REPORT.md").read_text()
    files = (tmp_path / "FINAL_RESULT.md").read_text().partition("\n## Files")[2]
    assert f"see `files_created` in `GET /api/v1/jobs/{ROOT}/results`" in files


@pytest.mark.slow
def test_the_figures_of_many_child_jobs_list_their_failures(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("Convert", status=JobStatus.COMPLETED)
    parent = builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 9))
    number = LISTED_WORKERS + 200
    for at in range(number):
        status, outcome = JobStatus.COMPLETED, "success"
        if at == number - 1:
            status, outcome = JobStatus.FAILED, "failed"
        child = builder.job("Part", job_id=f"c{at}", parent=parent, span=(1, 2), status=status)
        task = TaskSpec(id="b")
        builder.worker(child, f"worker_1_{at}", task, (1, 2), status=WorkerStatus(outcome))
    Reports().render(builder.tree, ROOT, tmp_path)

    figures = json.loads((tmp_path / "reports/analytics.json").read_text())

    assert figures["schema"] == 2
    assert len(figures["jobs"]) == LISTED_WORKERS
    named = [each["job_id"] for each in figures["jobs"]]
    assert (named[0], named[1], named[-1]) == (ROOT, "c0", f"c{number - 1}")
    assert figures["jobs_omitted"] == {
        "count": number + 1 - LISTED_WORKERS,
        "tree": f"GET /api/v1/jobs/{ROOT}/tree",
    }
    assert sum(figures["jobs_by_status"].values()) == number + 1
    assert "comparisons_omitted" not in figures
    level = (tmp_path / "depth_1/LEVEL_1_REPORT.md").read_text()
    assert f"This report has {LISTED_WORKERS:,} of {number:,} jobs of this level" in level
    assert level.count("\n## Job ") == LISTED_WORKERS
    # The failed job is listed instead of an earlier job that completed.
    assert f"\n## Job c{number - 1}," in level
    assert f"\n## Job c{LISTED_WORKERS - 1}," not in level


def test_the_tasks_of_a_job_are_counted_once_for_all_child_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = trees.large(200)
    counted = []

    def count(workers: Sequence[Worker]) -> dict[str, bool]:
        counted.append(workers[0].job_id)
        return tasks_succeeded(workers)

    monkeypatch.setattr(job_tree_index, "tasks_succeeded", count)
    Reports().render(tree, ROOT, tmp_path)

    assert sorted(counted) == sorted(job.id for job in tree.jobs)


def test_the_figures_of_many_candidates_list_the_tasks_without_a_choice(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("Convert", status=JobStatus.COMPLETED)
    number = LISTED_WORKERS // 2 + 20
    for at in range(number):
        task = TaskSpec(id=f"t{at}", agents=("claude", "codex"))
        status = WorkerStatus.FAILED if at == number - 1 else WorkerStatus.SUCCESS
        for place, agent in enumerate(task.agents):
            builder.worker(job, f"worker_{at}_{place}", task, (0, 1), agent=agent, status=status)
        builder.compare(task.id)
    Reports().render(builder.tree, ROOT, tmp_path)

    figures = json.loads((tmp_path / "reports/analytics.json").read_text())

    named = [each["task_id"] for each in figures["comparisons"]]
    assert sum(len(each["candidates"]) for each in figures["comparisons"]) == LISTED_WORKERS
    assert (named[0], named[-1]) == ("t0", f"t{number - 1}")
    assert figures["comparisons_omitted"] == {
        "count": number - LISTED_WORKERS // 2,
        "each": "GET /api/v1/jobs/{job_id}/tasks/{task_id}/candidates",
    }
    assert "jobs_omitted" not in figures


def test_the_report_of_a_larger_child_job_describes_so_many_failures(tmp_path: Path) -> None:
    builder = TreeBuilder()
    root = builder.job("x")
    failed = WorkerStatus.FAILED
    parent = builder.worker(root, "worker_1", TaskSpec(id="a"), (0, 9), status=failed)
    child = builder.job("y", job_id="c1", parent=parent, span=(1, 8), status=JobStatus.FAILED)
    for number in range(1, LISTED_WORKERS + 4):
        task = TaskSpec(id=f"t{number}")
        builder.worker(child, f"worker_1_{number}", task, (1, 8), status=failed)
    Reports().render(builder.tree, "c1", tmp_path)
    report = (tmp_path / "reports/job_c1.md").read_text()
    assert report.count("\n### worker") == LISTED_WORKERS
    call = "`GET /api/v1/jobs/c1/workers?page=1&order=attention`"
    assert f"*3 more workers failed: see {call}.*" in report


@pytest.mark.parametrize(
    ("cause", "status", "headline"),
    [
        (StopCause.WALL_TIME, WorkerStatus.TIMEOUT, "# Partial: 1 of 2 tasks succeeded"),
        (StopCause.LIMIT, WorkerStatus.FAILED, "# Partial: 1 of 2 tasks succeeded"),
        (StopCause.PARENT, WorkerStatus.CANCELLED, "# Cancelled: 1 of 2 tasks succeeded"),
        (StopCause.USER, WorkerStatus.CANCELLED, "# Cancelled: 1 of 2 tasks succeeded"),
    ],
)
def test_a_job_that_ran_out_of_time_is_not_called_cancelled(
    tmp_path: Path, cause: StopCause, status: WorkerStatus, headline: str
) -> None:
    builder = TreeBuilder()
    job = builder.job("x", cancelled_by="somebody", stop_cause=cause)
    builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1))
    builder.worker(job, "worker_2", TaskSpec(id="b"), (0, 9), status=status, reason="stopped")

    Reports().render(builder.tree, ROOT, tmp_path)

    assert (tmp_path / "FINAL_RESULT.md").read_text().splitlines()[0] == headline
