"""Requests with their answers: logins, locks, merges and landings, outbox, the tasks API.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from typing import TYPE_CHECKING

from orchestrator.schemas import first_use

if TYPE_CHECKING:
    from orchestrator.schemas.operations import browser_login as browser_login
    from orchestrator.schemas.operations import locks as locks
    from orchestrator.schemas.operations import merge_and_landing as merge_and_landing
    from orchestrator.schemas.operations import outbox as outbox

__getattr__ = first_use(__name__)
