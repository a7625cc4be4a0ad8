"""The behaviour of a job does not depend on the wording of messages.

The listed tests run in a separate process, where every message of ``core`` and ``engine`` is
rewritten (``tests/support/other_words.py``). They cover approval, wall time, limits, retries,
recovery, merging, and waiting, because code in these areas once compared the texts of reasons. Do
not add tests that quote a message to these lists.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.examples import nightly
from tests.support.other_words import other_words, rewritten

REPOSITORY = Path(__file__).parents[2]
SCHEDULER = [
    "tests/unit/core/scheduler/queue/test_shared_prompt_holds.py"
    "::test_the_first_worker_starts_and_the_others_follow_after_its_first_report",
    "tests/unit/core/scheduler/transitions/test_planning.py",
    "tests/unit/core/scheduler/test_stopping.py",
    "tests/unit/core/scheduler/transitions/ends/test_attempt_followup.py::test_a_parent_may_discard_a_child_job",
    "tests/unit/core/scheduler/transitions/ends/test_attempt_followup.py"
    "::test_a_child_job_that_another_caller_cancelled_counts_as_failed",
    "tests/unit/core/scheduler/test_restore.py"
    "::test_an_attempt_that_never_began_is_followed_by_another_at_once",
    "tests/unit/core/scheduler/test_restore.py::test_the_wall_time_continues_after_a_restore",
    "tests/unit/core/scheduler/test_restore.py::test_a_stop_is_commanded_again_after_a_restore",
    "tests/unit/cli/follow/test_tree_progress.py",
]
JOBS = [
    "tests/integration/engine/merge/test_merging.py::test_a_culprit_is_rejected_and_repairs_its_change",
    "tests/integration/engine/supervisor/test_crashes.py::test_a_killed_server_costs_no_work",
]
OTHER_JOBS = [
    "tests/integration/engine/merge/test_merging.py"
    "::test_what_could_not_be_merged_is_no_success_and_a_retry_merges_it",
    "tests/integration/engine/service/control/test_cancel_and_retry.py"
    "::test_a_retry_runs_again_only_what_did_not_succeed",
    "tests/integration/engine/merge/test_merging.py::test_the_command_line_merges_again",
    "tests/integration/engine/merge/test_merging.py"
    "::test_what_could_not_be_merged_and_is_merged_later_is_a_success",
    "tests/integration/cli/plan/test_plans_on_the_command_line.py"
    "::test_a_plan_that_is_left_as_it_is_in_the_editor_runs",
    "tests/integration/cli/plan/test_plans_on_the_command_line.py"
    "::test_a_plan_that_was_changed_in_the_editor_runs_as_changed",
    "tests/integration/engine/service/control/test_cancel_and_retry.py::test_a_retry_may_give_more_time",
    "tests/integration/engine/supervisor/test_crashes.py"
    "::test_a_stopped_server_stops_its_workers_and_runs_them_again",
]


def test_words_are_replaced_and_names_stay() -> None:
    assert other_words("waits for {name}, held by x") == "stiaw rof {name}, dleh yb x"
    assert other_words("max_wall_seconds") == "max_wall_seconds"


def test_a_text_reads_differently_at_each_place() -> None:
    source = """
FIRST, SECOND = "it is lost", "it is lost"
NAMED = f"agent: {FIRST}"
ALSO = f"agent: {FIRST}"
INSIDE = "; ".join(["it is lost"]).replace("a b", "it is lost")
NAME = f"max_{1}_{2:04d}"
"""
    found: dict[str, str] = {}
    exec(compile(rewritten(ast.parse(source), "a"), "a", "exec"), found)

    assert len({found[name] for name in ("FIRST", "SECOND", "INSIDE")}) == 3
    assert not found["FIRST"].startswith("it") and "lost" not in found["INSIDE"]
    assert found["NAMED"].partition(":")[0] != found["ALSO"].partition(":")[0]
    assert found["NAME"] == "max_1_0002"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_scheduler_does_the_same_with_other_words() -> None:
    _passes(SCHEDULER)


@pytest.mark.slow
@pytest.mark.timeout(400)
# By day, tests/unit/test_wording.py checks the same by reading the code.
@pytest.mark.parametrize("jobs", nightly(JOBS, OTHER_JOBS), ids=["merge and crash", "others"])
def test_jobs_do_the_same_with_other_words(jobs: list[str]) -> None:
    _passes(jobs)


def _passes(tests: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "-p", "tests.support.other_words", *tests],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
