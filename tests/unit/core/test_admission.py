from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.admission import (
    Defaults,
    check_child,
    check_cycle,
    check_size,
    check_supported,
    check_total,
    child_config,
    digest,
    retry_config,
    root_config,
)
from orchestrator.core.allowance import Ceilings, what_is_left
from orchestrator.core.errors import InvalidRequest, Refused
from orchestrator.core.model import JobConfig
from orchestrator.core.submission import ConfigRequest

from .factories import START, a_child_job, a_config, a_job, a_task, a_worker, an_ancestry

CEILINGS = Ceilings()


def root(**asked: Any) -> JobConfig:
    return root_config(ConfigRequest(**asked), Defaults(), CEILINGS)


def child(above: JobConfig, now: float = START, **asked: Any) -> JobConfig:
    line = an_ancestry(parent_job=a_job(config=above), now=now)
    return child_config(ConfigRequest(**asked), line)


# Root jobs


def test_a_root_job_gets_the_defaults() -> None:
    config = root()
    assert (config.max_workers, config.default_timeout, config.max_retries) == (10, 300.0, 2)
    assert (config.max_depth, config.max_wall_seconds) == (3, CEILINGS.max_wall_seconds)
    assert not config.retries_asked


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("max_workers", 42),
        ("default_timeout", 7_200.0),
        ("max_retries", 0),
        ("execution_mode", "wsl"),
        ("enable_recursion", False),
        ("agent", "shell"),
        ("max_wall_seconds", 60.0),
        ("max_total_workers", 7),
        ("max_steps", 8),
        ("max_tokens", 9),
        ("max_cost_usd", 0.5),
        ("merge_strategy", "theirs"),
        ("git", "off"),
        ("planner", "other"),
        ("labels", {"team": "x"}),
    ],
)
def test_what_a_request_asks_replaces_the_default(asked: str, value: object) -> None:
    assert getattr(root(**{asked: value}), asked) == value


def test_retries_are_known_to_be_asked_for_even_when_none_are_wanted() -> None:
    assert root(max_retries=0).retries_asked


@pytest.mark.parametrize(
    ("asked", "value", "kind"),
    [
        ("max_recursion_depth", 10, "limit-depth"),
        ("max_workers", 100, "limit-workers"),
        ("max_wall_seconds", 86_400.0, "limit-wall"),
        ("default_timeout", 86_400.0, "limit-wall"),
    ],
)
def test_a_root_job_may_ask_for_a_ceiling_but_not_for_more(
    asked: str, value: float, kind: str
) -> None:
    root(**{asked: value})
    with pytest.raises(Refused, match=asked) as refused:
        root(**{asked: value + 1})
    assert refused.value.kind == kind
    assert refused.value.left == {asked: value}


def test_current_depth_of_a_root_job_only_reduces_what_is_left() -> None:
    assert root(max_recursion_depth=5, current_depth=2).max_depth == 3
    assert root(max_recursion_depth=5, current_depth=9).max_depth == 0


def test_a_default_above_the_ceiling_is_lowered() -> None:
    config = root_config(ConfigRequest(), Defaults(max_workers=1_000), CEILINGS)
    assert config.max_workers == CEILINGS.max_workers


# Child jobs


@pytest.mark.parametrize(
    ("asked", "field", "above", "smaller", "larger"),
    [
        ("max_workers", "max_workers", 5, 2, 50),
        ("max_recursion_depth", "max_depth", 5, 2, 9),
        ("max_total_workers", "max_total_workers", 5, 2, 50),
        ("max_steps", "max_steps", 5, 2, 50),
        ("max_tokens", "max_tokens", 5, 2, 50),
        ("max_cost_usd", "max_cost_usd", 5.0, 2.0, 50.0),
        ("max_wall_seconds", "max_wall_seconds", 5.0, 2.0, 50.0),
    ],
)
def test_a_child_job_may_lower_its_parents_limit_and_never_raise_it(
    asked: str, field: str, above: float, smaller: float, larger: float
) -> None:
    parent = a_config(**{field: above})
    assert getattr(child(parent), field) == above
    assert getattr(child(parent, **{asked: smaller}), field) == smaller
    assert getattr(child(parent, **{asked: larger}), field) == above


@pytest.mark.parametrize("limit", ["max_total_workers", "max_steps", "max_tokens", "max_cost_usd"])
def test_a_child_job_may_set_a_limit_that_its_parent_has_not(limit: str) -> None:
    assert getattr(child(a_config(), **{limit: 3}), limit) == 3
    assert getattr(child(a_config()), limit) is None


def test_a_child_job_has_the_wall_time_that_is_left_of_the_root() -> None:
    above = a_config(max_wall_seconds=100.0)
    assert child(above, now=START + 30).max_wall_seconds == 70.0
    assert child(above, now=START + 300).max_wall_seconds == 0.0


def test_no_attempt_of_a_child_job_has_more_time_than_the_root() -> None:
    above = a_config(max_wall_seconds=100.0, default_timeout=50.0)
    assert child(above).default_timeout == 50.0
    assert child(above, default_timeout=60.0).default_timeout == 60.0
    assert child(above, default_timeout=1e9).default_timeout == 100.0


def test_recursion_that_is_off_stays_off() -> None:
    assert not child(a_config(enable_recursion=False), enable_recursion=True).enable_recursion
    assert not child(a_config(), enable_recursion=False).enable_recursion
    assert child(a_config(), enable_recursion=True).enable_recursion


def test_a_child_job_inherits_what_it_does_not_say() -> None:
    above = a_config(
        agent="shell", git="off", merge_strategy="theirs", planner="x", retries_asked=True
    )
    config = child(above)
    assert (config.agent, config.git, config.merge_strategy) == ("shell", "off", "theirs")
    assert (config.planner, config.retries_asked) == ("x", True)


def test_a_child_job_cannot_turn_git_on_again() -> None:
    assert child(a_config(git="off"), git="auto").git == "off"


def test_labels_are_added_to_those_of_the_parent() -> None:
    config = child(a_config(labels={"a": "1", "b": "2"}), labels={"b": "3"})
    assert config.labels == {"a": "1", "b": "3"}


# Limits on child jobs


def refusal(ceilings: Ceilings = CEILINGS, **line: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        check_child(ConfigRequest(), an_ancestry(**line), ceilings)
    return refused.value


def test_a_worker_within_all_limits_may_start_a_child_job() -> None:
    check_child(ConfigRequest(current_depth=1), an_ancestry(), CEILINGS)


@pytest.mark.parametrize("claimed", [0, 2, -1])
def test_a_depth_that_disagrees_with_the_records_is_refused(claimed: int) -> None:
    with pytest.raises(InvalidRequest, match="would be at depth 1") as refused:
        check_child(ConfigRequest(current_depth=claimed), an_ancestry(), CEILINGS)
    assert refused.value.kind == "depth-mismatch"


def test_recursion_can_be_switched_off() -> None:
    job = a_job(config=a_config(enable_recursion=False))
    assert refusal(parent_job=job).kind == "recursion-disabled"


@pytest.mark.parametrize("claimed", [None, 1])
def test_the_depth_limit_holds_whatever_the_caller_says(claimed: int | None) -> None:
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


def test_a_refusal_says_what_is_left() -> None:
    refused = refusal(parent_job=a_job(depth=2, config=a_config(max_depth=2)))
    assert refused.left["depth"] == 0
    assert refused.left["child_jobs"] == 20


def test_what_is_left_is_counted_from_the_records() -> None:
    job = a_job(depth=1, config=a_config(max_depth=3, max_total_workers=9, max_wall_seconds=60.0))
    parent = a_worker(child_job_ids=("x", "y"))
    line = an_ancestry(
        parent_job=job, parent=parent, child_jobs_in_root=7, workers_in_root=4, now=START + 20
    )
    assert what_is_left(line, CEILINGS) == {
        "depth": 2,
        "child_jobs": 18,
        "child_jobs_in_root": 993,
        "wall_seconds": 40,
        "workers": 5,
    }


def test_what_is_left_is_never_less_than_nothing() -> None:
    job = a_job(depth=9, config=a_config(max_depth=1, max_total_workers=1, max_wall_seconds=1.0))
    line = an_ancestry(parent_job=job, child_jobs_in_root=9_999, workers_in_root=50, now=START + 99)
    left = what_is_left(line, Ceilings(max_child_jobs_per_worker=0))
    assert set(left.values()) == {0}


@pytest.mark.parametrize(("tasks", "workers"), [(4, 4), (2, 4)])
def test_a_job_has_so_many_tasks_and_workers_and_no_more(tasks: int, workers: int) -> None:
    asked = [a_task(str(number)) for number in range(tasks)]
    check_size(asked, workers, Ceilings(max_tasks_per_job=4))
    with pytest.raises(Refused) as refused:
        check_size(asked, workers, Ceilings(max_tasks_per_job=3))
    assert refused.value.kind == "limit-tasks"
    assert refused.value.left == {"tasks": 3}


def test_a_tree_has_so_many_workers_and_no_more() -> None:
    config = a_config(max_total_workers=10)
    check_total(config, 7, 3)
    with pytest.raises(Refused, match="would make 11") as refused:
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
    with pytest.raises(Refused, match="task of the asking worker") as refused:
        check_cycle("other", "own", line)
    assert refused.value.kind == "cycle"


def test_the_same_request_has_the_same_digest_whatever_its_spaces_and_case() -> None:
    assert digest("Survey  this\n", []) == digest("survey THIS", [])
    assert digest("Survey this", []) != digest("Survey that", [])


def test_other_tasks_make_another_digest() -> None:
    task = a_task("a", prompt="x", env={"A": "1", "B": "2"})
    same = a_task("a", prompt="x", env={"B": "2", "A": "1"})
    assert digest("r", [task]) == digest("r", [same])
    for other in ({"prompt": "y"}, {"env": {"A": "2"}}, {"command": "ls"}, {"agents": ("b",)}):
        assert digest("r", [replace(task, **other)]) != digest("r", [task])
    assert digest("r", [a_task("a"), a_task("b")]) != digest("r", [a_task("b"), a_task("a")])


def test_a_retry_may_change_limits_up_to_the_ceilings() -> None:
    before = a_config(max_workers=2, default_timeout=5.0)

    after = retry_config(before, ConfigRequest(max_workers=3, default_timeout=60.0), Ceilings())

    assert (after.max_workers, after.default_timeout) == (3, 60.0)
    assert after.max_retries == before.max_retries
    with pytest.raises(Refused, match=r"limits\.max_wall_seconds of this server is 86400"):
        retry_config(before, ConfigRequest(default_timeout=1e9), Ceilings())


def test_a_retry_beyond_a_ceiling_is_refused() -> None:
    with pytest.raises(Refused, match=r"limits\.max_workers of this server is 4"):
        retry_config(a_config(), ConfigRequest(max_workers=5), Ceilings(max_workers=4))


def test_a_figure_beyond_a_ceiling_is_told_as_it_was_asked_for() -> None:
    with pytest.raises(Refused, match="max_workers is 1234567, and"):
        retry_config(a_config(), ConfigRequest(max_workers=1_234_567), Ceilings())


def test_a_retry_says_what_it_cannot_change() -> None:
    with pytest.raises(InvalidRequest, match="a retry cannot change agent, labels"):
        retry_config(a_config(), ConfigRequest(agent="x", labels={"a": "b"}), Ceilings())


def test_what_this_release_cannot_do_is_refused_not_ignored() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_supported(ConfigRequest(execution_mode="windows"), Defaults())

    assert caught.value.kind == "not-supported"
