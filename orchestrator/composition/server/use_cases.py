"""Assembles the use cases from the parts that run jobs."""

import secrets
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.composition.server.engine_parts import EngineParts
from orchestrator.composition.settings.gates import gate_plans_of
from orchestrator.composition.settings.repository import change_reader, landing_of
from orchestrator.composition.settings.settings_conversion import api_keys
from orchestrator.core.model.job import Worker
from orchestrator.engine.event_feed import Feed
from orchestrator.engine.merge.record.merge_record import MergeRecords
from orchestrator.engine.planning.rule_planner import RulesPlanner
from orchestrator.engine.runtime.lazy_object import lazy
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.access.caller_authentication import Callers
from orchestrator.engine.service.checkpoints import CheckpointCalls
from orchestrator.engine.service.control.job_control import BudgetCalls, JobControlCalls
from orchestrator.engine.service.control.nodes import NodeCalls
from orchestrator.engine.service.control.plan_approval import PlanCalls
from orchestrator.engine.service.control.questions import QuestionCalls
from orchestrator.engine.service.control.worker_control import WorkerControlCalls
from orchestrator.engine.service.control.worker_messages import WorkerMessageCalls
from orchestrator.engine.service.landings import LandingCalls
from orchestrator.engine.service.locks import LockService
from orchestrator.engine.service.merges import MergeCalls
from orchestrator.engine.service.queries.changes import ChangeReads
from orchestrator.engine.service.queries.job_details import JobDetails
from orchestrator.engine.service.queries.job_lists import JobLists
from orchestrator.engine.service.queries.worker_files import WorkerFiles
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.reports_from_workers import WorkerReportCalls
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.engine.service.reruns.job_retry import JobRetryCalls
from orchestrator.engine.service.server_status import ServerStatus, Throughput
from orchestrator.engine.service.service import Service
from orchestrator.engine.service.submissions import SubmissionCalls
from orchestrator.engine.submission.job_bases import JobBases
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.reports import write_report
from orchestrator.workspace import FileLandingJournal

if TYPE_CHECKING:
    from orchestrator.git import Landing


class UseCases:
    """The use cases of one server. Each part is created when another part needs it."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._supervisor = parts.supervisor
        self._store = parts.store

    @cached_property
    def service(self) -> Service:
        return Service(
            callers=self._callers,
            access=self._access,
            submissions=self._submission_calls,
            job_retry=self._job_retry_calls,
            worker_messages=self._worker_messages,
            reports_from_workers=WorkerReportCalls(self._supervisor),
            job_control=JobControlCalls(self._supervisor, self._access),
            plans=PlanCalls(
                supervisor=self._supervisor,
                store=self._store,
                access=self._access,
                submission_builder=self._parts.submission_builder,
                gate_plans=gate_plans_of(self._parts.repository, self._parts.settings),
            ),
            budgets=BudgetCalls(self._supervisor, self._access, self._parts.submission_builder),
            questions=QuestionCalls(self._supervisor, self._store, self._access),
            merges=self._merge_calls,
            checkpoints=CheckpointCalls(
                store=self._store,
                access=self._access,
                trees=self._stored_trees,
                worktrees=self._parts.worktrees,
            ),
            workers=self._worker_control,
            feedback=self._feedback_calls,
            removal=self._removal_calls,
            landings=self._landing_calls,
            locks=LockService(self._supervisor, self._store, self._access, self._parts.lock_calls),
            job_details=self._job_details,
            job_lists=self._job_lists,
            server_status=self._server_status,
            nodes=NodeCalls(
                self._access, self._parts.cluster.drain if self._parts.cluster else None
            ),
            outbox=self._parts.outbox_service,
        )

    @cached_property
    def _worker_control(self) -> WorkerControlCalls:
        return WorkerControlCalls(
            supervisor=self._supervisor,
            access=self._access,
            trees=self._stored_trees,
            merge_queue=self._parts.merge_queue,
            moved_error=self._parts.location.moved_error,
        )

    @cached_property
    def _feedback_calls(self) -> FeedbackCalls:
        return FeedbackCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            worktrees=self._parts.worktrees,
            merge_queue=self._parts.merge_queue,
            agents=self._parts.agents,
            moved_error=self._parts.location.moved_error,
        )

    @cached_property
    def _removal_calls(self) -> RemovalCalls:
        return RemovalCalls(
            supervisor=self._supervisor,
            store=self._store,
            workspace=self._parts.workspace,
            access=self._access,
            trees=self._stored_trees,
            worktrees=self._parts.worktrees,
            merge_queue=self._parts.merge_queue,
            removal=self._parts.removal,
        )

    @cached_property
    def _job_lists(self) -> JobLists:
        reader = lazy(partial(change_reader, self._parts.launch_settings.project_root))
        changes = ChangeReads(
            access=self._access,
            job_details=self._job_details,
            reader=reader,
            refresh=self._parts.worktrees.refresh,
        )
        files = WorkerFiles(
            access=self._access,
            workspace=self._parts.workspace,
            read_steps=self._parts.agents.steps,
        )
        return JobLists(
            store=self._store,
            access=self._access,
            changes=changes,
            files=files,
            feed=self._feed,
            agent_names=self._parts.agents.names,
        )

    @cached_property
    def _feed(self) -> Feed:
        feed = Feed(self._store)
        self._parts.publisher.add(feed)
        return feed

    @cached_property
    def _callers(self) -> Callers:
        return Callers(
            self._store,
            api_keys(self._parts.settings),
            lambda attempt: self._supervisor.heard_from(attempt),
        )

    @cached_property
    def _access(self) -> Access:
        keys, project = api_keys(self._parts.settings), self._parts.launch_settings.project_root
        return Access(self._store, keys, project, lambda: self._parts.location.former)

    @cached_property
    def _stored_trees(self) -> StoredTrees:
        return StoredTrees(
            self._supervisor,
            self._store,
            self._parts.workspace,
            self._parts.report_queue.rewrite,
            self._parts.status_files.write,
        )

    @cached_property
    def _job_details(self) -> JobDetails:
        return JobDetails(
            supervisor=self._supervisor,
            store=self._store,
            workspace=self._parts.workspace,
            publisher=self._parts.publisher,
            access=self._access,
            submission_builder=self._parts.submission_builder,
            reads_messages=self._worker_messages.reads_messages,
        )

    @cached_property
    def _submission_calls(self) -> SubmissionCalls:
        return SubmissionCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            launcher=self._parts.launcher,
            planner=RulesPlanner(),
            submission_builder=self._parts.submission_builder,
            gate_plans=gate_plans_of(self._parts.repository, self._parts.settings),
            bases=JobBases(self._parts.repository, self._parts.worktrees),
            new_job_id=partial(secrets.token_hex, 4),
            moved_error=self._parts.location.moved_error,
            check_url=self._parts.outbox_service.check_url,
        )

    @cached_property
    def _job_retry_calls(self) -> JobRetryCalls:
        return JobRetryCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            submission_builder=self._parts.submission_builder,
            moved_error=self._parts.location.moved_error,
        )

    @cached_property
    def _merge_calls(self) -> MergeCalls:
        return MergeCalls(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            job_details=self._job_details,
            submission_builder=self._parts.submission_builder,
            worktrees=self._parts.worktrees,
            merge_queue=self._parts.merge_queue,
            rewrite_report=self._parts.report_queue.rewrite,
        )

    @cached_property
    def _worker_messages(self) -> WorkerMessageCalls:
        return WorkerMessageCalls(
            supervisor=self._supervisor,
            access=self._access,
            store=self._store,
            workspace=self._parts.workspace,
            reads_messages=self._parts.agents.reads_messages,
            copy_to_node=self._copy_to_node,
        )

    def _copy_to_node(self, worker: Worker, path: str) -> None:
        if self._parts.cluster is not None:
            self._parts.cluster.copy_to_node(f"{worker.root_id}/{worker.id}", path)

    @cached_property
    def _landing_calls(self) -> LandingCalls:
        return LandingCalls(
            store=self._store,
            access=self._access,
            trees=self._stored_trees,
            merge_queue=self._parts.merge_queue,
            records=MergeRecords(self._parts.workspace, write_report),
            journal=FileLandingJournal(self._parts.workspace.root),
            landings=self._landing,
        )

    def _landing(self, project: str, root_id: str, job_id: str, as_user: bool | None) -> "Landing":
        directory = Path(project or self._parts.launch_settings.project_root)
        return landing_of(self._parts.settings, directory, root_id, job_id, as_user)

    @cached_property
    def _server_status(self) -> ServerStatus:
        throughput = Throughput()
        self._parts.publisher.add(throughput)
        return ServerStatus(
            supervisor=self._supervisor,
            store=self._store,
            access=self._access,
            launcher=self._parts.launcher,
            submission_builder=self._parts.submission_builder,
            throughput=throughput,
            version=__version__,
            moved_error=self._parts.location.moved_error,
            nodes=lambda: self._parts.cluster.nodes() if self._parts.cluster else (),
        )
