"""Tries a containment mode: starts a worker with a child process, and kills both processes.

Runs in its own process, because a process cannot stop being a subreaper. The exit code is 0 after
success. After a failure, it is 1, and the output describes the failure.
"""

import json
import os
import sys
import time

from orchestrator.launchers.containment.factory import family_for
from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import proc
from orchestrator.launchers.process.start import SpawnFailed

_WORKER = ("/bin/sh", "-c", "sleep 60 & exit 7")
_CODE = 7
_SECONDS = 10.0


def main() -> None:
    """Run the trial. The plan is the last argument."""
    fault = _fault(json.loads(sys.argv[-1]))
    print(fault)
    sys.stdout.flush()
    os._exit(1 if fault else 0)


def _fault(plan: dict[str, object]) -> str:
    reading_end, writing_end = os.pipe()
    directory = _directory(plan)
    try:
        family = family_for(plan)
        environment = {"PATH": os.defpath, proc.MARKER: f"trial/{os.getpid()}/1"}
        worker = family.start(_WORKER, directory, environment, None, writing_end)
        os.close(writing_end)
        return _run(family, worker)
    except SpawnFailed as error:
        os.set_blocking(reading_end, False)
        message = os.read(reading_end, 4096) if _has_data(reading_end) else b""
        return " ".join([str(error), *message.decode("utf-8", "replace").split()])
    except OSError as error:
        return str(error)
    finally:
        if directory != os.sep:
            os.rmdir(directory)


def _directory(plan: dict[str, object]) -> str:
    if plan["mode"] != "sandbox":
        return os.sep
    # Imported when needed: its import takes a fifth of the trial's time
    import tempfile

    return tempfile.mkdtemp()


def _has_data(descriptor: int) -> bool:
    import select

    return bool(select.select([descriptor], [], [], 0)[0])


def _run(family: Subreaper, worker: int) -> str:
    give_up_at = time.monotonic() + _SECONDS
    status: int | None = None
    while time.monotonic() < give_up_at:
        for pid, ended, _ in family.reap():
            status = ended if pid == worker else status
        if status is not None:
            family.kill()
        if status is not None and family.is_empty:
            family.close()
            return "" if os.waitstatus_to_exitcode(status) == _CODE else "a trial worker failed"
        time.sleep(0.001)
    return "a trial worker survived a kill"
