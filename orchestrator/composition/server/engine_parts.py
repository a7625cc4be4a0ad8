"""Assembles the parts that run jobs: supervisor, scheduler, attempts, merges, reports, store."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agents.prompts.role_prompts import RolePrompts
from orchestrator.agents.prompts.shared_context import JobContexts
from orchestrator.agents.survey.assignment import request_analysis
from orchestrator.composition.server.outbox import create_outbox_service
from orchestrator.composition.server.server_lease_renewal import claimant, lease_path
from orchestrator.composition.settings.agents import descriptions, registry
from orchestrator.composition.settings.database import store_url
from orchestrator.composition.settings.gates import gate_runner_of
from orchestrator.composition.settings.repository import repository_of
from orchestrator.composition.settings.settings_conversion import (
    containment,
    headroom,
    key_limits,
    launch_settings_of,
    limits,
    live_workers,
    masked,
)
from orchestrator.composition.settings.webhooks_and_notifications import Receivers, receivers
from orchestrator.config import Settings, roles_directory
from orchestrator.config.fields.choices import Attempts, Containment, Push, UnknownPrice
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.machines import Machine, check_machines
from orchestrator.core.ports import Prompting
from orchestrator.core.ports.credentials import CredentialLookup
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.ports.worktree_transfer import NodeWorktree
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.assignment import AssignmentBuilder
from orchestrator.engine.attempts.attempt_changes import AttemptChanges
from orchestrator.engine.attempts.attempt_gates import AttemptGates
from orchestrator.engine.attempts.attempt_runner import AttemptRunner
from orchestrator.engine.attempts.evidence_reader import EvidenceReader
from orchestrator.engine.attempts.launch_preparation import LaunchPreparation
from orchestrator.engine.attempts.review_prompt import ReviewPrompts
from orchestrator.engine.attempts.shared_context_runs import SharedContextRuns
from orchestrator.engine.gates.gate_runner import GateRunner
from orchestrator.engine.housekeeping import Housekeeping
from orchestrator.engine.job_removal import JobRemoval
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.merge.merge_runner import MergeRunner
from orchestrator.engine.merge.record.merge_record import MergeRecords
from orchestrator.engine.planning.rule_planner import RulesPlanner
from orchestrator.engine.report_queue import ReportQueue
from orchestrator.engine.runtime.lazy_object import lazy
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import Message
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.submission.planner_answer import AgentPlans
from orchestrator.engine.supervisor.inbox import Inbox
from orchestrator.engine.supervisor.lock_calls import LockCalls
from orchestrator.engine.supervisor.outbox_entries import OutboxEntries
from orchestrator.engine.supervisor.publisher import Publisher
from orchestrator.engine.supervisor.supervisor import Supervisor
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.worker_worktrees import Worktrees
from orchestrator.launchers.local.local_launcher import LocalLauncher
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.outbox.outbox_service import OutboxService
from orchestrator.reports import Reports, write_report
from orchestrator.store import SqlStore
from orchestrator.workspace import (
    JobDirectories,
    JobLog,
    StatusFiles,
    WorkspaceJobFiles,
    WorkspaceLocation,
    run_times_file,
)

if TYPE_CHECKING:
    from orchestrator.git import GitRepository
    from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher


class EngineParts:
    """The parts of one server that run jobs. Each part is created when it is first used."""

    def __init__(self, folder: Path, settings: Settings, spawner: SpawnerProcess | None) -> None:
        self.settings = settings
        self.cluster: ClusterLauncher | None = None
        self.workspace = JobDirectories(settings.orchestrator.workspace_root)
        self.agents = registry(folder, settings, machines=self._machines)
        self._roles = RolePrompts(roles_directory(settings, folder))
        self.launch_settings = launch_settings_of(folder, settings)
        #: Functions that return git's directory, or None while the directory is unknown. These
        #: functions do not run git.
        self._git_directories: list[Callable[[], Path | None]] = []
        self.repository = lazy(partial(self._new_repository, folder))
        has_lease = settings.cluster.server_lease is not None
        self.lease_path = lease_path(self.workspace.root) if has_lease else None
        local = LocalLauncher(
            containment(folder, settings, self._visible_paths()),
            str(self.lease_path or ""),
            spawner,
        )
        self.local = local
        self.cluster = self._cluster_launcher(folder, local)
        self.launcher: Launcher = self.cluster or local
        self.processes = RunningProcesses()
        self._inbox = Inbox[Message](self.launcher)
        self.publisher = Publisher()
        self.location = WorkspaceLocation(self.workspace.root, self.launch_settings.project_root)

    def _new_repository(self, folder: Path) -> "GitRepository":
        repository = repository_of(folder, self.settings, self.workspace.root)
        self._git_directories.append(repository.known_common_directory)
        return repository

    def _machines(self) -> Sequence[Machine]:
        return self.cluster.machines if self.cluster else ()

    def _cluster_launcher(self, folder: Path, local: LocalLauncher) -> "ClusterLauncher | None":
        if self.settings.cluster.listen is None:
            return None
        from orchestrator.composition.server.cluster import cluster_launcher

        return cluster_launcher(
            local,
            self.settings,
            self.workspace.root,
            {
                "home": self.launch_settings.home,
                "project": self.launch_settings.project_root,
                "python": Path(sys.executable),
            },
            self.agents,
            descriptions(folder, self.settings, self.agents),
            lambda: self.preparation.api_url,
            self.repository,
            self._demand,
        )

    def _demand(self, machine: Machine, most: int) -> int:
        """Return the number of waiting workers that could run on more machines like ``machine``.

        The result is at most ``most``.
        """
        return self.supervisor.call(
            lambda scheduler, now: scheduler.view.waiting_for_machines(now, most, machine)
        )

    def _visible_paths(self) -> Sequence[str]:
        """Return the paths that a sandbox must show; empty without a sandbox.

        A sandbox hides all other paths below the host's /tmp.
        """
        if self.settings.workers.containment is not Containment.SANDBOX:
            return ()
        launch_settings = self.launch_settings
        paths = map(
            str, (launch_settings.home, launch_settings.project_root, launch_settings.workspace)
        )
        return [*paths, *self.repository.directories()]

    # Values and stores

    @cached_property
    def store(self) -> SqlStore:
        return SqlStore(
            store_url(self.settings, self.workspace.root),
            alone=True,
            claimant=claimant(self.settings.cluster.server_lease),
        )

    @cached_property
    def scheduler(self) -> Scheduler:
        agents, workers = self.agents, self.settings.workers
        return Scheduler(
            max_workers=int(workers.max_workers),
            max_live_workers=live_workers(self.settings),
            prompting=Prompting(reads=agents.reads_prompt, caches=agents.caches_prompts),
            credentials=CredentialLookup(
                needs_login=agents.needs_login,
                fix=agents.login_instructions,
                best_without=agents.best_without,
                fingerprint=agents.credential_fingerprint,
            ),
            key_limits=key_limits(self.settings),
            run_times=self._run_times,
        )

    @cached_property
    def _run_times(self) -> Sequence[tuple[str, float]]:
        workspace = self.workspace.root
        self.publisher.add(run_times_file.recorder(workspace), "events")
        return run_times_file.read(workspace)

    @cached_property
    def lock_calls(self) -> LockCalls:
        return LockCalls(self.scheduler, self.store)

    @cached_property
    def submission_builder(self) -> SubmissionBuilder:
        return SubmissionBuilder(
            self.agents,
            self._roles,
            *limits(self.settings),
            request_analysis.may_ask_to_build,
            refuses_unpriced=self.settings.workers.unknown_price is UnknownPrice.REFUSE,
            check_machine=self._check_machine,
        )

    def _check_machine(self, task: TaskSpec, agents: Sequence[str]) -> None:
        here = Machine(slots=1, labels=self.settings.cluster.labels_here)
        machines = self._machines() or (here,)
        check_machines(task, machines, is_cluster=self.cluster is not None, agents=agents)

    @cached_property
    def _agent_plans(self) -> AgentPlans:
        return AgentPlans(self.scheduler, self.submission_builder, RulesPlanner())

    @cached_property
    def supervisor(self) -> Supervisor:
        return Supervisor(
            scheduler=self.scheduler,
            store=self.store,
            inbox=self._inbox,
            attempts=self.attempts,
            agent_plans=self._agent_plans,
            merge_queue=self.merge_queue,
            report_queue=self.report_queue,
            publisher=self.publisher,
            headroom=headroom(
                self.settings,
                self.agents,
                self.workspace,
                self._git_directories,
                self.location.moved_error,
                None if self.settings.cluster.listen is None else self._machines,
            ),
            lock_calls=self.lock_calls,
            outbox_entries=self._outbox_entries,
        )

    # Messages to receivers outside

    @cached_property
    def _receivers(self) -> Receivers:
        return receivers(self.settings)

    @cached_property
    def _outbox_entries(self) -> OutboxEntries:
        return OutboxEntries(self._receivers.subscriptions)

    @cached_property
    def outbox_service(self) -> OutboxService:
        service = create_outbox_service(
            self.settings,
            self._receivers,
            self.store,
            self._outbox_entries,
            lambda: self.preparation.api_url,
        )
        self.publisher.add(service.dispatcher.observe, "outbox")
        return service

    # Attempts, and the choice among candidates

    @cached_property
    def preparation(self) -> LaunchPreparation:
        is_off = self.settings.git.push is Push.OFF

        def refusals() -> Sequence[tuple[str, str]]:
            return self.repository.push_refusals() if is_off else ()

        return LaunchPreparation(self.agents, self.workspace, self.launch_settings, refusals)

    @cached_property
    def worktrees(self) -> Worktrees:
        search = self.launch_settings.environment.get("PATH") or os.defpath
        fold = self.settings.git.attempts is Attempts.FOLD
        return Worktrees(
            self.repository,
            self.agents,
            self.workspace,
            search,
            fold_attempts=fold,
            on_node=self._worktree_on_node,
        )

    def _worktree_on_node(
        self, worker: Worker, waits: bool
    ) -> AbstractContextManager[NodeWorktree | None]:
        if self.cluster is None:
            return nullcontext()
        return self.cluster.worktree(f"{worker.root_id}/{worker.id}", waits=waits)

    @cached_property
    def gate_runner(self) -> GateRunner:
        return gate_runner_of(
            self.launcher,
            self.processes,
            self.repository,
            self.workspace,
            self.launch_settings,
            self.settings,
            self._inbox.put,
        )

    @cached_property
    def _contexts(self) -> SharedContextRuns:
        contexts = JobContexts(self.workspace.job_directory)
        reads_prompt = self.agents.reads_prompt
        return SharedContextRuns(
            contexts,
            reads_prompt,
            self.launcher,
            self.processes,
            self.workspace,
            self.launch_settings,
            self._inbox.put,
        )

    @cached_property
    def attempts(self) -> AttemptRunner:
        return AttemptRunner(
            self.scheduler,
            self.launcher,
            self.processes,
            self.preparation,
            self._evidence_reader,
            self.workspace,
            self._assignments,
            self._contexts,
            self.worktrees,
            self.gate_runner,
            self._attempt_gates,
            self._inbox.put,
            self.location.moved_error,
        )

    @cached_property
    def _assignments(self) -> AssignmentBuilder:
        return AssignmentBuilder(
            self.workspace,
            self._contexts,
            self._roles,
            self.submission_builder.remaining_quota_for,
            self.worktrees,
            self._without_worktree,
            self._review_prompts,
        )

    @cached_property
    def _attempt_gates(self) -> AttemptGates:
        project = str(self.launch_settings.project_root)
        return AttemptGates(
            self.gate_runner, self.worktrees, self.workspace, project, self._inbox.put
        )

    @cached_property
    def _evidence_reader(self) -> EvidenceReader:
        view = self.scheduler.view
        return EvidenceReader(
            self.agents,
            self.workspace,
            self.launch_settings,
            masked,
            AttemptChanges(view, self.workspace, self.worktrees, self._without_worktree),
            view,
            self._agent_plans,
            self._review_prompts,
        )

    @cached_property
    def _review_prompts(self) -> ReviewPrompts:
        return ReviewPrompts(self.scheduler, self.worktrees)

    @cached_property
    def _without_worktree(self) -> ChangesWithoutWorktree:
        return ChangesWithoutWorktree(
            self.launch_settings.project_root,
            self.launch_settings.home,
            self.repository,
            self.workspace,
            self.settings.git.never_commit,
        )

    # Ended jobs

    @cached_property
    def _merge_runner(self) -> MergeRunner:
        return MergeRunner(
            self.repository,
            self.worktrees,
            self.gate_runner,
            self.workspace,
            MergeRecords(self.workspace, write_report),
            self._without_worktree,
        )

    @cached_property
    def merge_queue(self) -> MergeQueue:
        return MergeQueue(
            self.store, self._merge_runner, self.report_queue.rewrite, self._inbox.put
        )

    @cached_property
    def report_queue(self) -> ReportQueue:
        reporter = Reports(
            template_dir=self.settings.reports.template_dir,
            project=self.launch_settings.project_root,
        )
        merges = self._merge_runner.reports
        return ReportQueue(
            self.store,
            reporter,
            self.workspace,
            request_analysis.NOTHING_BUILT,
            self._inbox.put,
            merges,
        )

    @cached_property
    def job_log(self) -> JobLog:
        return JobLog(self.workspace, self.store.events)

    @cached_property
    def status_files(self) -> StatusFiles:
        return StatusFiles(self.workspace, self.store.tree)

    @cached_property
    def _job_files(self) -> WorkspaceJobFiles:
        return WorkspaceJobFiles(
            self.workspace.root,
            lambda *arguments: self.repository.remove_job_refs(*arguments),
            lambda *arguments: self.repository.secure(*arguments),
        )

    @cached_property
    def removal(self) -> JobRemoval:
        return JobRemoval(self.store, self._job_files)

    @cached_property
    def housekeeping(self) -> Housekeeping:
        return Housekeeping(
            store=self.store,
            removal=self.removal,
            loop=self.supervisor,
            keep_seconds=self.settings.orchestrator.keep_jobs_seconds,
            write_missing=self._write_missing,
        )

    def _write_missing(self, job: Job) -> None:
        self.job_log.write_missing(job)
        self.report_queue.write_missing(job)
        self.status_files.write_missing(job)
