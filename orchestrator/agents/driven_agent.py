"""Agents that the driver runs. Turns tasks into the driver's input, and its results into evidence.

A tool gets the JSON schema of the answer in a form that all model services accept. OpenAI's strict
mode requires all properties, and supports few keywords. Claude Code rejects ``$schema``. Some
services fail on references. The server checks the answer with the original schema.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.agents.activity.agent_events import AgentOutcome
from orchestrator.agents.ai_tools.invocation.call import GIT_IDENTITY, CallLimits
from orchestrator.agents.ai_tools.invocation.windows_tools import INTEROP
from orchestrator.agents.availability.local_availability import check_fits
from orchestrator.agents.command_agents import last_line, output_document
from orchestrator.agents.driver_process import mailbox, result_file, session_file, spec_file
from orchestrator.agents.prices import price_table
from orchestrator.agents.prompts.prompt import prompt_document, resume_document, task_document
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_caps import spent_by
from orchestrator.core.model.attempt.agent_session import Session, SessionStart, start_of
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence, Exit, Usage
from orchestrator.core.model.human_input.messages import message_document, message_file_name
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.known_agents import KNOWN
from orchestrator.core.ports import Assignment, Invocation
from orchestrator.security.files.product_files import PACKAGES
from orchestrator.security.files.untrusted_files import read_regular

_STRICT_KEYWORDS = ("type", "description", "enum", "const")


def strict_schema(text: str) -> dict[str, Any]:
    """Return the JSON Schema in ``text``, reduced to the keywords that all tools accept.

    References are resolved, and every property is required.
    """
    schema: Mapping[str, Any] = json.loads(text)
    return _strict_subset(schema, schema.get("$defs", {}))


def _strict_subset(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _strict_subset(defs[schema["$ref"].rpartition("/")[2]], defs)
    subset: dict[str, Any] = {name: schema[name] for name in _STRICT_KEYWORDS if name in schema}
    if "anyOf" in schema:
        subset["anyOf"] = [_strict_subset(each, defs) for each in schema["anyOf"]]
    if "items" in schema:
        subset["items"] = _strict_subset(schema["items"], defs)
    if "properties" in schema:
        properties = {
            name: _strict_subset(each, defs) for name, each in schema["properties"].items()
        }
        subset |= {"properties": properties, "required": [*properties]}
        subset["additionalProperties"] = False
    return subset


N = TypeVar("N", int, float)

#: Runs the driver. The command line has the options ``-S``, which makes the start fast, and ``-E``,
#: which ignores Python's environment variables.
_PROGRAM = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from orchestrator.agents.driver_process.main import run; run()"
)
#: Programs that report their cost.
_REPORT_COST = frozenset(each.name for each in KNOWN if each.reports_cost)
#: Programs that resume a session by its id.
_RESUMING = frozenset(each.name for each in KNOWN if each.resumes)
#: Agents that read messages while they work.
_READING = frozenset(each.name for each in KNOWN if each.reads_messages)
_LEAST_USD = 0.0001
_RECORD_LIMIT_BYTES = 4 * 1024 * 1024
#: Share of ``grace_seconds`` for the agent's program. The driver kills a program that still runs
#: after this time. The driver needs the remaining time to save the result, before the shim kills
#: the driver.
_STOP_SHARE = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class CommonSettings:
    """Settings that all driven agents share. Paths are absolute."""

    #: The directory with ``bin/orchestrator`` (``ORCHESTRATOR_HOME``).
    home: str
    #: The user's project; empty: unknown.
    user_project: str = ""
    #: The directory for files that all attempts of a tool share.
    shared: str = ""
    policy: str = "full"
    stall_seconds: float = 600.0
    grace_seconds: float = 5.0
    #: Maximum size of a worker's log, and also of the tool's stored raw output.
    log_limit_bytes: int = 50 * 1024 * 1024
    #: True if a worker's later attempts resume the session of the previous attempt.
    resume_sessions: bool = True
    #: The user's own prices, by model and kind of token.
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DrivenAgent:
    """An agent that the driver runs; implements ``core.ports.agents.Agent``."""

    name: str
    tool: str
    common: CommonSettings
    description: str = ""
    #: The agent's program with its first arguments; empty for a built-in model loop.
    argv: tuple[str, ...] = ()
    #: Returns the default model, for tasks without a model; called when a worker starts.
    model: Callable[[], str] = lambda: ""
    #: Policy of this agent; empty to use ``common.policy``.
    policy: str = ""
    #: Parts of the user's configuration of the tool that workers inherit: mcp, skills, hooks,
    #: memory.
    inherit: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 512 * 1024 * 1024
    #: True if the agent gets a prompt, which begins with the job's shared context.
    reads_prompt: bool = True
    #: True if the agent's provider charges less for a cached beginning of a prompt.
    caches_prompts: bool = False
    #: True: the agent may plan any job. None: it may plan only jobs that name it as the planner.
    #: False: it never plans.
    plans: bool | None = None
    #: True if the agent may change the project's files: its worker gets its own worktree.
    changes_files: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)
    #: Instructions to log in; empty if no login is needed, or if the instructions are unknown.
    login_instructions: str = ""
    #: Returns a text that changes when the credential changes. The function reads no secret.
    credential_fingerprint: Callable[[], str] = lambda: ""
    #: Returns why the agent cannot work here, and how to fix it; empty if it can work.
    hindrance: Callable[[], str] = lambda: ""

    def reads_messages(self, *, windows: bool) -> bool:
        """True if the agent reads messages from people while it works.

        ``windows``: the program runs on the Windows side of WSL.
        """
        return not self.argv or (self.tool in _READING and not windows)

    def check(self, task: TaskSpec) -> None:
        check_fits(task, self.name, self.hindrance())

    @property
    def reader(self) -> str:
        return str(self.more.get("reader") or self.tool)

    def is_priced(self, model: str | None) -> bool | None:
        """True if the cost of a model's usage can be computed.

        The result is None if the model is unknown until the agent reports usage.
        """
        if self.reader in _REPORT_COST:
            return True
        chosen_model = model or self.model()
        if not chosen_model:
            return None
        usage = Usage(input_tokens=1, output_tokens=1)
        local = self.tool in price_table.LOCAL_TOOLS
        return price_table.cost(chosen_model, usage, self.common.prices, local=local) is not None

    def command(self, assignment: Assignment) -> Invocation:
        files = {"task.json": task_document(assignment), "prompt.md": prompt_document(assignment)}
        attempt_spec = self._spec(assignment)
        control = {spec_file.NAME: spec_file.to_json(attempt_spec), **_messages(assignment)}
        if attempt_spec.resume:
            control[spec_file.RESUME_PROMPT] = resume_document(assignment)
        return Invocation(
            argv=(sys.executable, "-S", "-E", "-B", "-c", _PROGRAM, PACKAGES),
            files=files,
            stdin="prompt.md",
            pass_env=(*self.pass_env, *(INTEROP if self._on_windows(assignment) else ())),
            env={**GIT_IDENTITY, **self.env},
            control=control,
        )

    def _spec(self, assignment: Assignment) -> spec_file.Spec:
        task, common = assignment.task, self.common
        model = task.model or self.model()
        return spec_file.Spec(
            agent=self.name,
            tool=self.tool,
            command=self.argv,
            policy=self._policy(assignment),
            model=model,
            limits=_limits(assignment),
            # A read-only agent starts no child job, because the child job could change files.
            recursive=_may_start_child_jobs(assignment) and self._policy(assignment) != "read-only",
            # Planners and reviewers inherit nothing, because a user's hook could block the answer.
            inherit=() if assignment.worker.is_adviser else self.inherit,
            home=common.home,
            user_project=common.user_project,
            shared=f"{common.shared}/{self.tool}" if common.shared else "",
            sessions=assignment.sessions if self._can_resume_later(assignment) else "",
            resume=self._session_to_resume(assignment, model),
            stall_seconds=common.stall_seconds,
            stop_seconds=common.grace_seconds * _STOP_SHARE,
            stream_bytes=common.log_limit_bytes,
            windows=self._on_windows(assignment),
            schema=strict_schema(assignment.answer_schema) if assignment.answer_schema else {},
            more=self._further_settings(assignment),
        )

    def _further_settings(self, assignment: Assignment) -> Mapping[str, Any]:
        prices = {"prices": self.common.prices} if self.common.prices else {}
        # A model loop needs the length of the shared context, so that the provider caches the text.
        shared = {} if self.argv else {"shared_length": len(assignment.shared)}
        return {**self.more, **prices, **shared}

    def _can_resume_later(self, assignment: Assignment) -> bool:
        """True if later attempts can resume the worker's sessions."""
        can_resume = self.tool in _RESUMING and not self._on_windows(assignment)
        return can_resume and self.common.resume_sessions and not assignment.worker.is_adviser

    def _session_to_resume(self, assignment: Assignment, model: str) -> str:
        """Return the id of the session to resume; empty for a new session."""
        previous = assignment.previous
        if previous is None:
            return ""
        start = start_of(
            previous.session,
            previous.cause,
            rolled_back=previous.rolled_back,
            agent=self.name,
            model=model,
            can_resume=self._can_resume_later(assignment),
        )
        return previous.session.id if start is SessionStart.RESUME else ""

    def _on_windows(self, assignment: Assignment) -> bool:
        # A model loop always runs on Linux.
        return bool(self.argv) and assignment.job.config.execution_mode == "windows"

    def _policy(self, assignment: Assignment) -> str:
        # Planners and reviewers change nothing. A reviewer also reads texts of other agents, and
        # such a text could ask the reviewer to change the user's checkout. A custom agent may have
        # no read-only options, so it keeps its own policy.
        if assignment.worker.is_adviser and self.tool != "custom":
            return "read-only"
        return self.policy or self.common.policy

    def evidence(self, directory: Path, log_tail: str, exit: Exit, control: Path) -> Evidence:
        outcome = _recorded_outcome(control)
        written = output_document(directory)
        if outcome is None:  # the driver itself was killed
            evidence = Evidence(output=written, output_required=True, error=last_line(log_tail))
        else:
            # ``output.md`` replaces an empty last message.
            if written and outcome.error_class is ErrorClass.EMPTY:
                outcome = replace(outcome, error_class=ErrorClass.NONE, error="")
            evidence = _evidence(outcome, written)
        message_ids = mailbox.read_ids(control)
        return replace(
            evidence, tool=self.name, session=_recorded_session(control), messages=message_ids
        )


def _messages(assignment: Assignment) -> dict[str, str]:
    # Include messages that earlier attempts have read: a new session does not contain these
    # messages.
    result = assignment.worker.result
    return {
        message_file_name(each.id): message_document(each)
        for each in (result.messages if result else ())
    }


def _evidence(outcome: AgentOutcome, written: str) -> Evidence:
    text = written or outcome.text
    return Evidence(
        output=text if outcome.succeeded else _with_error(text, outcome.error),
        output_required=True,
        claimed_success=outcome.succeeded,
        usage=outcome.usage,
        model=outcome.model[:200],
        error=outcome.error[:2000],
        error_class=outcome.error_class,
        resets_at=outcome.resets_at,
        note=outcome.note[:500],
        outside=outcome.outside,
    )


def _with_error(text: str, error: str) -> str:
    """Add the error to the output of a failed attempt, because the next attempt reads this output.

    The brackets separate the error from the agent's own text.
    """
    if not text or error in text:
        return text or error
    return f"{text}\n\n[failed: {error}]"


def _recorded_outcome(control: Path) -> AgentOutcome | None:
    # No part of the path job_x/attempts/worker_1.1/ may be a link.
    content = read_regular(
        control / result_file.NAME, _RECORD_LIMIT_BYTES, within=control.parents[2]
    )
    try:
        return result_file.from_json(content) if content else None
    except ValueError:
        return None


def _recorded_session(control: Path) -> Session | None:
    content = read_regular(
        control / session_file.NAME, _RECORD_LIMIT_BYTES, within=control.parents[2]
    )
    return session_file.from_json(content) if content else None


def _may_start_child_jobs(assignment: Assignment) -> bool:
    job = assignment.job
    is_allowed = job.config.enable_recursion and job.depth < job.config.max_depth
    return is_allowed and not assignment.worker.is_adviser


def _limits(assignment: Assignment) -> CallLimits:
    """Return the limits that remain for this attempt after the worker's earlier attempts."""
    task, config = assignment.task, assignment.job.config
    used = spent_by(assignment.worker.usage)
    steps, tokens = (int(used[name]) for name in ("max_steps", "max_tokens"))
    return CallLimits(
        max_steps=_remaining(_lower_limit(task.max_steps, config.max_steps), steps, 1),
        max_tokens=_remaining(_lower_limit(task.max_tokens, config.max_tokens), tokens, 1),
        max_cost_usd=_remaining(
            _lower_limit(task.max_cost_usd, config.max_cost_usd), used["max_cost_usd"], _LEAST_USD
        ),
    )


def _remaining(limit: N | None, used: N, least: N) -> N | None:
    # The result is at least ``least``, because agents treat 0 as no limit.
    return None if limit is None else max(limit - used, least)


def _lower_limit(one: N | None, other: N | None) -> N | None:
    return min((each for each in (one, other) if each is not None), default=None)
