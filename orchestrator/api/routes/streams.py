"""Calls that are answered over a longer time: event streams, logs, and ``wait``.

One event stream has the events of one job; the other, the feed, has the events of all jobs.
"""

from dataclasses import field, replace
from functools import partial

from flask import Blueprint, Response, current_app, request

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.access.origin_guard import CORS_HEADERS, secured
from orchestrator.api.http_messages import problems
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.headers import EVENT_STREAM, JSON, NO_STORE, PLAIN_TEXT
from orchestrator.api.http_messages.log_response import log_part, text_file
from orchestrator.api.http_messages.request import checked_job_id, checked_worker_id
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.api.serializers.status import wait_answer
from orchestrator.api.socket_loop.response_writers import Reply
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.event_stream import (
    BriefStream,
    EventStream,
    FeedFrames,
    FeedStream,
    Frames,
    brief_frame,
)
from orchestrator.api.streaming.log_stream import FollowedLog
from orchestrator.api.streaming.waiting_connection import (
    Refusal,
    ThreadLimit,
    WaitingConnection,
    WaitingReply,
    WaitingStream,
)
from orchestrator.api.streaming.waits import PendingWait, ReplyFunction, WaitCheck
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.engine.service.service import Service
from orchestrator.schemas.requests.query_parameters import (
    EventFields,
    EventsQuery,
    FeedQuery,
    LogQuery,
    WaitQuery,
)

blueprint = Blueprint("streams", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)

#: Headers of streams. X-Accel-Buffering keeps proxies such as nginx from delaying a stream.
STREAM_HEADERS = {**NO_STORE, "X-Accel-Buffering": "no"}

TOO_MANY: Refusal = partial(
    problems.refuse,
    problems.unavailable("too many open streams and waits; close some of them, or retry later"),
)
STOPPING = problems.unavailable("the server is stopping; repeat the call in a moment")


@dataclass(frozen=True, kw_only=True)
class LongAnswers:
    """The socket loop, the threads, and the caches that all streamed answers share."""

    socket_loop: SocketLoop
    threads: ThreadLimit
    frames: Frames = field(default_factory=Frames)
    brief_frames: Frames = field(default_factory=lambda: Frames(brief_frame))
    feed_frames: FeedFrames = field(default_factory=FeedFrames)

    def response(self, stream: WaitingConnection, content_type: str) -> WaitingStream:
        return WaitingStream(
            self.socket_loop,
            self.threads,
            stream,
            TOO_MANY,
            content_type=content_type,
            headers=STREAM_HEADERS,
        )


def long_answers() -> LongAnswers:
    current: LongAnswers = current_app.extensions["orchestrator.long_answers"]
    return current


@blueprint.get("/jobs/<job_id>/events")
def stream_events(job_id: str) -> Response:
    query = reading.query(EventsQuery)
    after = reading.last_event_id(query.last_event_id)
    job = service().access.job(caller(), checked_job_id(job_id))
    if request.method == "HEAD":
        return Response(content_type=EVENT_STREAM, headers=STREAM_HEADERS)
    shared = long_answers()
    shared.socket_loop.check_room()
    arguments = (shared.socket_loop, service(), caller(), job)
    stream: EventStream
    if query.fields is EventFields.BRIEF:
        from_now = query.tail and not after
        frames = shared.brief_frames
        stream = BriefStream(*arguments, after=after, frames=frames, from_now=from_now)
    else:
        stream = EventStream(*arguments, after=after, frames=shared.frames)
    return shared.response(stream, EVENT_STREAM)


@blueprint.get("/events")
def stream_feed() -> Response:
    after = reading.last_event_id(reading.query(FeedQuery).last_event_id)
    reads = service().job_lists
    is_visible = reads.feed_filter(caller())
    if request.method == "HEAD":
        return Response(content_type=EVENT_STREAM, headers=STREAM_HEADERS)
    shared = long_answers()
    shared.socket_loop.check_room()
    stream = FeedStream(shared.socket_loop, reads.feed, is_visible, shared.feed_frames, after=after)
    return shared.response(stream, EVENT_STREAM)


@blueprint.get("/jobs/<job_id>/logs/<worker_id>")
def get_log(job_id: str, worker_id: str) -> Response:
    query = reading.query(LogQuery)
    job = service().access.job(caller(), checked_job_id(job_id))
    path = service().job_details.log_path(caller(), job_id, checked_worker_id(worker_id))
    within = service().job_details.workspace(job).parent
    if query.q or query.lines or query.start is not None:
        return log_part(path, within, query)
    if not query.follow:
        return text_file(path, PLAIN_TEXT, within=within, tail=query.tail, missing_is_empty=True)
    if request.method == "HEAD":
        return Response(content_type=PLAIN_TEXT, headers=STREAM_HEADERS)
    shared = long_answers()
    shared.socket_loop.check_room()
    log = FollowedLog(
        shared.socket_loop,
        job,
        worker_id,
        path=path,
        within=within,
        tail=query.tail,
        has_ended=partial(_worker_has_ended, service(), caller(), job_id, worker_id),
    )
    return shared.response(log, PLAIN_TEXT)


@blueprint.get("/jobs/<job_id>/wait")
def wait_for_job(job_id: str) -> Response:
    query = reading.query(WaitQuery)
    seconds, run = query.seconds, query.run
    job = service().access.job(caller(), checked_job_id(job_id))
    answer = partial(_wait_reply, service(), caller(), job_id, run, request.path)
    check = partial(service().job_details.answer_wait, caller(), job_id, run)
    if seconds == 0 or check() is not None or request.method == "HEAD":
        return problems.to_response(answer())
    stopping = secured_reply(STOPPING.reply(request.path))
    return waiting_reply(job, seconds, check, answer, stopping)


def waiting_reply(
    job: Job, seconds: float, check: WaitCheck, answer: ReplyFunction, stopping: Reply
) -> Response:
    """Return a response that is sent when ``check`` returns the job, or after ``seconds``.

    ``answer`` returns the reply. If the server stops first, the reply is ``stopping``. Raise
    Unavailable if too many calls wait.
    """
    shared = long_answers()
    shared.socket_loop.check_room()
    cors = request.environ.get(CORS_HEADERS, ())

    def with_cors(reply: Reply) -> Reply:
        return replace(reply, headers=(*reply.headers, *cors))

    wait = PendingWait(
        shared.socket_loop,
        job,
        waiter=caller().worker_key,
        seconds=seconds,
        check=check,
        answer=lambda: with_cors(answer()),
        stopping=with_cors(stopping),
    )
    return WaitingReply(shared.socket_loop, shared.threads, wait, TOO_MANY)


def _wait_reply(service: Service, caller: Caller, job_id: str, run: int, path: str) -> Reply:
    """Return the complete reply to a ``wait`` call, with the job's status.

    ``path``: the path of the call, for an error answer. Never raises. Needs no request context of
    Flask.
    """
    try:
        body = encoded(wait_answer(service, caller, job_id, run))
    except Exception as error:
        return secured_reply(problems.problem_of(error).reply(path))
    headers = (("Content-Type", JSON), *NO_STORE.items())
    return secured_reply(Reply(status=200, headers=headers, body=body))


def secured_reply(reply: Reply) -> Reply:
    """Return the reply with security headers.

    Replies of the socket loop bypass the middleware that adds the headers to other answers.
    """
    return Reply(status=reply.status, headers=tuple(secured(reply.headers)), body=reply.body)


def _worker_has_ended(service: Service, caller: Caller, job_id: str, worker_id: str) -> bool:
    workers = service.job_details.detail(caller, job_id).workers
    return any(worker.id == worker_id and worker.status.ended for worker in workers)
