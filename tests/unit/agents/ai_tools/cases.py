"""Failures of each agent, including signals, with the expected class of error.

The output has the form that was measured. Other cases are captured runs: see ``samples``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.core.model.attempt.attempt_result import ErrorClass
from tests.unit.agents.ai_tools.samples import events

CREDIT = ErrorClass.CREDIT
OK, AUTH, RATE, API = ErrorClass.NONE, ErrorClass.AUTH, ErrorClass.RATE_LIMIT, ErrorClass.API
CONFIG, LIMIT, DENIED = ErrorClass.CONFIG, ErrorClass.LIMIT, ErrorClass.DENIED
EMPTY, KILLED, TIMEOUT = ErrorClass.EMPTY, ErrorClass.KILLED, ErrorClass.TIMEOUT
INTERNAL, DECLINED = ErrorClass.INTERNAL, ErrorClass.DECLINED


@dataclass(frozen=True)
class Case:
    name: str
    agent: str
    becomes: ErrorClass
    lines: Sequence[str] = ()
    code: int | None = 0
    signal: int | None = None
    stderr: str = ""
    #: Parts of the expected answer and error.
    text: str = ""
    error: str = ""
    denied: tuple[str, ...] = field(default=())


def claude(kind: str = "", words: str = "", **more: object) -> list[str]:
    """Return claude's last event. Its subtype is "success" even for an API error."""
    failed = bool(kind) and kind != "completed"
    usage = {"m": {"inputTokens": 100, "outputTokens": 20, "costUSD": 0.0008}}
    result = {"type": "result", "subtype": "success", "is_error": failed, "result": words}
    ending = {"terminal_reason": kind or "completed", "num_turns": 1, "modelUsage": usage}
    return events({**result, **ending, "session_id": "s", "permission_denials": [], **more})


def claude_api(status: int | None, kind: str, words: str) -> list[str]:
    return claude("api_error", words, api_error_status=status, api_error_type=kind)


def codex(*rest: object) -> list[str]:
    return events({"type": "thread.started", "thread_id": "t"}, {"type": "turn.started"}, *rest)


def codex_failed(words: str, tries: int = 0) -> list[str]:
    again = [
        {"type": "error", "message": f"Reconnecting... {n}/{tries} ({words})"}
        for n in range(1, tries + 1)
    ]
    failed = {"type": "turn.failed", "error": {"message": words}}
    return codex(*again, {"type": "error", "message": words}, failed)


CODEX_DONE = {"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 3}}
CODEX_SAID = {"type": "item.completed", "item": {"type": "agent_message", "id": "1", "text": "hi"}}
CODEX_ASKED = {"type": "item.started", "item": {"type": "command_execution", "id": "2"}}
GEMINI_INIT = {"type": "init", "session_id": "g", "model": "gemini-2.5-flash"}
GEMINI_STATS = {"input_tokens": 100, "output_tokens": 20, "cached": 0, "models": {}}
GEMINI_DONE = {"type": "result", "status": "success", "stats": GEMINI_STATS}
GEMINI_TOOL = {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "1"}


def gemini_said(words: str) -> object:
    return {"type": "message", "role": "assistant", "content": words, "delta": True}


def gemini_failed(status: int, words: str = "no") -> list[str]:
    inner = f'[API Error: {{"error":{{"code":{status},"message":"{words}"}}}}]'
    error = {"type": "unknown", "message": inner}
    return events(GEMINI_INIT, {"type": "result", "status": "error", "error": error})


def gemini_stderr(status: int, words: str) -> str:
    body = f'"error": {{"type": "Error", "message": "{words}", "code": {status}}}'
    return f"Error when talking to Gemini API\n    at x (y.js:1:2)\n{{\n  {body}\n}}"


def opencode(reason: str = "stop", text: str = "done", cost: float = 0.1) -> list[str]:
    part = {"reason": reason, "tokens": {"input": 100, "output": 20}, "cost": cost}
    texts = [{"type": "text", "part": {"text": text}}] if text else []
    return events({"type": "step_start"}, *texts, {"type": "step_finish", "part": part})


def opencode_failed(status: int, words: str, name: str = "APIError", **data: object) -> list[str]:
    error = {"name": name, "data": {"message": words, "statusCode": status, **data}}
    return events({"type": "error", "sessionID": "o", "error": error})


GEMINI_TOO_LONG = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
GEMINI_EMPTY = events(
    GEMINI_INIT,
    {"type": "error", "message": "The model returned an empty response with no text"},
    {"type": "result", "status": "error"},
)
CLAUDE_CUT = "API Error: Claude's response exceeded the 128000 output token maximum."
FLAGGED = "API Error: Sonnet 5.5's safeguards flagged this message."
AGAINST_POLICY = (
    "API Error: Claude Code is unable to respond to this request, which appears to violate our"
    " Usage Policy (https://www.anthropic.com/legal/aup)."
)
BLOCKED = "Output blocked by content filtering policy"
NO_ACCESS = "Project `p` does not have access to model `m`"
CODEX_CUT = "reason: max_output_tokens"
GEMINI_CUT = events(
    GEMINI_INIT,
    {
        "type": "error",
        "message": "Model response was truncated because it exceeded the token limit.",
    },
    {"type": "result", "status": "error"},
)
CASES = (
    # 401, 403: a rejected key.
    Case("401", "claude", AUTH, claude_api(401, "authentication_error", "API Error: 401"), 1),
    Case("403", "claude", AUTH, claude_api(403, "permission_error", "API Error: 403"), 1),
    Case("login", "claude", AUTH, claude_api(None, "", "Not logged in - Please run /login"), 1),
    Case("token", "claude", AUTH, claude_api(None, "", "OAuth token has expired"), 1),
    Case("401", "codex", AUTH, codex_failed("unexpected status 401 Unauthorized: no", 5), 1),
    Case("403", "codex", AUTH, codex_failed("unexpected status 403 Forbidden: no"), 1),
    Case("401", "gemini", AUTH, gemini_failed(401), 145, error="no"),
    Case(
        "401 json", "gemini", AUTH, [], 145, stderr=gemini_stderr(401, "bad key"), error="bad key"
    ),
    Case("403", "gemini", AUTH, gemini_failed(403), 147),
    Case("no words", "gemini", AUTH, [], 147),
    Case("bad key", "gemini", AUTH, gemini_failed(400, "API key not valid. Pass one"), 144),
    Case("no key", "gemini", AUTH, [], 41, stderr="Please set an Auth method in your settings"),
    Case("401", "opencode", AUTH, opencode_failed(401, "no"), 1),
    Case("403", "opencode", AUTH, opencode_failed(403, "no"), 1),
    Case(
        *("401, code 0", "aider", AUTH, ["litellm.AuthenticationError: OpenAIException - no"], 0),
        error="AuthenticationError",
    ),
    Case("no key", "aider", AUTH, ["No LLM model was specified and no API keys were provided."], 1),
    Case("no credit", "claude", CREDIT, claude_api(400, "", "Your credit balance is too low"), 1),
    Case(
        "no quota", "codex", CREDIT, codex_failed("Quota exceeded. Check your plan and billing"), 1
    ),
    # A prompt that is too long: a retry would also fail.
    Case("too long", "claude", LIMIT, claude_api(400, "", "Prompt is too long"), 1),
    Case("413", "claude", LIMIT, claude_api(413, "", "Request too large (max 32MB)"), 1),
    Case("413", "codex", LIMIT, codex_failed("unexpected status 413 Payload Too Large: no"), 1),
    Case("413", "gemini", LIMIT, gemini_failed(413), 157),
    Case("413", "opencode", LIMIT, opencode_failed(413, "no"), 1),
    Case("too long", "codex", LIMIT, codex_failed("your input exceeds the context window"), 1),
    Case("too long", "gemini", LIMIT, gemini_failed(400, GEMINI_TOO_LONG), 144),
    Case("too large", "opencode", LIMIT, opencode_failed(0, "no", name="ContextOverflowError"), 1),
    Case("too long", "opencode", LIMIT, opencode_failed(400, "context_length_exceeded"), 1),
    Case("no words", "gemini", EMPTY, GEMINI_EMPTY, 0, error="an empty response"),
    # 400, 404: the request is wrong, or the model does not exist.
    Case("400", "claude", API, claude_api(400, "invalid_request_error", "API Error: 400"), 1),
    Case("404", "claude", CONFIG, claude_api(404, "not_found_error", "model: x"), 1),
    Case("400", "codex", API, codex_failed("unexpected status 400 Bad Request: no"), 1),
    Case(
        *("400 json", "codex", API, codex_failed('{"error": {"message": "no such thing"}}'), 1),
        error="no such thing",
    ),
    Case("403 model", "codex", CONFIG, codex_failed(f"unexpected status 403: {NO_ACCESS}"), 1),
    Case("403 model", "opencode", CONFIG, opencode_failed(403, NO_ACCESS), 1),
    Case("404", "codex", CONFIG, codex_failed("unexpected status 404 Not Found: no"), 1),
    Case("400", "gemini", API, gemini_failed(400), 144),
    Case("404", "gemini", CONFIG, gemini_failed(404), 148),
    Case("400", "opencode", API, opencode_failed(400, "no"), 1),
    # 429.
    Case("429", "claude", RATE, claude_api(429, "rate_limit_error", "rejected (429)"), 1),
    Case("529", "claude", RATE, claude_api(529, "overloaded_error", "Overloaded"), 1),
    Case("plan", "claude", RATE, claude_api(None, "", "You've hit your limit - resets 3pm"), 1),
    Case("429", "codex", RATE, codex_failed("last status: 429 Too Many Requests", 5), 1),
    Case("plan", "codex", RATE, codex_failed("You've hit your usage limit."), 1),
    Case("429", "gemini", RATE, gemini_failed(429, "You exceeded your current quota"), 173),
    Case("429 json", "gemini", RATE, [], 173, stderr=gemini_stderr(429, "quota")),
    Case("429", "opencode", RATE, opencode_failed(429, "slow down"), 1),
    Case("429", "aider", RATE, ["litellm.RateLimitError: no", "Retrying in 0.2 seconds..."], 0),
    # 500, and an unreachable service.
    Case("500", "claude", API, claude_api(500, "api_error", "API Error: 500"), 1),
    Case("reset", "claude", API, claude_api(None, "", "API Error: Connection error."), 1),
    Case("no answer", "claude", API, claude_api(None, "", "API Error: Request timed out."), 1),
    Case("500", "codex", API, codex_failed("We're currently experiencing high demand", 5), 1),
    Case("reset", "codex", API, codex_failed("stream disconnected before completion", 5), 1),
    Case("500", "gemini", API, gemini_failed(500), 244),
    Case("503", "gemini", API, gemini_failed(503), 247),
    Case("reset", "gemini", API, [], 1, stderr="TypeError: fetch failed: ECONNRESET"),
    Case("500", "opencode", API, opencode_failed(500, "no"), 1),
    Case("reset", "opencode", API, events({"type": "error", "error": {"name": "UnknownError"}}), 1),
    Case("500", "aider", API, ["litellm.InternalServerError: no"], 0),
    Case("reset", "aider", API, ["litellm.APIConnectionError: no"], 0),
    # A stream that is cut off. For a service that never answers, see the signals.
    Case("cut, recovered", "claude", OK, claude("completed", "whole"), text="whole"),
    Case("cut", "codex", API, codex_failed("stream closed before response.completed", 5), 1),
    Case(
        *("cut, in part", "gemini", OK, events(GEMINI_INIT, gemini_said("ha"), GEMINI_DONE)),
        text="ha",
    ),
    Case("cut, empty", "gemini", EMPTY, events(GEMINI_INIT, GEMINI_DONE)),
    Case("two at once", "opencode", API, code=1, stderr="database is locked"),
    Case("cut, for ever", "opencode", KILLED, opencode("unknown", "") * 3, 0),
    # No answer.
    Case("empty", "claude", EMPTY, claude("completed", "")),
    Case("empty", "codex", EMPTY, codex(CODEX_DONE)),
    Case("empty", "gemini", EMPTY, events(GEMINI_INIT, gemini_said(" "), GEMINI_DONE)),
    Case("empty", "opencode", EMPTY, opencode(text="")),
    Case("empty", "aider", EMPTY, ["Aider v0.86.2", "Tokens: 10 sent, 0 received."]),
    Case("empty", "plain", EMPTY, ["", "  "]),
    # The model declined to answer.
    Case("refusal", "claude", DECLINED, claude("api_error", FLAGGED, stop_reason="refusal"), 1),
    Case("earlier text", "claude", DECLINED, claude("api_error", AGAINST_POLICY), 1),
    Case("filter", "codex", DECLINED, codex_failed("Incomplete response: content_filter"), 1),
    Case("filter", "opencode", DECLINED, opencode_failed(0, "no", name="ContentFilterError"), 1),
    Case("policy", "opencode", DECLINED, opencode_failed(400, BLOCKED), 1),
    # Denied tools, all with code 0.
    Case(
        *("denied", "claude", DENIED, claude("", "ok", permission_denials=[{"tool_name": "Bash"}])),
        denied=("Bash",),
    ),
    Case(
        *("asked a person", "claude", OK),
        claude("", "ok", permission_denials=[{"tool_name": "AskUserQuestion"}]),
    ),
    Case("denied in silence", "codex", OK, codex(CODEX_SAID, CODEX_DONE), text="hi"),
    Case(
        *("declined", "codex", DENIED),
        codex(
            {"type": "item.completed", "item": {"type": "file_change", "status": "declined"}},
            *(CODEX_SAID, CODEX_DONE),
        ),
        denied=("file_change",),
    ),
    Case(
        *("not offered", "gemini", DENIED),
        events(
            *(GEMINI_INIT, GEMINI_TOOL),
            {"type": "tool_result", "tool_id": "1", "error": {"type": "tool_not_registered"}},
            *(gemini_said("done"), GEMINI_DONE),
        ),
        denied=("run_shell_command",),
    ),
    Case(
        *("made up, then found", "gemini", OK),
        events(
            {**GEMINI_TOOL, "tool_name": "Bash"},
            {"type": "tool_result", "tool_id": "1", "error": {"type": "tool_not_registered"}},
            *(GEMINI_TOOL, {"type": "tool_result", "tool_id": "1", "status": "success"}),
            *(gemini_said("done"), GEMINI_DONE),
        ),
    ),
    Case(
        *("denied", "opencode", DENIED),
        [
            *events(
                {
                    "type": "tool_use",
                    "part": {
                        "tool": "bash",
                        "state": {"status": "error", "error": "The user rejected permission"},
                    },
                }
            ),
            *opencode("tool-calls", ""),
        ],
        denied=("bash",),
    ),
    # Limits.
    Case("turns", "claude", LIMIT, claude("max_turns", errors=["Reached maximum"]), 1),
    Case("budget", "claude", LIMIT, claude("budget_exhausted", errors=["Reached"]), 1),
    Case("limit by code", "gemini", LIMIT, [], 53),
    Case(
        *("turns, code 0", "gemini", LIMIT),
        events(
            *(GEMINI_INIT, gemini_said("so far"), GEMINI_DONE),
            {"type": "error", "severity": "error", "message": "Maximum session turns exceeded"},
        ),
        text="so far",
    ),
    Case("length", "opencode", LIMIT, opencode("length", "so f")),
    Case("length", "claude", LIMIT, claude_api(None, "", CLAUDE_CUT), 1),
    Case("length", "codex", LIMIT, codex_failed("Incomplete response returned, " + CODEX_CUT), 1),
    Case("length", "gemini", LIMIT, GEMINI_CUT, 1),
    Case("window", "aider", LIMIT, ["Model openai/x has hit a token limit!", "Tokens: 1k sent"], 0),
    # Invalid arguments or settings.
    Case("root", "claude", CONFIG, [], 1, stderr="cannot be used with root/sudo privileges"),
    Case("flag", "claude", CONFIG, [], 1, stderr="error: unknown option '--x'"),
    Case("session", "claude", CONFIG, [], 1, stderr="Session ID 12 is already in use."),
    Case("flag", "codex", CONFIG, [], 2, stderr="error: unexpected argument '--x' found"),
    Case("input", "gemini", CONFIG, [], 42, stderr="No input provided via stdin."),
    Case("folder", "gemini", CONFIG, [], 55, stderr="Gemini CLI is not running in a trusted dir"),
    Case("settings", "gemini", CONFIG, [], 52, stderr="bad settings.json"),
    Case("no words", "opencode", CONFIG, [], 1),
    Case("not there", "plain", CONFIG, [], 127, stderr="sh: foo: command not found"),
    # A warning is no failure.
    Case(
        *("warning", "codex", OK),
        codex(
            {"type": "item.completed", "item": {"type": "error", "message": "not found"}},
            {"type": "error", "message": "Reconnecting... 1/5 (status 401)"},
            *(CODEX_SAID, CODEX_DONE),
        ),
        text="hi",
    ),
    Case(
        *("got over it", "aider", OK),
        [
            "litellm.RateLimitError: no",
            "Retrying in 0.2 seconds...",
            "hi",
            "Tokens: 9 sent, 2 received.",
        ],
        text="hi",
    ),
    Case("success", "opencode", OK, opencode(), text="done"),
    Case("success", "plain", OK, ["one", "two"], text="one\ntwo"),
    Case("a bad code", "plain", INTERNAL, ["one"], 3, error="exit code 3: one"),
    # A complete result and a nonzero exit code: the result counts.
    Case("success, bad code", "claude", OK, claude("", "ok"), 1, text="ok"),
    Case("success, bad code", "codex", OK, codex(CODEX_SAID, CODEX_DONE), 1),
    Case("success, bad code", "gemini", OK, events(GEMINI_INIT, gemini_said("ok"), GEMINI_DONE), 1),
    Case("success, bad code", "opencode", OK, opencode(), 1, text="done"),
    Case("no text, bad code", "claude", INTERNAL, claude("", ""), 1),
    # Internal errors of the tool, at its start and later.
    Case("stack", "claude", INTERNAL, [], 1, stderr="TypeError: Cannot read properties of null"),
    Case("panic", "codex", INTERNAL, [], 101, stderr="thread 'main' panicked at src/main.rs:3"),
    Case("heap", "gemini", INTERNAL, [], 1, stderr="FATAL ERROR: JavaScript heap out of memory"),
    Case("module", "opencode", INTERNAL, [], 1, stderr="Error: ERR_MODULE_NOT_FOUND"),
    Case("on its way", "codex", INTERNAL, codex(CODEX_SAID), 1, error="exit code 1"),
    Case("timeout of its own", "claude", INTERNAL, [], 1, stderr="x.timeout is not a function"),
    # Signals from other senders.
    Case("TERM", "claude", KILLED, [], 143, error="signal 15"),
    Case("INT, code 0", "claude", KILLED, claude("aborted_tools", is_error=True), 0),
    Case("KILL", "claude", KILLED, claude("", "ok"), None, 9, error="signal 9"),
    Case("TERM", "codex", KILLED, codex(CODEX_ASKED), None, 15),
    Case("INT", "codex", INTERNAL, codex(CODEX_ASKED), 1),
    Case("KILL", "codex", KILLED, codex(CODEX_SAID), None, 9),
    Case("TERM to its group, json", "gemini", EMPTY, [], 0),
    Case("TERM to its group", "gemini", KILLED, events(GEMINI_INIT, GEMINI_TOOL), 0),
    Case("INT", "gemini", KILLED, [], 130),
    Case("KILL of its inner process", "gemini", KILLED, [], 137),
    Case("an odd status", "gemini", INTERNAL, events(GEMINI_INIT), 150, error="exit code 150"),
    Case("KILL", "gemini", KILLED, events(GEMINI_INIT), None, 9),
    Case("TERM while idle", "opencode", KILLED, events({"type": "step_start"}), None, 15),
    Case("INT", "opencode", KILLED, events({"type": "step_start"}), None, 2),
    Case("KILL", "aider", KILLED, ["half an ans"], None, 9),
    Case("KILL", "plain", KILLED, ["half an ans"], None, 9),
    Case("by a shell", "plain", KILLED, ["half an ans"], 137),
)
