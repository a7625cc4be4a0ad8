"""The stream of all jobs."""

from flask import Blueprint, Response, request

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request as reading
from orchestrator.api.routes.streams import NO_STORE, TOO_MANY, parking
from orchestrator.api.streaming.feed_stream import FeedStream
from orchestrator.api.streaming.parked_connection import ParkedStream
from orchestrator.schemas.requests.queries import FeedQuery

blueprint = Blueprint("feed", __name__, url_prefix="/api/v1/events")
blueprint.before_request(authenticate)


@blueprint.get("")
def stream_feed() -> Response:
    after = reading.last_event_id(reading.query(FeedQuery).last_event_id)
    reads = service().reads
    sees = reads.seen_in_feed(caller())
    if request.method == "HEAD":
        return Response(content_type="text/event-stream", headers=NO_STORE)
    parked = parking()
    parked.hub.check_room()
    stream = FeedStream(parked.hub, reads.feed, sees, parked.feed_frames, after=after)
    return ParkedStream(
        parked.hub,
        parked.threads,
        stream,
        TOO_MANY,
        content_type="text/event-stream; charset=utf-8",
        headers=NO_STORE,
    )
