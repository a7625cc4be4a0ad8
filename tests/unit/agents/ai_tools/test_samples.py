"""The result of each of the 45 captured runs of real programs."""

from dataclasses import dataclass

import pytest

from orchestrator.agents.activity.agent_events import FinalAnswerEvent, UsageEvent
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.attempt.usage_sums import usage_sum
from tests.unit.agents.ai_tools.samples import SAMPLES, read_sample

OK, AUTH, RATE, API = ErrorClass.NONE, ErrorClass.AUTH, ErrorClass.RATE_LIMIT, ErrorClass.API
CONFIG, LIMIT, DENIED = ErrorClass.CONFIG, ErrorClass.LIMIT, ErrorClass.DENIED
EMPTY, KILLED, TIMEOUT = ErrorClass.EMPTY, ErrorClass.KILLED, ErrorClass.TIMEOUT


@dataclass(frozen=True)
class Row:
    name: str
    error_class: ErrorClass
    #: The answer, and a part of the error.
    text: str
    error: str
    #: Numbers of steps, and of tokens: input, output, cache read, cache write; None: unknown.
    counts: tuple[int | None, ...]
    cost: float | None
    estimated: bool = False
    partial: bool = False
    denied: tuple[str, ...] = ()


_UNKNOWN = (None, None, None, None, None)
_NONE_USED = (0, 0, 0, 0, 0)
_STEP_ONLY = (1, None, None, None, None)
_FAILED = (0, None, None, None, None)
_THREE = (3, 700, 90, 0, 0)
_GEMINI_THREE = (3, 700, 90, 0, None)

TABLE = (
    Row("claude_budget", LIMIT, "", "maximum budget ($0.002)", (3, 300, 60, 0, 0), 0.0024),
    Row(
        *("claude_denied", DENIED, "RESULT done", "Write, Bash", (3, 300, 60, 0, 0), 0.0024),
        denied=("Write", "Bash"),
    ),
    Row("claude_e401", AUTH, "", "Failed to authenticate", _NONE_USED, 0),
    Row("claude_e429", RATE, "", "Request rejected (429)", _NONE_USED, 0),
    Row("claude_e500", API, "", "500 stub error 500", _NONE_USED, 0),
    Row("claude_empty", EMPTY, "", "no text", (2, 200, 40, 0, 0), 0.0016),
    # Without a stream, only Claude's count of turns is known, which is the number of calls plus 1.
    Row("claude_max_turns", LIMIT, "", "maximum number of turns", (4, 300, 60, 0, 0), 0.0024),
    Row("claude_mcp", OK, "done", "", (2, 200, 40, 0, 0), 0.0016),
    Row("claude_nokey", AUTH, "", "Not logged in", _NONE_USED, 0),
    Row("claude_ok_stream", OK, "RESULT done", "", _THREE, 0.0046),
    Row("claude_ok_tools", OK, "RESULT done", "", _THREE, 0.0046),
    Row("claude_retry_stream", OK, "STUB OK", "", (1, 100, 20, 0, 0), 0.0008),
    Row("claude_root_refused", CONFIG, "", "root/sudo", _UNKNOWN, None),
    Row("claude_schema", OK, '{"n":"v"}', "", (2, 100, 20, 0, 0), 0.0008),
    Row("claude_sigint", KILLED, "", "aborted_tools", (3, 100, 20, 0, 0), 0.0008),
    Row("claude_sigterm", KILLED, "", "signal 15", _UNKNOWN, None, partial=True),
    Row(
        *("claude_sigterm_stream", KILLED, "", "signal 15", (1, 100, 1, 0, 0), 0.00042),
        estimated=True,
        partial=True,
    ),
    Row("claude_two_results", OK, "done", "", (3, 300, 60, 0, 0), 0.0024),
    # The output does not show that the sandbox denied all writes: only the files do.
    Row("codex_denied_silent", OK, "RESULT done", "", (1, 670, 90, 30, 0), 0.00174125, True),
    Row("codex_e401", AUTH, "", "401 Unauthorized", _FAILED, None, partial=True),
    Row("codex_e429", RATE, "", "429 Too Many Requests", _FAILED, None, partial=True),
    Row("codex_e500", API, "", "high demand", _FAILED, None, partial=True),
    Row("codex_mcp", OK, "done", "", (2, 180, 40, 20, 0), 0.0006275, True),
    Row("codex_nokey", AUTH, "", "Missing environment variable", _FAILED, None, partial=True),
    Row("codex_ok_tools", OK, "RESULT done", "", (3, 670, 90, 30, 0), 0.00174125, True),
    Row("codex_sigterm", KILLED, "", "signal 15", _STEP_ONLY, None, partial=True),
    Row("codex_stdin_hang", TIMEOUT, "", "stopped", _UNKNOWN, None, partial=True),
    Row(
        *("gemini_denied_stream", DENIED, "RESULT done", "Bash", (3, 300, 60, 0, None), None),
        denied=("Bash",),
    ),
    Row("gemini_e400_stream", API, "", "stub error 400", (0, 0, 0, 0, None), 0, True),
    Row("gemini_e401", AUTH, "", "stub error 401", _UNKNOWN, None, partial=True),
    Row("gemini_e429", RATE, "", "stub error 429", _UNKNOWN, None, partial=True),
    Row("gemini_maxturns_json", LIMIT, "", "Maximum session turns", (4, 400, 80, 0, None), None),
    Row("gemini_maxturns_stream", LIMIT, "", "Maximum session turns", (4, 400, 80, 0, None), None),
    Row("gemini_mcp", OK, "done", "", (2, 200, 40, 0, None), None),
    # The answering model was called "stub", which has no price.
    Row("gemini_ok_stream", OK, "RESULT done", "", _GEMINI_THREE, None),
    Row("gemini_ok_tools", OK, "RESULT done", "", _GEMINI_THREE, None),
    Row("gemini_sigterm", EMPTY, "", "no text", _UNKNOWN, None, partial=True),
    Row("gemini_untrusted", CONFIG, "", "not running in a trusted", _UNKNOWN, None),
    Row(
        *("opencode_denied", DENIED, "", "write", (1, 100, 20, 0, 0), 0.00014),
        denied=("write",),
    ),
    Row("opencode_e401", AUTH, "", "stub error 401", _UNKNOWN, None),
    Row("opencode_mcp", OK, "done", "", (2, 200, 40, 0, 0), 0.00028),
    Row("opencode_ok_tools", OK, "RESULT done", "", (3, 300, 60, 0, 0), 0.00042),
    Row("opencode_sigint", KILLED, "", "signal 2", _STEP_ONLY, None, partial=True),
    Row("pyagent_e429", RATE, "", "429", _NONE_USED, None),
    Row("pyagent_ok", OK, "RESULT done", "", _THREE, None),
)

#: Samples with one event per line. The others end with one object on many lines.
STREAMED = tuple(
    row for row in TABLE if row.name not in ("gemini_ok_tools", "gemini_maxturns_json")
)


def counts(usage: Usage) -> tuple[int | None, ...]:
    return (
        *(usage.steps, usage.input_tokens, usage.output_tokens),
        *(usage.cache_read_tokens, usage.cache_write_tokens),
    )


def test_every_captured_run_is_in_the_table():
    assert sorted(row.name for row in TABLE) == sorted(each.name for each in SAMPLES.iterdir())
    assert len(TABLE) == 45


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_captured_run_has_its_outcome(row: Row):
    outcome = read_sample(row.name).outcome

    assert (outcome.error_class, outcome.text) == (row.error_class, row.text), outcome.error
    assert outcome.succeeded == (row.error_class is OK)
    assert row.error in outcome.error and bool(outcome.error) == bool(row.error)
    assert counts(outcome.usage) == row.counts
    assert outcome.usage.cost_usd == pytest.approx(row.cost)
    assert (outcome.usage.cost_estimated, outcome.usage.partial) == (row.estimated, row.partial)
    assert outcome.denied == row.denied


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude_ok_stream", "claude-opus-5-5"),
        ("claude_sigterm_stream", "claude-opus-5-5"),
        ("gemini_ok_stream", "gemini-2.5-flash"),
        # opencode names no model.
        ("opencode_ok_tools", ""),
    ],
)
def test_the_outcome_has_the_model_that_the_program_reports(name: str, model: str):
    assert read_sample(name).outcome.model == model


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_run_that_we_stopped_is_what_we_stopped_it_for(row: Row):
    for why in (TIMEOUT, LIMIT):
        outcome = read_sample(row.name, stopped_for=why).outcome
        assert outcome.error_class is (TIMEOUT if row.name == "codex_stdin_hang" else why)


@pytest.mark.parametrize("row", STREAMED, ids=lambda row: row.name)
def test_reported_usage_adds_up_to_the_total(row: Row):
    run = read_sample(row.name)

    reported = Usage()
    for event in run.events:
        if isinstance(event, UsageEvent):
            reported = usage_sum(reported, event.usage)

    for part, total in zip(counts(reported), counts(run.outcome.usage), strict=True):
        assert (part or 0) == (total or 0)
    assert (reported.cost_usd or 0) == pytest.approx(run.outcome.usage.cost_usd or 0)


@pytest.mark.parametrize("row", STREAMED, ids=lambda row: row.name)
def test_a_run_that_succeeds_ends_with_the_sign_that_it_is_finished(row: Row):
    if row.error_class is OK:
        assert read_sample(row.name).events[-1] == FinalAnswerEvent()


def test_work_in_the_background_keeps_the_first_result_from_being_the_last_word():
    assert [type(event).__name__ for event in read_sample("claude_two_results").events] == [
        *(
            "UsageEvent",
            "ToolEvent",
            "UsageEvent",
            "TextEvent",
            "UsageEvent",
            "ToolRequestEvent",
            "UsageEvent",
            "TextEvent",
            "UsageEvent",
            "FinalAnswerEvent",
        ),
    ]
