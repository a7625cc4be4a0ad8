"""Gets the plan of a job before the job starts, and lets the user edit the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.output.editor import edited_text
from orchestrator.cli.plan.job_options import JobOptions
from orchestrator.core.errors import InvalidRequest, OrchestratorError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.human_input.question import PERSON
from orchestrator.core.model.job_settings import Workdir
from orchestrator.core.text.formatting import plural, rounded_dollars

if TYPE_CHECKING:
    from orchestrator.api.client import OrchestratorClient

#: Maximum seconds to wait until a rejected job has ended. Usually it ends at once.
REJECT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Draft:
    tasks: Sequence[Mapping[str, Any]]
    #: Facts about the origin of the tasks. ``source``: ``given``, ``rules``, or an agent.
    made_by: Mapping[str, Any]
    #: Id of the job that waits for approval, if an agent made the plan; otherwise None.
    job_id: str | None = None
    estimate: Mapping[str, Any] | None = None
    #: Why an agent of the plan cannot work on this machine; empty: no such agent, or unknown.
    hindrance: str = ""


def notes_on(accepted: Mapping[str, Any]) -> list[str]:
    """Return the server's notes for the user, from the answer to a submission."""
    return [str(accepted[name]) for name in ("git_note", "limits_notice") if accepted.get(name)]


def planning_agent(context: CliContext, job: JobOptions) -> str | None:
    """Return the name of the agent that would create the job's plan.

    Return None if the tasks come from a plan file, or if the rules create the plan.
    """
    from orchestrator.composition import planner_of

    if job.tasks:
        return None
    config = job.config
    planner, agent = config.get("planner"), config.get("agent")
    name = planner_of(context.folder, planner, agent, job.request)
    return None if name == "rules" else name


def local_plan(context: CliContext, job: JobOptions) -> Draft:
    """Return a job's plan without a call to the server: the plan file's tasks, or the rules' tasks.

    Raise InvalidRequest if there are no tasks, or if the server would reject them.
    """
    from orchestrator.composition import check_plan, plan

    if job.tasks:
        hindrance = check_plan(context.folder, job.config, job.tasks)
        return Draft(
            tasks=job.tasks,
            made_by={"source": "given"},
            estimate=rough_estimate(context, job, job.tasks),
            hindrance=hindrance,
        )
    split = plan(context.folder, job.request, job.config.get("agent") or "auto")
    tasks = [plan_file_task(asdict(spec)) for spec in split.tasks]
    made_by = {"source": "rules", "rule": str(split.rule), "kind": split.kind or None}
    made_by["fallback"] = None
    return Draft(tasks=tasks, made_by=made_by, estimate=rough_estimate(context, job, tasks))


def rough_estimate(
    context: CliContext, job: JobOptions, tasks: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return an estimate of the tasks' usage, without measurements of earlier workers."""
    from orchestrator.composition import estimate_of

    default = job.config.get("agent") or "auto"
    agents = [agents_of(task, default) for task in tasks]
    compared = [task for task, names in zip(tasks, agents, strict=True) if len(names) > 1]
    reviewers = [str(task["review"]) for task in compared if task.get("review")]
    names = [name for each in agents for name in each if name != PERSON]
    return asdict(estimate_of(context.folder, names, reviewers))


def agents_of(task: Mapping[str, Any], default: str) -> Sequence[str]:
    """Return the names of the agents that run a task; ``default`` if the task names none."""
    if task.get("approve"):
        return [PERSON]
    agents = task.get("agent") or default
    if agents == "auto" and task.get("command"):
        agents = "shell"
    agent_list = [agents] if isinstance(agents, str | Mapping) else agents
    return [each if isinstance(each, str) else str(each.get("name")) for each in agent_list]


def draft(context: CliContext, client: "OrchestratorClient", job: JobOptions) -> Draft:
    """Return the plan of a job before the job starts.

    If an agent creates the plan, this function submits the job, and waits for the plan. Then the
    job waits for approval, and ``Draft.job_id`` is the id of the job. If the planning fails, cancel
    the job, and raise OrchestratorError.
    """
    if planning_agent(context, job) is None:
        return local_plan(context, job)
    job_id = str(client.orchestrate(job.request, **{**job.config, "approve": True})["job_id"])
    try:
        return _wait_for_plan(client, job_id)
    except BaseException:
        client.cancel(job_id)
        raise


def _wait_for_plan(client: "OrchestratorClient", job_id: str) -> Draft:
    for event in client.events(job_id):
        if event["kind"] == "job_planned" and event["job_id"] == job_id:
            break
    answer = client.job(job_id)
    if not answer["awaits_approval"]:
        raise OrchestratorError(f"planning of job {job_id} failed: {answer['reason']}")
    tasks = [plan_file_task(task) for task in answer["tasks"]]
    made_by = {"source": answer["plan_source"], "fallback": answer.get("plan_fallback")}
    return Draft(tasks=tasks, made_by=made_by, job_id=job_id, estimate=answer.get("estimate"))


def plan_file_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a task to the form of a plan file: omit empty fields, and fields of the server."""
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in task.items()}
    agents = fields.pop("agents")
    fields["agent"] = agents[0] if len(agents) == 1 else agents
    omitted = ("candidates", "chosen", "review_by_any")
    if fields.get("workdir") == Workdir.OWN:
        del fields["workdir"]
    return {k: v for k, v in fields.items() if k not in omitted and v not in (None, "", [], {})}


def start(
    context: CliContext, client: "OrchestratorClient", job: JobOptions, key: str | None = None
) -> dict[str, Any]:
    """Submit a job, and return the server's answer.

    If ``job.edit_plan`` is True, the user first edits the plan. ``key``: idempotency key of the
    submission.
    """
    if not job.edit_plan:
        return client.orchestrate(job.request, job.tasks_or_none, key, **job.config)
    plan = draft(context, client, job)
    try:
        edited = _edited_job(job, plan)
    except BaseException:
        if plan.job_id is not None:
            reject(client, plan.job_id)
        raise
    if plan.job_id is None:
        return client.orchestrate(edited.request, edited.tasks, key, **edited.config)
    if (edited.request, edited.config) == (job.request, job.config):
        if edited.tasks != tuple(plan.tasks):
            _replace_tasks(client, plan.job_id, edited.tasks)
        return client.approve(plan.job_id)
    # The user has changed the request or the settings. They cannot be changed in a submitted job,
    # so submit a new job.
    reject(client, plan.job_id)
    return client.orchestrate(edited.request, edited.tasks, key, **edited.config)


def _replace_tasks(
    client: "OrchestratorClient", job_id: str, tasks: Sequence[Mapping[str, Any]]
) -> None:
    # If the plan cannot be replaced, reject it. Otherwise, the job would wait for approval forever.
    try:
        client.edit_plan(job_id, tasks, int(client.plan(job_id)["version"]))
    except BaseException:
        reject(client, job_id)
        raise


def reject(client: "OrchestratorClient", job_id: str, comment: str = "") -> None:
    """Reject the plan of a job, and wait for the job's end, so that its server can stop.

    ``comment``: the user's comment, which becomes a part of the job's reason.
    """
    client.reject(job_id, comment=comment)
    client.wait(job_id, REJECT_SECONDS)


def _edited_job(job: JobOptions, plan: Draft) -> JobOptions:
    """Open a plan in the user's editor, and return the job with the edited plan.

    Raise InvalidRequest if the edited text is not a valid plan.
    """
    import yaml

    from orchestrator.schemas.requests.plan_validation import parse_plan

    values = {"request": job.request, "config": dict(job.config), "tasks": list(plan.tasks)}
    document = {name: value for name, value in values.items() if value}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    edited_plan = edited_text(text, ".yaml", "no job was started")
    if edited_plan is None or edited_plan == text:
        return replace(job, tasks=tuple(plan.tasks))
    if not edited_plan.strip():
        raise InvalidRequest("the edited plan is empty; no job was started")
    parsed = parse_plan(edited_plan, "the edited plan.yaml")
    fields = parsed.model_dump(mode="json", exclude_unset=True, warnings=False)
    if not fields.get("tasks"):  # without tasks, a planner would split the request again
        raise InvalidRequest(
            "the edited plan has no tasks; no job was started; keep at least one task"
        )
    return replace(
        job,
        request=fields["request"],
        config=fields.get("config") or {},
        tasks=tuple(fields.get("tasks") or ()),
    )


def estimate_line(estimate: Mapping[str, Any]) -> str:
    """Return an estimate as text such as ``estimate: about 300,000 tokens, cost unknown (...)``."""
    if not estimate["tokens"]:
        return "estimate: no tokens, no cost (no task needs a model)"
    money = _money(estimate.get("cost_usd"))
    earlier = estimate["from_workers"]
    basis = f"based on {plural(earlier, 'earlier worker')}" if earlier else "a rule of thumb"
    about = f"estimate: about {estimate['tokens']:,} tokens, {money}"
    workers = plural(estimate["workers"], "worker")
    if estimate.get("reviewers"):
        review_cost = _money(estimate.get("review_cost_usd"))
        reviewers = plural(estimate["reviewers"], "reviewer")
        workers += f" and {reviewers}: {estimate['review_tokens']:,} tokens, {review_cost}"
    excluded = "without child jobs, retries, and merge rejections"
    return f"{about} ({workers}, {basis}; {excluded})"


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else rounded_dollars(cost, "about ")
