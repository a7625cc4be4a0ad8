"""The client library: ``OrchestratorClient``, its errors, and its parts.

Importing this package does not load ``requests``, because few commands need it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.api.client.client import OrchestratorClient
    from orchestrator.api.client.errors import (
        ApiError,
        AuthError,
        ClientError,
        ConflictError,
        InvalidError,
        NoServer,
        NotFoundError,
        QuotaError,
        RefusedError,
        ServerUnreachable,
    )

__all__ = [
    "ApiError",
    "AuthError",
    "ClientError",
    "ConflictError",
    "InvalidError",
    "NoServer",
    "NotFoundError",
    "OrchestratorClient",
    "QuotaError",
    "RefusedError",
    "ServerUnreachable",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "client" if name == "OrchestratorClient" else "errors"
    return getattr(import_module(f"{__name__}.{module}"), name)
