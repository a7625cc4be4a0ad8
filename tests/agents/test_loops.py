"""The built-in loops over HTTP with the stub model API: work, usage, limits, and policies."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    FinalAnswerEvent,
    RetryEvent,
    TextEvent,
    ToolEvent,
    UsageEvent,
)
from orchestrator.agents.driver_process.mailbox import Mailbox, read_ids
from orchestrator.agents.model_loop import LOOPS, loop
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from orchestrator.core.model.human_input.messages import (
    WorkerMessage,
    message_document,
    message_file_name,
)
from tests.agents.conftest import Loop
from tests.agents.model_api import Call, Fault, Kind, ModelApi, Script, Tokens, Turn

FOREVER = Script.of(Turn(calls=(Call.shell("true"),)), endless=True)


def test_a_text_is_the_outcome(each_loop: Loop) -> None:
    outcome = each_loop.run(Script.of(Turn("All is well")))
    assert outcome.succeeded and outcome.text == "All is well"
    assert [type(event) for event in each_loop.events] == [UsageEvent, TextEvent, FinalAnswerEvent]


def test_tools_are_used_until_the_last_answer(each_loop: Loop, api: ModelApi) -> None:
    first = Turn("I look.", (Call.shell("echo one > a.txt"), Call.write("b/c.txt", "two")))
    second = Turn(calls=(Call("read", {"path": "a.txt"}),))
    outcome = each_loop.run(Script.of(first, second, Turn("Both written")))
    assert outcome.succeeded and outcome.text == "Both written"
    assert (each_loop.folder / "a.txt").read_text() == "one\n"
    assert (each_loop.folder / "b/c.txt").read_text() == "two"
    assert [did.tool for did in each_loop.seen(ToolEvent)] == ["bash", "write", "read"]
    assert [request.turn for request in api.calls] == [0, 1, 2]
    assert "one" in json.dumps(api.calls[2].body["messages"][-1])


def test_a_command_is_reported_before_it_runs(each_loop: Loop) -> None:
    had_run: list[bool] = []

    def emit(event: AgentEvent) -> None:
        if isinstance(event, ToolEvent):
            had_run.append((each_loop.folder / "a.txt").exists())

    each_loop.api.scripts["it"] = Script.shell("touch a.txt")
    assert loop(each_loop.name).run(each_loop.spec(), "[[script:it]]", emit).succeeded
    assert had_run == [False] and (each_loop.folder / "a.txt").exists()


def test_what_emit_raises_ends_the_loop_and_its_command(each_loop: Loop) -> None:
    class Stopped(BaseException):
        """As a driver stops a loop."""

    def emit(event: AgentEvent) -> None:
        raise Stopped

    each_loop.api.scripts["it"] = Script.shell("touch a.txt")
    with pytest.raises(Stopped):
        loop(each_loop.name).run(each_loop.spec(), "[[script:it]]", emit)
    assert not (each_loop.folder / "a.txt").exists()


def test_usage_is_the_sum_of_the_usage_of_each_call(each_loop: Loop) -> None:
    cached = 0 if each_loop.name == "ollama" else 70
    turns = (
        Turn(calls=(Call.shell("true"),), tokens=Tokens(input=100, output=30, cache_read=cached)),
        Turn("done", tokens=Tokens(input=11, output=5, cache_read=cached)),
    )
    usage = each_loop.run(Script.of(*turns)).usage
    assert (usage.steps, usage.input_tokens, usage.output_tokens) == (2, 111, 35)
    assert usage.cache_read_tokens == (None if each_loop.name == "ollama" else 140)
    assert not usage.partial
    assert [spent.usage.input_tokens for spent in each_loop.seen(UsageEvent)] == [100, 11]


def test_a_local_model_has_no_price_of_its_namesake(each_loop: Loop) -> None:
    usage = each_loop.run(Script.of(Turn("done")), model="gpt-5.1").usage
    assert (usage.cost_usd is None) == (each_loop.name == "ollama")
    own = {"gpt-5.1": {"input": 1.0, "output": 1.0}}
    priced = each_loop.run(Script.of(Turn("done")), model="gpt-5.1", prices=own).usage
    assert priced.cost_usd == pytest.approx(0.00013)


def test_usage_that_an_api_does_not_report_is_unknown(each_loop: Loop) -> None:
    usage = each_loop.run(Script.of(Turn("done", tokens=None))).usage
    assert (usage.steps, usage.input_tokens, usage.output_tokens) == (1, None, None)
    assert usage.partial


def test_the_model_gets_the_failure_of_a_tool(each_loop: Loop, api: ModelApi) -> None:
    turn = Turn(calls=(Call.shell("echo broken; exit 9"), Call("fly", {"to": "moon"})))
    assert each_loop.run(Script.of(turn, Turn("well"))).succeeded
    messages = json.dumps(api.calls[1].body["messages"])
    assert "exit code 9" in messages and "unknown tool 'fly'" in messages


def test_more_tools_at_once_than_allowed_all_get_an_answer(each_loop: Loop, api: ModelApi) -> None:
    turn = Turn(calls=(Call("list"),) * 70)
    assert each_loop.run(Script.of(turn, Turn("well"))).succeeded
    assert len(each_loop.seen(ToolEvent)) == 64
    assert (
        json.dumps(api.calls[1].body["messages"]).count(
            "this tool call was not run: the answer has more than 64"
        )
        == 6
    )


def test_a_spec_with_few_fields_is_enough(each_loop: Loop, api: ModelApi) -> None:
    api.scripts["it"] = Script.of(Turn("done"))
    spec = {name: each_loop.spec()[name] for name in ("model", "base_url", "cwd")}
    nothing = {"limits": {"max_steps": None}, "timeouts": None, "retries": None, "prices": {}}
    for fields in (spec, {**spec, **nothing, "agent": "not for a loop"}):
        assert loop(each_loop.name).run(fields, "[[script:it]]", each_loop.events.append).succeeded


def test_the_api_is_found_by_its_variables(
    anthropic: Loop, api: ModelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
    monkeypatch.setenv("ANTHROPIC_MODEL", "of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "t-1")
    shown = Script.shell('echo "[$ANTHROPIC_AUTH_TOKEN]"')
    assert anthropic.run(shown, base_url="", model="").succeeded
    first, second = api.calls
    assert first.headers["authorization"] == "Bearer t-1" and "x-api-key" not in first.headers
    assert first.body["model"] == "of-the-environment"
    assert "t-1" not in json.dumps(second.body)


# Limits


def test_a_model_that_never_ends_is_ended_by_max_steps(each_loop: Loop, api: ModelApi) -> None:
    outcome = each_loop.run(FOREVER, limits={"max_steps": 4})
    assert outcome.error_class is ErrorClass.LIMIT and "max_steps (4 steps)" in outcome.error
    assert outcome.usage.steps == len(api.calls) == 4


def test_the_last_allowed_step_may_be_the_answer(each_loop: Loop) -> None:
    assert each_loop.run(Script.shell("true"), limits={"max_steps": 2}).succeeded


def test_tokens_have_a_limit(each_loop: Loop, api: ModelApi) -> None:
    outcome = each_loop.run(FOREVER, limits={"max_tokens": 300})
    assert outcome.error_class is ErrorClass.LIMIT and "max_tokens (300 tokens)" in outcome.error
    assert outcome.usage.steps == len(api.calls) == 3


def test_tokens_that_an_api_does_not_report_are_estimated_for_the_limit(each_loop: Loop) -> None:
    turn = Turn(calls=(Call.shell("true"),), tokens=None)
    limits = {"max_tokens": 3000, "max_steps": 50}
    outcome = each_loop.run(Script.of(turn, endless=True), limits=limits)
    assert outcome.error_class is ErrorClass.LIMIT and "max_tokens (3000 tokens)" in outcome.error
    assert outcome.usage.input_tokens is None


def test_what_is_read_from_a_cache_does_not_count(anthropic: Loop) -> None:
    tokens = Tokens(input=10, output=5, cache_read=100_000, cache_write=5)
    turn = Turn(calls=(Call.shell("true"),), tokens=tokens)
    outcome = anthropic.run(Script.of(turn, turn, Turn("done")), limits={"max_tokens": 200})
    assert outcome.succeeded and outcome.usage.cache_read_tokens == 200_000


def test_an_answer_gets_no_more_tokens_than_are_left(anthropic: Loop, api: ModelApi) -> None:
    anthropic.run(FOREVER, limits={"max_tokens": 300}, max_tokens=250)
    assert [call.body["max_tokens"] for call in api.calls] == [250, 170, 40]


def test_money_has_a_limit(each_loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.agents.model_loop.loop_usage.cost_of", lambda *_: 0.25)
    outcome = each_loop.run(FOREVER, limits={"max_cost_usd": 0.7})
    assert outcome.error_class is ErrorClass.LIMIT and "max_cost_usd (0.7 USD)" in outcome.error
    assert outcome.usage.cost_usd == pytest.approx(0.75) and outcome.usage.cost_estimated


def test_a_cost_limit_without_a_price_is_reported_as_not_enforced(each_loop: Loop) -> None:
    outcome = each_loop.run(Script.shell("true"), limits={"max_cost_usd": 1.0})
    assert outcome.succeeded and outcome.usage.cost_usd is None
    assert ["the price of" in event.text for event in each_loop.seen(RetryEvent)] == [True]


# Answers that are cut off or empty


def test_an_answer_that_is_cut_off_is_continued(each_loop: Loop, api: ModelApi) -> None:
    cut = Turn("half a", (Call.shell("touch made"),), stop="max_tokens")
    assert each_loop.run(Script.of(cut, Turn("whole"))).text == "whole"
    assert not (each_loop.folder / "made").exists()
    assert "cut off" in json.dumps(api.calls[1].body["messages"])


def test_answers_that_are_always_cut_off_are_a_limit(each_loop: Loop, api: ModelApi) -> None:
    outcome = each_loop.run(Script.of(Turn("half", stop="max_tokens"), endless=True))
    assert outcome.error_class is ErrorClass.LIMIT and "per call" in outcome.error
    assert len(api.calls) == 3


def test_an_empty_answer_is_requested_again(each_loop: Loop) -> None:
    # The next request does not contain the empty answer, so the stub API counts the same turn.
    empty = Fault(kind=Kind.BODY, body=EMPTY[each_loop.name], times=2)
    outcome = each_loop.run(Script.failing(empty, then="there it is"))
    assert outcome.succeeded and outcome.text == "there it is"


def test_answers_that_stay_empty_are_no_success(each_loop: Loop, api: ModelApi) -> None:
    outcome = each_loop.run(Script.of(Turn("", tokens=Tokens()), endless=True))
    assert outcome.error_class is ErrorClass.EMPTY and len(api.calls) == 3


EMPTY: dict[str, Any] = {
    "anthropic": {"content": [], "stop_reason": "end_turn"},
    "openai_compatible": {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
    "ollama": {"message": {"role": "assistant", "content": ""}, "done": True},
}


# Policies


def test_what_a_policy_refuses_is_no_success(each_loop: Loop) -> None:
    script = Script.of(Turn(calls=(Call("bash", {"command": "touch x"}),)), Turn("I could not"))
    outcome = each_loop.run(script, policy="edit")
    assert outcome.error_class is ErrorClass.DENIED and outcome.denied == ("bash",)
    assert outcome.text == "I could not" and not (each_loop.folder / "x").exists()
    assert [did.denied for did in each_loop.seen(ToolEvent)] == [True]


def test_a_tool_that_worked_after_a_refusal_was_not_needed_there(each_loop: Loop) -> None:
    outside = Turn(calls=(Call("write", {"path": "../x", "content": "x"}),))
    inside = Turn(calls=(Call("write", {"path": "x", "content": "x"}),))
    outcome = each_loop.run(Script.of(outside, inside, Turn("done")), policy="edit")
    assert outcome.succeeded and not outcome.denied


@pytest.mark.parametrize(
    ("policy", "tools"),
    [
        ("full", ["bash", "edit", "list", "read", "search", "write"]),
        ("edit", ["edit", "list", "read", "search", "write"]),
        ("read-only", ["list", "read", "search"]),
    ],
)
def test_only_tools_of_the_policy_are_offered(
    chat: Loop, api: ModelApi, policy: str, tools: list[str]
) -> None:
    chat.run(Script.of(Turn("done")), policy=policy)
    assert sorted(tool["function"]["name"] for tool in api.calls[0].body["tools"]) == tools


# Requests


def test_keys_are_sent_as_each_api_wants_them(
    each_loop: Loop, api: ModelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "k-1\n")
    each_loop.run(Script.of(Turn("done")), api_key_env="A_KEY", headers={"x-team": "blue"})
    headers = api.calls[0].headers
    name = "x-api-key" if each_loop.name == "anthropic" else "authorization"
    assert headers[name] == ("k-1" if name == "x-api-key" else "Bearer k-1")
    assert headers["x-team"] == "blue"


def test_the_shared_start_of_prompts_is_cached_separately(anthropic: Loop, api: ModelApi) -> None:
    shared = "All of this is the same for every worker.\n"
    prompt = shared + "This is yours."
    anthropic.run(Script.shell("true"), prompt=prompt, shared_length=len(shared))
    first, second = (call.body for call in api.calls)
    mark = {"type": "ephemeral"}
    assert first["messages"][0]["content"][0] == {
        "type": "text",
        "text": shared,
        "cache_control": mark,
    }
    assert first["system"][0]["cache_control"] == mark
    assert second["messages"][0]["content"][0] == first["messages"][0]["content"][0]
    assert second["messages"][-1]["content"][-1]["cache_control"] == mark
    assert json.dumps(second).count("cache_control") == 3
    assert second["system"] == first["system"] and second["tools"] == first["tools"]


def test_ollama_is_asked_for_its_context_window(ollama: Loop, api: ModelApi) -> None:
    ollama.run(Script.of(Turn("done")), context_tokens=16000, max_tokens=500)
    assert api.calls[0].body["options"] == {"num_ctx": 16000, "num_predict": 500}
    assert api.calls[0].body["stream"] is False


def test_several_loops_run_in_parallel(api: ModelApi, tmp_path: Path) -> None:
    script = Script.shell("echo made > own.txt", then="done")
    loops = [Loop(name, api, tmp_path / f"{name}{n}") for name in LOOPS for n in range(4)]

    def run(each: Loop) -> bool:
        each.folder.mkdir()
        return each.run(script).succeeded

    with ThreadPoolExecutor(len(loops)) as pool:
        assert all(pool.map(run, loops))
    assert all((each.folder / "own.txt").exists() for each in loops)


def put(folder: Path, text: str, at: float = 1.0, attempt: int = 0) -> str:
    """Write a message as the server writes it for the driver."""
    sent = WorkerMessage(id=str(uuid4()), at=at, by="ada", text=text, attempt=attempt)
    (folder / message_file_name(sent.id)).write_text(message_document(sent))
    return sent.id


def mailbox(folder: Path, read: list[str], resumed: bool = False) -> Mailbox:
    return Mailbox(folder, read.extend, lambda text: None, resumed=resumed)


def test_a_message_is_read_before_the_next_call_of_the_model(
    each_loop: Loop, api: ModelApi, tmp_path: Path
) -> None:
    control, read = tmp_path / "control", list[str]()
    control.mkdir()
    first = put(control, "Known from the start")
    sent: list[str] = []

    def emit(event: AgentEvent) -> None:
        if isinstance(event, ToolEvent):
            sent.append(put(control, "Use ```tabs```"))

    turns = (Turn(calls=(Call.shell("true"),)), Turn("done"))
    each_loop.api.scripts["it"] = Script.of(*turns)
    box = mailbox(control, read)
    outcome = loop(each_loop.name).run(each_loop.spec(), "[[script:it]]", emit, box)

    assert outcome.succeeded, outcome
    bodies = [json.dumps(call.body["messages"], ensure_ascii=False) for call in api.calls]
    assert "Known from the start" in bodies[0] and "tabs" not in bodies[0]
    assert "````\\nUse ```tabs```\\n````" in bodies[1]
    assert read == [first, *sent]
    assert read_ids(control) == tuple(sorted(read))


def test_a_message_during_the_last_answer_causes_another_answer(
    each_loop: Loop, api: ModelApi, tmp_path: Path
) -> None:
    read: list[str] = []

    def emit(event: AgentEvent) -> None:
        if isinstance(event, TextEvent) and event.text == "first":
            put(tmp_path, "One more thing")

    each_loop.api.scripts["it"] = Script.of(Turn("first"), Turn("second"))
    box = mailbox(tmp_path, read)
    outcome = loop(each_loop.name).run(each_loop.spec(), "[[script:it]]", emit, box)

    assert outcome.text == "second" and len(read) == 1
    assert "One more thing" in json.dumps(api.calls[1].body["messages"][-1])


def test_a_resumed_session_knows_what_it_has_read(tmp_path: Path) -> None:
    put(tmp_path, "read before", attempt=1)
    put(tmp_path, "new", at=2.0)

    assert [each.text for each in mailbox(tmp_path, [], resumed=True).fetch_new()] == ["new"]
    box = mailbox(tmp_path, [])
    assert [each.text for each in box.fetch_new()] == ["read before", "new"]
    assert not box.fetch_new() and box.has_unread
    (tmp_path / "message-broken.json").write_text("{")
    (tmp_path / "message-pipe.json").symlink_to("/dev/zero")
    assert not box.fetch_new()
