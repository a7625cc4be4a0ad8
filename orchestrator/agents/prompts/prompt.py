"""The prompt of an agent: ``prompt.md`` for language models, ``task.json`` for programs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from orchestrator.agents.prompts.shared_context import Recipe, shared_text, template
from orchestrator.core.model.attempt.delivered_work import BUILDING_ROLES
from orchestrator.core.model.attempt.failure import CREDIT, LOGIN
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.job import Worker
from orchestrator.core.ports import Assignment
from orchestrator.core.repository.repository import BranchWork
from orchestrator.core.text.formatting import plural

#: Text of each remaining quota in a prompt, by the quota's key in the API's ``remaining``.
_REMAINING = {
    "child_jobs": "child jobs that you may start",
    "child_jobs_in_root": "child jobs that all workers of your root job's tree may start",
    "workers": "workers that your root job and its child jobs may still start",
    "steps": "steps that your job may still use",
    "tokens": "tokens that your job may still use",
    "cost_usd": "US dollars that your job may still spend",
}


def limits(assignment: Assignment) -> list[str]:
    """Return one line for each limit of the task. The first line is the timeout."""
    return [*_task_limits(assignment), *_remaining_quota(assignment.left)]


def _task_limits(assignment: Assignment) -> Iterator[str]:
    task = assignment.task
    seconds = task.timeout or assignment.job.config.default_timeout
    yield (
        f"{seconds:g} seconds for this attempt; "
        "the time in which you wait for child jobs does not count"
    )
    for amount, unit in (
        (task.max_steps, "steps"),
        (task.max_tokens, "tokens"),
        (task.max_cost_usd, "US dollars"),
    ):
        if amount is not None:
            yield f"{amount:g} {unit} for your task, all attempts together"


def _remaining_quota(quota: Mapping[str, object]) -> Iterator[str]:
    recursive = bool(quota.get("depth"))
    if recursive:
        yield f"{quota['depth']} more levels of child jobs below your job"
    for name, words in _REMAINING.items():
        if name in quota and (recursive or name in ("steps", "tokens", "cost_usd")):
            yield f"{quota[name]} {words}"
    if "wall_seconds" in quota:
        yield f"{quota['wall_seconds']} seconds until your job ends"


#: Texts for the prompt that state why a session was interrupted. The key is the cause of the
#: attempt's end. For any other cause, the prompt describes the failure instead.
INTERRUPTIONS = {
    "rate limit": "the rate limit of the account was reached",
    "api": "the model's service failed",
    "timeout": "the attempt timed out",
    "lost": "the process ended for an unknown reason",
    "killed": "the process was killed",
    "internal": "the tool failed with an internal error",
    CREDIT: "the account of the agent had no credit, and has credit again",
    LOGIN: "the login of the agent failed, and has been fixed since",
    "refused": "a key, a setting, or a limit stopped the attempt, and has been changed since",
}


def task_document(assignment: Assignment) -> str:
    task, job = assignment.task, assignment.job
    document: dict[str, object] = {
        "id": task.id,
        "title": task.title,
        "prompt": task.prompt,
        "files": list(task.files),
        "writes": list(task.writes),
        "context": task.context,
        "request": job.request,
        "depth": job.config.claimed_depth + job.depth,
        "max_depth": job.config.claimed_depth + job.config.max_depth,
    }
    if assignment.feedback:
        document["feedback"] = [
            {
                "commit": entry.commit,
                "summary": entry.summary,
                "comments": [asdict(each) for each in entry.comments],
            }
            for entry in assignment.feedback
        ]
    return json.dumps(document, ensure_ascii=False, indent=1)


def prompt_document(assignment: Assignment) -> str:
    """Return the prompt for agents that read text: the shared context, then the worker's part."""
    job = assignment.job
    shared = assignment.shared or shared_text(Recipe.of(job, job))
    worker_part = template(_template_name(assignment.worker)).render(
        task=assignment.task,
        job=job,
        worker=assignment.worker,
        dependency_results=assignment.dependency_results,
        previous_failure=assignment.previous_failure,
        advice=assignment.advice,
        sent_back=assignment.sent_back,
        feedback=feedback(assignment.feedback),
        role=assignment.role,
        limits=limits(assignment),
        schema=assignment.answer_schema,
        entries=assignment.entries,
        committed=committed(assignment.committed),
        gates=[(gate.name, without_report_option(gate.run)) for gate in assignment.gates],
        builds=assignment.task.role in BUILDING_ROLES,
    )
    return shared + worker_part


def resume_document(assignment: Assignment) -> str:
    """Return the prompt for an agent that resumes its session. The session contains the task."""
    previous = assignment.previous
    return template("resume").render(
        interruption=INTERRUPTIONS.get(previous.cause if previous else "", ""),
        previous_failure=assignment.previous_failure,
        advice=assignment.advice,
        sent_back=assignment.sent_back,
        feedback=feedback(assignment.feedback),
        committed=committed(assignment.committed),
        limits=limits(assignment),
    )


def feedback(rounds: Sequence[Feedback]) -> str:
    return template("feedback").render(rounds=rounds) if rounds else ""


def committed(work: BranchWork | None) -> str:
    """Return the commits of earlier attempts as text, with the changed files.

    Return "" if there are no such commits.
    """
    if work is None:
        return ""
    lines = [f"{commit} {subject}" for commit, subject in work.commits]
    if work.more:
        lines.append(f"... and {plural(work.more, 'earlier commit')}")
    return "\n".join([*lines, "", work.stat])


def without_report_option(command: str) -> str:
    """Return a gate's command without the option that names the report file.

    Only the server reads this file, so the agent's prompt shows the command without the option.
    """
    plain = re.sub(r' -{1,2}[\w-]+[= ]"?\$\{?ORCHESTRATOR_GATE_REPORT\}?"?', "", command)
    return plain if plain == command else plain.replace(" --output-format=json", "")


def _template_name(worker: Worker) -> str:
    if worker.is_reviewer:
        return "reviewer"
    return "planner" if worker.is_planner else "worker"
