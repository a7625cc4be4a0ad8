"""The result of a run, for each pair of agent and failure."""

import pytest

from orchestrator.agents.activity.agent_events import Ending
from orchestrator.agents.ai_tools.readers import RunFacts
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from tests.unit.agents.ai_tools.cases import (
    CASES,
    DENIED,
    GEMINI_CUT,
    GEMINI_DONE,
    GEMINI_INIT,
    GEMINI_TOOL,
    OK,
    RATE,
    TIMEOUT,
    Case,
    claude,
    claude_api,
    codex,
    codex_failed,
    gemini_failed,
    gemini_said,
    gemini_stderr,
    opencode,
    opencode_failed,
)
from tests.unit.agents.ai_tools.samples import events, read


def _id(case: Case) -> str:
    return f"{case.agent} {case.name}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_a_failure_is_of_its_class(case: Case):
    ending = Ending(code=case.code, signal=case.signal, stderr=case.stderr)

    outcome = read(case.agent, case.lines, ending).outcome

    assert outcome.error_class is case.becomes, outcome.error
    assert case.text in outcome.text
    assert case.error in outcome.error
    assert outcome.denied == case.denied
    assert bool(outcome.error) == (case.becomes is not OK)


@pytest.mark.parametrize("case", CASES, ids=_id)
@pytest.mark.parametrize("code", [0, 1, 143])
def test_our_own_stop_wins_over_all_output(case: Case, code: int):
    ending = Ending(code=code, stderr=case.stderr, stopped_for=TIMEOUT, stopped_because="silent")

    outcome = read(case.agent, case.lines, ending).outcome

    assert (outcome.error_class, outcome.error) == (TIMEOUT, "silent")
    assert case.text in outcome.text


@pytest.mark.parametrize(
    ("agent", "lines", "stderr"),
    [
        ("claude", claude_api(429, "", "Rate limited. Please try again in 20s."), ""),
        ("codex", codex_failed("Rate limit reached for gpt-5. Please try again in 20s."), ""),
        ("gemini", gemini_failed(429, "Please retry in 20.0s."), ""),
        ("gemini", [], gemini_stderr(429, "Please retry in 20.0s.")),
        ("opencode", opencode_failed(429, "no", responseHeaders={"retry-after": "20"}), ""),
        ("aider", ["litellm.RateLimitError: Please try again in 20s."], ""),
    ],
)
def test_the_reset_time_of_a_rate_limit_is_read(
    agent: str, lines: list[str], stderr: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("time.time", lambda: 1_795_284_000.0)
    code = 173 if agent == "gemini" else 1

    outcome = read(agent, lines, Ending(code=code, stderr=stderr)).outcome

    assert outcome.error_class is RATE
    assert outcome.resets_at == pytest.approx(1_795_284_020)


def test_the_reset_time_of_a_plan_limit_is_read():
    info = {"status": "rejected", "resetsAt": 1_795_300_000, "rateLimitType": "five_hour"}
    rejected = events({"type": "rate_limit_event", "rate_limit_info": info})
    failed = claude_api(429, "rate_limit_error", "You've hit your limit")

    assert read("claude", rejected + failed, Ending(code=1)).outcome.resets_at == 1_795_300_000
    assert read("claude", rejected + claude("", "ok"), Ending(code=0)).outcome.resets_at is None


def test_a_cost_of_nothing_for_tokens_is_a_price_that_is_not_known():
    lines = opencode(cost=0)
    unknown = read("opencode", lines, Ending(code=0)).outcome.usage
    known = read("opencode", lines, Ending(code=0), RunFacts(model="gpt-5-codex")).outcome.usage

    assert unknown.cost_usd is None
    assert known.cost_usd == pytest.approx((100 * 1.25 + 20 * 10) / 1e6) and known.cost_estimated


def test_the_usage_of_an_interrupted_answer_is_partial():
    used = {"input_tokens": 100, "output_tokens": 1}
    ended = claude("api_error", "lost", modelUsage={}, usage=used, total_cost_usd=0)
    usage = read("claude", ended, Ending(code=1)).outcome.usage
    assert (usage.input_tokens, usage.cost_usd, usage.partial) == (100, None, True)

    nothing = {"total_tokens": 0, "input_tokens": 0, "output_tokens": 0, "cached": 0, "input": 0}
    end = {"type": "result", "status": "error", "error": {"message": "terminated"}}
    partial = events(GEMINI_INIT, gemini_said("Half of"), {**end, "stats": nothing})
    silent = events(GEMINI_INIT, {**end, "stats": nothing})
    assert read("gemini", partial, Ending(code=1)).outcome.usage.partial
    assert not read("gemini", silent, Ending(code=1)).outcome.usage.partial


def test_the_steps_of_an_interrupted_gemini_are_unknown():
    stats = {"total_tokens": 390, "input_tokens": 300, "output_tokens": 90, "cached": 0}
    cut = [*GEMINI_CUT[:-1], *events({"type": "result", "status": "error", "stats": stats})]

    used = read("gemini", cut, Ending(code=1)).outcome.usage

    assert (used.steps, used.input_tokens, used.output_tokens) == (None, 300, 90)


def test_a_provider_that_reports_no_tokens_is_not_free():
    usage = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0}
    answer = {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}}
    lines = codex(answer, {"type": "turn.completed", "usage": usage})

    used = read("codex", lines, Ending(code=0), RunFacts(model="gpt-5-codex")).outcome.usage

    assert used == Usage(steps=1, partial=True)


@pytest.mark.parametrize(("policy", "becomes"), [("full", OK), ("edit", DENIED), ("", DENIED)])
def test_a_tool_that_is_not_there_was_made_up_where_all_are_offered(
    policy: str, becomes: ErrorClass
):
    lines = events(
        *(GEMINI_INIT, {**GEMINI_TOOL, "tool_name": "bash"}),
        {"type": "tool_result", "tool_id": "1", "error": {"type": "tool_not_registered"}},
        *(gemini_said("42, by thinking"), GEMINI_DONE),
    )

    outcome = read("gemini", lines, Ending(code=0), RunFacts(policy=policy)).outcome

    assert (outcome.error_class, outcome.text) == (becomes, "42, by thinking")
