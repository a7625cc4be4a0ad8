"""Checks whether the server that wrote a workspace's record still runs, and with which code."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from orchestrator import IS_INSTALLED, __version__
from orchestrator.api.client.server_record import ServerRecord, read_record
from orchestrator.security.files.product_files import FOLDER
from orchestrator.system import process_table
from orchestrator.system.http_client.silence import reported_silence
from orchestrator.system.http_client.stdlib_client import StdlibClient

#: Tolerated difference between a process's start time and the server's start time in the record, in
#: seconds. The two times come from different clocks.
SLACK_SECONDS = 5.0


def is_same_process(pid: int, recorded_at: float | None) -> bool:
    """True if the process that had the id ``pid`` at ``recorded_at`` is still alive.

    Return False if the id now belongs to a process that started later. ``recorded_at``: Unix
    time; None: unknown, so any process with this id counts.
    """
    if not _exists(pid):
        return False
    process = process_table.look_up(pid)
    if process is None:  # a system without /proc
        return True
    began = process_table.start_time(process)
    is_later = began is not None and recorded_at is not None and began > recorded_at + SLACK_SECONDS
    return process.alive and not is_later


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def uses_previous_code(record: ServerRecord) -> bool:
    """True if the product's code has changed since the server started.

    The check takes some milliseconds, because it reads the modification time of each file.
    """
    if record.version not in ("", __version__):
        return True
    since = record.started_at
    return since is not None and any(_changed_at(each) > since for each in _code_files())


def _code_files() -> Iterator[str]:
    for directory, names, files in os.walk(FOLDER / "orchestrator"):
        names[:] = [each for each in names if each not in ("__pycache__", "static")]
        yield from (os.path.join(directory, each) for each in files if each.endswith(".py"))


def _changed_at(path: str) -> float:
    try:
        status = os.stat(path)
    except OSError:
        return 0.0
    # Use ctime, too, because `cp -p` and `rsync -a` copy the mtime of the original. In an installed
    # package, use mtime only, because an installer may create further hard links to the files,
    # which changes the ctime.
    return status.st_mtime if IS_INSTALLED else max(status.st_mtime, status.st_ctime)


#: Timeout of a call to the server, in seconds.
ANSWER_SECONDS = 30.0


#: Function that is called with a server's address, and the seconds to wait for its answer.
OnSilence = Callable[[str, float], object]
#: When a server gave no answer in time: the monotonic time, by address. Without this record, one
#: command would wait for such a server several times.
_silent_servers: dict[str, float] = {}


def running_server(workspace: Path, on_silence: OnSilence | None = None) -> ServerRecord | None:
    """Return the record of a workspace's running server; None if no server answers.

    ``on_silence`` is called if the server has not answered after some seconds.
    """
    record = _live_server(workspace)
    if record is None or process_table.is_stopped(record.pid):
        return None
    return record if _answers(record.url, on_silence) else None


def stopped_server(workspace: Path) -> int | None:
    """Return the id of the workspace's server process if it is stopped, for example by Ctrl-Z."""
    record = _live_server(workspace)
    return record.pid if record and process_table.is_stopped(record.pid) else None


def silent_server(workspace: Path) -> ServerRecord | None:
    """Return the record of the server if it runs, but gave no answer to ``running_server``."""
    record = _live_server(workspace)
    return record if record and _is_silent(record.url) else None


def _is_silent(url: str) -> bool:
    at = _silent_servers.get(url)
    return at is not None and time.monotonic() - at < ANSWER_SECONDS


def _live_server(workspace: Path) -> ServerRecord | None:
    record = read_record(workspace)
    return record if record and is_same_process(record.pid, record.started_at) else None


def _answers(url: str, on_silence: OnSilence | None) -> bool:
    if _is_silent(url):
        return False
    report = on_silence and partial(on_silence, url, ANSWER_SECONDS)
    try:
        with reported_silence(report):
            reply = StdlibClient(url, None).request("GET", "/health", timeout=ANSWER_SECONDS)
    except TimeoutError:
        _silent_servers[url] = time.monotonic()
        return False
    except (OSError, ValueError):
        return False
    # With status 503, the server is alive, but not ready yet.
    return bool(reply.document)
