"""Asks a model one question whose answer is a JSON value, such as a plan."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.agents.activity.agent_events import AgentOutcome, FinalAnswerEvent
from orchestrator.agents.model_loop.agent_loop import ask, failed
from orchestrator.agents.model_loop.loop_usage import LoopUsage
from orchestrator.agents.model_loop.model_calls import Emit, ModelCaller
from orchestrator.agents.model_loop.model_http.call_failure import (
    ModelFailure,
    declined,
    overflow,
)
from orchestrator.agents.model_loop.providers.dialect import Dialect, StopReason, Turn
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.text import json_values

#: Maximum number of opening brackets at which the search for JSON in a text starts to parse.
_MOST_STARTS = 200


def ask_for_json(
    make: Callable[[], tuple[LoopSettings, Dialect]],
    prompt: str,
    schema: Mapping[str, Any],
    emit: Emit,
) -> tuple[object | None, AgentOutcome]:
    """Ask the model once. Return the JSON value of its answer, and the outcome.

    The value is None if the call failed, or if the answer has no JSON. An answer without JSON is
    not a failed call: the outcome then has the answer's text, and the caller must reject the
    answer. The value is not validated against ``schema``.
    """
    try:
        settings, dialect = make()
    except ModelFailure as failure:
        return None, failed(failure)
    account = LoopUsage(settings)
    answer_schema, is_wrapped = object_schema(schema)
    try:
        dialect.begin(settings.system, prompt, ())
        dialect.require_json(answer_schema)
        turn = ask(ModelCaller(settings, dialect.headers, emit), dialect, account, emit)
        value = unwrapped(_json_of_turn(turn)) if is_wrapped else _json_of_turn(turn)
    except ModelFailure as failure:
        return None, failed(failure, account)
    emit(FinalAnswerEvent())
    return value, _outcome(turn, value, account)


def _json_of_turn(turn: Turn) -> object | None:
    if turn.stop is StopReason.CUT:
        raise ModelFailure(
            ErrorClass.LIMIT, "the model's answer exceeds the maximum tokens per call"
        )
    if turn.stop is StopReason.REFUSED:
        raise declined(turn.text)
    if turn.stop is StopReason.FULL:
        raise overflow("the model stopped because its context window is full")
    if turn.tool_calls:
        return dict(turn.tool_calls[0].arguments)
    return json_in(turn.text)


def _outcome(turn: Turn, value: object | None, account: LoopUsage) -> AgentOutcome:
    text = turn.text or json.dumps(value)
    outcome = AgentOutcome(text=text if value is not None else turn.text, usage=account.usage)
    if value is not None or turn.text.strip():
        return outcome
    return replace(outcome, error_class=ErrorClass.EMPTY, error="the model's answer is empty")


def json_in(text: str) -> object | None:
    """Return the value of ``text`` as JSON.

    If the text is not JSON, return the longest JSON object or list in it; None if there is none.
    """
    try:
        value: object = json.loads(text)
        return value
    except (ValueError, RecursionError):
        candidates = json_values.values_in(text, "{[", _MOST_STARTS)
        return max(candidates, key=lambda each: each[0], default=(0, None))[1]


def object_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema of an object, and True if this schema is a wrapper of ``schema``.

    APIs accept only schemas of objects, so any other schema gets a wrapper. The model then returns
    an object whose property ``answer`` has the value.
    """
    if schema.get("type") == "object":
        return dict(schema), False
    wrapper = {"type": "object", "properties": {"answer": dict(schema)}, "required": ["answer"]}
    return {**wrapper, "additionalProperties": False}, True


def unwrapped(value: object) -> object:
    fields = json_values.mapping(value)
    return fields["answer"] if set(fields) == {"answer"} else value
