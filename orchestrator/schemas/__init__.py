"""Models of requests and answers of the API, from which the OpenAPI document is built.

- ``agent_output``: Answers of agents, checked by a schema: plans and reviews
- ``answers``: Answers to callers
- ``fields``: Types of fields, and validation errors
- ``requests``: Requests of callers
- ``triggers``: Triggers: external events that start a job, or are sent as feedback

Each module is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.schemas import locks as locks
    from orchestrator.schemas import merging as merging


def __getattr__(name: str) -> object:
    if name not in ("locks", "merging"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
