"""Putting the product together."""

import os
import secrets
from functools import cached_property
from pathlib import Path

from orchestrator import __version__
from orchestrator.agents.prompts.contexts import JobContexts
from orchestrator.agents.role_prompts import RolePrompts
from orchestrator.agents.survey import intent
from orchestrator.app.agents import registry
from orchestrator.app.from_settings import (
    api_keys,
    containment,
    limits,
    live_workers,
    masked,
    quotas,
    resources,
    surroundings,
)
from orchestrator.app.gates import checks_of, gate_plans_of
from orchestrator.app.job_manager import JobManager
from orchestrator.config import Settings, project_root
from orchestrator.config.choices import Attempts, OnShutdown, Push
from orchestrator.core.aside import Prompting
from orchestrator.core.logins import Needs
from orchestrator.core.model import Job
from orchestrator.core.ports import Tree
from orchestrator.core.scheduler import Scheduler
from orchestrator.engine.access import Access
from orchestrator.engine.assigning import Assigning
from orchestrator.engine.bases import Bases
from orchestrator.engine.checks import Checks
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
from orchestrator.engine.project_work import ProjectWork
from orchestrator.engine.publisher import Publisher
from orchestrator.engine.removal import Removal
from orchestrator.engine.reporting import Reporting
from orchestrator.engine.retiring import Retiring
from orchestrator.engine.reviewing import Reviewing
from orchestrator.engine.service import Service
from orchestrator.engine.submitting import Submitting
from orchestrator.engine.supervisor import Supervisor
from orchestrator.engine.worktrees import Worktrees
from orchestrator.git import GitRepository, NeverCommit, Rules
from orchestrator.launchers.listener import Listener
from orchestrator.launchers.local import LocalLauncher
from orchestrator.reports import Reports, write_report
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import (
    JobFiles,
    JobLog,
    Place,
    StatusFiles,
    Workspace,
    WorkspaceLock,
)

DATABASE_NAME = "orchestrator.db"


def build(folder: Path, settings: Settings) -> JobManager:
    """Put the job manager together; nothing is opened or started."""
    return Assembly(folder, settings).job_manager()


class Assembly:
    """The parts of one job manager: each is made once, when another asks for it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._settings = settings
        self._workspace = Workspace(settings.orchestrator.workspace_root)
        self._agents = registry(folder, settings)
        self._roles = RolePrompts(settings.workers.roles_dir)
        self._around = surroundings(folder, settings)
        self._repository = repository_of(folder, settings, self._workspace.root)
        self._launcher = LocalLauncher(containment(folder, settings))
        self._publisher = Publisher()
        self._place = Place(self._workspace.root, self._around.project_root)

    def job_manager(self) -> JobManager:
        self._publisher.add(self._checks.observe)
        self._integration.on_merged_again = self._reporting.once_more
        return JobManager(
            service=self._service,
            supervisor=self._supervisor,
            flights=self._flights,
            scheduler=self._scheduler,
            locking=self._locking,
            store=self._store,
            launcher=self._launcher,
            listener=Listener(self._launcher),
            dispatch=self._dispatch,
            workspace=self._workspace,
            publisher=self._publisher,
            integration=self._integration,
            reporting=self._reporting,
            job_log=self._job_log,
            status_files=self._status_files,
            removal=self._removal,
            housekeeping=self._housekeeping,
            retiring=Retiring(self._worktrees),
            lock=WorkspaceLock(self._workspace.root),
            place=self._place,
            relocate=self._repository.relocate,
            leaves_workers=self._settings.workers.on_shutdown is OnShutdown.LEAVE,
        )

    # What is decided and kept

    @cached_property
    def _store(self) -> SqlStore:
        url = self._settings.store.url
        own = sqlite_url(self._workspace.root / DATABASE_NAME)
        return SqlStore(url.get_secret_value() if url else own, alone=True)

    @cached_property
    def _scheduler(self) -> Scheduler:
        agents, workers = self._agents, self._settings.workers
        return Scheduler(
            max_workers=int(workers.max_workers),
            max_live_workers=live_workers(self._settings),
            backoff_seconds=workers.retry_backoff_seconds,
            prompting=Prompting(reads=agents.reads_prompt, caches=agents.caches_prompts),
            needs=Needs(
                login=agents.needs_login,
                mend=agents.login,
                best_without=agents.best_without,
                credential=agents.credential,
            ),
            quotas=quotas(self._settings),
        )

    @cached_property
    def _locking(self) -> Locking:
        return Locking(self._scheduler, self._store)

    @cached_property
    def _submitting(self) -> Submitting:
        return Submitting(self._agents, self._roles, *limits(self._settings), intent.asks_to_build)

    @cached_property
    def _planning(self) -> Planning:
        return Planning(self._scheduler, self._submitting, RulesPlanner())

    @cached_property
    def _supervisor(self) -> Supervisor:
        return Supervisor(
            scheduler=self._scheduler,
            store=self._store,
            launcher=self._launcher,
            flights=self._flights,
            contexts=self._contexts,
            planning=self._planning,
            integration=self._integration,
            reporting=self._reporting,
            publisher=self._publisher,
            resources=resources(
                self._settings,
                self._agents,
                self._workspace,
                self._repository.known_common,
                lambda: self._place.moved,
            ),
            locking=self._locking,
        )

    # Attempts, from their start to the choice among them

    @cached_property
    def _dispatch(self) -> Dispatch:
        is_off = self._settings.git.push is Push.OFF
        refusals = self._repository.push_refusals if is_off else tuple
        return Dispatch(self._agents, self._workspace, self._around, masked, refusals)

    @cached_property
    def _worktrees(self) -> Worktrees:
        search = self._around.environment.get("PATH") or os.defpath
        fold = self._settings.git.attempts is Attempts.FOLD
        return Worktrees(
            self._repository, self._agents, self._workspace, search, fold_attempts=fold
        )

    @cached_property
    def _checks(self) -> Checks:
        return checks_of(
            self._launcher, self._repository, self._workspace, self._around, self._settings
        )

    @cached_property
    def _contexts(self) -> Contexts:
        shared = JobContexts(self._workspace.job_directory)
        reads_prompt = self._agents.reads_prompt
        return Contexts(shared, reads_prompt, self._launcher, self._workspace, self._around)

    @cached_property
    def _flights(self) -> Flights:
        left_for = self._submitting.left_for
        return Flights(
            self._scheduler,
            self._launcher,
            self._dispatch,
            self._workspace,
            Assigning(self._workspace, self._contexts, self._roles, left_for),
            self._contexts,
            self._planning,
            self._worktrees,
            self._checks,
            Reviewing(self._scheduler, self._worktrees),
            ProjectWork(
                self._around.project_root,
                self._around.home,
                self._repository,
                self._workspace,
                self._settings.git.never_commit,
            ),
            lambda: self._place.moved,
        )

    # What becomes of a job that has ended

    @cached_property
    def _integrator(self) -> Integrator:
        merged_gates = MergedGates(self._repository, self._checks, self._workspace)
        records = Records(self._workspace, write_report)
        return Integrator(self._repository, self._worktrees, merged_gates, records)

    @cached_property
    def _integration(self) -> Integration:
        return Integration(self._store, self._integrator)

    @cached_property
    def _reporting(self) -> Reporting:
        reporter = Reports(
            template_dir=self._settings.reports.template_dir, project=self._around.project_root
        )
        told = self._integrator.told
        return Reporting(self._store, reporter, self._workspace, notice, told)

    @cached_property
    def _job_log(self) -> JobLog:
        return JobLog(self._workspace, self._store.events)

    @cached_property
    def _status_files(self) -> StatusFiles:
        return StatusFiles(self._workspace, self._store.tree)

    @cached_property
    def _job_files(self) -> JobFiles:
        repository = self._repository
        return JobFiles(self._workspace.root, repository.forget, repository.secure)

    @cached_property
    def _removal(self) -> Removal:
        return Removal(self._store, self._job_files)

    @cached_property
    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            store=self._store,
            removal=self._removal,
            loop=self._supervisor,
            keep_seconds=self._settings.orchestrator.keep_jobs_seconds,
            mend=self._mend,
        )

    def _mend(self, job: Job) -> None:
        self._job_log.mend(job)
        self._reporting.mend(job)
        self._status_files.mend(job)

    # Calls

    @cached_property
    def _service(self) -> Service:
        access = Access(
            self._store,
            api_keys(self._settings),
            self._around.project_root,
            lambda: self._place.former,
        )
        return Service(
            supervisor=self._supervisor,
            store=self._store,
            launcher=self._launcher,
            workspace=self._workspace,
            publisher=self._publisher,
            planner=RulesPlanner(),
            submitting=self._submitting,
            worktrees=self._worktrees,
            gate_plans=gate_plans_of(self._repository, self._settings),
            bases=Bases(self._repository, self._worktrees),
            access=access,
            locks=LockService(self._supervisor, self._store, access, self._locking),
            integration=self._integration,
            removal=self._removal,
            report_anew=self._reporting.once_more,
            new_job_id=lambda: secrets.token_hex(4),
            version=__version__,
            moved=lambda: self._place.moved,
        )


def repository_of(folder: Path, settings: Settings, workspace: Path) -> GitRepository:
    """The host project's; there may be none."""
    git = settings.git
    rules = Rules(
        copy=git.copy_ignored,
        link=git.link_ignored,
        derive=not git.setup,
        never=NeverCommit(patterns=git.never_commit, over=git.never_commit_over or 0),
    )
    project = project_root(settings, folder).resolve()
    return GitRepository(project, workspace.resolve(), folder.resolve(), rules)


def notice(tree: Tree) -> str:
    """What the reader of a tree's reports must know first."""
    return intent.NOTHING_BUILT if tree.root.facts.nothing_built else ""
