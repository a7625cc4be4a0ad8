"""Reports of readers while a program runs, and the remaining caps of a resumed session."""

from collections.abc import Mapping, Sequence
from itertools import chain

import pytest

from orchestrator.agents.activity.agent_events import (
    AgentOutcome,
    Ending,
    FinalAnswerEvent,
    RetryEvent,
    StuckEvent,
    TextEvent,
    ToolEvent,
    UsageEvent,
)
from orchestrator.agents.ai_tools.readers import reader
from orchestrator.agents.ai_tools.readers.aider import AiderReader
from orchestrator.agents.ai_tools.readers.opencode import OpencodeReader
from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.known_agents import READERS
from tests.unit.agents.ai_tools.samples import events, read, read_sample

FINE = Ending(code=0)


def opencode_step(reason: str, *between: Mapping[str, object]) -> list[Mapping[str, object]]:
    end = {"type": "step_finish", "part": {"reason": reason}}
    return [{"type": "step_start"}, *between, end]


def test_a_reader_is_known_by_its_name():
    assert {name: type(reader(name)).__name__ for name in READERS} == {
        "aider": "AiderReader",
        "claude": "ClaudeReader",
        "codex": "CodexReader",
        "gemini": "GeminiReader",
        "opencode": "OpencodeReader",
        "plain": "PlainReader",
    }
    with pytest.raises(InvalidRequest, match="unknown reader 'x'; known: aider, claude"):
        reader("x")


def test_texts_and_tools_are_reported_in_order():
    assert [event for event in read_sample("opencode_ok_tools").events if not _spent(event)] == [
        *(ToolEvent("write", "hello.txt"), ToolEvent("bash", "echo x > y.txt")),
        *(TextEvent("RESULT done"), FinalAnswerEvent()),
    ]
    assert [event for event in read_sample("codex_mcp").events if not _spent(event)] == [
        *(ToolEvent("orch.spawn_child", "t"), TextEvent("done"), FinalAnswerEvent()),
    ]
    assert [event for event in read_sample("gemini_mcp").events if not _spent(event)] == [
        *(ToolEvent("mcp_orch_spawn_child", "t"), TextEvent("done"), FinalAnswerEvent()),
    ]


def test_a_denied_tool_is_reported_as_denied():
    assert (
        ToolEvent("Bash", "echo x > y.txt", denied=True)
        in read_sample("gemini_denied_stream").events
    )
    refused = [
        event for event in read_sample("opencode_denied").events if isinstance(event, ToolEvent)
    ]
    assert [(did.tool, did.denied) for did in refused] == [("write", True)]


def test_claude_s_denied_tools_are_reported_while_it_runs():
    use = {"type": "tool_use", "id": "1", "name": "Bash", "input": {"command": "ls\n-l"}}
    meta = {"id": "1", "permission_decision": {"decision": "reject"}}
    run = read(
        "claude",
        events(
            {"type": "assistant", "message": {"id": "m", "content": [use]}},
            {"type": "user", "tool_result_meta": [meta], "message": {"content": []}},
        ),
        Ending(signal=9),
    )
    assert [event for event in run.events if isinstance(event, ToolEvent)] == [
        *(ToolEvent("Bash", "ls -l"), ToolEvent("Bash", "ls -l", denied=True)),
    ]
    assert run.outcome.denied == ("Bash",)


def test_claude_s_tools_that_a_policy_leaves_out_are_refused():
    use = {"type": "tool_use", "id": "1", "name": "Write", "input": {"file_path": "a"}}
    other = {"type": "tool_use", "id": "2", "name": "made_up", "input": {}}
    disabled = (
        "No such tool available: Write. Write is disabled for this session, in subagents too."
    )
    results = [
        {"tool_use_id": "1", "is_error": True, "content": disabled},
        {"tool_use_id": "2", "is_error": True, "content": "No such tool available: made_up"},
    ]
    run = read(
        "claude",
        events(
            {"type": "assistant", "message": {"id": "m", "content": [use, other]}},
            {"type": "user", "message": {"content": results}},
        ),
        FINE,
    )
    assert run.outcome.denied == ("Write",)


@pytest.mark.parametrize(("tool", "denied"), [("write", ("write",)), ("made_up", ())])
def test_opencode_s_tools_that_a_policy_leaves_out_are_refused(tool: str, denied: tuple[str, ...]):
    error = f"Model tried to call unavailable tool '{tool}'. Available tools: glob, read."
    state = {"status": "completed", "input": {"tool": tool, "error": error}}
    use = {"type": "tool_use", "part": {"tool": "invalid", "state": state}}
    assert read("opencode", events(use), FINE).outcome.denied == denied


def test_opencode_that_calls_again_and_again_for_nothing_is_stuck():
    words = {"type": "text", "part": {"text": "hm"}}
    steps = [opencode_step("unknown"), opencode_step("unknown", words), opencode_step("unknown")]
    stuck = StuckEvent("the model's last 3 answers ended for an unknown reason")

    assert stuck not in read("opencode", events(*chain(*steps[:2])), FINE).events
    assert read("opencode", events(*chain(*steps, *steps)), FINE).events.count(stuck) == 1


@pytest.mark.parametrize(
    "better",
    [
        opencode_step("tool-calls", {"type": "tool_use", "part": {"tool": "bash"}}),
        opencode_step("unknown", {"type": "tool_use", "part": {"tool": "bash"}}),
        opencode_step("other"),
    ],
)
def test_opencode_that_gets_anywhere_is_not_stuck(better: Sequence[Mapping[str, object]]):
    steps = [*opencode_step("unknown") * 2, *better] * 2
    assert not any(
        isinstance(event, StuckEvent) for event in read("opencode", events(*steps), FINE).events
    )


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            'small=false error.error="AI_APICallError: Rate limit reached"',
            ErrorClass.RATE_LIMIT,
        ),
        ('small=false error.error="AI_APICallError: Bad gateway"', ErrorClass.API),
        # An error while the tool creates the session's title, which does not delay the work.
        ('small=true error.error="AI_APICallError: Rate limit reached"', None),
        ("", None),
    ],
)
def test_retries_of_opencode_are_read_from_its_log(line: str, kind: ErrorClass | None):
    reading = OpencodeReader()
    found = reading.log_line(f'level=ERROR message="stream error" {line}')
    assert [each.error_class for each in found if isinstance(each, RetryEvent)] == [kind] * bool(
        kind
    )


def test_a_retry_of_a_program_is_reported_with_its_delay():
    troubles = [x for x in read_sample("claude_retry_stream").events if isinstance(x, RetryEvent)]
    assert [(each.error_class, each.seconds) for each in troubles] == [
        *((ErrorClass.RATE_LIMIT, 1.077), (ErrorClass.RATE_LIMIT, 1.084)),
    ]
    troubles = [x for x in read_sample("codex_e401").events if isinstance(x, RetryEvent)]
    assert len(troubles) == 5 and {each.error_class for each in troubles} == {ErrorClass.AUTH}
    lines = ["litellm.RateLimitError: slow down", "Retrying in 0.5 seconds..."]
    assert read("aider", lines, FINE).events == (
        RetryEvent("litellm.RateLimitError: slow down", ErrorClass.RATE_LIMIT, 0.5),
    )


def test_pieces_of_a_text_are_reported_as_one():
    pieces = [{"type": "message", "role": "assistant", "content": x, "delta": True} for x in "abc"]
    done = {"type": "result", "status": "success"}
    run = read("gemini", events(*pieces, done), FINE)
    assert [event for event in run.events if isinstance(event, TextEvent)] == [TextEvent("abc")]
    assert run.outcome.text == "abc"


def test_the_usage_of_a_message_counts_once():
    message = {"id": "m", "usage": {"input_tokens": 10, "output_tokens": 1}, "content": []}
    event = {"type": "assistant", "message": message}
    run = read("claude", events(event, event, event), FINE)
    assert run.events == (UsageEvent(Usage(steps=1, input_tokens=10, output_tokens=1)),)


def test_messages_that_claude_makes_up_are_no_steps():
    content = [{"type": "text", "text": "API Error: 401"}]
    message = {"id": "m", "model": "<synthetic>", "content": content}
    run = read("claude", events({"type": "assistant", "message": message}), FINE)
    assert run.events == () and run.outcome.text == ""


def test_the_answer_is_not_the_text_of_a_subagent():
    def message_of(words: str, parent: str | None) -> object:
        message = {"id": words, "content": [{"type": "text", "text": words}]}
        return {"type": "assistant", "message": message, "parent_tool_use_id": parent}

    assert (
        read("claude", events(message_of("a", None), message_of("b", "t")), FINE).outcome.text
        == "a"
    )


def test_codex_counts_a_step_for_each_call_of_the_model():
    def item(when: str, kind: str, name: str) -> object:
        return {"type": f"item.{when}", "item": {"type": kind, "id": name, "text": "x"}}

    run = read(
        "codex",
        events(
            *(item("completed", "reasoning", "1"), item("completed", "agent_message", "2")),
            *(item("started", "command_execution", "3"), item("started", "mcp_tool_call", "4")),
            *(item("completed", "command_execution", "3"), item("completed", "mcp_tool_call", "4")),
            item("completed", "file_change", "5"),
            item("completed", "agent_message", "6"),
        ),
        FINE,
    )
    assert run.outcome.usage.steps == 3


def claude_totals(read_tokens: int, cost: float, session: str = "s") -> list[str]:
    usage = {"m": {"inputTokens": read_tokens, "outputTokens": 1, "costUSD": cost}}
    result = {"type": "result", "is_error": False, "result": "x", "session_id": session}
    return events({**result, "modelUsage": usage, "num_turns": 1})


def test_usage_after_the_last_result_counts():
    message = {"id": "m", "usage": {"input_tokens": 50, "output_tokens": 1}, "content": []}
    later = events({"type": "assistant", "message": message})
    run = read("claude", claude_totals(300, 0.5) + later, Ending(signal=9))
    assert run.outcome.error_class is ErrorClass.KILLED
    assert (run.outcome.usage.input_tokens, run.outcome.usage.steps) == (350, 2)
    assert run.outcome.usage.partial

    done = {"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 3}}
    used = read("codex", events(done, {"type": "turn.started"}), Ending(signal=9)).outcome.usage
    assert (used.input_tokens, used.output_tokens, used.partial) == (9, 3, True)


@pytest.mark.parametrize("code", [0, 1])
def test_claude_that_ends_in_the_middle_of_another_turn_has_no_result(code: int):
    first = claude_totals(300, 0.5)
    message = {"id": "m", "content": [{"type": "text", "text": "Now I edit"}]}
    turn = events({"type": "assistant", "message": message})
    subagent = events({"type": "assistant", "message": message, "parent_tool_use_id": "t"})

    def becomes(lines: list[str]) -> ErrorClass:
        return read("claude", lines, Ending(code=code)).outcome.error_class

    assert becomes(first + turn) is (ErrorClass.INTERNAL if code else ErrorClass.KILLED)
    assert becomes(first + turn + claude_totals(400, 0.6)) is ErrorClass.NONE
    assert becomes(first + subagent) is ErrorClass.NONE


@pytest.mark.parametrize(
    ("subtype", "becomes"),
    [
        ("error_max_turns", ErrorClass.LIMIT),
        ("error_max_budget_usd", ErrorClass.LIMIT),
        ("error_during_execution", ErrorClass.API),
    ],
)
def test_a_result_of_an_earlier_claude_fails_by_its_subtype_alone(
    subtype: str, becomes: ErrorClass
):
    message = {"id": "m", "content": [{"type": "text", "text": "I begin"}]}
    end = {"type": "result", "subtype": subtype, "is_error": False, "num_turns": 3}
    lines = events({"type": "assistant", "message": message}, end)

    outcome = read("claude", lines, FINE).outcome

    assert (outcome.error_class, outcome.error) == (becomes, subtype)


def test_gemini_bills_its_thoughts_as_output_and_each_model_at_its_price():
    models = {
        "gemini-2.5-pro": {"total_tokens": 1500, "input_tokens": 1000, "output_tokens": 100},
        "gemini-2.5-flash": {"input_tokens": 1000, "output_tokens": 10, "cached": 400},
    }
    done = {"type": "result", "status": "success", "stats": {"models": models}}
    used = read("gemini", events(done), FINE).outcome.usage
    assert (used.input_tokens, used.output_tokens, used.cache_read_tokens) == (1600, 510, 400)
    dear, cheap = 1000 * 1.25 + 500 * 10, 600 * 0.3 + 10 * 2.5 + 400 * 0.03
    assert used.cost_usd == pytest.approx((dear + cheap) / 1e6) and used.cost_estimated

    models["unknown"] = {"input_tokens": 1, "output_tokens": 1}
    assert read("gemini", events(done), FINE).outcome.usage.cost_usd is None


def test_opencode_s_thoughts_are_output_whether_or_not_it_counts_them_so():
    def used(**tokens: object) -> int | None:
        part = {"reason": "stop", "tokens": {"input": 100, "output": 20, **tokens}}
        return read(
            "opencode", events({"type": "step_finish", "part": part}), FINE
        ).outcome.usage.output_tokens

    assert used() == 20
    assert used(reasoning=5) == 25
    assert used(reasoning=5, total=120) == 20
    assert used(reasoning=5, total=125) == 25
    assert used(reasoning=5, total=135, cache={"read": 10, "write": 0}) == 25


def test_aider_s_line_of_tokens_is_read_with_its_cache_and_its_cost():
    sent = "Tokens: 12k sent, 2.0k cache write, 1.5k cache hit, 1,234 received."
    line = f"{sent} Cost: $0.05 message, $0.11 session."
    other = "Tokens: 100 sent, 10 received. Cost: $0.01 message, $0.06 session."
    used = read("aider", [line, other, "hi"], FINE).outcome.usage
    assert used == Usage(
        steps=2,
        input_tokens=8600,
        output_tokens=1244,
        cache_read_tokens=1500,
        cache_write_tokens=2000,
        cost_usd=pytest.approx(0.06),
    )


def test_aider_s_answer_omits_the_messages_of_aider():
    lines = ["Aider v0.86.2", "Model: x", "Git repo: .git", "", "All done.", "Applied edit to a.py"]
    run = read("aider", [*lines, "Commit 1a2b3c4 feat: a"], FINE)
    assert run.outcome.text == "All done."
    assert run.events == (
        TextEvent("All done."),
        ToolEvent("edit", "a.py"),
        ToolEvent("commit", "feat: a"),
    )


def _spent(event: object) -> bool:
    return isinstance(event, UsageEvent)


#: Lines of aider 0.86, with a shortened prompt.
AIDER_ASKED = (
    "",
    "# aider chat started at 2026-11-22 08:40:02",
    "",
    "> Main model: openai/gpt-5.1 with diff edit format  ",
    "",
    "#### # How this works  ",
    "#### ",
    "#### Do it.  ",
    "> .gitignore  ",
    "> Add file to the chat? (Y)es/(N)o/(A)ll/(S)kip all/(D)on't ask again [Yes]: y  ",
    "",
)
AIDER_TOKENS = "Tokens: 260 sent, 40 received. Cost: $0.00066 message, $0.00066 session."
AIDER_SAID = (".gitignore", "I make it.", "", "a.txt", ">>>>>>> REPLACE", AIDER_TOKENS)


def aider(history: Sequence[str], lines: Sequence[str]) -> AgentOutcome:
    reading = AiderReader()
    for line in lines:
        list(reading.line(line))
    for line in history:
        reading.session_line(line, "chat.md")
    return reading.outcome(Ending(code=0))


def test_aider_s_answer_is_what_its_history_has_of_the_model() -> None:
    answer = ("I make it.", "", "a.txt", ">>>>>>> REPLACE", "")
    own = (f"> {AIDER_TOKENS}  ", "> Commit f7c4625 I make it.", "", "a.txt  ", "> More  ")

    found = aider((*AIDER_ASKED, *answer, *own), AIDER_SAID)

    assert found.succeeded
    assert found.text == "I make it.\n\na.txt\n>>>>>>> REPLACE"
    assert aider((), AIDER_SAID).text == ".gitignore\n" + found.text


def test_an_empty_answer_of_aider_is_no_success() -> None:
    message = "Empty response received from LLM. Check your provider account?"

    outcome = aider((*AIDER_ASKED, f"> {message}  "), (".gitignore", message, AIDER_TOKENS))

    assert outcome.error_class is ErrorClass.EMPTY


def test_a_quota_that_is_used_up_is_no_rate_limit_for_aider() -> None:
    quota = "You exceeded your current quota, please check your plan and billing details."
    error = "litellm.RateLimitError: RateLimitError: OpenAIException - "

    assert aider((), (error + quota,)).error_class is ErrorClass.CREDIT
    assert aider((), (error + "slow down",)).error_class is ErrorClass.RATE_LIMIT


def test_claude_reports_the_rest_of_a_message_s_usage_at_its_end() -> None:
    usage = {"input_tokens": 100, "output_tokens": 1}
    message = {"id": "m1", "model": "m", "content": [{"type": "text", "text": "x"}], "usage": usage}
    delta = {"type": "message_delta", "usage": {"output_tokens": 30}}
    streamed = {"type": "stream_event", "event": delta, "parent_tool_use_id": None}
    lines = events({"type": "assistant", "message": message}, streamed, streamed)
    found = read("claude", lines, FINE).events
    spent = [event.usage for event in found if isinstance(event, UsageEvent)]
    assert [(each.steps, each.output_tokens) for each in spent] == [(1, 1), (None, 29)]
