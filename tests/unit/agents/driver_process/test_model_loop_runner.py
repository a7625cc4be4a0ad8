"""A loop over HTTP under the driver's control, in its own process because of its signals."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.agents.driver_process.model_loop_runner import service

REPOSITORY = Path(__file__).resolve().parents[4]
PROGRAM = """
import json, os, sys, threading, time
from dataclasses import asdict
from orchestrator.agents.activity.log_writers import PeopleLog
from orchestrator.agents.driver_process.model_loop_runner import ModelLoop
from orchestrator.agents.activity.agent_events import (
    AgentOutcome, FinalAnswerEvent, TextEvent, ToolEvent, UsageEvent,
)
from orchestrator.agents.driver_process.spec_file import Spec
from orchestrator.agents.driver_process.reports_to_server import UsageReporter
from orchestrator.agents.driver_process.usage_watch import EarlyStop, UsageWatch
from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage

def answers(spec, prompt, emit):
    emit(TextEvent(prompt)); emit(UsageEvent(Usage(steps=1))); emit(FinalAnswerEvent())
    return AgentOutcome(text="done", usage=Usage(steps=1))

def hangs(spec, prompt, emit):
    emit(UsageEvent(Usage(steps=1)))
    time.sleep(60)

def endless(spec, prompt, emit):
    while True:
        emit(UsageEvent(Usage(steps=1))); emit(ToolEvent("bash", "true"))

def waits(spec, prompt, emit):
    time.sleep(1.0)
    return answers(spec, prompt, emit)

def breaks(spec, prompt, emit):
    raise RuntimeError("it broke")

def stopped(spec, prompt, emit):
    threading.Timer(0.2, lambda: loop.stop(EarlyStop(ErrorClass.LIMIT, "the root's money"))).start()
    hangs(spec, prompt, emit)

def stopped_when_finished(spec, prompt, emit):
    outcome = answers(spec, prompt, emit)
    loop.stop(EarlyStop(ErrorClass.KILLED, "the server stops"))
    time.sleep(0.2)
    return outcome

name, stall = sys.argv[1], float(sys.argv[2])
spec = Spec(agent="a", tool="a", limits=CallLimits(max_steps=3), stall_seconds=stall)
reporter = UsageReporter({}, lambda why: None)
reporter.waits = lambda usage: name == "waits"
watch = UsageWatch(spec.limits, PeopleLog(), reporter, lambda usage: None)
loop = ModelLoop(spec, watch)
outcome = loop.run(globals()[name], "the prompt")
print(json.dumps(asdict(outcome)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stall", "error_class", "error"),
    [
        ("answers", 60, "", ""),
        ("hangs", 0.3, "timeout", "the agent printed nothing for 0.3 s (workers.stall_seconds)"),
        ("endless", 60, "limit", "used up max_steps (3 steps)"),
        ("waits", 0.3, "", ""),
        ("breaks", 60, "api", "RuntimeError: it broke"),
        ("stopped", 60, "limit", "the root's money"),
        ("stopped_when_finished", 60, "", ""),
    ],
)
def test_a_loop_is_stopped_wherever_it_is(
    name: str, stall: float, error_class: str, error: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(stall)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert (outcome["error_class"], outcome["error"]) == (error_class, error)
    assert outcome["usage"]["steps"] == {"endless": 3, "breaks": None}.get(name, 1)


@pytest.mark.parametrize(
    ("tool", "environ", "expected"),
    [
        ("anthropic", {"ANTHROPIC_API_KEY": "k"}, {"api_key_env": "ANTHROPIC_API_KEY"}),
        ("anthropic", {"ANTHROPIC_AUTH_TOKEN": "k"}, {"api_key_env": "ANTHROPIC_AUTH_TOKEN"}),
        (
            "anthropic",
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://h"},
            {"api_key_env": "ANTHROPIC_API_KEY", "base_url": "http://h"},
        ),
        (
            "openai-compatible",
            {"OPENAI_BASE_URL": "http://h/v1"},
            {"api_key_env": "", "base_url": "http://h/v1"},
        ),
        ("openai-compatible", {"OPENAI_API_KEY": "k"}, {"api_key_env": "OPENAI_API_KEY"}),
        ("ollama", {"OPENAI_API_KEY": "k"}, {}),
    ],
)
def test_a_loop_calls_the_service_of_the_user_s_variables(
    tool: str, environ: dict[str, str], expected: dict[str, str]
) -> None:
    assert service(tool, environ) == expected
