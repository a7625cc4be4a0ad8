"""Runs a model loop (``agents/model_loop``) in this process. Watches its usage, and can stop it."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any

from orchestrator.agents.activity.agent_events import AgentEvent, AgentOutcome, FinalAnswerEvent
from orchestrator.agents.activity.outside_edits import OutsideEdits
from orchestrator.agents.driver_process.mailbox import Mailbox
from orchestrator.agents.driver_process.spec_file import Spec
from orchestrator.agents.driver_process.usage_watch import EarlyStop, UsageWatch
from orchestrator.core.model.attempt.attempt_result import ErrorClass

#: A function that runs a loop, with the arguments: settings, prompt, callback for each event.
Run = Callable[[Mapping[str, Any], str, Callable[[AgentEvent], None]], AgentOutcome]


class Stopped(BaseException):
    """Raised to end the loop now.

    The class is a BaseException, so that ``except Exception`` does not catch this exception.
    """

    def __init__(self, why: EarlyStop) -> None:
        super().__init__(why.because)
        self.why = why


class ModelLoop:
    """A model loop in the main thread. ``stop`` raises an exception in that thread."""

    def __init__(self, spec: Spec, watch: UsageWatch) -> None:
        self._spec = spec
        self._watch = watch
        self._edits = OutsideEdits()
        self._stop_request: EarlyStop | None = None
        self._running = False
        self._main = signal.pthread_kill, _main_thread()

    def stop(self, why: EarlyStop) -> None:
        """Stop the loop. Any thread and a signal handler may call.

        After several calls, the reason of the first call and the patience of the latest call apply.
        """
        self._stop_request = self._stop_request or why
        if why.patience and self._watch.may_be_done:
            # The loop may finish its current step. The first usage event of the next step stops the
            # loop.
            signal.setitimer(signal.ITIMER_REAL, why.patience)
            return
        kill, thread = self._main
        kill(thread, signal.SIGALRM)

    def run(self, run: Run, prompt: str) -> AgentOutcome:
        """Run the loop. Never raises."""
        signal.signal(signal.SIGALRM, self._interrupt)
        self._running = True
        try:
            self._restart_timer()
            outcome = run(settings(self._spec), prompt, self._emit)
            return replace(outcome, outside=self._edits.outside())
        except Stopped as stopped:
            why, usage = stopped.why, self._watch.usage
            return AgentOutcome(error_class=why.reason, error=why.because, usage=usage)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return AgentOutcome(error_class=ErrorClass.API, error=text, usage=self._watch.usage)
        finally:
            self._running = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _emit(self, event: AgentEvent) -> None:
        self._edits.record(event)
        why = self._watch.observe(event)
        if why is not None and not isinstance(event, FinalAnswerEvent):
            raise Stopped(why)
        if self._stop_request is None:
            self._restart_timer()

    def _restart_timer(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._spec.stall_seconds)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._running:
            return
        if self._watch.finished:
            # The result is complete, and the loop is about to return it.
            return
        if self._stop_request is None and self._watch.waits():
            self._restart_timer()
            return
        self._running = False  # a further signal must not raise a second exception
        silent = (
            f"the agent printed nothing for {self._spec.stall_seconds:g} s (workers.stall_seconds)"
        )
        raise Stopped(self._stop_request or EarlyStop(ErrorClass.TIMEOUT, silent))


def _main_thread() -> int:
    import threading

    return threading.main_thread().ident or 0


def settings(spec: Spec) -> Mapping[str, Any]:
    limits = {name: getattr(spec.limits, name) for name in type(spec.limits).__slots__}
    return {
        "model": spec.model,
        "policy": spec.policy,
        "limits": limits,
        "cwd": os.getcwd(),
        "child_jobs": child_jobs(spec),
        **service(spec.tool, os.environ),
        **spec.more,
    }


def child_jobs(spec: Spec) -> tuple[str, ...]:
    return (f"{spec.home}/bin/orchestrator", "mcp") if spec.recursive else ()


def service(tool: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a tool's model service, from the user's variables.

    The settings are ``api_key_env``, the name of the variable with the key, and ``base_url``, the
    address. ``base_url`` is missing if no variable sets the address. The result is empty if
    ``tool`` is neither ``anthropic`` nor ``openai-compatible``.
    """
    if tool == "anthropic":
        token = not environ.get("ANTHROPIC_API_KEY") and environ.get("ANTHROPIC_AUTH_TOKEN")
        key = "ANTHROPIC_AUTH_TOKEN" if token else "ANTHROPIC_API_KEY"
        return _address_and_key(environ.get("ANTHROPIC_BASE_URL"), key)
    if tool == "openai-compatible":
        key = "OPENAI_API_KEY" if environ.get("OPENAI_API_KEY") else ""
        return _address_and_key(environ.get("OPENAI_BASE_URL"), key)
    return {}


def _address_and_key(url: str | None, key: str) -> dict[str, str]:
    return {**({"base_url": url} if url else {}), "api_key_env": key}


def load(spec: Spec, mailbox: Mailbox | None = None) -> Run:
    """Return the function that runs the attempt.

    If ``spec`` has a schema, the function asks the model once for a JSON value. Otherwise, the
    function runs the loop.
    """
    models = import_module("orchestrator.agents.model_loop")
    loop = models.loop(spec.tool.replace("-", "_"))
    asks_once = partial(_ask, loop.complete, spec.schema)
    run: Run = asks_once if spec.schema else partial(loop.run, mail=mailbox)
    return run


def _ask(
    complete: Callable[..., tuple[object | None, AgentOutcome]],
    schema: Mapping[str, Any],
    task: Mapping[str, Any],
    prompt: str,
    emit: Callable[[AgentEvent], None],
) -> AgentOutcome:
    value, outcome = complete(task, prompt, schema, emit)
    return outcome if value is None else replace(outcome, text=json.dumps(value))


def prompt() -> str:
    return sys.stdin.buffer.read().decode("utf-8", "replace")
