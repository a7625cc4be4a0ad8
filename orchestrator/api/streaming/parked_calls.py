"""The objects that all parked calls of an application share."""

from dataclasses import field

from orchestrator.api.sockets.hub import Hub
from orchestrator.api.streaming.event_stream import Frames, brief_frame
from orchestrator.api.streaming.feed_stream import FeedFrames
from orchestrator.api.streaming.parked_connection import Threads
from orchestrator.core.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class ParkedCalls:
    """The hub, the threads, and the caches of frames that all parked calls of one application
    share.
    """

    hub: Hub
    threads: Threads
    frames: Frames = field(default_factory=Frames)
    brief_frames: Frames = field(default_factory=lambda: Frames(brief_frame))
    feed_frames: FeedFrames = field(default_factory=FeedFrames)
