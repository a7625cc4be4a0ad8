"""The server's process: job manager and API together, from start to signal."""

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

from orchestrator import __version__
from orchestrator.api.app import close_app, create_app, note_removal
from orchestrator.api.client_discovery import RECORD_NAME, read_record
from orchestrator.api.options import ApiOptions
from orchestrator.api.server import PortTaken, Server
from orchestrator.api.server import serve as serve_app
from orchestrator.app import JobManager, build, own_secrets
from orchestrator.cli.logs_setup import set_up_logging
from orchestrator.config import Settings, project_root
from orchestrator.config.api_key import is_example, load_with_key
from orchestrator.core.command import COMMAND
from orchestrator.core.errors import Conflict
from orchestrator.core.shortage import is_shortage
from orchestrator.launchers import crashing
from orchestrator.security.paths import write_private
from orchestrator.workspace import DiskReserve

logger = logging.getLogger(__name__)

#: What requests that are being answered get when the server stops.
SHUTDOWN_SECONDS = 10.0
SWITCH_SECONDS = 0.0003
SIGNAL_SECONDS = 0.5


def serve(
    folder: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    on_ready: Callable[[str, Path], None] = lambda url, project: None,
) -> int:
    """Serve until SIGTERM or SIGINT. Raise OrchestratorError.

    ``on_ready`` is called with the URL of the address that it listens on, and with the project.
    """
    crashing.arm_from(os.environ)
    gc.disable()  # until it is ready
    notes: list[str] = []
    settings = load_with_key(folder, environ=environ, flags=flags, say=notes.append).settings
    # Nothing that it writes, nor any worker, is for other users of this machine.
    os.umask(0o077)
    set_up_logging(settings, own_secrets(settings))
    if is_example(settings.api.api_key.get_secret_value()):
        notes.append(f"api.api_key looks like an example that others know; see: {COMMAND} doctor")
    for note in notes:
        logger.warning(note)
    # Short turns at the interpreter: a call must not wait while a large report is written.
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = _on_signals()
    manager = build(folder, settings)
    project = project_root(settings, folder)
    manager.open()
    try:
        _check_unfinished(manager, project)
        _serve(manager, settings, project, "api.port" in (flags or {}), stop, on_ready)
    finally:
        manager.close()
        gc.enable()
    return 0


def _check_unfinished(manager: JobManager, project: Path) -> None:
    """Raise Conflict if a job is not finished that works on another project, which exists."""
    for root_id in manager.store.unfinished():
        job = manager.store.job(root_id)
        named = job.config.project if job else ""
        if named and os.path.isdir(named) and os.path.realpath(named) != os.path.realpath(project):
            raise Conflict(
                f"job {root_id} is not finished, and works on {named}, not on {project}; nothing "
                f"was started; to finish or cancel it: {COMMAND} serve --project {quote(named)}"
            )


def _serve(
    manager: JobManager,
    settings: Settings,
    project: Path,
    port_given: bool,
    stop: threading.Event,
    on_ready: Callable[[str, Path], None],
) -> None:
    api = settings.api
    options = api_options(settings)
    app = create_app(manager.service, options)
    manager.housekeeping.on_removed = partial(note_removal, app)
    ports = [api.port] if port_given and api.port else _ports(manager.workspace.root, api.port)
    server = _bind(app, settings, ports)
    record = manager.workspace.root / RECORD_NAME
    try:
        manager.start(server.url)
        server.start()
        recorded = _has_recorded(record, server.url, project)
        if not recorded:
            logger.warning("%s follows later: the disk is full", record)
        on_ready(server.listens_at, project)
        # What is loaded by now stays: looking it over again and again is a third of the time that
        # reports take.
        gc.collect()
        gc.freeze()
        gc.enable()
        # A signal may reach any thread (one that comes while the process is stopped does); its
        # handler runs in this one, which therefore has to wake up by itself.
        while not stop.wait(SIGNAL_SECONDS):
            recorded = recorded or _has_recorded(record, server.url, project)
    finally:
        manager.stop_workers()
        close_app(app)
        server.close()
        server.wait(SHUTDOWN_SECONDS)
        manager.stop()
        # Workers that go on call this address: the next server takes it again.
        if not manager.leaves_workers:
            record.unlink(missing_ok=True)


def api_options(settings: Settings) -> ApiOptions:
    limits = settings.limits
    return ApiOptions(
        host=settings.api.host,
        max_request_bytes=limits.max_request_bytes,
        submissions_per_minute=limits.submissions_per_minute,
        submissions_of_keys={
            each.name: each.limits.submissions_per_minute
            for each in settings.api.keys
            if each.limits.submissions_per_minute is not None
        },
        reads_per_minute=limits.reads_per_minute,
        audit_directory=settings.logging.log_dir,
        secrets=own_secrets(settings),
    )


def _bind(app: WSGIApplication, settings: Settings, ports: Sequence[int]) -> Server:
    """Listen on the first port that is free. Raise PortTaken for the last one."""
    api = settings.api
    for port in ports:
        try:
            return serve_app(
                app,
                host=api.host,
                port=port,
                threads=api.threads,
                connection_limit=api.connection_limit,
                max_request_bytes=settings.limits.max_request_bytes,
            )
        except PortTaken as error:
            if port == ports[-1]:
                raise
            logger.warning("the port of the server before this one is taken: %s", error.message)
    raise AssertionError("unreachable")


def _ports(workspace: Path, configured: int) -> Sequence[int]:
    """A server that was killed comes back on its old port: its workers know no other."""
    previous = read_record(workspace)
    if previous is None and (workspace / RECORD_NAME).exists():
        path = workspace / RECORD_NAME
        logger.warning("%s cannot be read: the port of the server before this one is lost", path)
    had = urlsplit(previous.url).port if previous else None
    return list(dict.fromkeys([had or configured, configured]))


def _has_recorded(path: Path, url: str, project: Path) -> bool:
    """Whether there was room for it, or is with the reserve, which is taken again by itself as
    soon as anything is free: also by what was given up for this."""
    reserve = DiskReserve(path.parent)
    write = partial(_write_record, path, url, project)
    return write() or (reserve.release() and write())


def _write_record(path: Path, url: str, project: Path) -> bool:
    """Whether there was room for it."""
    record = {
        "url": url,
        "pid": os.getpid(),
        "started_at": time.time(),
        "version": __version__,
        "project": str(project),
    }
    try:
        write_private(path, json.dumps(record).encode())
    except OSError as error:
        if not is_shortage(error):
            raise
        return False
    return True


def _on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop_or_leave(stop))
    return stop


def _stop_or_leave(stop: threading.Event) -> None:
    """The first signal ends in good order, the second one at once."""
    if stop.is_set():
        os._exit(130)
    stop.set()
