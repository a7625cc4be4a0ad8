"""Every call in one table; a test compares it with the application's routes."""

from orchestrator.api.openapi.operations.locking import LOCKING
from orchestrator.api.openapi.operations.operation import Operation
from orchestrator.api.openapi.operations.reading import READING
from orchestrator.api.openapi.operations.server import SERVER
from orchestrator.api.openapi.operations.steering import STEERING

__all__ = ["OPERATIONS", "Operation"]

OPERATIONS = (*STEERING, *READING, *LOCKING, *SERVER)
