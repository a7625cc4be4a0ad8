"""Putting the product together."""

import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator import __version__
from orchestrator.agents.survey import intent
from orchestrator.app.from_settings import (
    api_keys,
    containment,
    limits,
    live_workers,
    masked,
    registry,
    resources,
    surroundings,
)
from orchestrator.app.job_manager import DATABASE_NAME, JobManager
from orchestrator.config import Settings, load
from orchestrator.config.settings import OnShutdown
from orchestrator.core.model import TaskSpec
from orchestrator.core.ports import Tree
from orchestrator.core.scheduler import Scheduler
from orchestrator.engine.access import Access
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.flights import Flights
from orchestrator.engine.planner import RulesPlanner
from orchestrator.engine.publisher import Publisher
from orchestrator.engine.reporting import Reporting
from orchestrator.engine.service import Service
from orchestrator.engine.submitting import Submitting
from orchestrator.engine.supervisor import Supervisor
from orchestrator.launchers.local import LocalLauncher
from orchestrator.reports import Reports
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import (
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


def notice(tree: Tree) -> str:
    """What the reader of a tree's reports must know first."""
    surveyed = all(worker.agent == "survey" for worker in tree.workers)
    return intent.NOTHING_BUILT if surveyed and intent.asks_to_build(tree.root.request) else ""


def forget(folder: Path, environ: Mapping[str, str], root_ids: Collection[str]) -> Collection[str]:
    """Delete ended root jobs from the store; which of ``root_ids`` may go from the disk, too.

    Raise WorkspaceBusy while a server runs.
    """
    manager = build(folder, load(folder, environ=environ, require_key=False).settings)
    manager.open()
    try:
        unfinished = set(manager.store.unfinished())
        manager.store.forget(root_ids)
    finally:
        manager.close()
    return [root_id for root_id in root_ids if root_id not in unfinished]


def build(folder: Path, settings: Settings) -> JobManager:
    """Put the job manager together; nothing is opened or started."""
    workspace = Workspace(settings.orchestrator.workspace_root)
    url = settings.store.url.get_secret_value() if settings.store.url else None
    store = SqlStore(url or sqlite_url(workspace.root / DATABASE_NAME))
    agents = registry(folder, settings)
    scheduler = Scheduler(
        max_workers=settings.workers.max_workers,
        max_live_workers=live_workers(settings),
        backoff_seconds=settings.workers.retry_backoff_seconds,
    )
    dispatch = Dispatch(agents, workspace, surroundings(folder, settings), masked)
    reporter = Reports(template_dir=settings.reports.template_dir)
    reporting = Reporting(store, reporter, workspace, notice)
    publisher, launcher = Publisher(), LocalLauncher(containment(folder, settings))
    flights = Flights(scheduler, launcher, dispatch, workspace)
    supervisor = Supervisor(
        scheduler=scheduler,
        store=store,
        flights=flights,
        reporting=reporting,
        publisher=publisher,
        resources=resources(settings, agents, workspace),
    )
    service = Service(
        supervisor=supervisor,
        store=store,
        launcher=launcher,
        workspace=workspace,
        publisher=publisher,
        planner=RulesPlanner(),
        submitting=Submitting(agents, *limits(settings)),
        access=Access(store, api_keys(settings)),
        new_job_id=lambda: secrets.token_hex(4),
        version=__version__,
    )
    return JobManager(
        service=service,
        supervisor=supervisor,
        flights=flights,
        scheduler=scheduler,
        store=store,
        launcher=launcher,
        dispatch=dispatch,
        workspace=workspace,
        publisher=publisher,
        reporting=reporting,
        job_log=JobLog(workspace),
        status_files=StatusFiles(workspace, store.tree),
        lock=WorkspaceLock(workspace.root),
        leaves_workers=settings.workers.on_shutdown is OnShutdown.LEAVE,
    )
