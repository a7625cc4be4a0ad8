"""Follows a job to its end.

One thread receives events. The main thread prints, and handles Ctrl-C.
"""

import math
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.client.client import ClientError
from orchestrator.api.client.server_record import read_record
from orchestrator.cli.command_context import CliContext
from orchestrator.cli.follow.blocked_reason import BlockedWorkers, no_answer_line
from orchestrator.cli.follow.display import Display, LiveDisplay
from orchestrator.cli.offline.jobs_on_disk import directory_of, find_job
from orchestrator.cli.offline.server_liveness import is_same_process
from orchestrator.cli.output.standard_streams import discard_terminals, hang_up, is_hung_up
from orchestrator.core.errors import NotFound
from orchestrator.core.model.states import ENDED_JOB

TICK_SECONDS = 0.25
#: Seconds between two updates of the lines above the workers.
REFRESH_SECONDS = 1.0
#: Maximum seconds to wait for the cancel request if the user presses Ctrl-C twice in a row.
REQUEST_SECONDS = 2.0
#: File descriptor to which progress lines are written.
STANDARD_ERROR = 2


class UserExited(KeyboardInterrupt):
    """Raised by a second Ctrl-C: the user exits before the job has ended."""

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id


class FollowEnd:
    """The last item of a ``FollowListener``. ``answer``: the final status of the job."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer


#: An event, a line to print, the job's end, or an error.
FollowItem = dict[str, Any] | str | FollowEnd | Exception


def follow(
    context: CliContext,
    client: OrchestratorClient,
    job_id: str,
    display: Display,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Show a job until it has ended, and return (status, interrupted).

    ``status``: the job's final status. ``interrupted``: True if the user pressed Ctrl-C.
    ``on_event`` is called with each event after the event is shown. The first Ctrl-C requests the
    job's stop. The second Ctrl-C raises UserExited.
    """
    context.notes_silence = not isinstance(display, LiveDisplay)
    listener = FollowListener(context, client.api_url, job_id)
    blocked_workers = BlockedWorkers(client, job_id)
    display.show_output_of(_logs_of(context, job_id))
    interrupted = False
    while True:
        try:
            for item in listener:
                if isinstance(item, FollowEnd):
                    return item.answer, interrupted
                _show(item, display, blocked_workers)
                if on_event is not None and isinstance(item, dict):
                    on_event(item)
                if item is None and (answer := _ended_without_server(context, job_id)):
                    return answer, interrupted
        except KeyboardInterrupt:
            if interrupted:
                raise UserExited(job_id) from None
            interrupted = True
            _ask_to_stop(client, job_id, display)


def watch(
    context: CliContext,
    client: OrchestratorClient,
    job_id: str,
    display: LiveDisplay,
    *,
    seconds: float = math.inf,
    body: Callable[[], Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Show a job until it has ended, at most for ``seconds``, and return its status.

    Events from before the call are not printed. ``body`` is called once a second, and returns lines
    to show above the workers. Ctrl-C ends only the display, not the job: it raises
    KeyboardInterrupt.
    """
    context.notes_silence = False
    deadline, refresh_at = time.monotonic() + seconds, 0.0
    blocked_workers = BlockedWorkers(client, job_id)
    display.silent_until = time.time()
    display.show_output_of(_logs_of(context, job_id))
    try:
        for item in FollowListener(context, client.api_url, job_id):
            if isinstance(item, FollowEnd):
                return item.answer
            if body is not None and time.monotonic() >= refresh_at:
                display.body = body()
                refresh_at = time.monotonic() + REFRESH_SECONDS
            _show(item, display, blocked_workers)
            if time.monotonic() >= deadline:
                break
            if item is None and (answer := _ended_without_server(context, job_id)):
                return answer
    finally:
        display.close()
    return client.wait(job_id, 0)


def _logs_of(context: CliContext, job_id: str) -> Path:
    # If the job is new, its directory may not exist yet.
    try:
        directory = directory_of(context.workspace, job_id)
    except NotFound:
        directory = context.workspace / f"job_{job_id}"
    return directory / "logs"


def _ended_without_server(context: CliContext, job_id: str) -> dict[str, Any] | None:
    """If the job's server has stopped, return the status of the ended job from its files.

    Return None if the server runs, or the job has not ended. This call is needed because a server
    may stop before this process has received the job's last event.
    """
    if context.environ.get("ORCHESTRATOR_API_URL"):
        return None
    record = read_record(context.workspace)
    if record and is_same_process(record.pid, record.started_at):
        return None
    try:
        answer = find_job(context.workspace, job_id)
    except NotFound:
        return None
    return answer if answer["status"] in ENDED_JOB else None


def _show(
    item: dict[str, Any] | str | None, display: Display, blocked_workers: BlockedWorkers
) -> None:
    if isinstance(item, str):
        display.say(item)
        return
    if item is not None:
        blocked_workers.note_event()
        display.event(item)
        return
    display.tick()
    if is_hung_up(STANDARD_ERROR):
        hang_up()
    if display.is_idle() and (line := blocked_workers.next_line()):
        display.say(line)


def _ask_to_stop(client: OrchestratorClient, job_id: str, display: Display) -> None:
    errors: list[ClientError] = []

    def cancel() -> None:
        try:
            client.cancel(job_id)
        except ClientError as error:
            errors.append(error)

    # In a thread, so that an immediate second Ctrl-C does not interrupt the request.
    request = threading.Thread(target=cancel, daemon=True)
    try:
        request.start()
        display.say(
            f"stopping job {job_id}; press Ctrl-C again to exit without waiting for the job's end"
        )
        request.join()
        interrupted_again = False
    except KeyboardInterrupt:
        request.join(REQUEST_SECONDS)
        interrupted_again = True
    for error in errors:
        display.say(f"cannot stop job {job_id}: {error.message}")
    if interrupted_again:
        raise UserExited(job_id)


class FollowListener:
    """Iterator over a job's events, and over other lines to print. Raises errors of the client.

    An item is None if nothing arrived for a short time. The last item is a FollowEnd.
    """

    def __init__(self, context: CliContext, url: str, job_id: str) -> None:
        self._items: queue.Queue[FollowItem] = queue.Queue()
        client = context.client_at(
            url, lambda seconds: self._items.put(no_answer_line(context, client.api_url, seconds))
        )
        # A daemon thread, so that a user who exits early does not wait for the server.
        threading.Thread(target=self._listen, args=(client, job_id), daemon=True).start()

    def _listen(self, client: OrchestratorClient, job_id: str) -> None:
        try:
            for event in client.events(job_id):
                self._items.put(event)
            self._items.put(FollowEnd(client.wait(job_id)))
        except Exception as error:
            self._items.put(error)

    def __iter__(self) -> "FollowListener":
        return self

    def __next__(self) -> dict[str, Any] | str | FollowEnd | None:
        try:
            item = self._items.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item


@contextmanager
def stop_signals_interrupt() -> Iterator[None]:
    """Within the ``with`` block, SIGTERM and a closed terminal act like Ctrl-C.

    This also applies to a process that a shell started in the background, and that would otherwise
    ignore Ctrl-C.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            # The kernel, the shell, and a failed write may report the same hangup. A second
            # interrupt would exit without stopping the job.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            discard_terminals()
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # SIGHUP is ignored under nohup
        numbers.append(signal.SIGHUP)
    previous_handlers = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
