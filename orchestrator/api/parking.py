"""What the calls that are answered over time share."""

from dataclasses import dataclass, field

from orchestrator.api.event_stream import Frames
from orchestrator.api.handoff import Threads
from orchestrator.api.hub import Hub


@dataclass(frozen=True, kw_only=True)
class Parking:
    """One per application."""

    hub: Hub
    threads: Threads
    frames: Frames = field(default_factory=Frames)
