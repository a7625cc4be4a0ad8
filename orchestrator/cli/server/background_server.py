"""Finds, starts, and stops the server of a home in the background, for other commands."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.api.client.server_discovery import setting
from orchestrator.api.client.server_record import ServerRecord, read_record
from orchestrator.cli.command_context import PROJECT_VARIABLE, CliContext
from orchestrator.cli.offline.jobs_on_disk import find_job, root_jobs
from orchestrator.cli.offline.server_liveness import (
    is_same_process,
    running_server,
    uses_previous_code,
)
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.plan.plan_file import read_plan
from orchestrator.cli.server.home_setup import home_option, prepare_home
from orchestrator.cli.server.start_settings import StartSettings, project_at_start, start_settings
from orchestrator.core.errors import ConfigError, InvalidRequest, Unavailable
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.states import ENDED_JOB, JobStatus
from orchestrator.core.text.formatting import plural
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.product_files import FOLDER
from orchestrator.security.files.untrusted_files import read_regular

if TYPE_CHECKING:
    from orchestrator.api.client.client import OrchestratorClient

#: Maximum seconds until a started server answers, and until a stopped server has exited.
READY_SECONDS, STOP_SECONDS = 60.0, 30.0
POLL_SECONDS = 0.05
SHOWN_LOG_LINES = 15

#: File in the workspace that identifies a server that a command started: the server's process id
#: and start time. While the command runs, the file also has the command's process id, and the time
#: at which the command wrote the file. A server that still runs after the command's end is a
#: leftover server. A later ``run`` stops the leftover server.
LEFTOVER_NAME = "server.left"
LEFTOVER_BYTES = 100
UNFINISHED = [str(status) for status in JobStatus if status not in ENDED_JOB]

#: Environment variable in a worker: the path of the worker's worktree. Without a worktree, the path
#: of the project.
PROJECT_ROOT = "ORCHESTRATOR_PROJECT_ROOT"

Say = Callable[[str], None]


#: Maximum bytes of a plan file that a starting server checks. For a larger file, the command itself
#: makes the check.
CHECKED_BYTES = 64 * 1024


@contextmanager
def server_at(context: CliContext, say: Say, keep: bool, plan: Path | None = None) -> Iterator[str]:
    """Yield the URL in ORCHESTRATOR_API_URL; if it is not set, the URL that ``server_for`` yields.

    Before the URL is yielded, ``say`` is called with a message that names the project.
    """
    if url := context.environ.get("ORCHESTRATOR_API_URL"):
        say(project_line(context))
        yield url
    else:
        with server_for(context, say, keep, plan) as url:
            yield url


@contextmanager
def server_for(
    context: CliContext, say: Say, keep: bool, plan: Path | None = None
) -> Iterator[str]:
    """Yield the URL of the home's server. If no server runs, start a server.

    At the end of the block, stop a server that this call or an earlier command started, unless
    ``keep`` is True. A server with unfinished jobs is not stopped; a later call stops it. The
    server of ``serve`` is never stopped. ``plan``: a plan file that the started server must check.
    """
    if record := running_server(context.workspace, context.note_silence):
        say(project_line(context))
        _check_config(context, record, say)
        note_previous_code(record, say)
        yield record.url
        _stop_if_leftover(context, record, keep)
        return
    context.check_no_silent_server()
    say(project_line(context))
    if plan and plan.stat().st_size > CHECKED_BYTES:
        read_plan(plan, None)
        plan = None
    process, log = _start(context, say, plan)
    try:
        started = _wait_until_ready(process, context, log, plan)
        # If two commands start a server at the same time, only one of the servers runs.
        is_own = started.pid == process.pid
        if is_own:
            say(f"started the server at {started.url}")
        if is_own and not keep:
            _mark(context, f"{_identity(started)} {os.getpid()} {time.time()}")
        yield started.url
    except KeyboardInterrupt:
        _terminate_after_interrupt(process, context.workspace)
        raise
    except BaseException:
        _stop(process, say, context)
        raise
    if not is_own:
        _stop_if_leftover(context, started, keep)
    elif keep:
        say(f"server is still running at {started.url}; stop it: kill {process.pid}")
    else:
        _stop(process, say, context)


@contextmanager
def client_for(context: CliContext, job_id: str) -> "Iterator[OrchestratorClient]":
    """Yield a client of the running server. If no server runs, start one as ``server_for`` does.

    Raise NoSuchJob if no server runs, and the job does not exist.
    """
    client = context.client_if_running()
    if client is not None:
        with client:
            yield client
        return
    find_job(context.workspace, job_id)
    say = partial(click.echo, err=True)
    try:
        with (
            server_for(context, say, keep=False) as url,
            context.client_at(url) as client,
        ):
            yield client
    except KeyboardInterrupt:
        say(f"interrupted; job {job_id} continues when a server runs: {COMMAND} serve")
        raise


def project_line(context: CliContext) -> str:
    """Return a line with the project's path, such as ``project: /home/me/shop``.

    Raise ConfigError if the project is unknown. Raise InvalidRequest if the running server has
    another project than ``--project``.
    """
    if url := context.environ.get("ORCHESTRATOR_API_URL"):
        project = context.environ.get(PROJECT_ROOT)
        return f"project: {project or f'set by the server at {url}'}"
    workers = _worker_count_text(context)
    if record := running_server(context.workspace, context.note_silence):
        return f"project: {_project_of(context, record)}{workers}"
    return f"project: {project_at_start(context.folder, context.environ)}{workers}"


def _worker_count_text(context: CliContext) -> str:
    configured = setting(context.folder, context.environ, "workers", "max_workers")
    if configured != "auto":
        return ""
    from orchestrator.config import Processors, load

    try:
        loaded = load(context.folder, environ=context.environ)
    except ConfigError:
        return ""  # a running server uses the settings that it read at its start
    max_workers = loaded.settings.workers.max_workers
    if not isinstance(max_workers, Processors):
        return ""
    return f"; {plural(max_workers, 'worker')} at a time (workers.max_workers: auto)"


def _project_of(context: CliContext, record: ServerRecord) -> str:
    """Return the running server's project.

    Raise InvalidRequest if ``--project`` names another project.
    """
    if not record.project:
        return str(project_at_start(context.folder, context.environ))
    requested = context.project
    if requested is not None and requested.resolve() != Path(record.project).resolve():
        raise InvalidRequest(
            f"the running server serves the project {record.project}, not {requested}; stop it: "
            f"kill {record.pid}"
        )
    return record.project


def _check_config(context: CliContext, record: ServerRecord, say: Say) -> None:
    """Raise ConfigError if the settings are invalid.

    Skip this check if the running server has already checked the same settings. Print a note if
    config.yaml has changed since the server started.
    """
    changed_at = _changed_at(context.folder / "config.yaml")
    has_changed = record.started_at is not None and changed_at > record.started_at
    if has_changed or record.started_at is None or _has_own_settings(context.environ):
        from orchestrator.config import load

        # Require neither the API key nor variables such as env:HOOK_SECRET, because possibly only
        # the server's environment has them.
        load(context.folder, environ=context.environ)
    if has_changed:
        say(
            "the running server still uses the previous config.yaml; if the server is a service, "
            f"restart the service; otherwise stop the server: kill {record.pid}; the next command "
            "then starts a new server"
        )


def note_previous_code(record: ServerRecord, say: Say) -> None:
    """Print a note if the product's code has changed since the server started."""
    if uses_previous_code(record):
        say(
            "the running server still uses the previous code; stop the server, and start a new "
            f"server: kill {record.pid}; {COMMAND} serve"
        )


def _has_own_settings(environ: Mapping[str, str]) -> bool:
    # Ignore the variable that ``--project`` sets, because no other setting depends on the project.
    names = {name for name in environ if name.startswith("ORCHESTRATOR_") and "__" in name}
    return bool(names - {PROJECT_VARIABLE})


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


#: Flags to open the log, which only its owner may read.
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True)
class ServerLog:
    """One server's part of the log file. Earlier servers have written to the same file."""

    path: Path
    #: Size of the log file at the server's start.
    begins_at: int

    def end(self) -> str:
        """Return the last lines that this server wrote; "" if the log is unreadable."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.begins_at)
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-SHOWN_LOG_LINES:])


def _start(
    context: CliContext, say: Say, plan: Path | None
) -> tuple[subprocess.Popen[bytes], ServerLog]:
    prepare_home(context.folder, context.environ, say)
    settings = start_settings(context.folder, context.environ, say)
    port = "--port", str(_port(settings, read_record(context.workspace), say))
    path = settings.log_dir / "server.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = os.fdopen(os.open(path, _APPENDING, 0o600), "ab")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    home = home_option(context.folder, context.environ)
    checks = ("--check-plan", str(plan.absolute())) if plan else ()
    # With --any-port, the server also starts if another program has begun to use the port.
    arguments = [*home, "serve", *port, "--any-port", *checks]
    with output:
        log = ServerLog(path, os.fstat(output.fileno()).st_size)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator", *arguments],
            cwd=context.folder if home else FOLDER,
            env={**context.environ, "PYTHONPATH": str(FOLDER)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # The server must not get Ctrl-C, because this program itself stops the server.
            start_new_session=True,
        )
    return process, log


def _port(settings: StartSettings, previous: ServerRecord | None, say: Say) -> int:
    """Return a free port: the configured port, otherwise the port of a crashed server.

    ``previous``: the record of the crashed server; None: no server crashed. If neither port is
    free, call ``say``, and return 0, which means any free port.
    """
    configured = settings.port
    if is_free(settings.host, configured):
        return configured
    former_port = None if settings.has_local_address else previous and previous.port
    if former_port and is_free(settings.host, former_port):
        return former_port
    say(f"port {configured} is in use by another program; using a free port")
    return 0


def is_free(host: str, port: int) -> bool:
    """True if no process listens on the port.

    Also True if ``host`` cannot be resolved. The server then reports this error.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return not any(_is_taken(family, address) for family, *_, address in addresses)


def _is_taken(family: int, address: tuple[object, ...]) -> bool:
    try:
        socket.create_server(address, family=family).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _wait_until_ready(
    process: subprocess.Popen[bytes],
    context: CliContext,
    log: ServerLog,
    plan: Path | None,
) -> ServerRecord:
    """Wait until the home's server answers, and return its record.

    The server may be ``process``, or a server that another command started. Raise ConfigError or
    InvalidRequest if ``process`` rejects the settings or the plan. Raise Unavailable if ``process``
    exits for another reason, or if no server answers in time.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        has_exited = process.poll() is not None
        # Read the record after the poll. If another command has started a server, ``process``
        # exits, and the record belongs to the other server.
        if record := running_server(context.workspace):
            return record
        if has_exited:
            _check_settings_and_plan(context, plan)
            ending = f"end of its log {log.path}:\n{log.end()}"
            raise Unavailable(f"the server did not start; {ending}")
        time.sleep(POLL_SECONDS)
    raise Unavailable(
        f"the server was not ready within {READY_SECONDS:.0f} s; read its log: {log.path}"
    )


def _check_settings_and_plan(context: CliContext, plan: Path | None) -> None:
    """Raise ConfigError or InvalidRequest if a server would reject the settings or the plan."""
    from orchestrator.config import load

    load(context.folder, environ=context.environ, require_key=True)
    if plan:
        read_plan(plan, None)


def _terminate_after_interrupt(process: subprocess.Popen[bytes], workspace: Path) -> None:
    # Count jobs from their files, because a call to the server might hang.
    unfinished = [job for job in root_jobs(workspace) if job["status"] not in ENDED_JOB]
    if len(unfinished) <= 1:
        process.terminate()


def _unfinished(context: CliContext) -> int:
    from orchestrator.api.client.client import ClientError

    try:
        with context.client() as client:
            return int(client.jobs(status=UNFINISHED, depth=0, page_size=1)["total"])
    except ClientError:
        return 0


def _stop(process: subprocess.Popen[bytes], say: Say, context: CliContext) -> None:
    if process.poll() is not None:
        return
    if unfinished := _unfinished(context):
        _mark(context, _identity(read_record(context.workspace)))
        jobs = plural(unfinished, "job")
        say(f"server keeps running for {jobs}; a later `run` stops it when all jobs have ended")
        return
    process.terminate()
    with suppress(OSError):
        _leftover_mark(context).unlink(missing_ok=True)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pid = process.pid
        say(f"the server (pid {pid}) has not stopped yet; to end it at once: kill -9 {pid}")


def _stop_if_leftover(context: CliContext, record: ServerRecord, keep: bool) -> None:
    """Stop the running server if it is a leftover server, and all jobs have ended.

    If ``keep`` is True, do not stop the server, and let no later call stop it.
    """
    mark = _leftover_mark(context)
    if not _is_leftover(record, mark):
        return
    if not keep and _unfinished(context):
        return
    with suppress(OSError):
        mark.unlink(missing_ok=True)
    if keep or not is_same_process(record.pid, record.started_at):
        return
    with suppress(OSError):
        os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_same_process(record.pid, record.started_at) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _is_leftover(record: ServerRecord, mark: Path) -> bool:
    words = (read_regular(mark, LEFTOVER_BYTES) or b"").decode(errors="replace").split()
    server, command = words[:2], words[2:]
    if server != _identity(record).split():
        return False
    if not command:
        return True
    try:
        pid, recorded_at = int(command[0]), float(command[1])
    except (ValueError, IndexError):
        return False
    return not is_same_process(pid, recorded_at)


def _mark(context: CliContext, content: str) -> None:
    with suppress(OSError):
        replace_file(_leftover_mark(context), content.encode())


def _leftover_mark(context: CliContext) -> Path:
    return context.workspace / LEFTOVER_NAME


def _identity(record: ServerRecord | None) -> str:
    return f"{record.pid} {record.started_at}" if record else ""
