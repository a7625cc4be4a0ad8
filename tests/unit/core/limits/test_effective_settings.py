from typing import Any

import pytest

from orchestrator.core.errors import InvalidRequest, MaxDepthReached, Refused
from orchestrator.core.limits.effective_settings import (
    Ceilings,
    child_config,
    retry_config,
    root_config,
)
from orchestrator.core.model.job_settings import (
    BY_WIRE_NAME,
    SETTINGS,
    Inheritance,
    JobConfig,
    Setting,
    ValueKind,
    default_config,
)
from orchestrator.core.model.submission import ConfigRequest
from tests.unit.core.factories import START, a_config, a_job, an_ancestry

CEILINGS = Ceilings()


def root(**settings: Any) -> JobConfig:
    return root_config(ConfigRequest(**settings), default_config(), CEILINGS)


def child(above: JobConfig, now: float = START, **settings: Any) -> JobConfig:
    line = an_ancestry(parent_job=a_job(config=above), now=now)
    return child_config(ConfigRequest(**settings), line)


# Root jobs


CAPS = ("max_steps", "max_tokens", "max_cost_usd")


def only(cap: str, value: float | None) -> dict[str, Any]:
    return {cap: value}


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize(
    ("requested", "default", "ceiling", "has"),
    [
        (None, None, None, None),
        (None, 5, None, 5),
        (None, None, 7, 7),
        (None, 5, 7, 5),
        (None, 9, 7, 7),
        (3, 5, 7, 3),
        (7, 5, 7, 7),
        (6, 5, None, 6),
    ],
)
def test_a_cap_is_the_requested_value_or_the_default_within_the_ceiling(
    cap: str, requested: int | None, default: int | None, ceiling: int | None, has: int | None
) -> None:
    defaults, ceilings = default_config(**only(cap, default)), Ceilings(**only(cap, ceiling))
    config = root_config(ConfigRequest(**only(cap, requested)), defaults, ceilings)
    assert getattr(config, cap) == has


@pytest.mark.parametrize("cap", CAPS)
def test_a_cap_above_its_ceiling_is_refused_and_the_ceiling_is_named(cap: str) -> None:
    ceilings = Ceilings(**only(cap, 7))
    with pytest.raises(Refused, match=f"above the server limit 7.*limits.{cap}"):
        root_config(ConfigRequest(**only(cap, 8)), default_config(), ceilings)
    with pytest.raises(Refused, match=f"limits.{cap}"):
        retry_config(root(), ConfigRequest(**only(cap, 8)), ceilings)


@pytest.mark.parametrize("cap", CAPS)
def test_a_retry_without_a_cap_gets_a_ceiling_that_is_new(cap: str) -> None:
    ceilings = Ceilings(**only(cap, 7))
    assert getattr(retry_config(root(), ConfigRequest(), ceilings), cap) == 7


def test_a_root_job_gets_the_defaults() -> None:
    config = root()
    assert (config.max_workers, config.default_timeout, config.max_retries) == (10, 300.0, 2)
    assert (config.max_depth, config.max_wall_seconds) == (3, CEILINGS.max_wall_seconds)
    assert not config.retries_asked


@pytest.mark.parametrize(
    ("name", "value"),
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
def test_a_setting_of_the_request_replaces_the_default(name: str, value: object) -> None:
    assert getattr(root(**{name: value}), name) == value


def test_a_request_for_no_retries_counts_as_a_request() -> None:
    assert root(max_retries=0).retries_asked


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("max_recursion_depth", 10, "limit-depth"),
        ("max_workers", 100, "limit-workers"),
        ("max_wall_seconds", 86_400.0, "limit-wall"),
        ("default_timeout", 86_400.0, "limit-wall"),
    ],
)
def test_a_root_job_may_ask_for_a_ceiling_but_not_for_more(
    name: str, value: float, kind: str
) -> None:
    root(**{name: value})
    with pytest.raises(Refused, match=name) as refused:
        root(**{name: value + 1})
    assert refused.value.kind == kind
    assert refused.value.left == {name: value}


def test_current_depth_of_a_root_job_only_reduces_the_remaining_depth() -> None:
    assert root(max_recursion_depth=5, current_depth=2).max_depth == 3
    assert root(max_recursion_depth=5, current_depth=5).max_depth == 0
    with pytest.raises(MaxDepthReached, match="current_depth 6 is above max_recursion_depth 5"):
        root(max_recursion_depth=5, current_depth=6)


def test_a_default_above_the_ceiling_is_lowered() -> None:
    config = root_config(ConfigRequest(), default_config(max_workers=1_000), CEILINGS)
    assert config.max_workers == CEILINGS.max_workers


# Child jobs


@pytest.mark.parametrize(
    ("name", "field", "above", "smaller", "larger"),
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
    name: str, field: str, above: float, smaller: float, larger: float
) -> None:
    parent = a_config(**{field: above})
    assert getattr(child(parent), field) == above
    assert getattr(child(parent, **{name: smaller}), field) == smaller
    assert getattr(child(parent, **{name: larger}), field) == above


@pytest.mark.parametrize("limit", ["max_total_workers", "max_steps", "max_tokens", "max_cost_usd"])
def test_a_child_job_may_set_a_limit_that_its_parent_has_not(limit: str) -> None:
    assert getattr(child(a_config(), **{limit: 3}), limit) == 3
    assert getattr(child(a_config()), limit) is None


def test_a_child_job_has_the_remaining_wall_time_of_the_root() -> None:
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


def test_a_child_job_inherits_the_settings_that_it_omits() -> None:
    above = a_config(
        agent="shell", git="off", merge_strategy="theirs", planner="x", retries_asked=True
    )
    config = child(above)
    assert (config.agent, config.git, config.merge_strategy) == ("shell", "off", "theirs")
    assert (config.planner, config.retries_asked) == ("x", True)


@pytest.mark.parametrize(
    ("parent", "requested", "effective"),
    [
        ("auto", "on", "on"),
        # Without worktrees, the result of the parent job would lack the child job's changes.
        ("auto", "off", "auto"),
        ("on", "off", "on"),
        ("off", "on", "off"),
        ("off", "auto", "off"),
    ],
)
def test_a_child_job_may_request_worktrees_unless_its_parent_job_forbids_them(
    parent: str, requested: str, effective: str
) -> None:
    assert child(a_config(git=parent), git=requested).git == effective


def test_labels_are_added_to_those_of_the_parent() -> None:
    config = child(a_config(labels={"a": "1", "b": "2"}), labels={"b": "3"})
    assert config.labels == {"a": "1", "b": "3"}


# Retries


def test_a_retry_may_change_limits_up_to_the_ceilings() -> None:
    before = a_config(max_workers=2, default_timeout=5.0)

    after = retry_config(before, ConfigRequest(max_workers=3, default_timeout=60.0), Ceilings())

    assert (after.max_workers, after.default_timeout) == (3, 60.0)
    assert after.max_retries == before.max_retries
    with pytest.raises(Refused, match=r"server limit 86400;.*limits\.max_wall_seconds"):
        retry_config(before, ConfigRequest(default_timeout=1e9), Ceilings())


def test_a_retry_beyond_a_ceiling_is_refused() -> None:
    with pytest.raises(Refused, match=r"server limit 4;.*limits\.max_workers"):
        retry_config(a_config(), ConfigRequest(max_workers=5), Ceilings(max_workers=4))


def test_a_figure_above_a_ceiling_is_reported_as_requested() -> None:
    with pytest.raises(Refused, match="max_workers is 1234567, above"):
        retry_config(a_config(), ConfigRequest(max_workers=1_234_567), Ceilings())


def test_a_retry_rejects_settings_that_it_cannot_change() -> None:
    with pytest.raises(InvalidRequest, match="a retry cannot change agent, labels"):
        retry_config(a_config(), ConfigRequest(agent="x", labels={"a": "b"}), Ceilings())


# All rows of the table

LIMITED = [each for each in SETTINGS if each.ceiling]
DECIDED = [each for each in BY_WIRE_NAME.values() if not each.resolved]
ASKED = {
    ValueKind.COUNT: 2,
    ValueKind.COUNT_OR_ZERO: 2,
    ValueKind.SECONDS: 2.0,
    ValueKind.MONEY: 2.0,
    ValueKind.FLAG: True,
    ValueKind.NAME: "x",
    ValueKind.TEXT: "x",
    ValueKind.REVISION: "x",
    ValueKind.PATHS: ("x",),
    ValueKind.LABELS: {"x": "y"},
    ValueKind.GATES: (),
}


def asking(setting: Setting) -> ConfigRequest:
    values = setting.values
    value = ASKED[values] if isinstance(values, ValueKind) else values[-1]
    return ConfigRequest(**{setting.wire: value})


@pytest.mark.parametrize("setting", LIMITED, ids=lambda each: each.name)
def test_each_ceiling_of_the_table_holds(setting: Setting) -> None:
    ceilings = Ceilings(**{setting.ceiling: 5})
    more = ConfigRequest(**{setting.wire: 6})
    reason = f"{setting.wire} is 6, above the server limit 5; .* limits.{setting.ceiling} in"

    assert getattr(root_config(ConfigRequest(), default_config(), ceilings), setting.name) <= 5
    with pytest.raises(Refused, match=reason):
        root_config(more, default_config(), ceilings)
    with pytest.raises(Refused, match=reason):
        retry_config(
            a_config(max_depth=0, default_timeout=1.0, max_wall_seconds=1.0), more, ceilings
        )


@pytest.mark.parametrize("setting", BY_WIRE_NAME.values(), ids=lambda each: each.name)
def test_a_retry_changes_the_settings_of_the_table(setting: Setting) -> None:
    request = asking(setting)
    if setting.on_retry:
        after = retry_config(a_config(), request, CEILINGS)
        assert getattr(after, setting.name) == request.get(setting.name)
    else:
        with pytest.raises(InvalidRequest, match=f"a retry cannot change {setting.wire};"):
            retry_config(a_config(), request, CEILINGS)


@pytest.mark.parametrize("setting", DECIDED, ids=lambda each: each.name)
def test_a_child_job_without_settings_follows_the_table(setting: Setting) -> None:
    above = a_config(**{each.name: asking(each).get(each.name) for each in BY_WIRE_NAME.values()})
    own = setting.child is Inheritance.NONE
    expected = setting.default if own else getattr(above, setting.name)
    assert getattr(child(above), setting.name) == expected
