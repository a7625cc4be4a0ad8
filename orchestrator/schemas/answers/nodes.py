"""Answers about the nodes of the cluster."""

from typing import Literal

from pydantic import Field

from orchestrator.schemas.answers.common import Answer


class UnusableAgentAnswer(Answer):
    """An agent that cannot work on a node."""

    name: str
    reason: str
    fix: list[str] = Field(description="Commands that make the agent usable on the node, in order.")


class NodeAnswer(Answer):
    """A node of the cluster."""

    name: str
    state: Literal["up", "drained", "unreachable", "rejected", "unknown"] = Field(
        description="unknown: the node has not connected since the start of the server."
    )
    drained: bool = Field(description="True if the node was drained: no more workers start on it.")
    slots: int = Field(description="Number of workers that may run on the node at the same time.")
    running: int
    waiting: int = Field(
        description="Number of workers that wait for child jobs or locks, and hold no slot."
    )
    agents: list[str] = Field(
        description="Agents that can work on the node: their program and a credential exist."
    )
    unusable_agents: list[UnusableAgentAnswer] = Field(
        description="Agents that cannot work on the node; empty until the node has connected."
    )
    labels: dict[str, str]
    memory_bytes: int | None = Field(description="Available memory; null: unknown.")
    disk_bytes: int | None = Field(
        description="Free space of the disk with the node's state directory; null: unknown."
    )
    own_files: bool | None = Field(
        description="True if the node does not share the server's files; null: unknown."
    )
    address: str
    version: str
    seen_seconds: float | None = Field(
        description="Seconds since the node's latest message; null: no message yet."
    )
    clock_skew_seconds: float
    notice: str = Field(
        description="Why the node is rejected, or when its workers start elsewhere."
    )


class NodesAnswer(Answer):
    """Nodes of the cluster, without the server's own machine."""

    nodes: list[NodeAnswer]
