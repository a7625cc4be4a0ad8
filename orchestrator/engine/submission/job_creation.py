"""Job creation: stores a submission as a job, in the supervisor's thread."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import field, replace

from orchestrator.core.errors import Conflict, InvalidRequest, Refused
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits import job_admission, submission_digest
from orchestrator.core.limits.effective_settings import (
    Ancestry,
    Ceilings,
    check_timeouts,
    child_config,
    raised_config,
    retry_config,
    root_config,
    within_root,
)
from orchestrator.core.limits.key_costs_and_jobs import KeyLimits
from orchestrator.core.model import dag
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import (
    PLANNER,
    Attempt,
    Job,
    TaskSpec,
    Worker,
    WorkerKey,
    new_planner,
)
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus
from orchestrator.core.model.submission import Accepted, ConfigRequest, Submission
from orchestrator.core.outcome.job.reason import approval_wait_fields
from orchestrator.core.ports import Agents, Roles
from orchestrator.core.ports.agent_availability import Availability
from orchestrator.core.repository.repository import Base
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.scheduler.scheduler_view import TreeSize
from orchestrator.engine.submission.agents_and_gates import AgentChoice, GatePlan

_UNSUCCESSFUL = frozenset({JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED})


def ancestry_of(scheduler: Scheduler, key: WorkerKey, now: float) -> Ancestry:
    view = scheduler.view
    parent = view.workers[key]
    parent_job = view.job_of(parent)
    ancestors = [parent_job, *view.ancestors(parent_job)]
    ancestor_workers = [view.workers[job.parent_key] for job in ancestors if job.parent_key]
    tasks = [view.task_of(worker) for worker in (parent, *ancestor_workers)]
    tree_size = view.size_of(parent_job)
    return Ancestry(
        parent_job=parent_job,
        parent=parent,
        ancestors=ancestors,
        worker_digests=frozenset(
            submission_digest.digest(text, ())
            for task in tasks
            for text in (task.prompt, task.title)
        ),
        child_jobs_in_root=tree_size.child_jobs,
        workers_in_root=tree_size.workers,
        remaining_caps=tree_size.remaining_caps,
        now=now,
    )


def same_child(
    scheduler: Scheduler, parent: Worker, digest: str, discarded: Collection[str]
) -> Job | None:
    """Return the latest child job of ``parent`` with the request fingerprint ``digest``, or None.

    Ignore child jobs that failed, are partial, or were stopped.

    ``discarded``: ids of child jobs to ignore, because ``parent`` discarded their results.
    """
    for job_id in (each for each in reversed(parent.child_job_ids) if each not in discarded):
        job = scheduler.view.jobs[job_id]
        if job.digest == digest and job.status not in _UNSUCCESSFUL and job.stop_cause is None:
            return job
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedSubmission:
    """A submission, with all values that are determined before the supervisor stores the job."""

    submission: Submission
    caller: Caller
    job_id: str
    #: The tasks to run: the caller's tasks, or the tasks that the rules planned.
    tasks: tuple[TaskSpec, ...]
    plan_source: str
    digest: str
    #: Ids of earlier child jobs with the same request whose results the worker discarded.
    discarded: frozenset[str] = frozenset()
    #: The base for workers that may change files.
    base: Base = field(default_factory=Base)
    gates: GatePlan = field(default_factory=GatePlan)


class SubmissionBuilder:
    def __init__(
        self,
        agents: Agents,
        roles: Roles,
        defaults: JobConfig,
        ceilings: Ceilings,
        asks_to_build: Callable[[str], bool] = lambda request: False,
        *,
        refuses_unpriced: bool = True,
        check_machine: Callable[[TaskSpec, Sequence[str]], None] = lambda task, agents: None,
    ) -> None:
        """``check_machine``: raises InvalidRequest if no machine can run a task with its agents.

        ``defaults``: values for the settings that a request does not set.
        """
        self._agents = agents
        self._choice = AgentChoice(agents, roles, check_machine)
        self._defaults = defaults
        self._ceilings = ceilings
        #: What to do with a job that has a cost cap and a model of unknown price. True: reject the
        #: job. False: stop the job after the first worker with this model has ended.
        self._refuses_unpriced = refuses_unpriced
        #: Function that returns True if a request may ask to create or change something.
        self._asks_to_build = asks_to_build

    @property
    def choice(self) -> AgentChoice:
        return self._choice

    @property
    def agent(self) -> str:
        """The agent for a root job's tasks that name no agent."""
        return self._defaults.agent

    def check(self, submission: Submission) -> None:
        """Check the settings and tasks of a root job as ``submit`` does. Add no job.

        Raise InvalidRequest for an invalid request, or Refused if a limit is reached.
        """
        job_admission.check_supported(submission.config, self._defaults)
        config = root_config(submission.config, self._defaults, self._ceilings)
        check_timeouts(submission.tasks, self._ceilings)
        self._choice.check_names(submission.config)
        job = Job(id="", root_id="", depth=0, request="", config=config, created_at=0.0)
        self._admitted_workers(job, submission.tasks, 0, 1, ())
        self._choice.with_reviewers(submission.tasks, ())

    def submit(self, scheduler: Scheduler, resolved: ResolvedSubmission, now: float) -> Accepted:
        """Add a job, or return the calling worker's earlier child job with the same request.

        Raise InvalidRequest for an invalid request, or Refused if a limit is reached. After an
        error, no job is added. A rejected child job is recorded in the job of the calling worker.
        """
        job_admission.check_supported(resolved.submission.config, self._defaults)
        attempt = resolved.caller.attempt
        if attempt is None:
            return self._submit_root(scheduler, resolved, now)
        try:
            return self._submit_child(scheduler, resolved, attempt, now)
        except Refused as error:
            scheduler.child_job_refused(attempt.key, resolved.submission.request, error, now)
            raise

    def agents(self) -> Sequence[Availability]:
        return self._agents.available()

    def uses_model(self, agent: str) -> bool:
        """True if the agent uses a model; False if config.yaml no longer has the agent."""
        return agent in self._agents.names() and self._agents.uses_model(agent)

    def retry_config(self, config: JobConfig, request: ConfigRequest) -> JobConfig:
        """Return the job's settings ``config``, with the changes that a retry requests.

        Raise InvalidRequest for a setting that a retry cannot change, or Refused for a value above
        its ceiling.
        """
        return retry_config(config, request, self._ceilings)

    def raised_config(self, config: JobConfig, request: ConfigRequest) -> JobConfig:
        """Return the job's settings ``config``, with the limits in ``request``.

        Raise InvalidRequest for a limit that is not larger than the current limit, or Refused for a
        limit above its ceiling.
        """
        return raised_config(config, request, self._ceilings)

    def _is_to_build(self, resolved: ResolvedSubmission) -> bool:
        if resolved.tasks and all(task.command is not None for task in resolved.tasks):
            return False
        return self._asks_to_build(resolved.submission.request)

    def _submit_root(
        self, scheduler: Scheduler, resolved: ResolvedSubmission, now: float
    ) -> Accepted:
        scheduler.view.check_day(resolved.caller.full_name, now)
        scheduler.view.check_running_jobs(resolved.caller.full_name)
        config = root_config(resolved.submission.config, self._defaults, self._ceilings)
        config = _within_key_limits(
            config, resolved, scheduler.view.limits_of(resolved.caller.full_name)
        )
        check_timeouts(resolved.tasks, self._ceilings)
        base = resolved.base
        config = replace(config, base=base.commit, base_branch=base.branch)
        config = replace(config, include_dirty=base.dirty, git_note=base.note)
        config = replace(config, has_submodules=base.has_submodules)
        config = replace(config, gates=resolved.gates.gates, gates_off=resolved.gates.is_off)
        config = replace(config, asks_to_build=self._is_to_build(resolved))
        job = self._add_job(scheduler, resolved, _new_root_job(resolved, config, now), 0, now)
        return Accepted(
            job=job, left=self.remaining_quota_of(job, scheduler.view.size_of(job), now)
        )

    def _submit_child(
        self, scheduler: Scheduler, resolved: ResolvedSubmission, attempt: Attempt, now: float
    ) -> Accepted:
        scheduler.view.check_current(attempt)
        key = attempt.key
        ancestry = ancestry_of(scheduler, key, now)
        if ancestry.parent.is_adviser:
            adviser = "planner" if ancestry.parent.is_planner else "reviewer"
            raise Refused(
                f"a {adviser} may not start child jobs; answer without child jobs",
                kind="recursion-disabled",
            )
        if ancestry.parent_job.stop_cause is not None:
            raise Conflict(
                "the job of this worker is being cancelled; the worker may not start child jobs"
            )
        earlier_child = same_child(scheduler, ancestry.parent, resolved.digest, resolved.discarded)
        if earlier_child is not None:
            scheduler.attach(key, earlier_child.id, now)
            return self._accepted_child(scheduler, earlier_child, ancestry, duplicate=True)
        scheduler.view.check_day(ancestry.root.submitted_by, now)
        job_admission.check_child(resolved.submission.config, ancestry, self._ceilings)
        prompt = None if resolved.submission.tasks else resolved.digest
        job_admission.check_cycle(
            resolved.digest, prompt, ancestry, self._remaining_quota(ancestry)
        )
        config = child_config(resolved.submission.config, ancestry)
        resolved = replace(resolved, tasks=within_root(resolved.tasks, ancestry.root.config))
        check_workdir(resolved.tasks, scheduler.view.task_of(ancestry.parent))
        base = resolved.base.commit or ancestry.parent_job.config.base
        config = replace(config, base=base, git_note=resolved.base.note)
        has_submodules = resolved.base.has_submodules or ancestry.parent_job.config.has_submodules
        config = replace(config, has_submodules=has_submodules)
        config = replace(config, asks_to_build=self._is_to_build(resolved))
        config = replace(config, gates=resolved.gates.gates, gates_off=resolved.gates.is_off)
        job = replace(
            _new_root_job(resolved, config, now),
            root_id=key.root_id,
            depth=ancestry.parent_job.depth + 1,
            parent_worker_id=key.worker_id,
            parent_job_id=ancestry.parent_job.id,
        )
        job = self._add_job(scheduler, resolved, job, ancestry.workers_in_root, now)
        return self._accepted_child(scheduler, job, ancestry_of(scheduler, key, now))

    def _add_job(
        self,
        scheduler: Scheduler,
        resolved: ResolvedSubmission,
        job: Job,
        existing_workers: int,
        now: float,
    ) -> Job:
        self._choice.check_names(resolved.submission.config)
        refused_logins = scheduler.view.logins_refused(now)
        agent = self._choice.planning_agent(job.config, resolved.submission, refused_logins)
        if agent is not None:
            job_admission.check_total(job.config, existing_workers, 1)
            job = replace(
                job,
                status=JobStatus.PLANNING,
                plan_source=agent,
                reason=f"being planned by {agent}",
            )
            planner = new_planner(job, agent, _planner_name(scheduler, job))
            scheduler.submit(job, (), (), now, planner)
            self._choice.record_fallback(scheduler, job, now)
            return job
        if job.config.approve:
            job = replace(job, status=JobStatus.PLANNING, **approval_wait_fields(job))
        first_number = _next_number(scheduler, job)
        workers = self._admitted_workers(
            job, resolved.tasks, existing_workers, first_number, refused_logins
        )
        tasks = self._choice.with_reviewers(resolved.tasks, refused_logins)
        scheduler.submit(job, tasks, workers, now)
        self._choice.record_fallback(scheduler, job, now)
        return job

    def workers_for_plan(
        self,
        scheduler: Scheduler,
        job: Job,
        tasks: Sequence[TaskSpec],
        refused_logins: Collection[str] = (),
    ) -> list[Worker]:
        """Return new workers for the planned tasks of a job.

        ``refused_logins``: names of agents whose login failed recently. Raise InvalidRequest or
        Refused if the job cannot have these tasks.
        """
        existing_workers = scheduler.view.size_of(job).workers
        return self._admitted_workers(
            job, tasks, existing_workers, _next_number(scheduler, job), refused_logins
        )

    def edited_plan(
        self, scheduler: Scheduler, job: Job, tasks: Sequence[TaskSpec], now: float
    ) -> tuple[Sequence[TaskSpec], list[Worker]]:
        """Return the tasks and new workers for an edited plan, which replaces the current plan.

        Call this method only if no worker of the current plan has started. Raise InvalidRequest or
        Refused if the job cannot have these tasks.
        """
        check_timeouts(tasks, self._ceilings)
        refused_logins = scheduler.view.logins_refused(now)
        replaced_workers = len(scheduler.view.workers_of(job.id))
        existing_workers = scheduler.view.size_of(job).workers - replaced_workers
        first_number = 1 if job.is_root else _next_number(scheduler, job) - replaced_workers
        workers = self._admitted_workers(job, tasks, existing_workers, first_number, refused_logins)
        return self._choice.with_reviewers(tasks, refused_logins), workers

    def _admitted_workers(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        existing_workers: int,
        first_number: int,
        refused_logins: Collection[str],
    ) -> list[Worker]:
        workers = self._new_workers(job, tasks, first_number, refused_logins)
        self._check_prices(job, tasks, workers)
        job_admission.check_size(tasks, len(workers), self._ceilings)
        job_admission.check_total(job.config, existing_workers, len(workers))
        return workers

    def _check_prices(self, job: Job, tasks: Sequence[TaskSpec], workers: Sequence[Worker]) -> None:
        if not self._refuses_unpriced:
            return
        tasks_by_id = {task.id: task for task in tasks}
        candidate_counts: Counter[str] = Counter()
        for worker in workers:
            task = tasks_by_id[worker.task_id].of_candidate(candidate_counts[worker.task_id])
            candidate_counts[worker.task_id] += 1
            is_capped = job.config.max_cost_usd is not None or task.max_cost_usd is not None
            if worker.is_question:
                continue
            if is_capped and self._agents.is_priced(worker.agent, task.model) is False:
                model = task.model or "its model"
                raise Refused(
                    f"cannot enforce max_cost_usd for task {task.id!r}: the price of {model} "
                    f"({worker.agent}) is unknown; set workers.prices in config.yaml (0 for a "
                    "local model); or set workers.unknown_price to 'first': then the job starts, "
                    "and is stopped when the first worker with such a model has ended",
                    kind="unknown-price",
                )

    def _accepted_child(
        self,
        scheduler: Scheduler,
        job: Job,
        ancestry: Ancestry,
        duplicate: bool = False,
    ) -> Accepted:
        return Accepted(
            job=job,
            duplicate=duplicate,
            left=self.remaining_quota_of(job, scheduler.view.size_of(job), ancestry.now),
            caller_left=self._remaining_quota(ancestry),
        )

    def remaining_quota_of(self, job: Job, tree: TreeSize, now: float) -> dict[str, object]:
        """Return the job's remaining quota: the most that a new worker of the job could use."""
        return job_admission.remaining_quota_of(
            job,
            self._ceilings,
            child_jobs_in_root=tree.child_jobs,
            workers_in_root=tree.workers,
            remaining_caps=tree.remaining_caps,
            now=now,
        )

    def remaining_quota_for(
        self, scheduler: Scheduler, worker: Worker, now: float
    ) -> dict[str, object]:
        return self._remaining_quota(ancestry_of(scheduler, worker.key, now))

    def _remaining_quota(self, ancestry: Ancestry) -> dict[str, object]:
        return job_admission.remaining_quota(ancestry, self._ceilings)

    def _new_workers(
        self,
        job: Job,
        tasks: Sequence[TaskSpec],
        first_number: int,
        refused_logins: Collection[str],
    ) -> list[Worker]:
        prefix = job.parent_worker_id or "worker"
        pairs = [
            (task, name)
            for task in tasks
            for name in self._choice.of_task(job.config, task, refused_logins)
        ]
        return [
            Worker(
                id=f"{prefix}_{first_number + index}",
                job_id=job.id,
                root_id=job.root_id,
                task_id=task.id,
                index=index,
                depth=job.depth,
                agent=name,
            )
            for index, (task, name) in enumerate(pairs)
        ]


def _within_key_limits(
    config: JobConfig, resolved: ResolvedSubmission, limits: KeyLimits
) -> JobConfig:
    key_name, max_workers = resolved.caller.full_name, limits.max_workers
    if max_workers is None:
        return config
    requested = resolved.submission.config.get("max_workers")
    if requested is not None and requested > max_workers:
        raise Refused(
            f"max_workers is {requested}, above the limit {max_workers} of the key; use "
            f"{max_workers} or less, or raise api.keys[{key_name}].limits.max_workers in "
            "config.yaml",
            kind="limit-workers",
            left={"max_workers": max_workers},
        )
    return replace(config, max_workers=min(config.max_workers, max_workers))


def check_tasks(tasks: Sequence[TaskSpec]) -> None:
    """Raise InvalidRequest if there are no tasks, or if their dependencies are invalid."""
    if not tasks:
        raise InvalidRequest("no tasks; add tasks to the plan, or describe the work in the request")
    dag.check(tasks)


def check_workdir(tasks: Sequence[TaskSpec], parent: TaskSpec) -> None:
    """Raise InvalidRequest if a task uses ``workdir: project``, but the task ``parent`` does not.

    ``parent``: the task of the parent worker.
    """
    task_ids = [task.id for task in tasks if task.works_in_project]
    if task_ids and not parent.works_in_project:
        raise InvalidRequest(
            f"task {task_ids[0]}: a child job may use 'workdir: project' only if the parent "
            "worker's task also uses 'workdir: project'; remove 'workdir: project'"
        )


def _new_root_job(resolved: ResolvedSubmission, config: JobConfig, now: float) -> Job:
    return Job(
        id=resolved.job_id,
        root_id=resolved.job_id,
        depth=0,
        request=resolved.submission.request,
        config=replace(config, requested=submission_digest.settings_digest(resolved.submission)),
        digest=resolved.digest,
        submitted_by=resolved.caller.full_name,
        idempotency_key=resolved.submission.idempotency_key,
        plan_source=resolved.plan_source,
        created_at=now,
        callback=resolved.submission.callback,
    )


def _next_number(scheduler: Scheduler, job: Job) -> int:
    # Number the workers of all child jobs of one parent worker together, so that names differ.
    key = job.parent_key
    return 1 if key is None else scheduler.view.workers[key].child_workers + 1


def _planner_name(scheduler: Scheduler, job: Job) -> str:
    # A worker may start several child jobs with planners, so each planner's name has a number.
    key = job.parent_key
    if key is None:
        return PLANNER
    number = len(scheduler.view.workers[key].child_job_ids) + 1
    return f"{key.worker_id}_{PLANNER}_{number}"
