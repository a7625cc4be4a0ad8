"""Self-test of a containment mode: starts a worker with a child process, and kills both.

The test makes its process a subreaper, which cannot be undone. Therefore the test runs in a
separate process.
"""

import json
import os
import select
import signal
import time

from orchestrator.launchers.containment.mode_implementation import containment_for
from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import SpawnFailed
from orchestrator.system import process_table

_WORKER = ("/bin/sh", "-c", "sleep 60 & exit 7")
_CODE = 7
_SECONDS = 10.0
#: Maximum seconds of a self-test, which may hang in the kernel.
_MOST_SECONDS = 30.0


def fault(settings: Message) -> str:
    """Return why the containment mode in ``settings`` does not work; "" if it works."""
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            reason = _fault(settings)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing_end, json.dumps(reason).encode())
            os._exit(0)
    os.close(writing_end)
    has_ended = bool(select.select([reading_end], [], [], _MOST_SECONDS)[0])
    if not has_ended:
        os.kill(child, signal.SIGKILL)
    answer = os.read(reading_end, 1 << 16)
    os.close(reading_end)
    _, status = os.waitpid(child, 0)
    if answer:
        return str(json.loads(answer))
    if not has_ended:
        return f"its self-test timed out after {_MOST_SECONDS:.0f} s"
    return f"its self-test failed with exit code {os.waitstatus_to_exitcode(status)}"


def _fault(settings: Message) -> str:
    reading_end, writing_end = os.pipe()
    directory = _directory(settings)
    try:
        containment = containment_for(settings)
        environment = {"PATH": os.defpath, process_table.MARKER: f"trial/{os.getpid()}/1"}
        worker = containment.start(_WORKER, directory, environment, None, writing_end)
        os.close(writing_end)
        return _run(containment, worker)
    except SpawnFailed as error:
        os.set_blocking(reading_end, False)
        has_data = select.select([reading_end], [], [], 0)[0]
        message = os.read(reading_end, 4096) if has_data else b""
        return " ".join([str(error), *message.decode("utf-8", "replace").split()])
    except OSError as error:
        return str(error)
    finally:
        if directory != os.sep:
            os.rmdir(directory)


def _directory(settings: Message) -> str:
    if settings["mode"] != "sandbox":
        return os.sep
    # Import this when it is needed, because the import takes a fifth of the test's time.
    import tempfile

    return tempfile.mkdtemp()


def _run(containment: Subreaper, worker: int) -> str:
    deadline = time.monotonic() + _SECONDS
    status: int | None = None
    while time.monotonic() < deadline:
        for pid, child_status, _ in containment.reap():
            status = child_status if pid == worker else status
        if status is not None:
            containment.kill()
        if status is not None and containment.is_empty:
            containment.close()
            has_worked = os.waitstatus_to_exitcode(status) == _CODE
            return "" if has_worked else "the worker of its self-test failed"
        time.sleep(0.001)
    return "the worker of its self-test survived a kill"
