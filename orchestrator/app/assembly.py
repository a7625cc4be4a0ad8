"""Putting the product together."""

import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import __version__
from orchestrator.agents.prompts.contexts import JobContexts
from orchestrator.agents.role_prompts import Role, RolePrompts
from orchestrator.agents.survey import intent
from orchestrator.app.agents import registry
from orchestrator.app.from_settings import (
    api_keys,
    containment,
    limits,
    live_workers,
    masked,
    resources,
    surroundings,
)
from orchestrator.app.gates import checks_of, gate_plans_of
from orchestrator.app.job_manager import DATABASE_NAME, JobManager
from orchestrator.config import Settings, load, project_root
from orchestrator.config.settings import OnShutdown
from orchestrator.core.aside import Prompting
from orchestrator.core.estimate import Estimate, estimate
from orchestrator.core.logins import Needs
from orchestrator.core.model import Job, TaskSpec
from orchestrator.core.ports import Tree
from orchestrator.core.scheduler import Scheduler
from orchestrator.engine.access import Access
from orchestrator.engine.assigning import Assigning
from orchestrator.engine.bases import Bases
from orchestrator.engine.contexts import Contexts
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.flights import Flights
from orchestrator.engine.housekeeping import Housekeeping
from orchestrator.engine.integration import Integration
from orchestrator.engine.integrator import Integrator
from orchestrator.engine.lock_service import LockService
from orchestrator.engine.locking import Locking
from orchestrator.engine.merge_record import Records
from orchestrator.engine.merged_gates import MergedGates
from orchestrator.engine.planner import RulesPlanner
from orchestrator.engine.planning import Planning
from orchestrator.engine.publisher import Publisher
from orchestrator.engine.removal import Removal
from orchestrator.engine.reporting import Reporting
from orchestrator.engine.retiring import Retiring
from orchestrator.engine.reviewing import Reviewing
from orchestrator.engine.service import Service
from orchestrator.engine.submitting import Submitting
from orchestrator.engine.supervisor import Supervisor
from orchestrator.engine.worktrees import Worktrees
from orchestrator.engine.worthwhile import worth_planning
from orchestrator.git import GitRepository, Landing, Rules
from orchestrator.launchers.local import LocalLauncher
from orchestrator.reports import Reports, write_report
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import (
    JobFiles,
    JobLog,
    StatusFiles,
    Workspace,
    WorkspaceLock,
)


def plan(folder: Path, request: str, agent: str) -> Sequence[TaskSpec]:
    """The tasks that the rules split a request into, with their agents; runs nothing."""
    settings = load(folder, environ=os.environ, require_key=False).settings
    agents = registry(folder, settings)
    tasks = RulesPlanner().plan(request)
    return [replace(task, agents=(agents.resolve(agent, task),)) for task in tasks]


def roles(folder: Path) -> Sequence[Role]:
    """The roles that tasks may have, by name."""
    settings = load(folder, environ=os.environ, require_key=False).settings
    return RolePrompts(settings.workers.roles_dir).roles()


def role_text(folder: Path, name: str) -> str:
    """What an agent in a role is told. Raise UnknownRole."""
    settings = load(folder, environ=os.environ, require_key=False).settings
    found = RolePrompts(settings.workers.roles_dir)
    found.check(name)
    return found.text(name)


def planner_of(folder: Path, planner: str | None, agent: str | None, request: str) -> str:
    """Who would plan a job that asks for this planner and agent: ``rules``, or an agent."""
    settings = load(folder, environ=os.environ, require_key=False).settings
    workers = settings.workers
    wanted = planner or workers.planner
    if wanted == "auto" and not worth_planning(request):
        return "rules"
    return registry(folder, settings).planner(wanted, agent or workers.agent)


def estimate_of(folder: Path, agents: Sequence[str]) -> Estimate:
    """What workers of these agents may come to use, without a look at earlier ones."""
    settings = load(folder, environ=os.environ, require_key=False).settings
    known = registry(folder, settings)
    names = [known.resolve(name, TaskSpec(id="any")) for name in agents]
    return estimate(names, known.uses_model, lambda agent: ())


def repository_of(folder: Path, settings: Settings, workspace: Path) -> GitRepository:
    """The host project's; there may be none."""
    rules = Rules(copy=settings.git.copy_ignored, link=settings.git.link_ignored)
    project = project_root(settings, folder).resolve()
    return GitRepository(project, workspace.resolve(), folder.resolve(), rules)


def notice(tree: Tree) -> str:
    """What the reader of a tree's reports must know first."""
    surveyed = bool(tree.workers) and all(worker.agent == "survey" for worker in tree.workers)
    return intent.NOTHING_BUILT if surveyed and intent.asks_to_build(tree.root.request) else ""


def remove(
    folder: Path, environ: Mapping[str, str], root_ids: Collection[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove ended root jobs, and what an earlier removal left; gives each that is gone.

    With the names of refs in git that keep what is nowhere else.

    Raise WorkspaceBusy while a server runs.
    """
    manager = build(folder, load(folder, environ=environ, require_key=False).settings)
    manager.open()
    removal = manager.removal
    try:
        for root_id in removal.begun():
            removal.finish(root_id)
            yield root_id, removal.destroy(root_id)
        unfinished = set(manager.store.unfinished())
        for root_id in root_ids:
            if root_id not in unfinished:
                removal.begin(root_id)
                yield root_id, removal.destroy(root_id)
    finally:
        manager.close()


def landing(folder: Path, environ: Mapping[str, str], root_id: str, job_id: str) -> Landing:
    """What a job changed in the host project's repository, for taking it over."""
    settings = load(folder, environ=environ, require_key=False).settings
    return Landing(project_root(settings, folder), root_id, job_id)


def build(folder: Path, settings: Settings) -> JobManager:
    """Put the job manager together; nothing is opened or started."""
    workspace = Workspace(settings.orchestrator.workspace_root)
    url = settings.store.url.get_secret_value() if settings.store.url else None
    store = SqlStore(url or sqlite_url(workspace.root / DATABASE_NAME))
    agents = registry(folder, settings)
    role_prompts = RolePrompts(settings.workers.roles_dir)
    scheduler = Scheduler(
        max_workers=settings.workers.max_workers,
        max_live_workers=live_workers(settings),
        backoff_seconds=settings.workers.retry_backoff_seconds,
        prompting=Prompting(reads=agents.reads_prompt, caches=agents.caches_prompts),
        needs=Needs(login=agents.needs_login, mend=agents.login),
    )
    around = surroundings(folder, settings)
    dispatch = Dispatch(agents, workspace, around, masked)
    submitting = Submitting(agents, role_prompts, *limits(settings))
    reporter = Reports(template_dir=settings.reports.template_dir)
    repository = repository_of(folder, settings, workspace.root)
    worktrees = Worktrees(repository, agents, workspace)
    publisher, launcher = Publisher(), LocalLauncher(containment(folder, settings))
    checks = checks_of(launcher, repository, workspace, around)
    publisher.add(checks.observe)
    merged_gates = MergedGates(repository, checks, workspace)
    records = Records(workspace, write_report)
    integrator = Integrator(repository, worktrees, merged_gates, records)
    integration = Integration(store, integrator)
    reporting = Reporting(store, reporter, workspace, notice, integrator.told)
    integration.on_merged_again = reporting.once_more
    planning = Planning(scheduler, submitting, RulesPlanner())
    reviewing = Reviewing(scheduler, worktrees)
    shared = JobContexts(workspace.job_directory)
    contexts = Contexts(shared, agents.reads_prompt, launcher, workspace, around)
    assigning = Assigning(workspace, contexts, role_prompts, submitting.left_for)
    flights = Flights(
        scheduler,
        launcher,
        dispatch,
        workspace,
        assigning,
        contexts,
        planning,
        worktrees,
        checks,
        reviewing,
    )
    locking = Locking(scheduler, store)
    supervisor = Supervisor(
        scheduler=scheduler,
        store=store,
        flights=flights,
        contexts=contexts,
        planning=planning,
        integration=integration,
        reporting=reporting,
        publisher=publisher,
        resources=resources(settings, agents, workspace),
        locking=locking,
    )
    access = Access(store, api_keys(settings))
    service = Service(
        supervisor=supervisor,
        store=store,
        launcher=launcher,
        workspace=workspace,
        publisher=publisher,
        planner=RulesPlanner(),
        submitting=submitting,
        worktrees=worktrees,
        gate_plans=gate_plans_of(repository, settings),
        bases=Bases(repository, worktrees),
        access=access,
        locks=LockService(supervisor, store, access, locking),
        integration=integration,
        new_job_id=lambda: secrets.token_hex(4),
        version=__version__,
    )
    status_files = StatusFiles(workspace, store.tree)
    removal = Removal(store, JobFiles(workspace.root, repository.forget))

    def mend(job: Job) -> None:
        reporting.mend(job)
        status_files.mend(job)

    housekeeping = Housekeeping(
        store=store,
        removal=removal,
        loop=supervisor,
        keep_seconds=settings.orchestrator.keep_jobs_seconds,
        mend=mend,
    )
    return JobManager(
        service=service,
        supervisor=supervisor,
        flights=flights,
        scheduler=scheduler,
        locking=locking,
        store=store,
        launcher=launcher,
        dispatch=dispatch,
        workspace=workspace,
        publisher=publisher,
        integration=integration,
        reporting=reporting,
        job_log=JobLog(workspace),
        status_files=status_files,
        removal=removal,
        housekeeping=housekeeping,
        retiring=Retiring(worktrees),
        lock=WorkspaceLock(workspace.root),
        leaves_workers=settings.workers.on_shutdown is OnShutdown.LEAVE,
    )
