"""Commands of the scheduler. The supervisor executes the commands after storing the turn."""

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.model.job import WorkerKey


@dataclass(frozen=True, slots=True)
class Start:
    key: WorkerKey
    attempt: int
    #: True to pass the launch to a busy shim, which begins it when the shim's present worker has
    #: ended.
    preload: bool = False
    #: Machine of a cluster (``core.model.machines``); empty: the server's machine.
    node: str = ""


@dataclass(frozen=True, slots=True)
class WithdrawLaunch:
    """Withdraw a preloaded launch that its shim has not begun."""

    key: WorkerKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    key: WorkerKey
    attempt: int
    ended_by: EndedBy
    stopped_by: str
    cause: ExitCause = ExitCause.NONE


@dataclass(frozen=True, slots=True)
class SetWaiting:
    """Stop the clock of an attempt's timeout if ``waiting`` is True; otherwise resume the clock."""

    key: WorkerKey
    attempt: int
    waiting: bool


@dataclass(frozen=True, slots=True)
class Render:
    """Merge the changes of a job, write its reports, then notify the scheduler.

    All workers of the job have ended.
    """

    root_id: str
    job_id: str
    #: The job, its ancestors, and its descendants. The reports of all these jobs are written.
    family: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopMerging:
    """Stop the job's merge, because the job is being stopped.

    The job's reports are written afterwards.
    """

    job_id: str


@dataclass(frozen=True, slots=True)
class CreateContext:
    """Create the job's shared context, then notify the scheduler."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AdoptPlan:
    """Read the plan of a job whose planner has ended, then pass the planned tasks to the scheduler.

    If the planner created no valid plan, the built-in rules create the tasks. Exception: if the
    request names the planner, the job fails.
    """

    job_id: str


Command = (
    Start | WithdrawLaunch | Stop | SetWaiting | Render | StopMerging | CreateContext | AdoptPlan
)
