"""The client library: ``OrchestratorClient`` and its parts.

Importing this package does not load ``requests``, because few commands need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.api.client.client import OrchestratorClient

__all__ = ["OrchestratorClient"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.client"), name)
