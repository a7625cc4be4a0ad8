"""The use cases for what workers report about themselves."""

from collections.abc import Sequence

from orchestrator.core.errors import Forbidden
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.caller import Caller
from orchestrator.core.ports.read_models import UsageReply
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.engine.supervisor.supervisor import Supervisor


class WorkerReportCalls:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def record_read_messages(self, caller: Caller, ids: Sequence[str]) -> None:
        """Record that the calling worker's agent has read messages. Idempotent.

        Raise Forbidden if the caller is not a worker.
        """
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden("only a worker, with its own key, may report that it has read messages")

        def action(scheduler: Scheduler, now: float) -> None:
            scheduler.messages_read(attempt.key, attempt.number, ids, now)

        self._supervisor.call(action)

    def record_usage(self, caller: Caller, usage: Usage) -> UsageReply:
        """Record the usage of the calling worker's attempt, as the total since the attempt's start.

        The answer states whether the attempt must stop. Idempotent. Raise Forbidden if the caller
        is not a worker.
        """
        attempt = caller.attempt
        if attempt is None:
            raise Forbidden("only a worker, with its own key, may report usage")

        def action(scheduler: Scheduler, now: float) -> UsageReply:
            stop = scheduler.usage_reported(attempt.key, attempt.number, usage, now)
            return UsageReply(
                stop=stop,
                waiting=scheduler.view.is_waiting(attempt.key),
                capped=scheduler.view.is_capped(attempt.key),
            )

        return self._supervisor.call(action)
