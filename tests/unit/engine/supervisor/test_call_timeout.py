"""The time for which a call waits for the supervisor."""

from orchestrator.api.client.transport import READ_TIMEOUT_SECONDS
from orchestrator.cli.worker.spawn import ANSWER_TIMEOUT_SECONDS
from orchestrator.engine.supervisor.supervisor import CALL_TIMEOUT_SECONDS


def test_a_change_that_cannot_be_saved_is_answered_before_clients_stop_waiting() -> None:
    # Otherwise, a caller of `submit` would not know that the job may still be accepted.
    assert min(READ_TIMEOUT_SECONDS, ANSWER_TIMEOUT_SECONDS) >= CALL_TIMEOUT_SECONDS + 5
