"""Reads from exit records how attempts ended, and marks attempts as lost.

A restarted server uses this module. Workers can write files, so a record must prove its origin: a
genuine record contains a secret that only the attempt's shim has. ``digest`` is the secret's
SHA-256. A record without the secret is forged, and is ignored. If no digest was stored, every
record is accepted.

A *tombstone* is the exit record that the server writes for a lost attempt, so that the attempt
cannot start again. The server does not have the secret, so a tombstone contains a mark derived from
the digest.
"""

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, LeftoverProcess, cause_of
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.exit_record.run_file import (
    LockRefused,
    NotRegularFile,
    RunFile,
    encoded,
    move_aside,
    run_path,
)
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import open_plain, read_regular
from orchestrator.system import process_table

#: Maximum seconds from the lock of a file until the holder has written its PID to the file.
_HOLDER_SECONDS = 2.0
HOLDER_BYTES = 64 * 1024
#: Maximum bytes of an exit record. A worker may have written anything to the file.
_RECORD_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedAttempt:
    """The end of an attempt that has an exit record."""

    exit: Exit


@dataclass(frozen=True, kw_only=True, slots=True)
class LivingShim:
    """The process of a shim that runs an attempt."""

    shim_pid: int
    start_ticks: int


class Unfinished(Enum):
    """The state of an attempt that has neither an exit record nor a living shim."""

    #: The attempt was started, and its shim has exited.
    SHIM_EXITED = "shim exited"
    #: The attempt was never started. It may still start, unless it has a tombstone.
    NEVER_STARTED = "never started"


AttemptState = EndedAttempt | LivingShim | Unfinished


def attempt_state(exit_path: str, digest: str = "") -> AttemptState:
    """Return the state of an attempt.

    If a crash left an unpublished exit record, publish it. ``digest``: SHA-256 of the shim's
    secret; empty: every record is accepted. Raise OSError if an unknown process holds the attempt's
    lock.
    """
    deadline = time.monotonic() + _HOLDER_SECONDS
    while (state := _attempt_state_now(exit_path, digest)) is None:
        if time.monotonic() > deadline:
            # Report any process that holds the lock as the shim, because the attempt cannot be
            # recovered before the lock's holder exits.
            if (lock_holder := _holder_of_lock(exit_path)) is not None:
                return lock_holder
            raise OSError(f"{run_path(exit_path)} is locked by an unknown process")
        time.sleep(0.001)
    return state


def mark_lost(
    exit_path: str,
    reason: str,
    leftover_processes: tuple[LeftoverProcess, ...] = (),
    cause: ExitCause = ExitCause.NONE,
    digest: str = "",
) -> Exit | None:
    """Mark an attempt as lost, and return its end. The attempt can then never start again.

    If the attempt has an exit record, return the end in this record. If the attempt is running,
    return None and change nothing. ``digest``: SHA-256 of the shim's secret; empty: every record is
    accepted. Raise OSError if the tombstone cannot be written. Idempotent.
    """
    while True:
        end = read_exit(exit_path, digest)
        if end is not None:
            return end
        try:
            return _write_tombstone(exit_path, reason, leftover_processes, cause, digest)
        except FileNotFoundError:
            continue  # The shim published the record after ``read_exit``.
        except LockRefused:
            if isinstance(attempt_state(exit_path, digest), LivingShim):
                return None


def break_lock(exit_path: str) -> None:
    """Release the lock of an attempt whose machine was lost, and whose shim certainly does not run.

    A shared file system may never release the lock of a lost machine. Therefore the locked file is
    replaced by a copy, which has no lock. Raise OSError if the copy cannot be written. Idempotent.
    """
    path = Path(run_path(exit_path))
    try:
        with open_plain(path) as file:
            content = file.read(_RECORD_BYTES)
    except OSError:
        return  # There is no lock file, or a worker has replaced the lock file with a special file.
    replace_file(path, content)


def read_exit(exit_path: str, digest: str = "") -> Exit | None:
    """Return the end in an attempt's exit record; None if there is no genuine record.

    For an unreadable record, the end is LOST, and ``error`` has the reason. ``digest``: SHA-256 of
    the shim's secret; empty: every record is genuine.
    """
    try:
        content = _content(exit_path)
    except FileNotFoundError:
        return None
    if _is_forged(content, digest):
        return None
    return _parse(content) or Exit(
        ended_by=EndedBy.LOST, error=f"{exit_path} is not an exit record"
    )


def is_forged(exit_path: str, digest: str) -> bool:
    """True if the exit record is readable, but comes neither from the shim nor from the server.

    ``digest``: SHA-256 of the shim's secret; empty: the result is always False.
    """
    try:
        return _is_forged(_content(exit_path), digest)
    except FileNotFoundError:
        return False


def _content(exit_path: str) -> bytes:
    try:
        with open_plain(Path(exit_path)) as file:
            return file.read(_RECORD_BYTES)
    except FileNotFoundError:
        raise
    except OSError:
        return b""


def _is_forged(content: bytes, digest: str) -> bool:
    end = _parse(content) if digest else None
    return end is not None and not _is_signed(content, end, digest)


def _is_signed(content: bytes, end: Exit, digest: str) -> bool:
    """True if the record has the shim's secret, or is a tombstone."""
    record = json.loads(content.split(b"\n", 1)[0])
    is_marked = hmac.compare_digest(
        _bytes(record.get("tombstone")), _bytes(_tombstone_mark(digest))
    )
    if end.ended_by is EndedBy.LOST and is_marked:
        return True
    secret_digest = hashlib.sha256(_bytes(record.get("secret"))).hexdigest()
    return hmac.compare_digest(secret_digest, digest)


def is_proven(content: bytes, digest: str) -> bool:
    """True if the content is an exit record of the attempt's shim, or a tombstone."""
    end = _parse(content)
    return end is not None and (not digest or _is_signed(content, end, digest))


def _bytes(value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


def _tombstone_mark(digest: str) -> str:
    # The mark is a hash, so that it does not reveal the digest. The mark proves only that a record
    # is a tombstone.
    return hashlib.sha256(b"tombstone:" + digest.encode()).hexdigest()


def exit_from(record: dict[str, Any]) -> Exit:
    """Convert a shim's exit record to an Exit.

    Raise ValueError, KeyError, TypeError, or AttributeError if the record is invalid. A worker may
    have written an invalid record.
    """
    fields = {
        name: convert(record[name]) for name, convert in _CONVERTERS.items() if name in record
    }
    strays = tuple([_as_leftover_process(**stray) for stray in record.get("strays", ())])
    ended_by = EndedBy(record["ended_by"])
    if "cause" not in fields:
        fields["cause"] = cause_of(ended_by, fields.get("error", ""), fields.get("stopped_by", ""))
    return Exit(ended_by=ended_by, strays=strays, **fields)


def _as_seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < _LATEST:
        raise ValueError(f"{value!r:.50} in the exit record is not a time")
    return float(value)


def _as_count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r:.50} in the exit record is not a count")
    return value


def _as_code(value: Any) -> int | None:
    if value is not None and (type(value) is not int or abs(value) >= 2**31):
        raise ValueError(f"{value!r:.50} in the exit record is not an exit code or signal")
    return value


def _as_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r:.50} in the exit record is not true or false")
    return value


def _as_text(value: Any) -> str:
    # Reject lone surrogates, which no database accepts.
    if type(value) is not str:
        raise ValueError(f"{value!r:.50} in the exit record is not text")
    return value.encode("utf-8", "replace").decode()


def _as_cause(value: Any) -> ExitCause:
    # A later version may have written a cause that is unknown to this version.
    return ExitCause(_as_text(value)) if value in _CAUSES else ExitCause.NONE


def _as_leftover_process(pid: Any, command: Any) -> LeftoverProcess:
    return LeftoverProcess(pid=_as_count(pid), command=_as_text(command))


_CAUSES = frozenset(ExitCause)
#: Latest valid Unix time (year 5138).
_LATEST = 1e11
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "cause": _as_cause,
    "code": _as_code,
    "signal": _as_code,
    "error": _as_text,
    "stopped_by": _as_text,
    "started_at": _as_seconds,
    "ended_at": _as_seconds,
    "cpu_seconds": _as_seconds,
    "peak_memory_bytes": _as_count,
    "log_bytes": _as_count,
    "log_truncated": _as_flag,
    "log_lost": _as_flag,
    "containment": _as_text,
}


def _attempt_state_now(exit_path: str, digest: str) -> AttemptState | None:
    end = read_exit(exit_path, digest)
    if end is not None:
        return _surviving_shim(exit_path) or EndedAttempt(exit=end)
    try:
        lock = RunFile.take_over(exit_path, partial(is_forged, digest=digest))
    except FileNotFoundError:
        if not os.path.exists(exit_path):
            return Unfinished.NEVER_STARTED
        return Unfinished.SHIM_EXITED if is_forged(exit_path, digest) else None
    except LockRefused:
        return living_shim(exit_path)
    except NotRegularFile:
        return Unfinished.SHIM_EXITED
    return _complete_publication(lock, exit_path, digest)


def _surviving_shim(exit_path: str) -> LivingShim | None:
    """Return the shim that holds the lock of an attempt with an exit record; None if no shim does.

    A shim publishes its record by renaming the locked file. If a record exists and a shim still
    holds the lock, a worker has forged the record.
    """
    return _holder_of_lock(exit_path) if os.path.lexists(run_path(exit_path)) else None


def _complete_publication(lock: RunFile, exit_path: str, digest: str) -> AttemptState:
    content = lock.read(_RECORD_BYTES)
    end = _parse(content)
    if end is None or _is_forged(content, digest):
        lock.release()
        return Unfinished.SHIM_EXITED
    _move_forged_record(exit_path)
    lock.publish(content.split(b"\n", 1)[0])
    return EndedAttempt(exit=end)


def living_shim(exit_path: str) -> LivingShim | None:
    """Return the living shim that runs an attempt; None if no shim does or its PID is unknown.

    Changes nothing.
    """
    try:
        content = read_regular(Path(run_path(exit_path)), HOLDER_BYTES) or b""
        record = json.loads(content.split(b"\n", 1)[0])
        pid, ticks, boot = record["shim"], record["shim_start"], record["boot_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return _holder_of_lock(exit_path)
    if boot != process_table.boot_id() or process_table.start_ticks(pid) != ticks:
        return None
    return LivingShim(shim_pid=pid, start_ticks=ticks)


def _holder_of_lock(exit_path: str) -> LivingShim | None:
    # Ask the kernel, which knows the holder even if the file is truncated or has the format of
    # another version.
    pid = process_table.lock_holder(run_path(exit_path))
    ticks = None if pid is None else process_table.start_ticks(pid)
    return None if pid is None or ticks is None else LivingShim(shim_pid=pid, start_ticks=ticks)


def _write_tombstone(
    exit_path: str, reason: str, strays: tuple[LeftoverProcess, ...], cause: ExitCause, digest: str
) -> Exit:
    lock = _acquire_lock(exit_path, digest)
    content = lock.read(_RECORD_BYTES)
    end, line = _parse(content), content.split(b"\n", 1)[0]
    if end is None or _is_forged(content, digest):
        end = Exit(
            ended_by=EndedBy.LOST,
            cause=cause,
            error=reason,
            ended_at=time.time(),
            strays=strays,
        )
        mark = {"tombstone": _tombstone_mark(digest)} if digest else {}
        line = encoded({**asdict(end), **mark})
    try:
        _move_forged_record(exit_path)
        lock.publish(line)
    except OSError:
        lock.release()
        raise
    return end


def _move_forged_record(exit_path: str) -> None:
    # The caller holds the lock, so an existing record is forged.
    if os.path.lexists(exit_path):
        move_aside(exit_path)


def _acquire_lock(exit_path: str, digest: str) -> RunFile:
    forgery_check = partial(is_forged, digest=digest)
    if os.path.lexists(run_path(exit_path)):
        try:
            return RunFile.take_over(exit_path, forgery_check)
        except NotRegularFile:
            move_aside(run_path(exit_path))
    os.makedirs(os.path.dirname(exit_path), mode=0o700, exist_ok=True)
    return RunFile.acquire(exit_path, forgery_check)


def _parse(content: bytes) -> Exit | None:
    # Only the first line counts. The rest is from a longer write that was interrupted.
    try:
        return exit_from(json.loads(content.split(b"\n", 1)[0]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
