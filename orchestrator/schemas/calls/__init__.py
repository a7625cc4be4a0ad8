"""Calls whose requests and answers are in one module: locks, merging, the tasks API.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from typing import TYPE_CHECKING

from orchestrator.schemas import first_use

if TYPE_CHECKING:
    from orchestrator.schemas.calls import locks as locks
    from orchestrator.schemas.calls import merging as merging

__getattr__ = first_use(__name__)
