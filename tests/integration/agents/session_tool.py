"""A stand-in for Claude Code with sessions: it resumes a session if the session's file exists.

In a terminal, without ``-p``, it runs the typed lines as shell commands, until ``bye``. Otherwise,
each run executes the next part of the variable SESSION_TOOL. ``|`` separates parts, and spaces
separate the words of a part. Each run adds a line with its input to ``runs.jsonl`` in the worker's
directory.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

HOME = Path(os.environ["ORCHESTRATOR_WORKER_DIR"])
#: Answers of the model in this run.
ANSWERS: list[str] = []
STORE = Path(os.environ["CLAUDE_CONFIG_DIR"]) / "projects" / "here"


def emit(kind: str, **more: object) -> None:
    print(json.dumps({"type": kind, "session_id": SESSION, **more}), flush=True)


def answer(text: str) -> None:
    ANSWERS.append(text)
    usage = {"input_tokens": 100, "output_tokens": 10}
    name = f"msg_{os.getpid()}_{time.monotonic_ns()}"
    content = [{"type": "text", "text": text}]
    emit("assistant", message={"id": name, "model": "m", "content": content, "usage": usage})


def result(text: str = "the answer", status: int = 0) -> None:
    """Print the totals of all runs of the session, except killed runs."""
    answers_before = [json.loads(line)["answers"] for line in SESSION_FILE.read_text().splitlines()]
    answers = (answers_before[-1] if answers_before else 0) + len(ANSWERS)
    used = {"inputTokens": 100 * answers, "outputTokens": 10 * answers, "costUSD": 0.5 * answers}
    cost = {"type": "cost-state", "modelUsage": {"m": used}, "answers": answers}
    with SESSION_FILE.open("a") as file:
        file.write(json.dumps(cost) + "\n")
    emit(
        "result",
        is_error=bool(status),
        result=text,
        terminal_reason="api_error" if status else "completed",
        api_error_status=status or None,
        num_turns=1,
        modelUsage={"m": used},
        total_cost_usd=used["costUSD"],
    )


def behave(word: str) -> None:
    name, _, value = word.partition("=")
    match name:
        case "answers":
            answer("I am at work")
            result()
        case "words":
            answer("I begin")
        case "writes":
            path, _, text = value.partition(":")
            Path(path).write_text(f"{text}\n")
        case "asks":
            answer("Which color do you want?")
            result("Which color do you want?")
        case "fails":  # the model's service fails
            result(f"it failed with {value}", int(value))
        case "hangs":
            time.sleep(180)
        case "dies":
            os.kill(os.getpid(), 9)
        case "forgets":
            SESSION_FILE.unlink()
        case _:
            raise SystemExit(f"unknown action {word!r}")


def read_prompt() -> str:
    """Return the prompt: all of standard input, or the first message of Claude's stream."""
    if "--input-format" not in sys.argv:
        return sys.stdin.read()
    return str(json.loads(sys.stdin.readline())["message"]["content"][0]["text"])


def talk() -> None:
    print("how can I help?", flush=True)
    while (line := sys.stdin.readline().strip()) != "bye":
        try:
            subprocess.run(["sh", "-c", line], check=False)
        except KeyboardInterrupt:
            print("press it twice", flush=True)
        print("done", flush=True)
    sys.exit(0)


resumed = sys.argv[sys.argv.index("--resume") + 1] if "--resume" in sys.argv else ""
SESSION = resumed or str(uuid.uuid4())
SESSION_FILE = STORE / f"{SESSION}.jsonl"
RUNS = HOME / "runs.jsonl"
number = len(RUNS.read_text().splitlines()) if RUNS.exists() else 0
known = not resumed or SESSION_FILE.exists()
if known and "-p" not in sys.argv:
    talk()
with RUNS.open("a") as runs:
    prompt = read_prompt()
    run = {"resumed": resumed, "session": SESSION, "prompt": prompt, "known": known}
    runs.write(json.dumps({**run, "pid": os.getpid(), "parent": os.getppid()}) + "\n")
if not known:
    sys.exit(f"No conversation found with session ID: {resumed}")
STORE.mkdir(parents=True, exist_ok=True)
SESSION_FILE.touch()
emit("system", subtype="init")
parts = os.environ["SESSION_TOOL"].split("|")
for each in parts[min(number, len(parts) - 1)].split():
    behave(each)
