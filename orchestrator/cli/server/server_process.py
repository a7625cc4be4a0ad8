"""The process of the server: runs the engine and the API, from the start to the stop signal."""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

from orchestrator import __version__
from orchestrator.api.client.server_record import (
    RECORD_NAME,
    ServerRecord,
    read_record,
    write_record,
)
from orchestrator.api.http_server.app import close_app, create_app, log_removal
from orchestrator.api.http_server.waitress_server import CannotListen, HttpServer, PortTaken, bind
from orchestrator.api.http_server.waitress_server import serve as serve_app
from orchestrator.api.server_options import ApiOptions
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.server.doctor_process import DoctorProcess
from orchestrator.cli.server.home_setup import home_option
from orchestrator.cli.server.logging_setup import set_up_logging
from orchestrator.cli.server.server_registry import ServerRegistry
from orchestrator.cli.server.standby import open_after_others
from orchestrator.cli.server.stop_signal import StopSignal
from orchestrator.cli.server.systemd_notifier import Notifier
from orchestrator.composition import JobManager, own_secrets
from orchestrator.config import Settings, project_root
from orchestrator.config.new_api_key import key_notes, load_with_key
from orchestrator.core.errors import Conflict, StoreAway
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.engine.runtime.machine_headroom import DiskReserve
from orchestrator.engine.service.triggers.event_feedback import (
    EventFeedback,
    longest_settle_seconds,
)
from orchestrator.engine.service.triggers.pull_requests import PullRequests
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.launchers.process import crash_injection
from orchestrator.security.files import umask

if TYPE_CHECKING:
    from orchestrator.engine.service.triggers.trigger import Trigger

logger = logging.getLogger(__name__)

OnReady = Callable[[str, Path, bool], None]

#: Seconds for which a stopping server waits for running requests.
SHUTDOWN_SECONDS = 10.0
#: Maximum seconds that Python runs one thread while another thread waits.
SWITCH_SECONDS = 0.0003
#: Seconds between two rounds of the periodic work in ``_wait_for_stop``.
ROUND_SECONDS = 0.5
#: Seconds between the loss of the server's lease and the server's exit. In this time, waiting calls
#: get their answers. The spawner kills the server after ``server_watchdog.EXIT_SECONDS``, which is
#: longer.
ANSWER_SECONDS = 0.3
#: Thresholds of garbage collection. The first threshold is higher than Python's default, because a
#: server creates few cycles.
GC_THRESHOLDS = 50_000, 10, 10
#: Seconds for which a service of systemd waits for its database, such as after a reboot. systemd
#: stops a service permanently after five failed starts within a minute. With this wait, five starts
#: take longer than a minute, so systemd keeps restarting the service.
DATABASE_SECONDS = 20.0
#: Pause between two attempts to reach the database, in seconds.
RETRY_SECONDS = 0.5


def serve(
    folder: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    any_port: bool = False,
    standby: bool = False,
    spawner: SpawnerProcess | None = None,
    on_ready: OnReady = lambda url, project, by_proxy: None,
) -> int:
    """Run the server until SIGTERM or SIGINT, and return 0.

    Raise OrchestratorError if the server cannot start.

    - ``flags``: settings from the command line, by dotted name.
    - ``standby``: True to wait while another server uses the workspace.
    - ``any_port``: True to listen on any free port if the configured port is in use.
    - ``on_ready`` is called with three arguments: the server's URL, the project, and True if only
      proxies may call the server.
    - ``spawner``: see ``LocalLauncher``.
    """
    crash_injection.arm_from(os.environ)
    gc.disable()  # until the server is ready
    gc.set_threshold(*GC_THRESHOLDS)
    notes: list[str] = []
    settings = load_with_key(folder, environ=environ, flags=flags, say=notes.append).settings
    # Other users of this machine must not read the files of the server and its workers.
    umask.make_private()
    set_up_logging(settings, own_secrets(settings))
    triggers = _triggers(folder, settings)
    notes += key_notes(settings)
    for note in notes:
        logger.warning(note)
    # Switch threads often, so that no API call waits while a thread writes a large report.
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = StopSignal()
    stop.install()
    manager = JobManager(folder, settings, spawner)
    project = project_root(settings, folder)
    on_lost = partial(_exit_at_once, manager)
    systemd = Notifier.of(environ)
    patience = DATABASE_SECONDS if systemd.address else 0.0
    open_manager = open_after_others if standby else partial(_open, patience=patience)
    if not open_manager(manager, stop, on_lost):
        return 0
    try:
        _check_unfinished(manager, project)
        previous = _previous_record(manager.parts.workspace.root)
        ports = _ports(previous, settings, is_flag="api.port" in (flags or {}), any_port=any_port)
        root = manager.parts.workspace.root
        callers = [each.caller_name for each in triggers if each.pull_request]
        home = home_option(folder, environ)
        opener = PullRequests(manager.service, callers, folder, root, environ, home)
        doctor = DoctorProcess(folder, environ)
        options = replace(
            api_options(settings), project=str(project), doctor=doctor, triggers=triggers
        )
        _serve(
            manager, settings, project, previous, ports, stop, on_ready, systemd, options, opener
        )
    finally:
        manager.close()
        gc.enable()
    return 0


def _open(
    manager: JobManager, stop: StopSignal, on_lost: Callable[[str], None], patience: float
) -> bool:
    """Open ``manager``. If its database does not answer, retry for ``patience`` seconds.

    Return True if ``manager`` is open, and False if ``stop`` was set first.
    """
    ends_at, is_noted = time.monotonic() + patience, False
    while not stop.wait(RETRY_SECONDS if is_noted else 0.0):
        try:
            manager.open(on_lost=on_lost)
            return True
        except StoreAway as error:
            if time.monotonic() >= ends_at:
                raise
            if not is_noted:
                logger.warning("waiting for the database: %s", error.message)
            is_noted = True
    return False


def _triggers(folder: Path, settings: Settings) -> "Sequence[Trigger]":
    if not settings.triggers:
        return ()
    # Imported when needed, because few servers have triggers.
    from orchestrator.composition import triggers

    return triggers(folder, settings)


def _exit_at_once(manager: JobManager, reason: str) -> None:
    # Exit without an orderly stop, which would write files: another server may have replaced this
    # server.
    logger.error("the server exits: %s", reason)
    manager.parts.supervisor.fail(reason)
    # Wait until waiting calls have their answers.
    time.sleep(ANSWER_SECONDS)
    os._exit(ExitCode.FAILED)


def _check_unfinished(manager: JobManager, project: Path) -> None:
    """Raise Conflict if an unfinished job belongs to another project that still exists."""
    for root_id in manager.parts.store.unfinished():
        job = manager.parts.store.job(root_id)
        other = job.config.project if job else ""
        if other and os.path.isdir(other) and os.path.realpath(other) != os.path.realpath(project):
            raise Conflict(
                f"project {project} is not the project of unfinished job {root_id}; no server was "
                "started; to finish or cancel the job, start a server for its project: "
                f"{COMMAND} serve --project {quote(other)}"
            )


def _serve(
    manager: JobManager,
    settings: Settings,
    project: Path,
    previous: ServerRecord | None,
    ports: Sequence[int],
    stop: StopSignal,
    on_ready: OnReady,
    systemd: Notifier,
    options: ApiOptions,
    pull_requests: PullRequests,
) -> None:
    api = settings.api
    servers = ServerRegistry(os.environ)
    settle = longest_settle_seconds(options.triggers)
    service = manager.service
    feedback = EventFeedback(
        service.access, service.job_details, service.feedback, manager.parts.workspace.root, settle
    )
    options = replace(options, other_servers=servers.others, event_feedback=feedback)
    app = create_app(service, options)
    server = _bind(app, settings, ports)
    root = manager.parts.workspace.root
    record = root / RECORD_NAME
    try:
        manager.start(server.url, partial(log_removal, app))
        if previous and manager.parts.launcher.adopted:
            host = "localhost" if api.has_local_address else api.host
            _serve_former(server, host, previous, manager.parts.launcher.adopted)
        server.start()
        if options.triggers:
            feedback.start()
            pull_requests.start()
        record_server = partial(_record_server, root, server, project, time.time())
        is_recorded = record_server()
        if not is_recorded:
            logger.warning(
                "%s is not written yet, because the disk is full; the server retries", record
            )
        servers.add(server.listening_url, project, time.time())
        on_ready(server.listening_url, project, bool(api.trusted_proxies))
        systemd.ready(f"serving at {server.listening_url} for the project {project}")
        # Exclude loaded modules from garbage collection, because checking them takes a third of the
        # time of reports. Do not collect first: a collection takes a tenth of the start's time, and
        # frees less than a megabyte.
        gc.freeze()
        gc.enable()
        _wait_for_stop(manager, server, stop, systemd, record_server, is_recorded)
    finally:
        systemd.stopping()
        servers.remove()
        feedback.stop()
        pull_requests.stop()
        manager.stop_workers()
        close_app(app)
        server.close()
        server.wait(SHUTDOWN_SECONDS)
        manager.stop()
        # If workers continue, keep the record: the workers call its address, which the next server
        # uses again.
        if not manager.leaves_workers:
            record.unlink(missing_ok=True)


def api_options(settings: Settings) -> ApiOptions:
    limits = settings.limits
    return ApiOptions(
        host=settings.api.host,
        allowed_hosts=settings.api.allowed_hosts,
        allowed_origins=tuple(each.lower() for each in settings.api.allowed_origins),
        trusted_proxies=tuple(
            ip_network(each, strict=False) for each in settings.api.trusted_proxies
        ),
        max_request_bytes=limits.max_request_bytes,
        submissions_per_minute=limits.submissions_per_minute,
        submissions_of_keys={
            each.name: each.limits.submissions_per_minute
            for each in settings.api.keys
            if each.limits.submissions_per_minute is not None
        },
        reads_per_minute=limits.reads_per_minute,
        audit_directory=settings.logging.log_dir,
        session_directory=settings.orchestrator.workspace_root,
        secrets=own_secrets(settings),
    )


def _bind(app: WSGIApplication, settings: Settings, ports: Sequence[int]) -> HttpServer:
    """Create the HTTP server, with the first free port of ``ports`` as the port for workers.

    Raise PortTaken if no port is free, and BadCertificate if the TLS certificate cannot be used.
    """
    api = settings.api
    tls = None
    if api.tls:
        # Imported here, because most servers have no TLS, and asyncio is slow to import.
        from orchestrator.api.http_server.tls import tls_context

        tls = tls_context(api.tls.certificate, api.tls.key)
    first_error: PortTaken | None = None
    for port in ports:
        try:
            server = serve_app(
                app,
                host=api.host,
                port=api.port if api.has_local_address else port,
                local_port=port if api.has_local_address else None,
                tls=tls,
                keeps_forwarded=bool(api.trusted_proxies),
                threads=api.threads,
                connection_limit=api.connection_limit,
                max_request_bytes=settings.limits.max_request_bytes,
            )
        except PortTaken as error:
            first_error = first_error or error
        else:
            if first_error:
                logger.warning(
                    "%s; listening on port %d instead", first_error.message, server.local_port
                )
            return server
    assert first_error
    raise first_error


def _previous_record(workspace: Path) -> ServerRecord | None:
    """Return the record of the previous server; None if that server has removed its record.

    A server does not remove its record if it is killed, or if its workers keep running.
    """
    previous = read_record(workspace)
    path = workspace / RECORD_NAME
    if previous is None and path.exists():
        logger.warning("cannot read %s: the port of the previous server is unknown", path)
    return previous


def _ports(
    previous: ServerRecord | None, settings: Settings, *, is_flag: bool, any_port: bool
) -> Sequence[int]:
    """Return the ports for workers' calls, in the order to try them; 0 means any free port.

    Workers call ``api.port``. If the server has a separate local address, workers call this address
    instead, at any free port. The previous server's port is included, because that server's workers
    still call it.

    ``is_flag``: True if an option of the command sets ``api.port``. If workers call ``api.port``,
    and the option's value is not 0, the previous server's port is omitted. ``any_port``: True to
    try any free port last.
    """
    api = settings.api
    configured = 0 if api.has_local_address else api.port
    former_port = previous.port if previous else None
    if not former_port or (is_flag and configured and not api.has_local_address):
        ports = [configured]
    else:
        ports = [configured, former_port] if configured else [former_port, configured]
    return list(dict.fromkeys([*ports, 0] if any_port else ports))


def _wait_for_stop(
    manager: JobManager,
    server: HttpServer,
    stop: StopSignal,
    systemd: Notifier,
    record_server: Callable[[], bool],
    is_recorded: bool,
) -> None:
    """Wait until ``stop`` is set, and do periodic work.

    - Ping the watchdog of systemd if the supervisor is alive.
    - Stop listening on former ports when no worker uses them.
    - Call ``record_server`` if the server's record is not current. ``record_server`` returns False
      if the disk is full.

    ``is_recorded``: True if the record is current when this function is called.
    """
    while not stop.wait(ROUND_SECONDS):
        if server.former_ports and not manager.parts.launcher.adopted:
            server.close_former_ports()
            is_recorded = False
        is_recorded = is_recorded or record_server()
        if manager.parts.supervisor.alive:
            systemd.alive()


def _serve_former(server: HttpServer, host: str, previous: ServerRecord, workers: int) -> None:
    # Listen on the ports of earlier servers, which running workers still call.
    for port in {previous.port or server.local_port, *previous.former_ports} - {server.local_port}:
        try:
            server.listen_on_former_ports(bind(host, port))
        except CannotListen as error:
            is_taken = isinstance(error, PortTaken)
            logger.warning(
                "port %d on %s %s; %d running workers of an earlier server call this port, and "
                "cannot reach this server",
                port,
                host,
                "is in use by another program" if is_taken else "cannot be used",
                workers,
            )


def _record_server(workspace: Path, server: HttpServer, project: Path, started_at: float) -> bool:
    """Write the server's record, and return True. Return False if the disk is full."""
    record = ServerRecord(
        url=server.url,
        pid=os.getpid(),
        started_at=started_at,
        project=str(project),
        version=__version__,
        former_ports=tuple(server.former_ports),
    )
    # If the disk is full, use the reserved space, which is reserved again when the disk has space.
    return _try_to_write(workspace, record) or (
        DiskReserve(workspace).release() and _try_to_write(workspace, record)
    )


def _try_to_write(workspace: Path, record: ServerRecord) -> bool:
    try:
        write_record(workspace, record)
    except OSError as error:
        if not is_shortage(error):
            raise
        return False
    return True
