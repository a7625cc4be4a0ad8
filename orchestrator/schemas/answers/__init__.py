"""Answers to callers.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from typing import TYPE_CHECKING

from orchestrator.schemas import import_at_first_use

if TYPE_CHECKING:
    from orchestrator.schemas.answers import answer as answer
    from orchestrator.schemas.answers import candidates as candidates
    from orchestrator.schemas.answers import changes as changes
    from orchestrator.schemas.answers import checkpoints as checkpoints
    from orchestrator.schemas.answers import gates as gates
    from orchestrator.schemas.answers import job as job
    from orchestrator.schemas.answers import job_control as job_control
    from orchestrator.schemas.answers import job_list as job_list
    from orchestrator.schemas.answers import messages_and_feedback as messages_and_feedback
    from orchestrator.schemas.answers import server as server
    from orchestrator.schemas.answers import status as status
    from orchestrator.schemas.answers import submission as submission
    from orchestrator.schemas.answers import worker_columns as worker_columns
    from orchestrator.schemas.answers import workers as workers

__getattr__ = import_at_first_use(__name__)
