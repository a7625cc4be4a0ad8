"""Short descriptions of jobs, so that a model needs few tokens to read them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from orchestrator.api.serializers.answer_parts import counts, usage_answer
from orchestrator.api.serializers.status import results
from orchestrator.core.limits.usage_caps import usage_by_job
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.submission import Accepted
from orchestrator.core.outcome.job.human_needs import Need
from orchestrator.core.outcome.job.listed_workers import listed_workers, worker_pages_call
from orchestrator.core.ports.read_models import JobCard, JobDetail
from orchestrator.core.text.formatting import cut, cut_middle
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers

Values = dict[str, Any]

REQUEST_CHARACTERS = 120
REASON_CHARACTERS = 300
#: Maximum characters of a job's reason. The maximum is larger than for a worker's reason, because a
#: job's reason ends with commands to type.
JOB_REASON_CHARACTERS = 1500
#: Maximum characters of the outputs of all workers, or of all tasks of a plan, in one answer.
OUTPUT_CHARACTERS = 12_000
#: Minimum characters that are shown of a longer output or task.
SHORTEST_OUTPUT = 200
#: Maximum number of workers, or of tasks of a plan.
MOST_WORKERS = 50
#: Maximum and minimum number of listed files of one worker. Maximum number of listed files of all
#: workers together.
MOST_FILES, FEWEST_FILES, MOST_FILES_TOGETHER = 20, 5, 300
#: Replaces the middle of a long output.
CUT = "\n[... shortened ...]\n"
MOST_NEEDS = 5
NEEDS_ADVICE = "show the user what the job needs"
RETRY_ADVICE = (
    "to run the unsuccessful tasks again, call retry; to send comments to a worker, call feedback"
)


def accepted_job(answer: Accepted) -> Values:
    job = answer.job
    return {
        "job_id": job.id,
        "status": job.status,
        **({"duplicate": True} if answer.duplicate else {}),
        **({"you_have_left": dict(answer.caller_left)} if answer.caller_left else {}),
        "its_workers_have_left": dict(answer.left),
        "next": f'wait {{"job_id": "{job.id}"}}',
    }


def job_list(cards: Sequence[JobCard], total: int) -> Values:
    return {"jobs": [_listed_job(card) for card in cards], "total": total}


def _listed_job(card: JobCard) -> Values:
    kinds = list(dict.fromkeys(need.kind for need in card.needs))
    return {**_job_fields(card.job), **({"needs": kinds} if kinds else {})}


def _job_fields(job: Job) -> Values:
    return {
        "job_id": job.id,
        "status": job.status,
        "depth": job.depth,
        "request": cut(job.request, REQUEST_CHARACTERS, " ..."),
    }


def job_status(service: Service, caller: Caller, detail: JobDetail, page: int = 1) -> Values:
    """Return a job's status, its workers in short form, and the remaining quota.

    ``page``: the page of workers.
    """
    job = detail.job
    workers = listed_workers(detail.workers, MOST_WORKERS, page)
    return {
        **_job_fields(job),
        **_reason_field(job.reason, JOB_REASON_CHARACTERS),
        "workers": counts(detail.workers),
        "by_name": [_worker_fields(worker) for worker in workers],
        **_omitted_worker_fields(detail, page * MOST_WORKERS),
        **_plan_field(detail),
        **_usage_field(service, caller, detail),
        "left": dict(detail.left),
        **_what_next(service, caller, detail),
    }


def _what_next(service: Service, caller: Caller, detail: JobDetail) -> Values:
    # The needs of child jobs are included, because the job waits for them, too.
    open_needs = [need for card in service.job_lists.cards([detail.job.id]) for need in card.needs]
    needs = {"needs": [_need_fields(need) for need in open_needs[:MOST_NEEDS]]}
    shown = needs if open_needs else {}
    if detail.job.status.ended:
        # Other callers may not call these tools.
        retry = RETRY_ADVICE if caller.is_admin and _can_be_retried(detail) else ""
        steps = "; ".join(filter(None, [NEEDS_ADVICE if shown else "", retry]))
        return {**shown, **({"next": steps} if steps else {})}
    wait = "the job waits for a person: show the user what it needs; then call wait again"
    return {"retry": True, **shown, "next": wait if shown else "call wait again"}


def _can_be_retried(detail: JobDetail) -> bool:
    has_failed = detail.job.status in (JobStatus.FAILED, JobStatus.PARTIAL)
    if not has_failed or detail.job.facts.discarded:
        return False
    done_ids = {worker.task_id for worker in detail.workers if worker.status.succeeded}
    return any(worker.task_id not in done_ids for worker in detail.workers)


def _need_fields(need: Need) -> Values:
    # The ids are arguments of the tools that meet the need, such as answer.
    ids = {"task_id": need.task_id, "worker_id": need.worker_id}
    return {
        "kind": need.kind,
        "job_id": need.job_id,
        **{name: value for name, value in ids.items() if value},
        "text": need.text,
        "command": need.command,
    }


def _worker_fields(worker: Worker) -> Values:
    children = list(worker.child_job_ids)
    return {
        "worker_id": worker.id,
        "task_id": worker.task_id,
        "agent": worker.agent,
        "status": worker.status,
        **_reason_field(worker.reason),
        **({"child_job_ids": children} if children else {}),
    }


def _plan_field(detail: JobDetail) -> Values:
    """Return the tasks of a plan that waits for approval, bounded in size."""
    if not detail.job.awaits_approval or detail.job.status.ended:
        return {}
    shown = detail.tasks[:MOST_WORKERS]
    longest = _longest_output([len(_work_of(task)[1]) for task in shown])
    more = len(detail.tasks) - len(shown)
    plan = [_planned_task(task, longest) for task in shown]
    known = asdict(detail.estimate) if detail.estimate else {}
    return {
        "plan": plan,
        **({"more_tasks": more} if more else {}),
        **({"estimate": {name: known[name] for name in _ESTIMATED}} if known else {}),
    }


_ESTIMATED = ("workers", "tokens", "cost_usd")


def _planned_task(task: TaskSpec, longest: int) -> Values:
    kind, text = _work_of(task)
    lists = {"agents": task.agents, "depends_on": task.depends_on, "writes": task.writes}
    return {
        "id": task.id,
        **({"title": cut(task.title, REQUEST_CHARACTERS, " ...")} if task.title else {}),
        **({kind: cut(text, longest, " ...")} if text else {}),
        **{name: list(items[:MOST_FILES]) for name, items in lists.items() if items},
    }


def _work_of(task: TaskSpec) -> tuple[str, str]:
    """Return the field of a task that has its work, and the work as text."""
    if task.approve:
        return "approve", task.approve
    if task.command is None:
        return "prompt", task.prompt
    command = task.command if isinstance(task.command, str) else shlex.join(task.command)
    return "command", command


def job_results(
    service: Service, caller: Caller, detail: JobDetail, worker_id: str | None = None
) -> Values:
    """Return the workers' results, bounded in size. ``worker_id``: the only worker to show."""
    job = detail.job
    if worker_id is not None:
        workers = [each for each in detail.workers if each.id == worker_id]
        detail = replace(detail, workers=workers)
    answer = results(service, caller, detail)
    tasks = listed_workers(answer.tasks, MOST_WORKERS) if answer else []
    longest = _longest_output([len(task.output) for task in tasks])
    most_files = min(MOST_FILES, max(FEWEST_FILES, MOST_FILES_TOGETHER // max(1, len(tasks))))
    return {
        "job_id": job.id,
        "status": job.status,
        **_reason_field(job.reason, JOB_REASON_CHARACTERS),
        "retry": not job.status.ended,
        **({"merging": True} if service.merges.is_merging(job.id) else {}),
        "results": [_task(task, longest, most_files) for task in tasks],
        **_omitted_worker_fields(detail, len(tasks)),
        **({"changes": _cut_lines(answer.changes)} if answer and answer.changes else {}),
        "final_report": str(service.job_details.final_report(job)),
        "workspace": str(service.job_details.workspace(job)),
        **(_usage_field(service, caller, detail) if worker_id is None else {}),
        "left": dict(detail.left),
        **_what_next(service, caller, detail),
    }


def merge_outcome(service: Service, caller: Caller, detail: JobDetail) -> Values:
    """Return the outcome of a repeated merge: the job's status, and the lines about the merge."""
    job, answer = detail.job, results(service, caller, detail)
    return {
        "status": job.status,
        **_reason_field(job.reason, JOB_REASON_CHARACTERS),
        "changes": _cut_lines(answer.changes) if answer else [],
    }


def _cut_lines(lines: Sequence[str]) -> list[str]:
    # A line may name all workers of the job.
    return [cut(line, JOB_REASON_CHARACTERS, " ...") for line in lines]


def _longest_output(lengths: Sequence[int]) -> int:
    """Return the number of characters after which an output is cut.

    ``lengths``: the number of characters of each output. Long outputs get the space that short
    outputs do not need.
    """
    room, shown = OUTPUT_CHARACTERS, sorted(lengths)
    for position, length in enumerate(shown):
        share = room // (len(shown) - position)
        if length > share:
            return max(share, SHORTEST_OUTPUT)
        room -= length
    return OUTPUT_CHARACTERS


def _task(task: answers.status.TaskResult, longest: int, most_files: int) -> Values:
    files = task.files_created
    more_files = len(files) - most_files
    return {
        "worker_id": task.worker_id,
        "task_id": task.task_id,
        "status": task.status,
        **({} if task.chosen is None else {"chosen": task.chosen}),
        **_reason_field(task.reason),
        # The cause of a failure is often at the end, such as the summary of a test runner.
        "output": cut_middle(task.output, longest // 2, CUT),
        **({"output_cut": True} if len(task.output) > longest else {}),
        **({"files_created": files[:most_files]} if files else {}),
        **({"more_files": more_files} if more_files > 0 else {}),
        "directory": task.workspace,
        **({"log": task.log} if task.log else {}),
        **({"child_job_ids": task.child_job_ids} if task.child_job_ids else {}),
    }


def _usage_field(service: Service, caller: Caller, detail: JobDetail) -> Values:
    usages = _usages(service, caller, detail)
    used = usage_answer(usages).model_dump(exclude_none=True)
    return {"used": used} if used else {}


def _usages(service: Service, caller: Caller, detail: JobDetail) -> Sequence[Usage]:
    if any(worker.child_job_ids for worker in detail.workers):
        tree = service.job_details.tree(caller, detail.job.id)
        return usage_by_job(tree.jobs, (*tree.workers, *tree.advisers)).get(detail.job.id, ())
    planners = [detail.planner] if detail.planner else []
    workers = (*detail.workers, *planners, *detail.reviewers)
    return [worker.lower_bound_of_usage for worker in workers]


def _reason_field(reason: str, longest: int = REASON_CHARACTERS) -> Values:
    return {"reason": cut(reason, longest, " ...")} if reason else {}


def _omitted_worker_fields(detail: JobDetail, shown: int) -> Values:
    count = len(detail.workers) - shown
    if count <= 0:
        return {}
    return {"more_workers": count, "all_workers": worker_pages_call(detail.job.id)}


def as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str)
