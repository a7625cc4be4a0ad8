"""A single model call for JSON, as planning makes it."""

import json
from typing import Any

import pytest

from orchestrator.core.model.attempt.attempt_result import ErrorClass
from tests.agents.conftest import Loop
from tests.agents.model_api import Call, Fault, Kind, ModelApi, Script, Tokens, Turn

SCHEMA = {
    "type": "object",
    "properties": {"tasks": {"type": "array"}},
    "required": ["tasks"],
}
PLAN = {"tasks": [{"id": "a", "title": "one"}]}


def answer_turn(loop: Loop, value: Any) -> Turn:
    """Return the answer in this API's form, as from a model that follows the schema."""
    if loop.name == "anthropic":
        return Turn(calls=(Call("answer", value),), tokens=Tokens(input=50, output=9))
    return Turn(json.dumps(value), tokens=Tokens(input=50, output=9))


def test_the_answer_is_the_value(each_loop: Loop, api: ModelApi) -> None:
    value, outcome = each_loop.complete(Script.of(answer_turn(each_loop, PLAN)), SCHEMA)
    assert value == PLAN and outcome.succeeded and json.loads(outcome.text) == PLAN
    usage = outcome.usage
    assert (usage.steps, usage.input_tokens, usage.output_tokens) == (1, 50, 9)
    assert len(api.calls) == 1


def test_each_api_gets_the_schema(each_loop: Loop, api: ModelApi) -> None:
    each_loop.complete(Script.of(answer_turn(each_loop, PLAN)), SCHEMA)
    body = api.calls[0].body
    schemas = {
        "anthropic": lambda: body["tools"][0]["input_schema"],
        "openai_compatible": lambda: body["response_format"]["json_schema"]["schema"],
        "ollama": lambda: body["format"],
    }
    assert schemas[each_loop.name]() == SCHEMA


def test_a_list_is_requested_inside_an_object(each_loop: Loop) -> None:
    script = Script.of(answer_turn(each_loop, {"answer": [1, 2]}))
    value, outcome = each_loop.complete(script, {"type": "array"})
    assert value == [1, 2] and outcome.succeeded


def test_json_among_words_is_found(each_loop: Loop) -> None:
    text = f"Here is the plan:\n```json\n{json.dumps(PLAN)}\n```"
    value, outcome = each_loop.complete(Script.of(Turn(text)), SCHEMA)
    assert value == PLAN and outcome.succeeded


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (Turn(""), ErrorClass.EMPTY),
        (Turn('{"tasks": [', stop="max_tokens"), ErrorClass.LIMIT),
    ],
)
def test_no_json_is_no_value(each_loop: Loop, turn: Turn, kind: ErrorClass) -> None:
    value, outcome = each_loop.complete(Script.of(turn), SCHEMA)
    assert value is None and outcome.error_class is kind and outcome.error
    assert outcome.usage.output_tokens == 30


def test_a_refusal_is_no_plan(anthropic: Loop) -> None:
    value, outcome = anthropic.complete(Script.of(Turn("I will not", stop="refusal")), SCHEMA)
    assert value is None
    assert (outcome.error_class, outcome.error) == (ErrorClass.DECLINED, "I will not")


def test_an_answer_without_json_is_no_failure_of_the_service(each_loop: Loop) -> None:
    value, outcome = each_loop.complete(Script.of(Turn("I cannot plan that")), SCHEMA)
    assert value is None and outcome.succeeded
    assert outcome.text == "I cannot plan that"


@pytest.mark.parametrize("message", ["response_format is not supported", "unknown field"])
def test_a_server_without_schemas_gets_the_schema_as_text(
    chat: Loop, api: ModelApi, message: str
) -> None:
    turn = Turn(json.dumps(PLAN), faults=(Fault(status=400, message=message),))
    value, _ = chat.complete(Script.of(turn), SCHEMA)
    assert value == PLAN
    assert ["response_format" in call.body for call in api.calls] == [True, False]
    assert '"tasks"' in api.calls[1].body["messages"][-1]["content"]


def test_the_other_name_of_a_limit_is_tried(chat: Loop, api: ModelApi) -> None:
    message = "'max_tokens' is not supported with this model; use 'max_completion_tokens'"
    fault = Fault(status=400, message=message)
    assert chat.run(Script.failing(fault)).succeeded
    names = ("max_tokens", "max_completion_tokens")
    assert [[name in call.body for name in names] for call in api.calls] == [
        [True, False],
        [False, True],
    ]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=401, times=0), ErrorClass.AUTH),
        (Fault(status=400, times=0), ErrorClass.API),
        (Fault(status=500, times=0), ErrorClass.API),
        (Fault(kind=Kind.MALFORMED, times=0), ErrorClass.API),
        (Fault(kind=Kind.BODY, body=[{}], times=0), ErrorClass.API),
    ],
)
def test_a_failure_has_its_class(each_loop: Loop, fault: Fault, kind: ErrorClass) -> None:
    value, outcome = each_loop.complete(Script.failing(fault), SCHEMA)
    assert value is None and outcome.error_class is kind


def test_settings_that_cannot_work_are_a_failure(each_loop: Loop) -> None:
    value, outcome = each_loop.complete(Script.of(Turn("x")), SCHEMA, base_url="ftp://x")
    assert value is None and outcome.error_class is ErrorClass.CONFIG
