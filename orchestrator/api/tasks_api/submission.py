"""Converts the body of a task request to a submission, and task ids to job ids."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.http_messages.problems import invalid
from orchestrator.api.http_messages.request import checked_job_id
from orchestrator.core.model.job import CandidateSettings, Job, TaskSpec
from orchestrator.core.model.job_settings import AUTO
from orchestrator.core.model.known_agents import KNOWN
from orchestrator.core.model.submission import ConfigRequest, Submission
from orchestrator.core.ports.agent_availability import Availability
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.schemas.fields.bounded_types import LONGEST_LABEL
from orchestrator.schemas.fields.validation_errors import Fault
from orchestrator.schemas.requests_with_answers.tasks_api import (
    CliAssignment,
    TaskBody,
    context_text,
)

#: The label of jobs that were submitted through ``/api/v1/tasks``.
LABEL = ("api", "tasks")
CREATED_BY = "created_by"
#: Prefixes of the names of two labels for each tool. The tool's position follows the prefix. The
#: first label is the caller's name for the tool. The second label is the reason why the tool cannot
#: run.
CLI, OBSTACLE = "cli.", "cli_obstacle."

AUTO_CLAUDE = "auto-claude"
SHELL = "shell"
NO_COMMAND = (
    "agent shell needs a command, which this API does not accept; use POST /api/v1/orchestrate"
)
#: Names of agents, by the names that other products use.
AGENT_OF = {alias: each.name for each in KNOWN for alias in each.aliases}
AGENT_OF["auto_claude"] = AUTO_CLAUDE
_UUID_HEAD = "6b616765-0000-8000-8000-0000"
_UUID = re.compile(_UUID_HEAD + "([0-9a-f]{8})", re.IGNORECASE)


def task_uuid(job_id: str) -> str:
    return f"{_UUID_HEAD}{job_id}"


def job_id_of(task_id: str) -> str:
    """Return the job id for a task id, which is a UUID or a job id.

    Raise NotFound for an invalid id.
    """
    match = _UUID.fullmatch(task_id)
    return match[1].lower() if match else checked_job_id(task_id)


def is_task(job: Job) -> bool:
    """True if the job was submitted through ``/api/v1/tasks``.

    Such a job is a root job with the label ``LABEL``. Its child jobs inherit the label, but were
    submitted by workers.
    """
    return job.is_root and job.config.labels.get(LABEL[0]) == LABEL[1]


def submission_of(
    body: TaskBody, agents: Sequence[Availability], idempotency_key: str | None
) -> Submission:
    """Return the task as a submission for the available tools.

    For each tool, the submission has one label with the tool's name. An unavailable tool has a
    second label with the reason, and the fix if known. Raise a 422 for an unknown tool,
    or if no tool is available.
    """
    assignments = body.cli_assignments
    obstacles = _obstacles(assignments, {each.name: each for each in agents})
    labels = dict([LABEL])
    labels |= {f"{CLI}{place}": each.cli_name for place, each in enumerate(assignments)}
    labels |= {f"{OBSTACLE}{place}": text[:LONGEST_LABEL] for place, text in obstacles.items()}
    if body.created_by is not None:
        labels[CREATED_BY] = body.created_by
    usable = [each for place, each in enumerate(assignments) if place not in obstacles]
    shared = _common_context(usable)
    task = TaskSpec(
        id="task_1",
        prompt=body.description,
        context=context_text(shared),
        agents=tuple(_agent(each.cli_name) for each in usable),
        candidate_settings=tuple(
            CandidateSettings(
                model=each.model,
                timeout=each.timeout,
                context=context_text(
                    {name: value for name, value in each.context.items() if name not in shared}
                ),
            )
            for each in usable
        ),
    )
    config = ConfigRequest(
        max_retries=body.max_retries,
        retry_backoff_seconds=body.retry_delay,
        merge_strategy=body.merge_strategy,
        labels=labels,
    )
    return Submission(
        request=body.description,
        tasks=(task,),
        config=config,
        callback=body.to_callback(),
        idempotency_key=idempotency_key,
    )


def _agent(cli_name: str) -> str:
    return AGENT_OF.get(cli_name, cli_name)


def _obstacles(
    assignments: Sequence[CliAssignment], agents: Mapping[str, Availability]
) -> Mapping[int, str]:
    """Return {position: reason} for the tools that are unavailable.

    A position is the index in ``assignments``. Raise a 422 for an unknown tool, or if no tool is
    available.
    """
    known = sorted({*agents, *AGENT_OF, AUTO, AUTO_CLAUDE} - {SHELL})
    unknown = [
        _fault(place, NO_COMMAND if name == SHELL else unknown_name("cli_name", name, known))
        for place, name in enumerate(each.cli_name for each in assignments)
        if name not in known
    ]
    if unknown:
        raise invalid(unknown)
    names = [_agent(each.cli_name) for each in assignments]
    reasons = {place: _obstacle(name, agents) for place, name in enumerate(names)}
    obstacles = {place: text for place, text in reasons.items() if text}
    if len(obstacles) == len(assignments):
        raise invalid([_fault(*each) for each in obstacles.items()])
    return obstacles


def _obstacle(name: str, agents: Mapping[str, Availability]) -> str:
    if name == AUTO:
        return ""
    if name not in agents:
        return f"unknown agent {name!r}; add its command under 'agents' in config.yaml"
    return agents[name].hindrance


def _fault(position: int, detail: str) -> Fault:
    return Fault(location=("cli_assignments", position, "cli_name"), detail=detail, type="agent")


def _common_context(assignments: Sequence[CliAssignment]) -> Mapping[str, Any]:
    first, *others = assignments
    return {
        name: value
        for name, value in first.context.items()
        if all(name in each.context and each.context[name] == value for each in others)
    }
