"""Calls about locks."""

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, OK, Operation
from orchestrator.schemas import locks

LOCKS = "/api/v1/locks"

LOCKING = (
    Operation(
        method="get",
        path=LOCKS,
        id="listLocks",
        tag="locks",
        summary="Who holds and who waits for which locks",
        answers={OK: locks.LocksAnswer},
    ),
    Operation(
        method="post",
        path=LOCKS,
        id="takeLocks",
        tag="locks",
        summary="Take leases, all or none, from inside a worker",
        description=(
            "409 locked: somebody else holds one, and the time to wait is over. 409 deadlock: to "
            "wait would be to wait for oneself; detail names the circle. 202: not yet, make the "
            "same call again. What the worker holds already it keeps, with its number."
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
        summary="Give back leases; with an API key, break those of others",
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
        summary="Whether a lease on this name stands, and its number",
        answers={OK: locks.LockNameAnswer},
    ),
)
