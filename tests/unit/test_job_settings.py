"""The table of job settings agrees with the code and pages that repeat it."""

from dataclasses import fields
from typing import Any, get_type_hints

import click
import pytest
from pydantic import TypeAdapter

from orchestrator.cli.jobs.job_control import budget_command
from orchestrator.cli.jobs.run import run_command
from orchestrator.composition.settings.settings_conversion import limits
from orchestrator.config.settings import Settings
from orchestrator.core.limits.effective_settings import Ceilings
from orchestrator.core.model.job_settings import (
    RAISABLE,
    SETTINGS,
    Inheritance,
    JobConfig,
    Setting,
    ValueKind,
    default_config,
)
from orchestrator.core.model.submission import ConfigRequest
from orchestrator.schemas.answers.job import ConfigAnswer
from orchestrator.schemas.fields.bounded_types import StrictModel
from orchestrator.schemas.requests.job import ConfigBody
from orchestrator.schemas.requests.job_control import BudgetRequest
from orchestrator.schemas.requests.mcp_tool_arguments import BudgetArguments
from orchestrator.store.schema.stored_documents import read_config

#: Settings that the answer has in another field: the job's depth.
NOT_ANSWERED = {"current_depth"}
TYPES: dict[ValueKind, str] = {
    ValueKind.COUNT: "int",
    ValueKind.COUNT_OR_ZERO: "int",
    ValueKind.SECONDS: "float",
    ValueKind.MONEY: "float",
    ValueKind.FLAG: "bool",
    ValueKind.NAME: "str",
    ValueKind.TEXT: "str",
    ValueKind.REVISION: "str",
    ValueKind.PATHS: "tuple[str, ...]",
    ValueKind.LABELS: "collections.abc.Mapping[str, str]",
    ValueKind.GATES: "tuple[orchestrator.core.gates.gate.Gate, ...]",
}

each_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)


def test_without_a_config_yaml_the_defaults_and_ceilings_are_those_of_the_table() -> None:
    assert limits(Settings()) == (default_config(), Ceilings())


def test_a_request_has_each_setting_by_its_wire_name() -> None:
    assert set(ConfigBody.model_fields) == {each.wire for each in SETTINGS if each.in_request}


def test_a_job_is_answered_with_each_of_its_settings() -> None:
    named = {each.wire: each.name for each in SETTINGS}
    answered = {named.get(each, each) for each in ConfigAnswer.model_fields}

    assert set(named) - set(ConfigAnswer.model_fields) == NOT_ANSWERED
    assert answered <= {each.name for each in fields(JobConfig)}


@pytest.mark.parametrize("name", ConfigAnswer.model_fields)
def test_an_answered_setting_has_the_type_of_its_value(name: str) -> None:
    # The schema of the answer has its own order, required fields, and descriptions.
    own = {each.wire: each.name for each in SETTINGS}.get(name, name)
    stored = json_type(TypeAdapter(get_type_hints(JobConfig)[own]).json_schema())
    answered = json_type(ConfigAnswer.model_json_schema()["properties"][name])

    assert answered == stored


def json_type(schema: dict[str, Any]) -> set[str]:
    return {each["type"] for each in schema.get("anyOf", [schema])}


@pytest.mark.parametrize("request_type", [BudgetRequest, BudgetArguments])
def test_a_request_to_raise_limits_has_each_limit_as_a_request_for_a_job_has_it(
    request_type: type[StrictModel],
) -> None:
    there = {each: request_type.model_fields[each].annotation for each in RAISABLE}

    assert set(request_type.model_fields) - {"job_id"} == set(RAISABLE)
    assert there == {each: ConfigBody.model_fields[each].annotation for each in RAISABLE}


def test_the_command_budget_has_an_option_for_each_limit_that_can_be_raised() -> None:
    options = {each.name for each in budget_command.params if isinstance(each, click.Option)}

    assert options - {"json"} == set(RAISABLE)


def test_run_has_the_options_of_the_table() -> None:
    flags = {each.name: each.opts for each in run_command.params if isinstance(each, click.Option)}

    for each in (each for each in SETTINGS if each.in_request):
        assert flags.get(each.wire) == ([each.option.flag] if each.option else None)


@each_setting
def test_a_value_has_the_type_of_its_kind(setting: Setting) -> None:
    found = get_type_hints(JobConfig)[setting.name]
    name = found.__name__ if isinstance(found, type) and not hasattr(found, "__args__") else found

    kind = setting.values
    expected = TYPES[kind] if isinstance(kind, ValueKind) else "str"
    assert str(name).removesuffix(" | None") == expected
    assert not setting.choices or setting.default in setting.choices


@each_setting
def test_every_name_in_the_table_exists(setting: Setting) -> None:
    if setting.server:
        section, key = setting.server.split(".")
        assert hasattr(getattr(Settings(), section), key)
    assert not setting.ceiling or hasattr(Ceilings(), setting.ceiling)
    assert setting.child is not Inheritance.AT_LEAST or setting.choices


def test_every_ceiling_is_a_setting_of_the_server() -> None:
    assert {each.name for each in fields(Ceilings)} <= set(type(Settings().limits).model_fields)


def test_a_job_that_was_stored_before_a_setting_existed_has_what_was_true_then() -> None:
    first: dict[str, Any] = {
        "max_workers": 1,
        "default_timeout": 60.0,
        "max_retries": 0,
        "max_depth": 2,
        "max_wall_seconds": 3600.0,
    }
    config = read_config(first)
    assert (config.planner, config.resolve) == ("rules", "")
    assert (default_config().planner, default_config().resolve) == ("auto", "worker")


def test_lists_are_tuples_again_when_a_job_is_read() -> None:
    assert read_config({"context_files": ["a.md"]}).context_files == ("a.md",)


def test_a_request_lists_the_settings_that_it_has() -> None:
    request = ConfigRequest(max_recursion_depth=0, agent=None, labels={})

    assert request.fields_set == {"max_depth"}
    assert request.get("max_depth") == 0
    assert request.get("agent") is None
    assert request.values.agent == default_config().agent
