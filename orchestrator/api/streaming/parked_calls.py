"""Shared parts of calls with an answer over time: sockets, frames and threads."""

from dataclasses import field

from orchestrator.api.sockets.hub import Hub
from orchestrator.api.streaming.event_stream import Frames, brief_frame
from orchestrator.api.streaming.feed_stream import FeedFrames
from orchestrator.api.streaming.parked_connection import Threads
from orchestrator.core.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class ParkedCalls:
    """The shared parts of an application's parked calls. One instance per application."""

    hub: Hub
    threads: Threads
    frames: Frames = field(default_factory=Frames)
    brief_frames: Frames = field(default_factory=lambda: Frames(brief_frame))
    feed_frames: FeedFrames = field(default_factory=FeedFrames)
