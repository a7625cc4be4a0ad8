"""Facts that codex and gemini write to their session files before their final answer."""

import json
from typing import Any

import pytest

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    Ending,
    SessionReader,
    ToolRequestEvent,
    UsageEvent,
)
from orchestrator.agents.ai_tools.readers import RunFacts, reader
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage

STOPPED = Ending(code=143, stopped_for=ErrorClass.LIMIT, stopped_because="enough")


def codex_tokens(read: int, written: int, cached: int = 0) -> str:
    total = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written}
    info = {"total_token_usage": total}
    return json.dumps({"type": "event_msg", "payload": {"type": "token_count", "info": info}})


def gemini_answer(name: str, **more: Any) -> str:
    tokens = {"input": 100, "output": 30, "cached": 40, "thoughts": 5}
    answer = {"id": name, "type": "gemini", "tokens": tokens, "model": "gemini-2.5-flash"}
    return json.dumps({**answer, **more})


def read_session(agent: str, known: RunFacts, *lines: str) -> tuple[list[AgentEvent], Usage]:
    """Return the events in lines of a session file, and the usage of a run stopped then."""
    reading = reader(agent, known)
    assert isinstance(reading, SessionReader)
    events = [event for line in lines for event in reading.session_line(line, "one")]
    return events, reading.outcome(STOPPED).usage


def test_the_usage_of_a_stopped_codex_is_read_from_its_session() -> None:
    lines = codex_tokens(100, 30), "{broken", codex_tokens(200, 60, cached=50)
    events, used = read_session("codex", RunFacts(model="gpt-5-codex"), *lines)

    spent = [event.usage.input_tokens for event in events if isinstance(event, UsageEvent)]
    assert spent == [100, 50]
    assert (used.input_tokens, used.cache_read_tokens, used.output_tokens) == (150, 50, 60)
    assert used.partial and used.cost_estimated and used.cost_usd


def test_the_model_that_codex_chose_prices_it() -> None:
    chosen = {"type": "thread_settings_applied", "thread_settings": {"model": "gpt-5-codex"}}
    line = json.dumps({"type": "event_msg", "payload": chosen})

    _, used = read_session("codex", RunFacts(), line, codex_tokens(100, 30))

    assert used.cost_usd


def test_the_outcome_has_the_model_of_the_session_of_codex() -> None:
    chosen = {"type": "thread_settings_applied", "thread_settings": {"model": "gpt-5-codex"}}
    reading = reader("codex", RunFacts())
    assert isinstance(reading, SessionReader)
    list(reading.session_line(json.dumps({"type": "event_msg", "payload": chosen}), "one"))

    assert reading.outcome(STOPPED).model == "gpt-5-codex"


def test_the_files_of_codex_s_helpers_are_added() -> None:
    reading = reader("codex")
    assert isinstance(reading, SessionReader)
    for source in ("one", "other"):
        list(reading.session_line(codex_tokens(100, 30), source))

    assert reading.outcome(STOPPED).usage.input_tokens == 200


def test_an_answer_of_codex_counts_before_its_tools_have_ended() -> None:
    usage = {"input_tokens": 100, "output_tokens": 30}
    payload = {"thread_id": "t", "response_id": "a", "usage": usage}
    answer = json.dumps({"type": "token_usage_record", "payload": payload})
    call = json.dumps({"type": "response_item", "payload": {"type": "custom_tool_call"}})
    reading = reader("codex")
    assert isinstance(reading, SessionReader)

    events = [event for each in (call, answer) for event in reading.session_line(each, "one")]

    spent, request = events
    assert isinstance(spent, UsageEvent) and isinstance(request, ToolRequestEvent)
    assert (spent.usage.steps, spent.usage.input_tokens, spent.usage.output_tokens) == (1, 100, 30)
    # The totals and a subagent's copy of the answer are not counted again.
    again = [*reading.session_line(codex_tokens(100, 30), "one")]
    again += [event for each in (call, answer) for event in reading.session_line(each, "two")]
    assert again == []


def test_codex_s_last_word_counts() -> None:
    reading = reader("codex")
    assert isinstance(reading, SessionReader)
    list(reading.session_line(codex_tokens(100, 30), "one"))
    usage = {"input_tokens": 200, "output_tokens": 60}
    events = list(reading.line(json.dumps({"type": "turn.completed", "usage": usage})))

    [spent] = [event for event in events if isinstance(event, UsageEvent)]
    assert (spent.usage.input_tokens, spent.usage.output_tokens) == (100, 30)


def test_each_answer_of_gemini_counts_once() -> None:
    lines = gemini_answer("a"), gemini_answer("a", toolCalls=[]), gemini_answer("b")
    events, used = read_session("gemini", RunFacts(), *lines, json.dumps({"$set": {}}), "x")

    assert len(events) == 2
    assert (used.input_tokens, used.cache_read_tokens, used.output_tokens) == (120, 80, 70)
    assert used.partial and used.cost_usd


def test_gemini_s_last_word_counts() -> None:
    reading = reader("gemini")
    assert isinstance(reading, SessionReader)
    list(reading.session_line(gemini_answer("a"), "one"))
    stats = {"input_tokens": 200, "input": 120, "cached": 80, "output_tokens": 70}
    last = {"type": "result", "status": "success", "stats": {**stats, "total_tokens": 270}}
    events = list(reading.line(json.dumps(last)))

    [spent] = [event for event in events if isinstance(event, UsageEvent)]
    assert (spent.usage.input_tokens, spent.usage.output_tokens) == (60, 35)
    assert reading.outcome(Ending(code=0)).usage.output_tokens == 70


REFUSED = {
    "id": "1",
    "type": "command_execution",
    "command": "echo x > a.txt",
    "aggregated_output": "/bin/bash: line 1: a.txt: Read-only file system\n",
    "exit_code": 1,
    "status": "failed",
}


def ended(policy: str, **changes: Any) -> ErrorClass:
    reading = reader("codex", RunFacts(policy=policy))
    answer = {"type": "agent_message", "text": "RESULT"}
    for item in ({**REFUSED, **changes}, answer):
        list(reading.line(json.dumps({"type": "item.completed", "item": item})))
    list(reading.line(json.dumps({"type": "turn.completed", "usage": {}})))
    return reading.outcome(Ending(code=0)).error_class


def test_writes_that_codex_s_read_only_sandbox_prevents_are_denied() -> None:
    assert ended("read-only") is ErrorClass.DENIED
    assert ended("edit") is ErrorClass.NONE
    assert ended("read-only", aggregated_output="no such file") is ErrorClass.NONE
    assert ended("read-only", status="completed", exit_code=0) is ErrorClass.NONE


@pytest.mark.parametrize(
    ("policy", "code", "denied"),
    [
        ("read-only", 1, True),
        ("read-only", 0, False),
        ("full", 1, False),
    ],
)
def test_a_command_of_codex_that_ended_at_once_is_known_to_have_been_refused(
    policy: str, code: int, denied: bool
) -> None:
    output = (
        f"Chunk ID: b600c6\nWall time: 0.0000 seconds\nProcess exited with code {code}\n"
        "Output:\n/bin/bash: line 1: a.txt: Read-only file system\n"
    )
    line = json.dumps({"payload": {"type": "function_call_output", "output": output}})
    assert _is_denied(line, policy) is denied


@pytest.mark.parametrize(
    ("parts", "denied"),
    [
        (["exited with code 1\n/bin/bash: line 1: a.txt: Read-only file system\n"], True),
        (['{"exit_code":1,"output":"/bin/bash: line 1: a.txt: Read-only file system\\n"}'], True),
        (["/bin/bash: line 1: a.txt: Read-only file system\n"], True),
        (["exited with code 0\n/bin/bash: line 1: a.txt: Read-only file system\n"], False),
        (["notes.md:\n/bin/bash: line 1: a.txt: Read-only file system\nas it says\n"], False),
    ],
    ids=["the exit code", "the answer as JSON", "its output alone", "a success", "a file"],
)
def test_a_command_of_code_mode_that_ended_at_once_is_known_to_have_been_refused(
    parts: list[str], denied: bool
) -> None:
    texts = ["Script completed\nWall time 0.3 seconds\nOutput:\n", *parts]
    output = [{"type": "input_text", "text": each} for each in texts]
    line = json.dumps({"payload": {"type": "custom_tool_call_output", "output": output}})
    assert _is_denied(line, "read-only") is denied


def _is_denied(line: str, policy: str) -> bool:
    """True if this line of a session file shows that codex was denied a tool."""
    reading = reader("codex", RunFacts(policy=policy))
    assert isinstance(reading, SessionReader)

    list(reading.session_line(line, "one"))
    list(reading.line(json.dumps({"type": "turn.started"})))
    words = {"id": "1", "type": "agent_message", "text": "RESULT tried"}
    list(reading.line(json.dumps({"type": "item.completed", "item": words})))
    list(reading.line(json.dumps({"type": "turn.completed", "usage": {"input_tokens": 1}})))

    return reading.outcome(Ending(code=0)).error_class is ErrorClass.DENIED


def codex_answer(name: str, total: int, thread: str = "t") -> str:
    payload = {"thread_id": thread, "response_id": name, "thread_token_usage": {}}
    payload["thread_token_usage"] = {"total_tokens": total}
    return json.dumps({"type": "token_usage_record", "payload": payload})


def test_a_command_of_codex_that_its_stream_lacks_was_a_step() -> None:
    reading = reader("codex")
    assert isinstance(reading, SessionReader)
    item = {"id": "1", "type": "command_execution"}
    events = [
        *reading.line(json.dumps({"type": "item.started", "item": item})),
        *reading.session_line(codex_answer("a", 130), "one"),
        *reading.line(json.dumps({"type": "item.completed", "item": item})),
        *reading.session_line(codex_answer("b", 260), "one"),
        *reading.session_line(codex_answer("c", 390), "one"),
        *reading.line(json.dumps({"type": "item.completed", "item": SAID})),
        # A subagent, whose file begins with the earlier answers.
        *reading.session_line(codex_answer("c", 390), "two"),
        *reading.session_line(codex_answer("a", 130, "helper"), "two"),
    ]
    reading.line(json.dumps({"type": "turn.completed", "usage": {"input_tokens": 9}}))

    assert sum(event.usage.steps or 0 for event in events if isinstance(event, UsageEvent)) == 4
    assert reading.outcome(Ending(code=0)).usage.steps == 4


SAID = {"id": "2", "type": "agent_message", "text": "done"}


@pytest.mark.parametrize(
    "output",
    [
        "touch: cannot touch 'a.txt': Permission denied",
        "mkdir: cannot create directory ‘a/b’: Permission denied",
        "touch: a.txt: Operation not permitted",
        "tee: a.txt: Permission denied",
        "sh: 1: cannot create a.txt: Permission denied",
        "/bin/bash: line 1: a.txt: Permission denied",
        "/bin/bash: a.txt: Operation not permitted",
        "zsh:1: operation not permitted: a.txt",
        "/bin/zsh:1: operation not permitted: src/a.txt",
        "PermissionError: [Errno 1] Operation not permitted: 'a.txt'",
        "first\ntouch: cannot touch 'a.txt': Permission denied\nlast",
    ],
)
def test_every_kind_of_sandbox_that_keeps_codex_from_writing_is_noticed(output: str) -> None:
    assert ended("read-only", aggregated_output=output) is ErrorClass.DENIED
    assert ended("edit", aggregated_output=output) is ErrorClass.NONE


@pytest.mark.parametrize(
    "output",
    [
        "/bin/bash: line 1: ./run.sh: Permission denied",
        "/bin/bash: line 1: scripts/run.sh: Permission denied",
        "zsh:1: permission denied: ./run.sh",
        "cat: secret.txt: Permission denied",
        "touch: cannot touch '/etc/a': Permission denied",
        "mkdir: /etc/a: Operation not permitted",
        "PermissionError: [Errno 13] Permission denied: 'a.txt'",
        "PermissionError: [Errno 1] Operation not permitted: '/proc/1/mem'",
        "kill: (1) - Operation not permitted",
        "ping: socket: Operation not permitted",
        "chown: changing ownership of 'a': Operation not permitted",
        "git@host: Permission denied (publickey).",
    ],
)
def test_an_error_that_needs_no_sandbox_is_no_denial(output: str) -> None:
    assert ended("read-only", aggregated_output=output) is ErrorClass.NONE
