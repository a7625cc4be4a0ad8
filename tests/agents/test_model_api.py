"""Tests of the stub model API: its formats, complete and streamed, and the due turns."""

import http.client
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.agents.model_api import Call, Fault, Kind, ModelApi, Script, Tokens, Turn

TURN = Turn("words here", (Call("look", {"at": "it"}),), Tokens(input=7, output=3, cache_read=2))
USER = {"role": "user", "content": "[[script:it]]"}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {}}}
GEMINI = "/v1beta/models/gemini-2.5-flash:"
#: Path, body, and path of the stream, by API.
REQUESTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "anthropic": (
        "/v1/messages?beta=true",
        {"messages": [USER], "tools": [{"name": "look", "input_schema": {}}]},
        "",
    ),
    "chat": ("/v1/chat/completions", {"messages": [USER], "tools": [FUNCTION]}, ""),
    "responses": (
        "/v1/responses",
        {"input": [{"type": "message", **USER}], "tools": [{"type": "function", "name": "look"}]},
        "",
    ),
    "gemini": (
        GEMINI + "generateContent",
        {
            "contents": [{"role": "user", "parts": [{"text": "[[script:it]]"}]}],
            "tools": [{"functionDeclarations": [{"name": "look"}]}],
        },
        GEMINI + "streamGenerateContent?alt=sse",
    ),
    "ollama": ("/api/chat", {"messages": [USER], "tools": [FUNCTION]}, ""),
}


def ask(api: ModelApi, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    url = urlsplit(api.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def whole(api: ModelApi, name: str) -> Any:
    path, body, _ = REQUESTS[name]
    status, answer = ask(api, "POST", path, {"stream": False, **body})
    assert status == 200
    return json.loads(answer)


def streamed(api: ModelApi, name: str) -> list[Any]:
    path, body, stream_path = REQUESTS[name]
    status, answer = ask(api, "POST", stream_path or path, {"stream": True, **body})
    assert status == 200
    return list(values(answer.decode().splitlines()))


def values(lines: Iterable[str]) -> Iterable[Any]:
    for line in lines:
        text = line.removeprefix("data: ")
        if text.startswith("{"):
            yield json.loads(text)


def found(value: Any, key: str) -> list[Any]:
    """Return all values under a name, at any depth."""
    if isinstance(value, list):
        return [each for part in value for each in found(part, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [each for part in value.values() for each in found(part, key)]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_turn_has_words_a_call_and_tokens(api: ModelApi, name: str) -> None:
    api.scripts["it"] = Script.of(TURN)
    answer = json.dumps(whole(api, name))
    assert "words here" in answer and "look" in answer and "at" in answer


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("anthropic", "text"),
        ("chat", "content"),
        ("responses", "delta"),
        ("gemini", "text"),
        ("ollama", "content"),
    ],
)
def test_a_stream_carries_the_same_in_pieces(api: ModelApi, name: str, key: str) -> None:
    api.scripts["it"] = Script.of(TURN)
    events = streamed(api, name)
    pieces = [text for text in found(events, key) if isinstance(text, str) and text]
    assert "".join(pieces) == "words here" and len(pieces) == 2
    assert "look" in json.dumps(events)


def test_the_streams_end_as_each_api_specifies(api: ModelApi) -> None:
    api.scripts["it"] = Script.of(TURN)
    assert streamed(api, "anthropic")[-1] == {"type": "message_stop"}
    assert streamed(api, "responses")[-1]["type"] == "response.completed"
    assert streamed(api, "gemini")[-1]["candidates"][0]["finishReason"] == "STOP"
    assert streamed(api, "ollama")[-1]["done"] is True
    assert streamed(api, "chat")[-1]["usage"]["prompt_tokens"] == 9


def test_tokens_read_from_the_cache_are_reported_as_each_api_does(api: ModelApi) -> None:
    api.scripts["it"] = Script.of(TURN)
    assert whole(api, "anthropic")["usage"]["input_tokens"] == 7
    assert whole(api, "anthropic")["usage"]["cache_read_input_tokens"] == 2
    assert whole(api, "responses")["usage"]["input_tokens"] == 9
    assert whole(api, "gemini")["usageMetadata"]["promptTokenCount"] == 9


def test_the_model_that_answers_is_the_one_that_was_asked(api: ModelApi) -> None:
    api.scripts["it"] = Script.of(TURN)
    assert whole(api, "gemini")["modelVersion"] == "gemini-2.5-flash"
    assert whole(api, "chat")["model"] == "stub-model"


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("status", [401, 429, 500, 529])
def test_an_error_has_its_status_and_message(api: ModelApi, name: str, status: int) -> None:
    fault = Fault(status=status, message="so it is", headers={"retry-after": "5"})
    api.scripts["it"] = Script.failing(fault)
    path, body, _ = REQUESTS[name]
    answered, text = ask(api, "POST", path, body)
    assert answered == status and "so it is" in text.decode()
    assert ask(api, "POST", path, body)[0] == 200


@pytest.mark.parametrize("name", REQUESTS)
def test_a_cut_stream_breaks_off(api: ModelApi, name: str) -> None:
    api.scripts["it"] = Script.failing(Fault(kind=Kind.CUT))
    with pytest.raises(http.client.IncompleteRead):
        streamed(api, name)


@pytest.mark.parametrize(
    "path", ["/", "/v1/models", "/api/tags", "/v1/messages/count_tokens", "/anything?x=1"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_requests_without_a_model_are_answered(api: ModelApi, method: str, path: str) -> None:
    assert ask(api, method, path, {"any": "thing"} if method == "POST" else None)[0] == 200
    assert not api.calls and len(api.requests) == 1


def test_a_request_for_a_title_uses_no_turn(api: ModelApi) -> None:
    api.scripts["it"] = Script.of(TURN)
    _, text = ask(api, "POST", "/v1/chat/completions", {"messages": [USER]})
    assert json.loads(text)["choices"][0]["message"]["content"] == "A title"
    assert whole(api, "chat")["choices"][0]["message"]["tool_calls"]


def test_the_last_script_that_the_user_names_is_taken(api: ModelApi) -> None:
    api.scripts["b"] = Script.of(Turn("of b"), Turn("of b again"))
    output = {"role": "tool", "content": "[[script:it]]"}
    both = {"role": "user", "content": "[[script:a]] and [[script:b]]"}
    messages = [USER, {"role": "assistant", "content": "x"}, both]
    _, text = ask(api, "POST", "/v1/chat/completions", {"messages": messages})
    assert "of b" in text.decode() and api.calls[-1].turn == 0
    messages += [
        {"role": "assistant", "content": "x"},
        output,
        {"role": "user", "content": "go on"},
    ]
    ask(api, "POST", "/v1/chat/completions", {"messages": messages})
    assert (api.calls[-1].script, api.calls[-1].turn) == ("b", 1)


SHELL_TOOLS = {
    "Bash": ({"command": {}, "description": {}}, {"command": "ls", "description": "run a command"}),
    "bash": ({"command": {}}, {"command": "ls"}),
    "exec_command": ({"cmd": {}}, {"cmd": "ls"}),
    "shell": ({"command": {"type": "array"}}, {"command": ["bash", "-lc", "ls"]}),
}


@pytest.mark.parametrize("tool", SHELL_TOOLS)
def test_a_neutral_call_has_the_form_of_the_tool_that_is_offered(api: ModelApi, tool: str) -> None:
    properties, arguments = SHELL_TOOLS[tool]
    api.scripts["it"] = Script.shell("ls")
    offered = {"name": tool, "input_schema": {"properties": properties}}
    _, text = ask(api, "POST", "/v1/messages", {"messages": [USER], "tools": [offered]})
    block = json.loads(text)["content"][0]
    assert (block["name"], block["input"]) == (tool, arguments)


def test_a_tool_of_an_mcp_server_is_found_by_its_end(api: ModelApi) -> None:
    api.scripts["it"] = Script.of(Turn(calls=(Call.mcp("wait", job="j1"),)))
    offered: list[Any] = [
        {"name": name, "input_schema": {}} for name in ("await", "mcp__orchestrator__wait")
    ]
    _, text = ask(api, "POST", "/v1/messages", {"messages": [USER], "tools": offered})
    assert json.loads(text)["content"][0]["name"] == "mcp__orchestrator__wait"
