"""Job trees that the tests of reports render."""

from dataclasses import replace

from planted import START, TreeBuilder

from orchestrator.core.gates.gate import GateOutcome, GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import ChangeSize, LeftoverProcess, Usage
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import Failure, FailureKind, RetryStrategy, Rollback
from orchestrator.core.model.human_input.feedback import Comment, Feedback, Side
from orchestrator.core.model.human_input.question import Decision, Question
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.model.job_facts import JobFacts, Missing
from orchestrator.core.model.states import JobStatus, MergeState, WorkerKind, WorkerStatus
from orchestrator.core.outcome.merge_report import MergedGate, MergeReport
from orchestrator.core.ports import Tree


def single_success() -> Tree:
    builder = TreeBuilder()
    job = builder.job("Say hello")
    builder.worker(
        job,
        "worker_1",
        TaskSpec(id="hello", title="Say hello", command="echo hello"),
        (0.2, 1.4),
        output="hello",
        files=["hello.txt"],
        cpu_seconds=0.04,
    )
    return builder.tree


def failure_skip_timeout() -> Tree:
    builder = TreeBuilder(slots=2)
    job = builder.job("Lint, test and deploy the site")
    builder.worker(
        job, "worker_1", TaskSpec(id="lint", title="Lint"), (0, 4), output="All files are clean."
    )
    builder.worker(
        job,
        "worker_2",
        TaskSpec(id="test", title="Run the tests", depends_on=("lint",)),
        (4, 16),
        status=WorkerStatus.FAILED,
        failures=(
            Failure(
                attempt=1,
                kind=FailureKind.LOGIC_ERROR,
                strategy=RetryStrategy.ESCALATE,
                reason="exit code 1; the attempt has output or changed files",
                confidence=0.6,
                kept="1-after",
            ),
        ),
        rollbacks=(
            Rollback(
                at=START + 60,
                by="mine",
                attempt=1,
                checkpoint="1-before",
                commit="1" * 40,
                kept="1-left-1",
            ),
        ),
        reason="the command ended with exit code 1",
        output="FAILED tests/test_cart.py::test_total - assert 3 == 4\n1 failed, 41 passed",
    )
    builder.worker(
        job,
        "worker_3",
        TaskSpec(id="crawl", title="Check the links"),
        (0, 184),
        status=WorkerStatus.TIMEOUT,
        reason="it was stopped after 184 s; its limit was 180 s",
        strays=(LeftoverProcess(pid=4711, command="python -m http.server"),),
    )
    builder.worker(
        job,
        "worker_4",
        TaskSpec(id="deploy", title="Deploy", depends_on=("test",)),
        status=WorkerStatus.SKIPPED,
        reason="test did not succeed",
        ended_at=16,
    )
    return builder.tree


def two_levels() -> Tree:
    builder = TreeBuilder(slots=3)
    job = builder.job("Survey this repository")
    builder.worker(
        job,
        "worker_1",
        TaskSpec(id="docs", title="Survey docs/"),
        (0, 3),
        agent="survey",
        output="# docs\n\nThree files, all of them Markdown.\n\n"
        "| file | lines |\n| --- | ---: |\n| `index.md` | 120 |\n| `api.md` | 1,301 |\n",
        files=["docs.json"],
    )
    parent = builder.worker(
        job,
        "worker_2",
        TaskSpec(id="src", title="Survey src/"),
        (0, 20),
        status=WorkerStatus.RECURSIVE_SUCCESS,
        agent="survey",
        output="# src\n\nTwo parts, see the child job.\n\n```python\ndef main() -> None: ...\n```",
        files=["src.json"],
    )
    child = builder.job(
        "Survey src/: app, lib",
        job_id="d4e5f6",
        parent=parent,
        span=(5, 18),
        status=JobStatus.COMPLETED,
    )
    for number, (part, end) in enumerate([("app", 12), ("lib", 18)], start=1):
        builder.worker(
            child,
            f"worker_2_{number}",
            TaskSpec(id=part, title=f"Survey src/{part}"),
            (5, end),
            agent="survey",
            output=f"**{part}** has {number * 7} files.",
            files=[f"{part}.json", "shared.json"],
        )
    return builder.tree


def candidates() -> Tree:
    builder = TreeBuilder()
    job = builder.job("Write a parser for the log format")
    task = TaskSpec(id="parser", title="Write the parser", agents=("claude", "codex", "gemini"))
    builder.worker(
        job,
        "worker_1",
        task,
        (0, 62),
        agent="claude",
        status=WorkerStatus.FAILED,
        reason="it ended by asking a question",
        usage=Usage(input_tokens=18_200, output_tokens=900, cost_usd=0.0712),
    )
    builder.worker(
        job,
        "worker_2",
        task,
        (0, 95),
        agent="codex",
        output="The parser is in `parser.py`.",
        files=["parser.py", "test_parser.py"],
        usage=Usage(input_tokens=40_000, output_tokens=3_100),
        change=ChangeSize(files=2, added=148, removed=3),
        gates=(GateResult(name="pytest", status=GateStatus.PASSED, tests=14),),
    )
    builder.worker(
        job,
        "worker_3",
        task,
        (0, 80),
        agent="gemini",
        output="Done.",
        files=["parser.py"],
        change=ChangeSize(files=1, added=90),
        gates=(
            GateResult(name="pytest", status=GateStatus.PASSED, tests=9),
            GateResult(name="ruff|x", status=GateStatus.FAILED, failures=("E501", "F401")),
        ),
    )
    builder.compare("parser")
    builder.reviewers.append(
        Worker(
            id="reviewer_1",
            job_id=job.id,
            root_id=job.root_id,
            task_id="parser",
            index=-2,
            kind=WorkerKind.REVIEWER,
            depth=0,
            agent="claude",
            status=WorkerStatus.FAILED,
            reason="its review was refused: there is no JSON object",
        )
    )
    return builder.tree


def not_in_result() -> Tree:
    builder = TreeBuilder()
    changed = DeliveredWork(changed=True)
    branch = "orchestrator/a1b2c3"
    conflict = Missing(
        worker_id="worker_2",
        job_id="a1b2c3",
        branch=f"{branch}/worker_2",
        why="conflict in shop/cart.py",
        resolvable=True,
    )
    below = Missing(
        worker_id="worker_1_2", job_id="d4e5f6", branch=f"{branch}/worker_1_2", why="conflict in b"
    )
    job = builder.job(
        "Add discounts to the shop",
        merge_state=MergeState.IN_PART,
        facts=JobFacts(missing=(conflict,), lost_below=(below,)),
    )
    add = TaskSpec(id="add", title="Add discounts")
    parent = builder.worker(job, "worker_1", add, (0, 9), files=["a", "b"], delivery=changed)
    builder.worker(
        job,
        "worker_2",
        TaskSpec(id="round", title="Round totals"),
        (0, 3),
        files=["shop/cart.py"],
        delivery=changed,
    )
    builder.worker(
        job,
        "worker_3",
        TaskSpec(id="tax", title="Simplify with_tax"),
        (0, 4),
        status=WorkerStatus.FAILED,
        reason="gate pytest failed | twice",
        files=["shop/tax.py"],
        delivery=changed,
    )
    docs = TaskSpec(id="docs", title="Write the README", agents=("claude", "codex"))
    for name, lines in (("worker_4", 9), ("worker_5", 2)):
        builder.worker(
            job,
            name,
            docs,
            (0, 5),
            files=["README.md"],
            change=ChangeSize(files=1, added=lines),
            delivery=changed,
        )
    builder.compare("docs")
    builder.worker(
        job,
        "worker_6",
        TaskSpec(id="look"),
        (0, 1),
        delivery=DeliveredWork(changed=False),
        output="x",
    )
    child = builder.job(
        "Discounts by part",
        job_id="d4e5f6",
        parent=parent,
        span=(1, 8),
        status=JobStatus.PARTIAL,
        merge_state=MergeState.IN_PART,
        facts=JobFacts(missing=(below,)),
    )
    for number in (1, 2):
        builder.worker(
            child,
            f"worker_1_{number}",
            TaskSpec(id=f"part-{number}"),
            (1, 8),
            files=["b"],
            delivery=changed,
        )
    return builder.tree


HOSTILE = (
    "# FINAL RESULT\n\x1b[31mred\x1b[0m \x1b]0;title\x07 <img src=x onerror=alert(1)> "
    "<script>alert(1)</script>\n![x](https://evil.example/p.png) [click](javascript:alert(1)) "
    "<https://evil.example> {{ 7*7 }} {% raw %} @everyone $x^2$\n```\n`````\n</details>\n| a | `b|"
    "<i>` |\n|---|---|\n[ref]: https://evil.example\n[!NOTE]\n---\n````mermaid\ngraph TD\n"
    "\u202egnp.exe \udcff end \u2028# heading"
)


def hostile() -> Tree:
    builder = TreeBuilder()
    job = builder.job(HOSTILE, cancelled_by=None)
    line = HOSTILE.replace("\n", " ")
    bad = builder.worker(
        job,
        "worker_1",
        TaskSpec(id="x|y<b>", title=HOSTILE),
        (0, 1),
        status=WorkerStatus.FAILED,
        agent="a|b`c",
        output=HOSTILE,
        reason=HOSTILE,
        files=["../../etc/passwd", "a|b\n# c", "<img src=x>", line],
        strays=(LeftoverProcess(pid=1, command=HOSTILE),),
    )
    child = builder.job(HOSTILE, job_id="ffff", parent=bad, span=(0, 1), status=JobStatus.COMPLETED)
    builder.worker(child, "worker_1_1", TaskSpec(id="ok", title="```"), (0.1, 0.9), output=HOSTILE)
    builder.worker(job, "worker_2", TaskSpec(id="```"), (0, 1), output=HOSTILE, files=["ok.txt"])
    return builder.tree


def cancelled() -> Tree:
    builder = TreeBuilder(slots=1)
    job = builder.job("Rebuild the index", cancelled_by="user")
    builder.worker(job, "worker_1", TaskSpec(id="fetch", title="Fetch"), (0, 7200), output="ok")
    builder.worker(
        job,
        "worker_2",
        TaskSpec(id="build", title="Build", depends_on=("fetch",)),
        (7200, 7384),
        status=WorkerStatus.CANCELLED,
        reason="cancelled by user",
    )
    builder.worker(
        job,
        "worker_3",
        TaskSpec(id="publish", title="Publish", depends_on=("build",)),
        status=WorkerStatus.CANCELLED,
        reason="cancelled by user before it started",
        ended_at=7384,
    )
    return builder.tree


def retries() -> Tree:
    builder = TreeBuilder(slots=2)
    job = builder.job("Download the data")
    builder.worker(
        job,
        "worker_1",
        TaskSpec(id="download", title="Download"),
        (0, 2),
        (3, 5),
        (9, 30),
        output="1,234 rows",
        usage=Usage(steps=12, input_tokens=1_234, output_tokens=567, cost_usd=1.5),
        peak_memory_bytes=1_234_567_890,
        feedback=(
            Feedback(
                at=START + 40,
                by="alice",
                attempt=3,
                commit="1" * 40,
                summary="Almost *there*",
                comments=(
                    Comment(path="get.py", line=3, end_line=3, text="Use the\n# constant."),
                    Comment(path="get.py", line=7, end_line=9, text="Why?", side=Side.OLD),
                ),
                answered_by=3,
            ),
        ),
        failures=(
            Failure(
                attempt=1,
                kind=FailureKind.CORRUPTED_STATE,
                strategy=RetryStrategy.ROLLBACK_LAST,
                reason="the worktree is broken: conflicts were not resolved in *a*.txt",
                confidence=0.9,
                checkpoint="1-before",
                kept="1-after",
            ),
            Failure(
                attempt=2,
                kind=FailureKind.LOGIC_ERROR,
                strategy=RetryStrategy.RETRY_CURRENT,
                reason="gates reject the result: tests, lint",
                confidence=0.9,
                gates=("tests", "lint"),
                gate_logs=("logs/gate_worker_1.tests.1.log", "logs/gate_worker_1.lint.1.log"),
                cause="gates",
                kept="2-after",
            ),
        ),
    )
    builder.attempts[1] = replace(
        builder.attempts[1],
        reason="gate tests failed: 1 failure: test_rows; gate lint failed: get.py:3: unused import",
    )
    builder.worker(
        job,
        "worker_2",
        TaskSpec(id="check", title="Check", depends_on=("download",)),
        (30.5, 31),
        usage=Usage(steps=3, input_tokens=10, output_tokens=5, cost_usd=0.0),
    )
    builder.worker(
        job,
        "worker_3",
        TaskSpec(id="ok", approve="Publish it?", depends_on=("check",)),
        (31, 33),
        agent="person",
        question=Question(
            asked_at=START + 31,
            decision=Decision.APPROVE,
            by="bob",
            comment="only to staging",
            answered_at=START + 33,
        ),
    )
    return builder.tree


def large(workers: int) -> Tree:
    """Return a tree with many workers with short outputs. Some have child jobs of ten workers."""
    builder = TreeBuilder(slots=50)
    job = builder.job("Convert every file")
    made = 0
    number = 0
    while made < workers:
        number += 1
        start = float(number % 500)
        parent = builder.worker(
            job,
            f"worker_{number}",
            TaskSpec(id=f"file-{number}", title=f"Convert file {number}"),
            (start, start + 30),
            output=f"Converted **file {number}** in `{start}` s, see https://example.org",
            files=[f"out/{number}.txt"],
        )
        made += 1
        if number % 50 == 0:
            child = builder.job(
                f"Convert the parts of file {number}",
                job_id=f"c{number}",
                parent=parent,
                span=(start + 1, start + 20),
                status=JobStatus.COMPLETED,
            )
            for part in range(1, 11):
                builder.worker(
                    child,
                    f"worker_{number}_{part}",
                    TaskSpec(id=f"part-{part}"),
                    (start + 1, start + 10 + part),
                    output="ok",
                )
                made += 1
    return builder.tree


MERGES = {
    "not_in_result": {
        "a1b2c3": MergeReport(
            branch="orchestrator/a1b2c3/result",
            commit="1c16b018d3c51c16b018d3c51c16b018d3c51c16",
            lines={"README.md": (2, 0), "a": (1_234, 56), "b": (1, 1), "old.txt": (0, 9)},
            size=ChangeSize(files=4, added=1_237, removed=66),
            gates=(
                MergedGate(name="secrets", outcome=GateOutcome.PASSED),
                MergedGate(name="pytest", outcome=GateOutcome.PASSED),
                MergedGate(name="my|py", outcome=GateOutcome.DID_NOT_RUN, why="no such program"),
            ),
            seconds=0.3,
            notes=("An AI agent can resolve the conflicts of worker_2: option --resolve.",),
        ),
        "d4e5f6": MergeReport(
            branch="orchestrator/a1b2c3/result_d4e5f6",
            commit="2" * 40,
            lines={"b": (1, 0)},
            size=ChangeSize(files=1, added=1),
            notes=(
                "Not merged: worker_1_2 (conflict in b); branch orchestrator/a1b2c3/worker_1_2.",
            ),
        ),
    }
}

ALL = {
    "single_success": single_success,
    "failure_skip_timeout": failure_skip_timeout,
    "two_levels": two_levels,
    "candidates": candidates,
    "not_in_result": not_in_result,
    "hostile": hostile,
    "cancelled": cancelled,
    "retries": retries,
}
