"""Answers to callers.

Each module is imported on first use, because its models take some milliseconds of a server's start.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.schemas.answers import answer as answer
    from orchestrator.schemas.answers import browser_session as browser_session
    from orchestrator.schemas.answers import candidates as candidates
    from orchestrator.schemas.answers import changes as changes
    from orchestrator.schemas.answers import columns as columns
    from orchestrator.schemas.answers import gates as gates
    from orchestrator.schemas.answers import human_input as human_input
    from orchestrator.schemas.answers import job as job
    from orchestrator.schemas.answers import job_list as job_list
    from orchestrator.schemas.answers import outbox as outbox
    from orchestrator.schemas.answers import server as server
    from orchestrator.schemas.answers import status as status
    from orchestrator.schemas.answers import workers as workers


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
