"""A message of the Model Context Protocol."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.text.field_descriptions import DescribedFields


class McpMessage(DescribedFields, BaseModel):
    """A JSON-RPC message of the Model Context Protocol. Used in the OpenAPI document only."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    jsonrpc: Literal["2.0"]
    id: int | str = 0
    """Id of the request; absent in a notification."""
    method: str
    """initialize, server/discover, ping, tools/list, or tools/call."""
    params: dict[str, Any] = Field(default_factory=dict)
