"""Events as JSON: in full, or in a short form with only the new status of a worker or a job."""

from collections.abc import Mapping

from orchestrator.api.serializers.answer_parts import moment
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.states import JobStatus, WorkerStatus

_STATES: Mapping[EventKind, str] = {
    EventKind.JOB_SUBMITTED: JobStatus.PENDING,
    EventKind.JOB_STARTED: JobStatus.RUNNING,
    EventKind.JOB_RETRIED: JobStatus.RUNNING,
    EventKind.WORKER_STARTED: WorkerStatus.RUNNING,
    EventKind.WORKER_WAITING: WorkerStatus.WAITING,
    EventKind.WORKER_RESUMED: WorkerStatus.RUNNING,
    EventKind.WORKER_RETRYING: WorkerStatus.PENDING,
}
#: Kinds of events whose data has the new status of a job or worker.
_KINDS_WITH_STATUS = frozenset(
    {EventKind.JOB_ENDED, EventKind.WORKER_ENDED, EventKind.WORKER_SENT_BACK},
)
_TOKENS = ("input_tokens", "cache_write_tokens", "output_tokens")


def event_values(event: Event) -> Mapping[str, object]:
    """Return the JSON object of an event, in the shape of EventAnswer."""
    values: dict[str, object] = {
        "seq": event.seq,
        "kind": event.kind,
        "at": moment(event.at).isoformat().replace("+00:00", "Z"),
        "job_id": event.job_id,
    }
    if event.worker_id is not None:
        values["worker_id"] = event.worker_id
    return {**values, "data": dict(event.data)}


def brief_values(event: Event) -> Mapping[str, object]:
    """Return the short form of an event.

    The fields are ``seq``, the kind ``k``, the job ``j``, the worker ``w``, the status ``st``, and
    the time ``at``.
    """
    values: dict[str, object] = {"seq": event.seq, "k": event.kind, "j": event.job_id}
    if event.worker_id is not None:
        values["w"] = event.worker_id
    status = event.data.get("status") if event.kind in _KINDS_WITH_STATUS else None
    if state := status or _STATES.get(event.kind):
        values["st"] = state
    if event.kind is EventKind.WORKER_USED:
        values |= _usage_values(event.data)
    return {**values, "at": round(event.at, 3)}


def _usage_values(data: Mapping[str, object]) -> Mapping[str, object]:
    token_counts = [value for name in _TOKENS if isinstance(value := data.get(name), int)]
    cost = data.get("cost_usd")
    return {
        **({"tokens": sum(token_counts)} if token_counts else {}),
        **({"cost": round(cost, 4)} if isinstance(cost, int | float) else {}),
    }
