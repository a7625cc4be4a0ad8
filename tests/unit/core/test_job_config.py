from typing import Any

import pytest

from orchestrator.core.allowance import Ceilings
from orchestrator.core.errors import InvalidRequest, Refused
from orchestrator.core.job_config import Defaults, child_config, retry_config, root_config
from orchestrator.core.model import JobConfig
from orchestrator.core.submission import ConfigRequest

from .factories import START, a_config, a_job, an_ancestry

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


# Retries


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
