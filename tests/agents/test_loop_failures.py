"""All failures of a model's server, for each loop: class, text, and retries."""

import json
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.agents.activity.agent_events import RetryEvent, TextEvent, ToolEvent
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from tests.agents.conftest import Loop, until
from tests.agents.model_api import Call, Fault, Kind, ModelApi, Script, Turn
from tests.agents.model_api.scripts import overloaded, rate_limited, unauthorized

E = ErrorClass


@pytest.mark.parametrize(
    ("status", "kind", "calls"),
    [
        (400, E.API, 1),
        (401, E.AUTH, 1),
        (403, E.AUTH, 1),
        (404, E.CONFIG, 1),
        (413, E.LIMIT, 1),
        (429, E.RATE_LIMIT, 2),
        (500, E.API, 2),
        (503, E.API, 2),
        (529, E.RATE_LIMIT, 2),
    ],
)
def test_a_status_has_its_class_and_its_number_of_tries(
    each_loop: Loop, api: ModelApi, status: int, kind: ErrorClass, calls: int
) -> None:
    outcome = each_loop.run(Script.failing(Fault(status=status, message="so it is", times=0)))
    assert outcome.error_class is kind and len(api.calls) == calls
    assert "so it is" in outcome.error and str(status) in outcome.error


@pytest.mark.parametrize("fault", [rate_limited(retry_after="0"), overloaded(), Fault()])
def test_a_transient_failure_costs_only_a_try(each_loop: Loop, fault: Fault) -> None:
    outcome = each_loop.run(Script.failing(fault))
    assert outcome.succeeded and outcome.usage.steps == 1
    assert not outcome.usage.partial, "a rejected call costs nothing"
    assert len(each_loop.seen(RetryEvent)) == 1


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CUT, Kind.MALFORMED])
def test_a_broken_answer_is_requested_again(each_loop: Loop, kind: Kind) -> None:
    outcome = each_loop.run(Script.failing(Fault(kind=kind)))
    assert outcome.succeeded
    assert outcome.usage.partial, "the usage of the broken call is unknown"


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.CUT, Kind.MALFORMED])
def test_answers_that_stay_broken_are_a_failure_of_the_service(
    each_loop: Loop, api: ModelApi, kind: Kind
) -> None:
    outcome = each_loop.run(Script.failing(Fault(kind=kind, times=0)))
    assert outcome.error_class is E.API and len(api.calls) == 2
    assert outcome.usage.partial


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.TRICKLE])
def test_an_answer_that_does_not_come_is_a_timeout(
    each_loop: Loop, api: ModelApi, kind: Kind
) -> None:
    fault = Fault(kind=kind, times=0)
    outcome = each_loop.run(Script.failing(fault), timeouts={"call": 0.7})
    assert outcome.error_class is E.TIMEOUT and "0.7 s" in outcome.error
    until(lambda: len(api.calls) == 2)


def test_an_answer_without_an_end_is_not_read_for_ever(each_loop: Loop) -> None:
    outcome = each_loop.run(Script.failing(Fault(kind=Kind.HUGE, times=0)), retries=0)
    assert outcome.error_class is E.API and "larger than" in outcome.error


def test_an_unreachable_server_is_named(each_loop: Loop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        outcome = each_loop.run(Script.of(Turn("")), base_url=url)
    assert outcome.error_class is E.API
    assert f"cannot reach {url}" in outcome.error


# Limited accounts


def test_a_wait_that_the_server_requests_is_observed(each_loop: Loop) -> None:
    begun = time.monotonic()
    assert each_loop.run(Script.failing(rate_limited(retry_after="1"))).succeeded
    assert time.monotonic() - begun >= 1
    assert [event.seconds for event in each_loop.seen(RetryEvent)] == [1.0]


def test_a_long_wait_ends_the_call_with_the_time_of_the_reset(
    each_loop: Loop, api: ModelApi
) -> None:
    outcome = each_loop.run(Script.failing(rate_limited(retry_after="3600", times=0)))
    assert outcome.error_class is E.RATE_LIMIT and len(api.calls) == 1
    assert outcome.resets_at is not None
    assert 3500 < outcome.resets_at - time.time() <= 3600


def test_the_time_of_the_reset_is_read_from_the_message(each_loop: Loop) -> None:
    at = int(time.time()) + 7200
    words = f"Your limit resets at {datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    fault = rate_limited(message=words, times=0)
    assert each_loop.run(Script.failing(fault)).resets_at == at


# Context windows


@pytest.mark.parametrize(
    "message", ["prompt is too long: 9 tokens > 8 maximum", "maximum context length is 8 tokens"]
)
def test_a_conversation_that_no_longer_fits_is_a_limit(
    each_loop: Loop, api: ModelApi, message: str
) -> None:
    full = Turn("", faults=(Fault(status=400, message=message, times=0),))
    outcome = each_loop.run(Script.of(Turn(calls=(Call.shell("true"),)), full))
    assert outcome.error_class is E.LIMIT and "context window" in outcome.error
    assert outcome.usage.steps == 1 and len(api.calls) == 2


def test_what_ollama_would_cut_silently_is_not_sent(ollama: Loop, api: ModelApi) -> None:
    outcome = ollama.run(Script.of(Turn("x")), prompt="word " * 5000, context_tokens=2048)
    assert outcome.error_class is E.LIMIT and "context window" in outcome.error
    assert not api.calls


def test_an_answer_that_fills_the_context_is_a_limit(ollama: Loop) -> None:
    outcome = ollama.run(Script.of(Turn("half", stop="max_tokens")), context_tokens=130)
    # The default instructions alone are longer: a token has at most 5 characters.
    assert outcome.error_class is E.LIMIT and "context window" in outcome.error


def test_a_model_that_declines_is_a_failure(anthropic: Loop) -> None:
    outcome = anthropic.run(Script.of(Turn("I will not", stop="refusal")))
    assert (outcome.error_class, outcome.error) == (E.DECLINED, "I will not")


def test_a_content_filter_declines(chat: Loop, api: ModelApi) -> None:
    outcome = chat.run(Script.of(Turn("", stop="content_filter")))
    assert (outcome.error_class, outcome.error) == (E.DECLINED, "no reason given")
    fault = Fault(status=400, type="content_filter", message="The prompt was filtered", times=0)
    assert chat.run(Script.failing(fault)).error_class is E.DECLINED
    assert len(api.calls) == 2


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ({"finish_reason": "error", "error": {"message": "Provider lost"}}, "Provider lost"),
        ({"finish_reason": "error", "error": {"code": 502, "message": "Bad gateway"}}, "502"),
        ({"finish_reason": "insufficient_system_resource"}, "insufficient_system_resource"),
    ],
)
def test_an_answer_in_which_the_service_failed_is_no_answer(
    chat: Loop, ending: dict[str, Any], words: str
) -> None:
    body = {"choices": [{"message": {"content": "The three reasons are"}, **ending}]}
    outcome = chat.run(Script.failing(Fault(kind=Kind.BODY, body=body, times=0)))
    assert outcome.error_class is E.API and words in outcome.error


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "everything"},
        {"cwd": "/nonexistent"},
        {"base_url": "ftp://x"},
        {"base_url": "http://[::1"},
        {"base_url": "http://x:99999"},
        {"base_url": "http://127.0.0.1/a b"},
        {"base_url": "http:///v1"},
        {"limits": {"max_stepz": 1}},
        {"headers": {"x": "a\r\nb: c"}},
    ],
)
def test_settings_that_cannot_work_are_a_failure_of_configuration(
    each_loop: Loop, api: ModelApi, wrong: dict[str, Any]
) -> None:
    outcome = each_loop.run(Script.of(Turn("x")), **wrong)
    assert outcome.error_class is E.CONFIG and outcome.error
    assert not api.calls


def test_without_a_model_a_local_service_uses_one_that_it_has(
    each_loop: Loop, api: ModelApi
) -> None:
    outcome = each_loop.run(Script.of(Turn("x")), model="")
    if each_loop.name == "ollama":
        assert outcome.text == "x" and not outcome.error
    else:
        assert outcome.error_class is E.CONFIG and outcome.error
        assert not api.calls


def test_a_missing_key_is_named(anthropic: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    url = "https://192.0.2.1"
    outcome = anthropic.run(Script.of(Turn("x")), base_url=url, api_key_env="NO_SUCH_KEY")
    assert outcome.error_class is E.AUTH and "set NO_SUCH_KEY" in outcome.error


def test_a_self_hosted_server_may_need_no_key(
    chat: Loop, api: ModelApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(
        "orchestrator.agents.model_loop.model_http.http_post.is_loopback", lambda host: False
    )
    assert chat.run(Script.of(Turn("x"))).succeeded
    assert "authorization" not in api.calls[0].headers


def test_a_key_does_not_leave_the_machine_unencrypted(
    each_loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "k")
    url = "http://192.0.2.1"
    outcome = each_loop.run(Script.of(Turn("x")), base_url=url, api_key_env="A_KEY")
    assert outcome.error_class is E.CONFIG and "without TLS" in outcome.error


def test_a_rejected_key_is_not_retried(each_loop: Loop, api: ModelApi) -> None:
    assert each_loop.run(Script.failing(unauthorized())).error_class is E.AUTH
    assert len(api.calls) == 1


def test_a_redirection_is_not_followed(each_loop: Loop, api: ModelApi) -> None:
    fault = Fault(status=307, headers={"location": api.url + "/elsewhere"}, times=0)
    outcome = each_loop.run(Script.failing(fault))
    assert outcome.error_class is E.CONFIG and "/elsewhere" in outcome.error
    assert len(api.requests) == 1


# Other answers of servers

NESTED = json.loads("[" * 500 + "]" * 500)
STRANGE: tuple[Any, ...] = (
    None,
    5,
    "words",
    [],
    {},
    NESTED,
    {"error": {"message": "hidden in a 200"}},
    {"content": None, "choices": None, "message": None},
    {"content": [None, 5, [], {"type": "text", "text": 5}], "usage": 7, "stop_reason": []},
    {"content": [{"type": "tool_use", "id": 5, "name": [], "input": "x"}], "usage": []},
    {"content": [{"type": "text", "text": "\ud800"}], "usage": {"input_tokens": -5}},
    {"content": [{"type": "text"}], "usage": {"input_tokens": 1e400, "output_tokens": True}},
    {"choices": [None]},
    {"choices": [{"message": {"content": 5, "tool_calls": "x"}, "finish_reason": 1}]},
    {"choices": [{"message": {"tool_calls": [None, 5, {"function": {"arguments": "{"}}]}}]},
    {"choices": [{"message": {"tool_calls": [{"function": {"name": "bash", "arguments": "[1"}}]}}]},
    {
        "choices": [{"message": {"content": [{"text": "\ud800"}, 5]}}],
        "usage": {"prompt_tokens": "9"},
    },
    {"message": {"content": None, "tool_calls": [{"function": {"name": 5, "arguments": [1]}}]}},
    {"message": {"content": "\ud800"}, "prompt_eval_count": 10**40, "eval_count": "many"},
    {"message": "words"},
    {"content": [{"type": "tool_use", "id": "a", "name": "r", "input": {"path": "\ud800"}}]},
    {"content": [{"type": "tool_use", "id": "a", "name": "read", "input": {"path": "\ud800"}}]},
    {"message": {"tool_calls": [{"function": {"name": "\ud800", "arguments": {"path": "x"}}}]}},
)


@pytest.mark.parametrize("body", STRANGE, ids=range(len(STRANGE)))
def test_no_answer_raises(each_loop: Loop, body: Any) -> None:
    fault = Fault(kind=Kind.BODY, body=body, times=0)
    outcome = each_loop.run(Script.failing(fault), limits={"max_steps": 4})
    texts = [outcome.text, outcome.error]
    texts += [event.text for event in each_loop.seen(TextEvent)]
    texts += [text for did in each_loop.seen(ToolEvent) for text in (did.tool, did.summary)]
    # A lone surrogate in any of them would break the log.
    assert all(text.encode() is not None for text in texts)


@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("body", STRANGE[:8], ids=range(8))
def test_no_error_raises(each_loop: Loop, status: int, body: Any) -> None:
    fault = Fault(kind=Kind.BODY, status=status, body=body, times=0)
    assert not each_loop.run(Script.failing(fault)).succeeded
