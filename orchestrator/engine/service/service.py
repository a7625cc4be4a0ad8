"""The list of use cases that the API and the command line call."""

from orchestrator.core.dataclass import dataclass
from orchestrator.core.ports.outbox import OutboxCalls
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.checkpoints import CheckpointCalls
from orchestrator.engine.service.human_input.job_control import BudgetCalls, JobControlCalls
from orchestrator.engine.service.human_input.plan_approval import PlanCalls
from orchestrator.engine.service.human_input.questions import QuestionCalls
from orchestrator.engine.service.human_input.worker_messages import WorkerMessageCalls
from orchestrator.engine.service.landings import LandingCalls
from orchestrator.engine.service.locks import LockService
from orchestrator.engine.service.merges import MergeCalls
from orchestrator.engine.service.read_models.job_lists import ReadModels
from orchestrator.engine.service.read_models.queries import Queries
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.engine.service.reruns.worker_control import WorkerRetryCalls
from orchestrator.engine.service.server_status import ServerStatus
from orchestrator.engine.service.submissions import SubmissionCalls


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """The use cases, by subject: ``service.submissions.submit(caller, submission)``.

    Each method with a ``caller`` raises NotFound for an object that the caller may not see. Methods
    that change an object raise Forbidden for an object that the caller may see but not change.
    """

    #: ``authenticate`` a caller by key, ``holder_of_key``, ``keys``; ``check_change``,
    #: ``check_person``, ``check_admin``; the ``job`` of a caller, without tasks and workers.
    access: Access

    # A job, from its submission to its end

    #: ``submit`` a job, ``find`` it by its Idempotency-Key, ``retry`` its unsuccessful tasks.
    submissions: SubmissionCalls
    #: ``edit``, ``approve``, or ``reject`` the plan of a job that waits for approval.
    plans: PlanCalls
    #: Show the ``question`` of a task, and ``answer`` it.
    questions: QuestionCalls
    #: ``pause``, ``resume``, or ``cancel`` a job; ``pause_all`` and ``resume_all``.
    job_control: JobControlCalls
    #: ``raise_budget``: raise limits of a job that has not ended.
    budgets: BudgetCalls
    #: Send a ``message`` to a worker; what workers report: ``messages_read``, ``used``.
    worker_messages: WorkerMessageCalls
    #: ``give`` feedback on an ended worker's change.
    feedback: FeedbackCalls
    #: ``retry`` or ``cancel`` one worker.
    workers: WorkerRetryCalls

    # The result of an ended job

    #: ``merge`` a job again, ``choose`` another candidate, ``is_merging``.
    merges: MergeCalls
    #: ``land`` a result on the user's branch, ``plan_landing`` as its preview, ``undo`` a landing.
    landings: LandingCalls
    #: ``remove`` a job, or ``discard`` its branches.
    removal: RemovalCalls
    #: Checkpoints ``of_job``, ``roll_back`` a worker, ``recount`` a worker's changed files.
    checkpoints: CheckpointCalls

    # Locks

    #: A worker's call: ``lock``, ``is_decided``, ``answer``, ``drop``; then ``unlock``. For people:
    #: ``visible`` locks, ``leases``, ``leases_on`` a name, ``unlock``.
    locks: LockService

    # Reading

    #: One job: ``detail``, ``tree``, ``subtree``, ``workers_in_tree``, ``attempts``,
    #: ``answer_wait``; ``events``, ``subscribe``; ``merge_record``, ``changes``; its files:
    #: ``workspace``, ``report_path``, ``final_report``, ``log_path``, ``worker_directory``.
    #: Also a page of ``jobs``.
    queries: Queries
    #: Lists from columns, without whole jobs: ``jobs``, ``cards``, ``workers``, ``worker``,
    #: ``snapshot``, ``needs``, ``usage``, ``last_seq``, ``version``; parts ``changes``, ``files``,
    #: and ``feed``.
    reads: ReadModels
    #: ``health``, ``stats``, ``agents``, ``nodes``, and ``drain_node``.
    server_status: ServerStatus

    # Messages to webhooks and people

    #: Call ``access.check_admin`` first.
    outbox: OutboxCalls
