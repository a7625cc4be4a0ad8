"""The list of use cases that the API and the command line call."""

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.ports.outbox import OutboxCalls
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
from orchestrator.engine.service.queries.job_details import JobDetails
from orchestrator.engine.service.queries.job_lists import JobLists
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.reports_from_workers import WorkerReportCalls
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.engine.service.reruns.job_retry import JobRetryCalls
from orchestrator.engine.service.server_status import ServerStatus
from orchestrator.engine.service.submissions import SubmissionCalls


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """The use cases, one attribute for each subject.

    Each public method of such an attribute is a use case, for example
    ``service.submissions.submit(caller, submission)``.

    A method with a ``caller`` raises NotFound for an object that the caller may not see. Methods
    that change an object raise Forbidden for an object that the caller may see but not change.
    """

    #: Find the caller who has a key.
    callers: Callers
    #: Check what a caller may see and change. Return a job that the caller may see, without its
    #: tasks and workers.
    access: Access

    # A job, from its submission to its end

    #: Submit a job, or find a job by its Idempotency-Key.
    submissions: SubmissionCalls
    #: Retry the unsuccessful tasks of an ended job.
    job_retry: JobRetryCalls
    #: Edit, approve, or reject the plan of a job that waits for approval.
    plans: PlanCalls
    #: Show the question of a task, and answer it.
    questions: QuestionCalls
    #: Pause, resume, or cancel a job; pause and resume the server.
    job_control: JobControlCalls
    #: Raise limits of a job that has not ended.
    budgets: BudgetCalls
    #: Send a message to a worker.
    worker_messages: WorkerMessageCalls
    #: Give feedback on an ended worker's change.
    feedback: FeedbackCalls
    #: Retry or cancel one worker.
    workers: WorkerControlCalls

    # The result of an ended job

    #: Merge a job again, or choose another candidate.
    merges: MergeCalls
    #: Land a result on the user's branch; preview or undo the landing.
    landings: LandingCalls
    #: Remove a job, or discard its branches.
    removal: RemovalCalls
    #: List the checkpoints of a job, roll back a worker, or list a worker's changed files again.
    checkpoints: CheckpointCalls

    # Locks

    #: For workers: acquire, wait for, and release locks. For people: list locks and leases, and end
    #: leases.
    locks: LockService

    # Reports of workers

    #: A worker's report of its usage, and of messages that its agent has read.
    reports_from_workers: WorkerReportCalls

    # Reading

    #: One job, with its workers, events, merge record, changes, and files.
    job_details: JobDetails
    #: Lists of jobs, workers, needs, and usage, without whole jobs; changes, files, and the feed.
    job_lists: JobLists
    #: Health, statistics, agents, and nodes.
    server_status: ServerStatus

    # The cluster

    #: Drain a node, or end its drain.
    nodes: NodeCalls

    # Messages to webhooks and people

    #: Messages to webhooks and people. Call ``access.check_admin`` before any method.
    outbox: OutboxCalls
