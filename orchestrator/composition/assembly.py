"""Assembles the product from its parts."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.agents.prompts.role_prompts import RolePrompts
from orchestrator.agents.prompts.shared_context import JobContexts
from orchestrator.agents.survey.assignment import request_words
from orchestrator.composition.agents import descriptions, registry
from orchestrator.composition.gates import checks_of, gate_plans_of
from orchestrator.composition.job_manager import JobManager
from orchestrator.composition.receivers import Receivers, receivers
from orchestrator.composition.server_lease import ServerLease, claimant, lease_path
from orchestrator.composition.settings_map import (
    api_keys,
    containment,
    headroom,
    limits,
    live_workers,
    masked,
    own_secrets,
    quotas,
    surroundings,
)
from orchestrator.config import Settings, project_root, roles_directory
from orchestrator.config.fields.choices import (
    Attempts,
    Author,
    Containment,
    OnShutdown,
    Push,
    UnknownPrice,
)
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.outcome.agent_accounts import Needs
from orchestrator.core.ports.attempt_files import NodeWorktree
from orchestrator.core.ports.launcher import Launcher
from orchestrator.core.scheduler.queue import placement
from orchestrator.core.scheduler.queue.placement import Machine
from orchestrator.core.scheduler.queue.ready_queue import RunTimes
from orchestrator.core.scheduler.queue.slots_and_holds import Prompting
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.attempts.assignment import AssignmentBuilder, SharedContextRuns
from orchestrator.engine.attempts.attempt_runner import AttemptRunner
from orchestrator.engine.attempts.preparation import AttemptPreparation
from orchestrator.engine.attempts.review_prompt import ReviewPrompts
from orchestrator.engine.gates.gate_runner import GateRunner
from orchestrator.engine.job_removal import Housekeeping, JobRemoval
from orchestrator.engine.merge.merge_gates import MergeGates
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.merge.merge_record import MergeRecords
from orchestrator.engine.merge.merge_runner import MergeRunner
from orchestrator.engine.planning.rule_planner import RulesPlanner
from orchestrator.engine.report_queue import ReportWriter
from orchestrator.engine.runtime import clock
from orchestrator.engine.runtime.lazy_part import lazy
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import Message
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.access.stored_trees import StoredTrees
from orchestrator.engine.service.checkpoints import CheckpointCalls
from orchestrator.engine.service.human_input.job_control import BudgetCalls, JobControlCalls
from orchestrator.engine.service.human_input.plan_approval import PlanCalls
from orchestrator.engine.service.human_input.questions import QuestionCalls
from orchestrator.engine.service.human_input.worker_messages import WorkerMessageCalls
from orchestrator.engine.service.landings import LandingCalls
from orchestrator.engine.service.locks import LockService
from orchestrator.engine.service.merges import MergeCalls
from orchestrator.engine.service.read_models.feed import Feed
from orchestrator.engine.service.read_models.job_files import ChangeReads, WorkerFiles
from orchestrator.engine.service.read_models.job_lists import ReadModels
from orchestrator.engine.service.read_models.queries import Queries
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.engine.service.reruns.worker_control import WorkerRetryCalls
from orchestrator.engine.service.server_status import ServerStatus, Throughput
from orchestrator.engine.service.service import Service
from orchestrator.engine.service.submissions import JobBases, SubmissionCalls
from orchestrator.engine.submission.agent_plan import AgentPlans
from orchestrator.engine.submission.submit import SubmissionBuilder
from orchestrator.engine.supervisor.lock_calls import LockCalls
from orchestrator.engine.supervisor.outbox_entries import Outbox
from orchestrator.engine.supervisor.supervisor import Inbox, Publisher, Supervisor
from orchestrator.engine.worktrees.project_work import ProjectWork
from orchestrator.engine.worktrees.working_directories import Worktrees
from orchestrator.engine.worktrees.worktree_lifetime import WorktreeCleanup
from orchestrator.launchers.local.launcher import Listener, LocalLauncher
from orchestrator.launchers.local.spawner_process import SpawnerProcess
from orchestrator.outbox.delivery.addresses import AddressPolicy
from orchestrator.outbox.delivery.http_sender import Poster
from orchestrator.outbox.delivery.messages import Messages
from orchestrator.outbox.notifications.notifications import Notifications
from orchestrator.outbox.outbox_service import OutboxService
from orchestrator.outbox.webhooks import Webhooks
from orchestrator.reports import Reports, write_report
from orchestrator.store import SqlStore, sqlite_url
from orchestrator.workspace import (
    FileLandingJournal,
    JobLog,
    Place,
    ServerLock,
    StatusFiles,
    WorkspaceJobFiles,
    WorkspaceLayout,
    run_times_file,
)

if TYPE_CHECKING:
    from orchestrator.git import GitRepository, Landing
    from orchestrator.git.commits.change_reader import GitChangeReader
    from orchestrator.launchers.cluster.cluster_launcher import ClusterLauncher

DATABASE_NAME = "orchestrator.db"


def build(folder: Path, settings: Settings, spawner: SpawnerProcess | None = None) -> JobManager:
    """Create the job manager's parts; nothing is opened or started.

    ``spawner``: see ``LocalLauncher``.
    """
    return Assembly(folder, settings, spawner).job_manager()


class Assembly:
    """The parts of one job manager. Each part is created once, when another part needs it."""

    def __init__(self, folder: Path, settings: Settings, spawner: SpawnerProcess | None) -> None:
        self._settings = settings
        self._cluster: ClusterLauncher | None = None
        self._workspace = WorkspaceLayout(settings.orchestrator.workspace_root)
        self._agents = registry(folder, settings, machines=self._machines)
        self._roles = RolePrompts(roles_directory(settings, folder))
        self._around = surroundings(folder, settings)
        #: Functions that return git's directory, or None until it is known. They run no git.
        self._git_directories: list[Callable[[], Path | None]] = []
        self._repository = lazy(partial(self._new_repository, folder))
        has_lease = settings.cluster.server_lease is not None
        self._lease_path = lease_path(self._workspace.root) if has_lease else None
        local = LocalLauncher(
            containment(folder, settings, self._visible()), str(self._lease_path or ""), spawner
        )
        self._local = local
        self._cluster = self._cluster_launcher(folder, local)
        self._launcher: Launcher = self._cluster or local
        self._processes = RunningProcesses()
        self._inbox = Inbox[Message](self._launcher)
        self._publisher = Publisher()
        self._place = Place(self._workspace.root, self._around.project_root)

    def _new_repository(self, folder: Path) -> "GitRepository":
        repository = repository_of(folder, self._settings, self._workspace.root)
        self._git_directories.append(repository.known_common)
        return repository

    def _machines(self) -> Sequence[Machine]:
        return self._cluster.machines if self._cluster else ()

    def _cluster_launcher(self, folder: Path, local: LocalLauncher) -> "ClusterLauncher | None":
        if self._settings.cluster.listen is None:
            return None
        from orchestrator.composition.cluster import cluster_launcher

        return cluster_launcher(
            local,
            self._settings,
            self._workspace.root,
            {
                "home": self._around.home,
                "project": self._around.project_root,
                "python": Path(sys.executable),
            },
            self._agents,
            descriptions(folder, self._settings, self._agents),
            lambda: self._preparation.api_url,
            self._repository,
            self._demand,
        )

    def _demand(self, machine: Machine, most: int) -> int:
        """Return how many waiting workers could run if there were more machines like ``machine``.

        At most ``most``.
        """
        suits = partial(placement.could_run, machine)
        return self._supervisor.call(
            lambda scheduler, now: scheduler.view.waiting_for_machines(now, most, suits)
        )

    def _visible(self) -> Sequence[str]:
        """Return the paths that a sandbox shows even if they are below /tmp."""
        if self._settings.workers.containment is not Containment.SANDBOX:
            return ()
        around = self._around
        own = map(str, (around.home, around.project_root, around.workspace))
        return [*own, *self._repository.directories()]

    def job_manager(self) -> JobManager:
        return JobManager(
            service=self._service,
            supervisor=self._supervisor,
            attempts=self._attempts,
            scheduler=self._scheduler,
            lock_calls=self._lock_calls,
            store=self._store,
            launcher=self._launcher,
            processes=self._processes,
            listener=Listener(self._launcher),
            dispatch=self._preparation,
            workspace=self._workspace,
            publisher=self._publisher,
            merge_queue=self._merge_queue,
            feed=self._feed,
            reporting=self._reporting,
            job_log=self._job_log,
            status_files=self._status_files,
            removal=self._removal,
            housekeeping=self._housekeeping,
            outbox=self._outbox_service,
            landings=self._landing_calls,
            pass_on_messages=self._worker_messages.pass_on_again,
            worktree_cleanup=WorktreeCleanup(
                self._worktrees, self._checks.baselines, self._workspace
            ),
            lock=ServerLock(self._workspace.root),
            lease=self._lease(),
            place=self._place,
            relocate=lambda: self._repository.relocate(),
            leaves_workers=self._settings.workers.on_shutdown is OnShutdown.LEAVE,
        )

    # Values and stores

    @cached_property
    def _store(self) -> SqlStore:
        url = self._settings.store.url
        own = sqlite_url(self._workspace.root / DATABASE_NAME)
        return SqlStore(
            url.get_secret_value() if url else own,
            alone=True,
            claimant=claimant(self._settings.cluster.server_lease),
        )

    def _lease(self) -> ServerLease | None:
        seconds = self._settings.cluster.server_lease
        if seconds is None or self._lease_path is None:
            return None
        session = self._store.lease_session(seconds / 2)
        if session is None:
            return None
        return ServerLease(session, seconds, self._lease_path, lambda: self._local.has_stopped_all)

    @cached_property
    def _scheduler(self) -> Scheduler:
        agents, workers = self._agents, self._settings.workers
        return Scheduler(
            max_workers=int(workers.max_workers),
            max_live_workers=live_workers(self._settings),
            prompting=Prompting(reads=agents.reads_prompt, caches=agents.caches_prompts),
            needs=Needs(
                login=agents.needs_login,
                mend=agents.login,
                best_without=agents.best_without,
                credential=agents.credential,
            ),
            quotas=quotas(self._settings),
            run_times=self._run_times,
        )

    @cached_property
    def _run_times(self) -> RunTimes:
        workspace = self._workspace.root
        times = RunTimes(run_times_file.read(workspace))
        self._publisher.add(run_times_file.recorder(workspace, times.take_news), "events")
        return times

    @cached_property
    def _lock_calls(self) -> LockCalls:
        return LockCalls(self._scheduler, self._store)

    @cached_property
    def _submitting(self) -> SubmissionBuilder:
        return SubmissionBuilder(
            self._agents,
            self._roles,
            *limits(self._settings),
            request_words.asks_to_build,
            refuses_unpriced=self._settings.workers.unknown_price is UnknownPrice.REFUSE,
            check_machine=self._check_machine,
        )

    def _check_machine(self, task: TaskSpec, agents: Sequence[str]) -> None:
        here = Machine(slots=1, labels=self._settings.cluster.labels_here)
        machines = self._machines() or (here,)
        placement.check(task, machines, is_cluster=self._cluster is not None, agents=agents)

    @cached_property
    def _planning(self) -> AgentPlans:
        return AgentPlans(self._scheduler, self._submitting, RulesPlanner())

    @cached_property
    def _supervisor(self) -> Supervisor:
        return Supervisor(
            scheduler=self._scheduler,
            store=self._store,
            inbox=self._inbox,
            attempts=self._attempts,
            planning=self._planning,
            merge_queue=self._merge_queue,
            reporting=self._reporting,
            publisher=self._publisher,
            headroom=headroom(
                self._settings,
                self._agents,
                self._workspace,
                self._git_directories,
                self._place.moved,
                None if self._settings.cluster.listen is None else self._machines,
            ),
            lock_calls=self._lock_calls,
            outbox=self._outbox,
        )

    # Messages to receivers outside

    @cached_property
    def _receivers(self) -> Receivers:
        return receivers(self._settings)

    @cached_property
    def _outbox(self) -> Outbox:
        return Outbox(self._receivers.subscriptions)

    @cached_property
    def _outbox_service(self) -> OutboxService:
        found, store = self._receivers, self._store.outbox
        mask = partial(masked, own_secrets(self._settings))
        policy = AddressPolicy(self._settings.webhooks.allow_hosts)
        poster = Poster(policy, self._settings.webhooks.timeout, time.time, mask)
        public = self._settings.api.public_url
        messages = Messages(self._store, lambda: public or self._preparation.api_url, mask)
        outbox = OutboxService(
            store=store,
            webhooks=Webhooks(
                found.endpoints, found.callback_keys, poster, messages, self._store, time.time
            ),
            notifications=Notifications(found.targets, poster, messages, store, clock.now),
            subscriptions=found.subscriptions,
            policy=policy,
            switch=self._outbox,
            now=clock.now,
            trouble=found.trouble,
        )
        self._publisher.add(outbox.sender.observe, "outbox")
        return outbox

    # Attempts, and the choice among candidates

    @cached_property
    def _preparation(self) -> AttemptPreparation:
        is_off = self._settings.git.push is Push.OFF

        def refusals() -> Sequence[tuple[str, str]]:
            return self._repository.push_refusals() if is_off else ()

        return AttemptPreparation(self._agents, self._workspace, self._around, masked, refusals)

    @cached_property
    def _worktrees(self) -> Worktrees:
        search = self._around.environment.get("PATH") or os.defpath
        fold = self._settings.git.attempts is Attempts.FOLD
        return Worktrees(
            self._repository,
            self._agents,
            self._workspace,
            search,
            fold_attempts=fold,
            on_node=self._on_node,
        )

    def _on_node(self, worker: Worker, waits: bool) -> AbstractContextManager[NodeWorktree | None]:
        if self._cluster is None:
            return nullcontext()
        return self._cluster.worktree(f"{worker.root_id}/{worker.id}", waits=waits)

    @cached_property
    def _checks(self) -> GateRunner:
        return checks_of(
            self._launcher,
            self._processes,
            self._repository,
            self._workspace,
            self._around,
            self._settings,
            self._inbox.put,
        )

    @cached_property
    def _contexts(self) -> SharedContextRuns:
        shared = JobContexts(self._workspace.job_directory)
        reads_prompt = self._agents.reads_prompt
        return SharedContextRuns(
            shared,
            reads_prompt,
            self._launcher,
            self._processes,
            self._workspace,
            self._around,
            self._inbox.put,
        )

    @cached_property
    def _attempts(self) -> AttemptRunner:
        left_for = self._submitting.left_for
        return AttemptRunner(
            self._scheduler,
            self._launcher,
            self._processes,
            self._preparation,
            self._workspace,
            AssignmentBuilder(self._workspace, self._contexts, self._roles, left_for),
            self._contexts,
            self._planning,
            self._worktrees,
            self._checks,
            ReviewPrompts(self._scheduler, self._worktrees),
            ProjectWork(
                self._around.project_root,
                self._around.home,
                self._repository,
                self._workspace,
                self._settings.git.never_commit,
            ),
            self._inbox.put,
            self._place.moved,
        )

    # Ended jobs

    @cached_property
    def _merge_runner(self) -> MergeRunner:
        merge_gates = MergeGates(self._repository, self._checks, self._workspace)
        records = MergeRecords(self._workspace, write_report)
        return MergeRunner(self._repository, self._worktrees, merge_gates, records)

    @cached_property
    def _merge_queue(self) -> MergeQueue:
        return MergeQueue(
            self._store, self._merge_runner, self._reporting.once_more, self._inbox.put
        )

    @cached_property
    def _reporting(self) -> ReportWriter:
        reporter = Reports(
            template_dir=self._settings.reports.template_dir, project=self._around.project_root
        )
        merges = self._merge_runner.reports
        return ReportWriter(
            self._store,
            reporter,
            self._workspace,
            request_words.NOTHING_BUILT,
            self._inbox.put,
            merges,
        )

    @cached_property
    def _job_log(self) -> JobLog:
        return JobLog(self._workspace, self._store.events)

    @cached_property
    def _status_files(self) -> StatusFiles:
        return StatusFiles(self._workspace, self._store.tree)

    @cached_property
    def _job_files(self) -> WorkspaceJobFiles:
        return WorkspaceJobFiles(
            self._workspace.root,
            lambda *given: self._repository.forget(*given),
            lambda *given: self._repository.secure(*given),
        )

    @cached_property
    def _removal(self) -> JobRemoval:
        return JobRemoval(self._store, self._job_files)

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
        return Service(
            access=self._access,
            submissions=self._submission_calls,
            worker_messages=self._worker_messages,
            job_control=JobControlCalls(self._supervisor, self._access),
            plans=PlanCalls(
                supervisor=self._supervisor,
                store=self._store,
                access=self._access,
                submitting=self._submitting,
                gate_plans=gate_plans_of(self._repository, self._settings),
            ),
            budgets=BudgetCalls(self._supervisor, self._access, self._submitting),
            questions=QuestionCalls(self._supervisor, self._store, self._access),
            merges=self._merge_calls,
            checkpoints=CheckpointCalls(
                store=self._store,
                access=self._access,
                trees=self._stored_trees,
                worktrees=self._worktrees,
            ),
            workers=self._worker_calls,
            feedback=self._feedback_calls,
            removal=self._removal_calls,
            landings=self._landing_calls,
            locks=LockService(self._supervisor, self._store, self._access, self._lock_calls),
            queries=self._queries,
            reads=self._reads,
            server_status=self._server_status,
            outbox=self._outbox_service,
        )

    @cached_property
    def _worker_calls(self) -> WorkerRetryCalls:
        return WorkerRetryCalls(
            supervisor=self._supervisor,
            access=self._access,
            trees=self._stored_trees,
            merge_queue=self._merge_queue,
            moved=self._place.moved,
        )

    @cached_property
    def _feedback_calls(self) -> FeedbackCalls:
        return FeedbackCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            worktrees=self._worktrees,
            merge_queue=self._merge_queue,
            agents=self._agents,
            moved=self._place.moved,
        )

    @cached_property
    def _removal_calls(self) -> RemovalCalls:
        return RemovalCalls(
            supervisor=self._supervisor,
            store=self._store,
            workspace=self._workspace,
            access=self._access,
            trees=self._stored_trees,
            worktrees=self._worktrees,
            merge_queue=self._merge_queue,
            removal=self._removal,
        )

    @cached_property
    def _reads(self) -> ReadModels:
        reader = lazy(self._change_reader)
        changes = ChangeReads(
            access=self._access,
            queries=self._queries,
            reader=reader,
            refresh=self._worktrees.refresh,
        )
        files = WorkerFiles(
            access=self._access, workspace=self._workspace, read_steps=self._agents.steps
        )
        return ReadModels(
            store=self._store,
            access=self._access,
            changes=changes,
            files=files,
            feed=self._feed,
            reads_messages=self._worker_messages.reads_messages,
            agent_names=self._agents.names,
        )

    @cached_property
    def _feed(self) -> Feed:
        feed = Feed(self._store)
        self._publisher.add(feed)
        return feed

    def _change_reader(self) -> "GitChangeReader":
        from orchestrator.git.commits.change_reader import GitChangeReader

        return GitChangeReader(self._around.project_root)

    @cached_property
    def _access(self) -> Access:
        keys, project = api_keys(self._settings), self._around.project_root
        return Access(
            self._store,
            keys,
            project,
            lambda: self._place.former,
            lambda attempt: self._supervisor.heard_from(attempt),
        )

    @cached_property
    def _stored_trees(self) -> StoredTrees:
        return StoredTrees(
            self._supervisor,
            self._store,
            self._workspace,
            self._reporting.once_more,
            self._status_files.write,
        )

    @cached_property
    def _queries(self) -> Queries:
        return Queries(
            supervisor=self._supervisor,
            store=self._store,
            workspace=self._workspace,
            publisher=self._publisher,
            access=self._access,
            submitting=self._submitting,
        )

    @cached_property
    def _submission_calls(self) -> SubmissionCalls:
        return SubmissionCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            launcher=self._launcher,
            planner=RulesPlanner(),
            submitting=self._submitting,
            gate_plans=gate_plans_of(self._repository, self._settings),
            bases=JobBases(self._repository, self._worktrees),
            new_job_id=partial(secrets.token_hex, 4),
            moved=self._place.moved,
            check_url=self._outbox_service.check_url,
        )

    @cached_property
    def _merge_calls(self) -> MergeCalls:
        return MergeCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            queries=self._queries,
            submitting=self._submitting,
            worktrees=self._worktrees,
            merge_queue=self._merge_queue,
            report_anew=self._reporting.once_more,
        )

    @cached_property
    def _worker_messages(self) -> WorkerMessageCalls:
        return WorkerMessageCalls(
            supervisor=self._supervisor,
            access=self._access,
            store=self._store,
            workspace=self._workspace,
            reads_messages=self._agents.reads_messages,
            copy_to_node=self._copy_to_node,
        )

    def _copy_to_node(self, worker: Worker, path: str) -> None:
        if self._cluster is not None:
            self._cluster.copy_to_node(f"{worker.root_id}/{worker.id}", path)

    @cached_property
    def _landing_calls(self) -> LandingCalls:
        return LandingCalls(
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            merge_queue=self._merge_queue,
            journal=FileLandingJournal(self._workspace.root),
            landings=self._landing,
        )

    def _landing(self, project: str, root_id: str, job_id: str, as_user: bool | None) -> "Landing":
        from orchestrator.git import Landing

        by_setting = self._settings.git.author is Author.USER
        of_user = by_setting if as_user is None else as_user
        return Landing(Path(project or self._around.project_root), root_id, job_id, of_user)

    @cached_property
    def _server_status(self) -> ServerStatus:
        throughput = Throughput()
        self._publisher.add(throughput)
        return ServerStatus(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            launcher=self._launcher,
            submitting=self._submitting,
            throughput=throughput,
            version=__version__,
            moved=self._place.moved,
            nodes=lambda: self._cluster.nodes() if self._cluster else (),
            drain=self._cluster.drain if self._cluster else None,
        )


def repository_of(folder: Path, settings: Settings, workspace: Path) -> "GitRepository":
    """Return the ``GitRepository`` of the project, even if the project does not use git."""
    # Imported here, because a server needs it for the first job, and it has sixty modules.
    from orchestrator.git import CopyRules, GitRepository, NeverCommit

    git = settings.git
    rules = CopyRules(
        copy=git.copy_ignored,
        link=git.link_ignored,
        derive=not git.setup,
        never=NeverCommit(patterns=git.never_commit, over=git.never_commit_over or 0),
    )
    project = project_root(settings, folder).resolve()
    return GitRepository(project, workspace.resolve(), folder.resolve(), rules)
