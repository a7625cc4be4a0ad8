from typing import Any

import pytest

from orchestrator.core.errors import InvalidRequest, Refused
from orchestrator.core.limits.effective_settings import Ceilings
from orchestrator.core.limits.job_admission import (
    check_child,
    check_cycle,
    check_size,
    check_supported,
    check_total,
    remaining_quota,
)
from orchestrator.core.model.job_settings import default_config
from orchestrator.core.model.submission import ConfigRequest
from tests.unit.core.factories import (
    START,
    a_child_job,
    a_config,
    a_job,
    a_task,
    a_worker,
    an_ancestry,
)

CEILINGS = Ceilings()


# Limits on child jobs


def refusal(ceilings: Ceilings = CEILINGS, **line: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        check_child(ConfigRequest(), an_ancestry(**line), ceilings)
    return refused.value


def test_a_worker_within_all_limits_may_start_a_child_job() -> None:
    check_child(ConfigRequest(current_depth=1), an_ancestry(), CEILINGS)


@pytest.mark.parametrize("claimed", [0, 2, -1])
def test_a_depth_that_disagrees_with_the_records_is_refused(claimed: int) -> None:
    with pytest.raises(InvalidRequest, match="has depth 1") as refused:
        check_child(ConfigRequest(current_depth=claimed), an_ancestry(), CEILINGS)
    assert refused.value.kind == "depth-mismatch"


def test_recursion_can_be_switched_off() -> None:
    job = a_job(config=a_config(enable_recursion=False))
    assert refusal(parent_job=job).kind == "recursion-disabled"


@pytest.mark.parametrize("claimed", [None, 1])
def test_the_depth_limit_holds_whatever_depth_the_caller_claims(claimed: int | None) -> None:
    above = a_config(max_depth=2)
    line = an_ancestry(parent_job=a_job(config=above, depth=1))
    check_child(ConfigRequest(), line, CEILINGS)
    too_deep = an_ancestry(parent_job=a_job(config=above, depth=2))
    with pytest.raises(InvalidRequest) as refused:
        check_child(ConfigRequest(current_depth=claimed), too_deep, CEILINGS)
    assert refused.value.kind == ("limit-depth" if claimed is None else "depth-mismatch")


def test_a_worker_has_so_many_child_jobs_and_no_more() -> None:
    ceilings = Ceilings(max_child_jobs_per_worker=2)
    one, two = a_worker(child_job_ids=("x",)), a_worker(child_job_ids=("x", "y"))
    check_child(ConfigRequest(), an_ancestry(parent=one), ceilings)
    assert refusal(ceilings, parent=two).kind == "limit-children"


def test_a_root_job_has_so_many_child_jobs_and_no_more() -> None:
    ceilings = Ceilings(max_child_jobs_per_root=5)
    check_child(ConfigRequest(), an_ancestry(child_jobs_in_root=4), ceilings)
    assert refusal(ceilings, child_jobs_in_root=5).kind == "limit-descendants"


def test_no_child_job_starts_when_the_root_jobs_wall_time_is_over() -> None:
    job = a_job(config=a_config(max_wall_seconds=10.0))
    check_child(ConfigRequest(), an_ancestry(parent_job=job, now=START + 9), CEILINGS)
    assert refusal(parent_job=job, now=START + 10).kind == "limit-wall"


def test_a_rejection_lists_the_remaining_quota() -> None:
    refused = refusal(parent_job=a_job(depth=2, config=a_config(max_depth=2)))
    assert refused.left["depth"] == 0
    assert refused.left["child_jobs"] == 20


def test_the_remaining_quota_is_counted_from_the_records() -> None:
    job = a_job(depth=1, config=a_config(max_depth=3, max_total_workers=9, max_wall_seconds=60.0))
    parent = a_worker(child_job_ids=("x", "y"))
    line = an_ancestry(
        parent_job=job, parent=parent, child_jobs_in_root=7, workers_in_root=4, now=START + 20
    )
    assert remaining_quota(line, CEILINGS) == {
        "depth": 2,
        "child_jobs": 18,
        "child_jobs_in_root": 993,
        "wall_seconds": 40,
        "workers": 5,
    }


def test_the_remaining_quota_is_never_negative() -> None:
    job = a_job(depth=9, config=a_config(max_depth=1, max_total_workers=1, max_wall_seconds=1.0))
    line = an_ancestry(parent_job=job, child_jobs_in_root=9_999, workers_in_root=50, now=START + 99)
    quota = remaining_quota(line, Ceilings(max_child_jobs_per_worker=0))
    assert set(quota.values()) == {0}


@pytest.mark.parametrize(("tasks", "workers"), [(4, 4), (2, 4)])
def test_the_number_of_tasks_and_workers_of_a_job_is_limited(tasks: int, workers: int) -> None:
    requested = [a_task(str(number)) for number in range(tasks)]
    check_size(requested, workers, Ceilings(max_tasks_per_job=4))
    with pytest.raises(Refused) as refused:
        check_size(requested, workers, Ceilings(max_tasks_per_job=3))
    assert refused.value.kind == "limit-tasks"
    assert refused.value.left == {"tasks": 3}


def test_a_tree_has_so_many_workers_and_no_more() -> None:
    config = a_config(max_total_workers=10)
    check_total(config, 7, 3)
    with pytest.raises(Refused, match=r"7 of 10 used .*, 4 requested") as refused:
        check_total(config, 7, 4)
    assert refused.value.kind == "limit-workers"
    assert refused.value.left == {"workers": 3}


def test_without_max_total_workers_a_tree_may_grow() -> None:
    check_total(a_config(), 10_000, 10_000)


# Cycles and digests


def test_asking_what_an_ancestor_was_asked_is_refused() -> None:
    grandparent = a_job(digest="same")
    parent_job = a_child_job(grandparent, a_worker(root_id=grandparent.id))
    line = an_ancestry(parent_job=parent_job, ancestors=(parent_job, grandparent))
    check_cycle("other", None, line)
    with pytest.raises(Refused, match=grandparent.id) as refused:
        check_cycle("same", None, line)
    assert refused.value.kind == "cycle"


def test_asking_for_the_askers_own_task_is_refused() -> None:
    line = an_ancestry(worker_digests=frozenset({"own"}))
    check_cycle("other", "other", line)
    with pytest.raises(Refused, match="has the same task") as refused:
        check_cycle("other", "own", line)
    assert refused.value.kind == "cycle"


def test_an_unsupported_setting_is_rejected() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_supported(ConfigRequest(execution_mode="windows"), default_config())

    assert caught.value.kind == "not-supported"
