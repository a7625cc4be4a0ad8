"""Checks of each request that needs a key: its caller, read-only keys, and rate limits.

The use cases check which jobs a caller may see and change
(``engine/service/access/authorization.py``).
"""

from flask import g, request

from orchestrator.api.access.audit import READING
from orchestrator.api.access.authentication import authenticate, caller, service
from orchestrator.api.access.rate_limits import check_rate

#: Flask's names of the calls that count toward the limit of submissions.
SUBMISSIONS = frozenset({"job_control.orchestrate", "job_control.retry_job", "tasks.create_task"})


def check_request() -> None:
    """Check the caller of the request, before any other part of the request is read.

    Raise a 401 for an unknown caller, and a 429 at a rate limit. Raise a 403 for a change by a
    read-only key, or by a browser session without the session's token.
    """
    if request.method == "OPTIONS":
        return  # the answer contains only the allowed methods
    authenticate()
    reads = request.method in READING
    if not reads:
        service().access.check_change(g.caller)
    check_rate(caller().full_name, reads=reads, submits=request.endpoint in SUBMISSIONS)
