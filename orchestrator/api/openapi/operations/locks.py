"""Calls about locks."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, OK, Operation
from orchestrator.schemas.requests_with_answers import locks

LOCKS = "/api/v1/locks"

LOCKING = (
    Operation(
        method="get",
        path=LOCKS,
        id="listLocks",
        tag="locks",
        summary="List active locks, and waiting workers",
        answers={OK: locks.LocksAnswer},
    ),
    Operation(
        method="post",
        path=LOCKS,
        id="takeLocks",
        tag="locks",
        summary="Acquire locks for the calling worker (all or none)",
        description=(
            "409 locked: another worker holds a lock, and the call does not wait or its wait timed "
            'out. 409 deadlock: waiting would create a cycle; "detail" lists the cycle. 202: not '
            "granted yet; repeat the call. Locks that the worker already holds stay active, and "
            "their fencing numbers do not change."
        ),
        body=locks.LockRequest,
        examples={"wait for a path": {"names": ["src/api/"], "wait": 30}},
        body_required=True,
        answers={OK: locks.LockedAnswer, ACCEPTED: locks.LockWaitAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="delete",
        path=LOCKS,
        id="endLocks",
        tag="locks",
        summary="Release locks of the calling worker; with a person's key, of any worker",
        body=locks.UnlockRequest,
        examples={"a path": {"names": ["src/api/"]}},
        body_required=True,
        answers={OK: locks.UnlockedAnswer},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{LOCKS}/{{lock}}",
        id="getLock",
        tag="locks",
        summary="Get the active leases on a name",
        answers={OK: locks.LockNameAnswer},
    ),
)
