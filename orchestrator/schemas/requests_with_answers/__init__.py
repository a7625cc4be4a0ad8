"""Requests with their answers, by subject: logins, locks, merges, outbox, tasks API.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from typing import TYPE_CHECKING

from orchestrator.schemas import import_at_first_use

if TYPE_CHECKING:
    from orchestrator.schemas.requests_with_answers import browser_login as browser_login
    from orchestrator.schemas.requests_with_answers import locks as locks
    from orchestrator.schemas.requests_with_answers import merge_and_landing as merge_and_landing
    from orchestrator.schemas.requests_with_answers import outbox as outbox

__getattr__ = import_at_first_use(__name__)
