"""No line of a program makes a reader fail, or report text that cannot be stored or shown."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    AgentOutcome,
    Ending,
    RetryEvent,
    TextEvent,
    ToolEvent,
    UsageEvent,
)
from orchestrator.agents.ai_tools.reader_parts.error_classification import classify
from orchestrator.agents.ai_tools.reader_parts.rate_limit_reset import resets_at
from orchestrator.agents.ai_tools.readers import reader
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.known_agents import READERS
from tests.support.examples import examples
from tests.unit.agents.ai_tools.samples import SAMPLES

AGENTS = sorted(READERS)
#: The nightly run and a search use more examples than the everyday run.
EXAMPLES = examples(8, 600)
SEEDS = tuple(
    line
    for sample in sorted(SAMPLES.iterdir())
    for line in (sample / "stdout").read_text().splitlines()
    if line.startswith('{"') and len(line) < 3000
)
#: A real line, drawn by its number, so that the text of the strategy is short.
SEED = st.integers(0, len(SEEDS) - 1).map(SEEDS.__getitem__)
#: Fields and words that readers search for: the strategies damage these.
KEYS = (
    *("type", "subtype", "message", "content", "usage", "modelUsage", "result", "is_error", "item"),
    *("error", "part", "state", "tokens", "cache", "stats", "models", "status", "id", "text"),
    *("input_tokens", "output_tokens", "cached", "total", "tool", "input", "errors", "data"),
    *("permission_denials", "structured_output", "session_id", "terminal_reason", "num_turns"),
    *("retry_delay_ms", "rate_limit_info", "resetsAt", "tasks", "cost", "reason", "total_cost_usd"),
)
WORDS = (
    *("assistant", "user", "system", "result", "init", "message", "tool_use", "tool_result"),
    *("error", "success", "turn.completed", "turn.failed", "item.completed", "item.started"),
    *("step_start", "step_finish", "text", "stop", "api_retry", "rate_limit_event", "rejected"),
    *("agent_message", "command_execution", "api_error", "resets 3pm (UTC)", "try again in 9 s"),
)
LEAVES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    *(st.sampled_from(WORDS), st.just(10**400), st.just("\ud800"), st.just(-1)),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), inner, max_size=6),
    ),
    max_leaves=25,
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a real event in which one field, at any depth, has another value."""
    event = json.loads(draw(SEED))
    place = event
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        below = place[key]
        if not isinstance(below, dict | list) or not below or draw(st.booleans()):
            place[key] = draw(VALUES)
            return json.dumps(event)
        place = below


OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8).map(json.dumps)
LINES = st.one_of(damaged(), OBJECTS, SEED, VALUES.map(json.dumps), st.text())
ENDINGS = st.builds(
    Ending,
    code=st.one_of(st.none(), st.integers(-300, 300)),
    signal=st.one_of(st.none(), st.integers(1, 64)),
    stderr=st.one_of(st.text(), OBJECTS.map(lambda text: f"x\n{text}")),
    stopped_for=st.sampled_from(ErrorClass),
)


def check(outcome: AgentOutcome, ending: Ending) -> None:
    check_usage(outcome.usage)
    for words in (outcome.text, outcome.error, outcome.session, *outcome.denied):
        words.encode()
    assert "\n" not in outcome.error and len(outcome.error) <= 500
    assert outcome.resets_at is None or math.isfinite(outcome.resets_at)
    assert bool(outcome.error) == (not outcome.succeeded)
    if ending.stopped_for:
        assert outcome.error_class is ending.stopped_for
    if outcome.succeeded:
        assert outcome.text.strip() and not ending.signal
        assert bool(ending.code) == bool(outcome.note)


def check_usage(usage: Usage) -> None:
    counts = (usage.steps, usage.input_tokens, usage.output_tokens)
    for count in (*counts, usage.cache_read_tokens, usage.cache_write_tokens):
        assert count is None or (type(count) is int and count >= 0)
    assert usage.cost_usd is None or (usage.cost_usd >= 0 and math.isfinite(usage.cost_usd))


def check_event(event: AgentEvent) -> None:
    if isinstance(event, UsageEvent):
        check_usage(event.usage)
    if isinstance(event, TextEvent):
        event.text.encode()
    if isinstance(event, ToolEvent):
        f"{event.tool}{event.summary}".encode()
        assert event.summary.isprintable() and len(event.summary) <= 200
    if isinstance(event, RetryEvent):
        event.text.encode()
        assert event.seconds is None or math.isfinite(event.seconds)


@pytest.mark.parametrize("agent", AGENTS)
@settings(max_examples=EXAMPLES)
@given(lines=st.lists(LINES, max_size=8), ending=ENDINGS)
def test_no_line_makes_a_reader_raise(agent: str, lines: list[str], ending: Ending):
    reading = reader(agent)
    for line in lines:
        for event in reading.line(line):
            check_event(event)
    check(reading.outcome(ending), ending)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,
        '{"type":' * 100_000,
        '{"type":"result","result":' + "[" * 900 + "]" * 900 + "}",
        '{"type":"result","structured_output":' + '{"a":' * 900 + "1" + "}" * 901,
        '{"type":"result","num_turns":' + "9" * 10_000 + "}",
        '{"type":"result","total_cost_usd":1e999,"is_error":false,"result":"x"}',
        '{"type":"result","total_cost_usd":NaN,"usage":{"input_tokens":-Infinity}}',
        '{"type":"result","is_error":true,"result":"' + "status 4" * 200_000 + '"}',
        '{"type":"error","message":"' + "Reconnecting... " * 100_000 + '"}',
        "x" * 5_000_000,
        "litellm." * 100_000,
        "Tokens: " + "9" * 100_000 + " sent, 1 received.",
        "\x00\x1b[31m\ud800\uffff",
    ],
    ids=lambda line: line[:24].encode("ascii", "replace").decode().replace("\x00", "0"),
)
def test_a_line_that_is_made_to_hurt_does_not(agent: str, line: str):
    reading = reader(agent)
    for event in reading.line(line):
        check_event(event)
    ending = Ending(code=1, stderr=line)
    check(reading.outcome(ending), ending)


@given(st.text())
def test_words_of_any_kind_have_a_class_and_maybe_a_time(words: str):
    assert classify(words) in ErrorClass
    assert resets_at(words, 1.8e9) is None or words
