"""The next steps of a result: each command once, and only commands that apply."""

from dataclasses import replace
from pathlib import Path

from planted import ROOT, TreeBuilder

from orchestrator.core.model.attempt.attempt_result import ChangeSize, EndedBy, Exit
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import ASKED, Failure, FailureKind, RetryStrategy
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.human_input.question import PERSON
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_facts import JobFacts, Landed, LossCause, Missing
from orchestrator.core.model.states import JobStatus, MergeState, WorkerStatus
from orchestrator.core.outcome.merge_report import MergeReport
from orchestrator.reports import Reports

RESULT = MergeReport(branch=f"orchestrator/{ROOT}/result", commit="1" * 40)


def next_steps(builder: TreeBuilder, place: Path) -> list[str]:
    Reports().render(builder.tree, ROOT, place, merges={ROOT: RESULT})
    lines = (place / "FINAL_RESULT.md").read_text().partition("## Request")[0].splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("bin/orchestrator ")]


def lost(worker_id: str, cause: LossCause) -> Missing:
    return Missing(
        worker_id=worker_id, job_id=ROOT, branch="b", cause=cause, why="why", resolvable=True
    )


def builder_with(cause: LossCause, status: WorkerStatus) -> TreeBuilder:
    builder = TreeBuilder()
    missing = (lost("worker_1", cause), lost("worker_2", cause))
    facts, state = JobFacts(missing=missing), MergeState.IN_PART
    job = builder.job("x", status=JobStatus.PARTIAL, merge_state=state, facts=facts)
    for number in (1, 2, 3):
        builder.worker(
            job,
            f"worker_{number}",
            TaskSpec(id=f"t{number}"),
            (0, 1),
            status=status if number < 3 else WorkerStatus.SUCCESS,
            delivery=DeliveredWork(changed=True),
        )
    return builder


def test_a_command_for_several_workers_is_named_once(tmp_path: Path) -> None:
    builder = builder_with(LossCause.CONFLICT, WorkerStatus.SUCCESS)
    assert next_steps(builder, tmp_path)[2:] == [
        f"bin/orchestrator merge {ROOT} --resolve worker # merge the changes of worker_1, worker_2",
        f"bin/orchestrator merge {ROOT} --strategy theirs "
        "# or use the better version in each conflict of worker_1, worker_2",
    ]


def test_workers_that_gates_rejected_are_retried_once(tmp_path: Path) -> None:
    builder = builder_with(LossCause.REFUSED, WorkerStatus.FAILED)
    assert next_steps(builder, tmp_path) == [
        f"bin/orchestrator diff {ROOT} # show the merged change",
        f"bin/orchestrator land {ROOT} --partial # merge the result into your branch",
        f"bin/orchestrator retry {ROOT} # retry worker_1, worker_2",
    ]


def test_workers_that_lack_promised_files_are_retried(tmp_path: Path) -> None:
    builder = builder_with(LossCause.NOT_MADE, WorkerStatus.SUCCESS)
    assert next_steps(builder, tmp_path)[2:] == [
        f"bin/orchestrator retry {ROOT} # retry worker_1, worker_2"
    ]


def test_a_question_of_an_agent_is_answered_before_a_retry(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.FAILED)
    asked = Failure(
        attempt=1,
        kind=FailureKind.LOGIC_ERROR,
        strategy=RetryStrategy.ESCALATE,
        reason="the agent waits for an answer",
        confidence=0.7,
        cause=ASKED,
    )
    builder.worker(
        job,
        "worker_1",
        TaskSpec(id="t1"),
        (0, 1),
        status=WorkerStatus.FAILED,
        failures=(asked,),
        delivery=DeliveredWork(changed=False, has_worktree=True),
    )
    assert next_steps(builder, tmp_path)[-2:] == [
        f"bin/orchestrator feedback {ROOT} worker_1 --edit # answer the question of worker_1",
        f"bin/orchestrator retry {ROOT} # retry worker_1",
    ]


def test_a_landed_result_can_be_undone_and_not_landed_again(tmp_path: Path) -> None:
    builder = TreeBuilder()
    landed = Landed(branch="main", commit="2" * 40, before="3" * 40, at=0.0, by="default")
    state, facts = MergeState.MERGED, JobFacts(landed=(landed,))
    job = builder.job("x", status=JobStatus.COMPLETED, merge_state=state, facts=facts)
    builder.worker(job, "worker_1", TaskSpec(id="t1"), (0, 1))
    assert next_steps(builder, tmp_path) == [
        f"bin/orchestrator diff {ROOT} # show the merged change",
        f"bin/orchestrator undo {ROOT} # undo the landing on main",
    ]
    row = f"| **Landed** | `main`, commit {'2' * 12}, 1970-01-01T00:00:00Z |"
    assert row in (tmp_path / "FINAL_RESULT.md").read_text()


def test_a_question_to_a_person_costs_nothing(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.COMPLETED)
    builder.worker(job, "worker_1", TaskSpec(id="build"), (0, 1))
    builder.worker(job, "worker_2", TaskSpec(id="ok"), (1, 2), agent=PERSON)
    Reports().render(builder.tree, ROOT, tmp_path)
    final = (tmp_path / "FINAL_RESULT.md").read_text()
    assert "Time: 2.0 s." in final and "cost" not in final.lower()


def test_a_file_in_the_checkout_is_not_listed_as_awaiting_a_merge(tmp_path: Path) -> None:
    project = tmp_path / "project"
    place = project / "workspace" / f"job_{ROOT}"
    place.mkdir(parents=True)
    (project / "here.txt").touch()
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.COMPLETED, merge_state=MergeState.MERGED)
    here = TaskSpec(id="here", workdir="project")
    builder.worker(job, "worker_1", here, (0, 1), files=["gone.txt", "here.txt"])
    merged = DeliveredWork(changed=True)
    builder.worker(job, "worker_2", TaskSpec(id="b"), (0, 1), files=["b.txt"], delivery=merged)
    lines = {"b.txt": (1, 0)}
    merges = {ROOT: replace(RESULT, lines=lines)}
    Reports(project=project).render(builder.tree, ROOT, place, merges=merges)
    final = (place / "FINAL_RESULT.md").read_text()
    assert (
        "| [here.txt](../../here.txt) | in the checkout | [worker_1](depth_0/worker_1/) |" in final
    )
    assert "| gone.txt (removed later) | in the checkout | [worker_1]" in final
    assert "| b.txt | +1 −0 | [worker_2](depth_0/worker_2/) |" in final


def test_the_report_explains_why_another_attempt_followed_a_success(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.COMPLETED)
    comments = (Feedback(at=2.0, by="bob", attempt=2, commit="1" * 40, summary="Shorter"),)
    commented = TaskSpec(id="commented")
    builder.worker(job, "worker_1", commented, (0, 1), (2, 3), output="a", feedback=comments)
    # A lost attempt whose late result was a success keeps its failure.
    late = Failure(
        attempt=1,
        kind=FailureKind.UNKNOWN,
        strategy=RetryStrategy.RETRY_CURRENT,
        reason="lost",
        confidence=0.5,
    )
    sent_back = TaskSpec(id="sent back")
    builder.worker(job, "worker_2", sent_back, (0, 1), (2, 3), output="b", failures=(late,))
    passed = Exit(ended_by=EndedBy.EXIT, code=0)
    builder.attempts = [replace(each, reason="", exit=passed) for each in builder.attempts]
    Reports().render(builder.tree, ROOT, tmp_path)
    final = (tmp_path / "FINAL_RESULT.md").read_text()
    level = (tmp_path / "depth_0" / "LEVEL_0_REPORT.md").read_text()
    first = "succeeded, and a person commented on its changes"
    second = "succeeded, but its changes could not be merged with those of other workers"
    assert f"worker_1: Attempt 1 {first}." in final and f"| worker_1 | 1 | {first} |" in level
    assert f"worker_2: Attempt 1 {second}." in final and f"| worker_2 | 1 | {second} |" in level


def files_table(merge: MergeReport, place: Path) -> dict[str, str]:
    """Return the cell "Change" of each file of a job with two merged workers, and one command."""
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.COMPLETED, merge_state=MergeState.MERGED)
    for number, files in enumerate((["keep", "temp"], ["keep", "temp"], ["loose"]), start=1):
        builder.worker(
            job,
            f"worker_{number}",
            TaskSpec(id=f"t{number}"),
            (0, 1),
            files=files,
            delivery=DeliveredWork(changed=number < 3),
        )
    Reports().render(builder.tree, ROOT, place, merges={ROOT: merge})
    table = (place / "FINAL_RESULT.md").read_text().partition("## Files")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {name.removeprefix("| "): change for name, change, _ in rows[2:]}


def test_a_file_that_a_later_task_restored_or_removed_is_not_called_unmerged(
    tmp_path: Path,
) -> None:
    merge = replace(RESULT, lines={"keep": (2, 0)}, size=ChangeSize(files=1, added=2))

    changes = files_table(merge, tmp_path)

    assert changes == {"keep": "+2 −0", "loose": "not merged", "temp": "no change"}
    # The size of a large result is known, but not the lines of all its files.
    merge = replace(merge, size=ChangeSize(files=2, added=3))
    assert files_table(merge, tmp_path)["temp"] == "unknown"


def test_files_of_child_jobs_of_an_unmerged_worker_are_unmerged_too(tmp_path: Path) -> None:
    builder = TreeBuilder()
    facts = JobFacts(missing=(lost("worker_1", LossCause.CONFLICT),))
    job = builder.job("x", status=JobStatus.PARTIAL, merge_state=MergeState.IN_PART, facts=facts)
    changed = DeliveredWork(changed=True)
    parent = builder.worker(job, "worker_1", TaskSpec(id="a"), (0, 1), delivery=changed)
    builder.worker(job, "worker_2", TaskSpec(id="b"), (0, 1), files=["f"], delivery=changed)
    child = builder.job("y", job_id="c" * 8, parent=parent, status=JobStatus.COMPLETED)
    builder.worker(child, "worker_1_1", TaskSpec(id="c"), (0, 1), files=["f"], delivery=changed)
    merge = replace(RESULT, lines={"f": (1, 0)}, size=ChangeSize(files=1, added=1))

    Reports().render(builder.tree, ROOT, tmp_path, merges={ROOT: merge})

    table = (tmp_path / "FINAL_RESULT.md").read_text().partition("## Files")[2]
    [row] = [line for line in table.splitlines() if line.startswith("| f |")]
    assert "[worker_2](depth_0/worker_2/); not merged: [worker_1_1]" in row


def test_a_failed_worker_with_a_rolled_back_attempt_has_one_row(tmp_path: Path) -> None:
    builder = TreeBuilder()
    job = builder.job("x", status=JobStatus.FAILED)
    rolled_back = Failure(
        attempt=1,
        kind=FailureKind.CORRUPTED_STATE,
        strategy=RetryStrategy.ROLLBACK_LAST,
        reason="unfinished merge",
        confidence=0.9,
        kept="1-after",
        undone=True,
    )
    builder.worker(
        job,
        "worker_1",
        TaskSpec(id="t"),
        (0, 1),
        (1, 2),
        status=WorkerStatus.FAILED,
        delivery=DeliveredWork(changed=True),
        failures=(rolled_back,),
    )

    Reports().render(builder.tree, ROOT, tmp_path)

    section = (tmp_path / "FINAL_RESULT.md").read_text().partition("## Not merged")[2]
    rows = [line for line in section.splitlines() if line.startswith("| worker_1 ")]
    assert len(rows) == 1
    assert "did not succeed, see Failures; attempt 1 was rolled back: unfinished merge" in rows[0]
    assert f"diff {ROOT} worker_1 --attempt 1  # show the rolled-back changes of" in section
