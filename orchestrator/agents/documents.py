"""What an agent is given to read: task.json for programs, prompt.md for language models."""

import json
import os
import re
from pathlib import Path

from orchestrator.agents.prompts.limits import limits
from orchestrator.agents.prompts.recipe import Recipe, shared_text
from orchestrator.agents.prompts.templates import template
from orchestrator.core.delivery import BUILDING_ROLES
from orchestrator.core.model import Worker
from orchestrator.core.ports import Assignment
from orchestrator.security.paths import read_regular

OUTPUT_NAME = "output.md"
OUTPUT_LIMIT_BYTES = 32 * 1024


def task_document(assignment: Assignment) -> str:
    """The task as JSON, for agents that are programs."""
    task, job = assignment.task, assignment.job
    document = {
        "id": task.id,
        "title": task.title,
        "prompt": task.prompt,
        "files": list(task.files),
        "writes": list(task.writes),
        "context": task.context,
        "request": job.request,
        "depth": job.depth,
        "max_depth": job.config.max_depth,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def output_document(directory: Path) -> str:
    """What a worker left in ``output.md`` to be reported, cut where it is too long."""
    path = os.path.join(directory, OUTPUT_NAME)
    if not os.path.lexists(path):  # one look instead of five openings: most leave none
        return ""
    # No step of job_x/depth_0/worker_1/output.md may be a link.
    workspace = os.fspath(directory).rsplit("/", 3)[0]
    content = read_regular(path, OUTPUT_LIMIT_BYTES + 1, within=workspace or None)
    if not content:
        return ""
    text = content[:OUTPUT_LIMIT_BYTES].decode("utf-8", "replace")
    whole = len(content) <= OUTPUT_LIMIT_BYTES
    return text if whole else f"{text}\n\n(cut here: the whole is in {OUTPUT_NAME})"


def prompt_document(assignment: Assignment) -> str:
    """The task in words, for agents that read a prompt: what all workers of the job are told, then
    what is this one's own."""
    job = assignment.job
    shared = assignment.shared or shared_text(Recipe.of(job, job))
    own = template(_template_of(assignment.worker)).render(
        task=assignment.task,
        job=job,
        worker=assignment.worker,
        findings=assignment.findings,
        previous_failure=assignment.previous_failure,
        advice=assignment.advice,
        sent_back=assignment.sent_back,
        role=assignment.role,
        limits=limits(assignment),
        schema=assignment.answer_schema,
        entries=assignment.entries,
        gates=[(gate.name, by_hand(gate.run)) for gate in assignment.gates],
        builds=_has_worktree(assignment) and assignment.task.role in BUILDING_ROLES,
    )
    return shared + own


def by_hand(command: str) -> str:
    """A gate's command without the options by which it writes a report for the orchestrator."""
    plain = re.sub(r' -{1,2}[\w-]+[= ]"?\$\{?ORCHESTRATOR_GATE_REPORT\}?"?', "", command)
    return plain if plain == command else plain.replace(" --output-format=json", "")


def _has_worktree(assignment: Assignment) -> bool:
    return bool(assignment.job.config.base) and assignment.task.git != "off"


def _template_of(worker: Worker) -> str:
    if worker.is_reviewer:
        return "reviewer"
    return "planner" if worker.is_planner else "worker"
