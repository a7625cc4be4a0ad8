"""The Flask application: the API's routes, error handlers, middleware, and the socket loop."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from orchestrator.api.access.audit import AuditLog, AuditMiddleware
from orchestrator.api.access.browser_sessions import BrowserSessions
from orchestrator.api.access.origin_guard import OriginGuard
from orchestrator.api.access.rate_limits import RateLimits
from orchestrator.api.http_messages import problems
from orchestrator.api.http_messages.compression import compress_answers
from orchestrator.api.http_messages.metrics import Metrics
from orchestrator.api.http_messages.shared_reads import SharedReads
from orchestrator.api.http_server.poll_cache import PollCache
from orchestrator.api.routes import (
    approvals,
    job_control,
    jobs,
    locks,
    mcp,
    merge_and_landing,
    pages,
    streams,
    submission,
    triggers,
    worker_control,
)
from orchestrator.api.routes.queries import changes, needs_and_usage, workers
from orchestrator.api.routes.server import browser_login, health, nodes, outbox, server_status
from orchestrator.api.routes.streams import LongAnswers
from orchestrator.api.routes.triggers import Triggers
from orchestrator.api.serializers.answer_parts import job_path
from orchestrator.api.serializers.job_lists import LatestCards
from orchestrator.api.serializers.status_cache import StatusRows
from orchestrator.api.serializers.worker_columns import LatestColumns
from orchestrator.api.server_options import ApiOptions
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.api.streaming.waiting_connection import ThreadLimit
from orchestrator.api.tasks_api import routes as tasks
from orchestrator.core.model.job import Job
from orchestrator.engine.service.service import Service
from orchestrator.security.secrets.masking import Masker


class LazyRule(Rule):
    """A werkzeug URL rule that compiles its URL builder at the first use.

    The class overrides an internal method of werkzeug. A test builds a path, and fails if werkzeug
    has changed the method.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., Any]:
        compiled: list[Callable[..., Any]] = []

        def build(rule: Rule, /, *values: Any, **named: Any) -> Any:
            if not compiled:
                # No lock: if two threads both compile the function, the results are equal.
                compiled.append(super(LazyRule, self)._compile_builder(append_unknown))
            return compiled[0](rule, *values, **named)

        return build


BLUEPRINTS = (
    submission.blueprint,
    job_control.blueprint,
    approvals.blueprint,
    tasks.blueprint,
    jobs.blueprint,
    workers.blueprint,
    needs_and_usage.blueprint,
    changes.blueprint,
    worker_control.blueprint,
    merge_and_landing.blueprint,
    streams.blueprint,
    server_status.blueprint,
    nodes.blueprint,
    mcp.blueprint,
    locks.blueprint,
    browser_login.blueprint,
    outbox.blueprint,
    health.blueprint,
    pages.blueprint,
    triggers.blueprint,
)


def create_app(service: Service, options: ApiOptions | None = None) -> Flask:
    """Return the WSGI application of one service. Nothing runs before the first request.

    Call ``close_app`` at the end.
    """
    options = options or ApiOptions()
    app = Flask("orchestrator.api", static_folder=Path(__file__).parents[1] / "static")
    app.url_rule_class = LazyRule
    app.config["MAX_CONTENT_LENGTH"] = options.max_request_bytes
    app.url_map.strict_slashes = False
    # Do not redirect from ``//`` to ``/``: a redirect would repeat the caller's Host, and lose the
    # body of a POST.
    app.url_map.merge_slashes = False
    socket_loop = SocketLoop(service.job_details.subscribe, options)
    metrics = Metrics(lambda: socket_loop.waiting)
    app.extensions["orchestrator.service"] = service
    app.extensions["orchestrator.long_answers"] = LongAnswers(
        socket_loop=socket_loop, threads=ThreadLimit(options.threaded_limit)
    )
    app.extensions["orchestrator.metrics"] = metrics
    app.extensions["orchestrator.status_cache"] = StatusRows()
    app.extensions["orchestrator.columns"] = LatestColumns()
    app.extensions["orchestrator.cards"] = LatestCards()
    app.extensions["orchestrator.limits"] = RateLimits.of(options)
    app.extensions["orchestrator.options"] = options
    app.extensions["orchestrator.triggers"] = Triggers.of(options)
    app.extensions["orchestrator.sessions"] = BrowserSessions(options.session_directory)
    app.extensions["orchestrator.reads"] = SharedReads()
    app.extensions["orchestrator.openapi"] = cache(_openapi_document)
    metrics.observe(app)
    problems.register(app)
    compress_answers(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.wsgi_app = OriginGuard(app.wsgi_app, options)  # type: ignore[method-assign]
    if options.audit_directory is not None:
        log = AuditLog(options.audit_directory, Masker(options.secrets).text)
        app.extensions["orchestrator.audit"] = log
        app.wsgi_app = AuditMiddleware(app.wsgi_app, log)  # type: ignore[method-assign]
    app.wsgi_app = PollCache(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _openapi_document() -> bytes:
    # Imported when needed, because few servers get a request for the document. Loading its table of
    # calls takes a tenth of the time of a server's start.
    from orchestrator.api.openapi.document import document

    return document()


def log_removal(app: Flask, job: Job) -> None:
    """Record in the audit log that the server has removed a job automatically."""
    log: AuditLog | None = app.extensions.get("orchestrator.audit")
    if log is not None:
        log.log_change("(retention)", "DELETE", job_path(job.id))


def close_app(app: Flask) -> None:
    """End all streams and waits of an application. Idempotent."""
    long_answers: LongAnswers = app.extensions["orchestrator.long_answers"]
    long_answers.socket_loop.close()
    log: AuditLog | None = app.extensions.get("orchestrator.audit")
    if log is not None:
        log.close()
