"""A stand-in for an AI tool: records its input, and executes the actions of the test.

The variable STAND_IN names the actions, separated by spaces.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def emit(kind: str, flush: bool = True, **more: object) -> None:
    print(json.dumps({"type": kind, **more}), flush=flush)


def prompt() -> str:
    """Return the prompt: all of standard input, or the first message of Claude's stream."""
    if "--input-format" not in sys.argv:
        return sys.stdin.read()
    first = json.loads(sys.stdin.readline())
    return str(first["message"]["content"][0]["text"])


def invocation() -> Mapping[str, object]:
    return {
        "argv": sys.argv[1:],
        "environ": dict(os.environ),
        "prompt": prompt(),
        "pid": os.getpid(),
    }


def message(*content: object) -> None:
    usage = {"input_tokens": 100, "output_tokens": 10}
    name = f"msg_{os.getpid()}_{time.monotonic_ns()}"
    emit("assistant", message={"id": name, "model": "m", "content": content, "usage": usage})


def words(text: str) -> None:
    message({"type": "text", "text": text})


def result(
    text: str = "the answer", is_error: bool = False, status: int = 500, **more: object
) -> None:
    used = {"inputTokens": 100, "outputTokens": 10, "costUSD": 0.5} if status != 401 else {}
    emit(
        "result",
        subtype="success",
        is_error=is_error,
        result=text,
        terminal_reason="api_error" if is_error else "completed",
        api_error_status=status if is_error else None,
        num_turns=1,
        total_cost_usd=used.get("costUSD", 0),
        modelUsage={"m": used},
        **more,
    )


def plans() -> None:
    """Print a plan as Claude Code does for a schema; the text around the plan does not count."""
    task = {"id": "a", "title": "Part a", "prompt": "Do a", "depends_on": [], "role": None}
    plan = {"tasks": [{**task, "files": [], "gates": [], "locks": []}]}
    result("Here it is", structured_output=plan)


def wait_for(name: str) -> None:
    until = time.monotonic() + 120
    while not Path(name).exists() and time.monotonic() < until:
        time.sleep(0.01)


def behave(word: str) -> None:
    match word:
        case "steps":
            while True:
                words("another step")
                time.sleep(0.01)
        case "ten-steps":
            for _ in range(10):
                words("another step")
                time.sleep(0.1)
        case "steps-one-by-one":
            for number in range(1, 11):
                words("another step")
                wait_for(f"reported-{number}")
        case "renews-login":
            login = Path(os.environ["CLAUDE_CONFIG_DIR"], ".credentials.json")
            Path("login.seen").write_text(login.read_text())
            fresh = login.with_name("fresh")
            fresh.write_text('{"token": "new"}')
            fresh.replace(login)
        case "ignores-term":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "is-limited":
            emit("system", subtype="api_retry", error_status=429, error="rate_limit")
        case "gets-over-a-limit":
            # One write prints both lines, so that no pause separates them.
            emit("system", flush=False, subtype="api_retry", error_status=429, error="rate_limit")
            words("another step")
        case "logs-a-limit":
            error = 'error.error="AI_APICallError: Rate limit reached"'
            print(
                f'level=ERROR message="stream error" small=false {error}',
                file=sys.stderr,
            )
        case "hangs":
            time.sleep(180)  # longer than any test, but not forever
        case "floods":
            line = "x" * 9_999 + "\n"
            for _ in range(10_000):
                sys.stdout.write(line)
        case "leaves-one":
            process = subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path("left.pid").write_text(str(process.pid))
        case "prints-key":
            words(os.environ["ANTHROPIC_API_KEY"])
        case "answers-key":
            result(f"I found {os.environ['ANTHROPIC_API_KEY']}")
        case "words":
            words("another step")
        case "slow-steps":
            while True:
                message({"type": "tool_use", "name": "Bash", "id": "t", "input": {}})
                time.sleep(0.5)
        case "reads-to-the-end":
            sys.stdin.read()
        case "waits":
            wait_for("go")
        case "uses-tool":
            message({"type": "tool_use", "name": "Bash", "id": "t", "input": {"command": "true"}})
        case "a-moment":  # longer than the driver's interval between checks
            time.sleep(0.6)
        case "plans":
            plans()
        case "result":
            result()
        case "error":
            result("it broke", is_error=True)
        case "refused":
            result("invalid x-api-key", is_error=True, status=401)
        case "writes-elsewhere":
            for place in (Path.home() / "notes.md", Path.home() / "never.md", Path("here.md")):
                message(
                    {
                        "type": "tool_use",
                        "name": "Write",
                        "id": "t",
                        "input": {"file_path": str(place)},
                    }
                )
            Path.home().joinpath("notes.md").write_text("x")
            Path("here.md").write_text("x")
        case "writes-to-checkout":
            place = Path(os.environ["CHECKOUT"], "README.md")
            written = {"name": "Write", "id": "t", "input": {"file_path": str(place)}}
            message({"type": "tool_use", **written})
            place.write_text("changed")
            Path("here.md").write_text("x")
        case "exit-1" | "exit-3":
            sys.exit(int(word[-1]))
        case "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "has-a-fault":
            print(f"TypeError: Cannot read properties of {os.getpid()}", file=sys.stderr)
            sys.exit(1)
        case "calls-orchestrator":
            shell = os.environ.get("LOGIN_SHELL", "bash")
            found = subprocess.run(
                [shell, "-lc", "command -v orchestrator"], capture_output=True, text=True
            )
            result(found.stdout.strip())
        case "answers":
            words("I am at work")
            message({"type": "tool_use", "name": "Write", "id": "t", "input": {"path": "made.txt"}})
            result()
        case _:
            raise SystemExit(f"unknown action {word!r}")


def asks_for_plan() -> bool:
    return "--json-schema" in sys.argv


def main() -> None:
    actions = os.environ.get("STAND_IN", "plans" if asks_for_plan() else "answers").split()
    if "ignores-term" in actions:  # before the file shows the test that the stand-in runs
        behave("ignores-term")
    Path("given.json").write_text(json.dumps(invocation()))
    for word in actions:
        behave(word)


main()
