"""What every MCP tool needs: the service, the caller, and text that a model can read."""

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller
from orchestrator.engine.service.service import Service


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    service: Service
    caller: Caller
    idempotency_key: str | None


def printable(text: str) -> str:
    """Return a text without control characters, which a model does not need."""
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))
