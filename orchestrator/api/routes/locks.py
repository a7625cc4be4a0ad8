"""Calls that list locks with their holders, acquire leases, and end leases."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from flask import Blueprint, Response, request

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import problems
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.headers import JSON, NO_STORE
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.routes.streams import STOPPING, TOO_MANY, long_answers, secured_reply
from orchestrator.api.serializers.answer_parts import moment
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.api.socket_loop.response_writers import Reply
from orchestrator.api.streaming.waiting_connection import WaitingReply
from orchestrator.api.streaming.waits import PendingLock
from orchestrator.core.errors import NotFound
from orchestrator.core.locks.lock_table import LockLease, LockView, lock_name
from orchestrator.engine.service.service import Service
from orchestrator.engine.supervisor.lock_calls import LockCall
from orchestrator.schemas import requests_with_answers
from orchestrator.schemas.requests.query_parameters import LONGEST_WAIT_SECONDS, NoQuery

blueprint = Blueprint("locks", __name__, url_prefix="/api/v1/locks")
blueprint.before_request(check_request)


@blueprint.get("")
def list_locks() -> Response:
    reading.query(NoQuery)
    views = service().locks.visible(caller())
    return json_answer(
        requests_with_answers.locks.LocksAnswer(locks=[_lock(view) for view in views])
    )


@blueprint.get("/<path:lock>")
def get_lock(lock: str) -> Response:
    reading.query(NoQuery)
    try:
        name = lock_name(lock)
    except ValueError as error:
        raise NotFound(str(error)) from None
    leases = [_lease(lease) for lease in service().locks.leases_on(name)]
    number = max((lease.number for lease in leases), default=None)
    return json_answer(
        requests_with_answers.locks.LockNameAnswer(
            name=name, held=bool(leases), number=number, leases=leases
        )
    )


@blueprint.post("")
def take_locks() -> Response:
    reading.query(NoQuery)
    body = reading.body(requests_with_answers.locks.LockRequest)
    names = tuple(dict.fromkeys(body.names))
    engine = service()
    call = engine.locks.lock(caller(), names, wait=body.wait > 0)
    final = body.wait <= LONGEST_WAIT_SECONDS
    if engine.locks.can_be_answered(call):
        return problems.to_response(_lock_reply(engine, call, final, request.path))
    return _waiting_reply(engine, call, min(body.wait, LONGEST_WAIT_SECONDS), final)


def _waiting_reply(engine: Service, call: LockCall, seconds: float, final: bool) -> Response:
    shared = long_answers()
    try:
        shared.socket_loop.check_room()
    except Exception:
        engine.locks.drop(call)
        raise
    wait = PendingLock(
        shared.socket_loop,
        engine,
        call,
        seconds=seconds,
        answer=partial(_lock_reply, engine, call, final, request.path),
        stopping=secured_reply(STOPPING.reply(request.path)),
    )
    return WaitingReply(shared.socket_loop, shared.threads, wait, TOO_MANY)


@blueprint.delete("")
def end_locks() -> Response:
    reading.query(NoQuery)
    body = reading.body(requests_with_answers.locks.UnlockRequest)
    names = service().locks.unlock(caller(), tuple(dict.fromkeys(body.names)))
    return json_answer(requests_with_answers.locks.UnlockedAnswer(names=list(names)))


def _lock_reply(engine: Service, call: LockCall, final: bool, path: str) -> Reply:
    """Return the answer to a lock call. Never raises. Needs no request context of Flask.

    ``final``: True if the requested wait ends with this call. ``path``: the path of the call, for
    an error answer.
    """
    try:
        leases = engine.locks.answer(call, final=final)
        if leases is None:
            status, body = (
                HTTPStatus.ACCEPTED,
                encoded(requests_with_answers.locks.LockWaitAnswer(reason=call.why)),
            )
        else:
            answer = requests_with_answers.locks.LockedAnswer(
                leases=[_lease(lease) for lease in leases]
            )
            status, body = HTTPStatus.OK, encoded(answer)
    except Exception as error:
        return secured_reply(problems.problem_of(error).reply(path))
    headers = (("Content-Type", JSON), *NO_STORE.items())
    return secured_reply(Reply(status=int(status), headers=headers, body=body))


def _lease(lease: LockLease) -> requests_with_answers.locks.LeaseAnswer:
    return requests_with_answers.locks.LeaseAnswer(
        name=lease.name,
        number=lease.number,
        job_id=lease.job_id,
        worker_id=lease.worker_id,
        attempt=lease.attempt,
        taken_at=moment(lease.taken_at),
    )


def _lock(view: LockView) -> requests_with_answers.locks.LockAnswer:
    return requests_with_answers.locks.LockAnswer(
        names=list(view.names),
        kind=view.kind,
        waits=view.waits,
        job_id=view.job_id,
        worker_id=view.worker_id,
        number=view.number,
        since=moment(view.since),
    )
