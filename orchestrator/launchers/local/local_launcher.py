"""The launcher that runs workers on this machine, each under a shim.

If a shim cannot report how its attempt ended, a background thread finds the end. ``Listener`` is
for programs without an event loop.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, LeftoverProcess
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.outcome.shortage_errors import NO_ROOM
from orchestrator.core.ports.launcher import Launch, Launcher, LauncherEvents
from orchestrator.core.text.command_name import COMMAND
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from orchestrator.launchers.exit_record.exit_record import Unfinished, attempt_state, exit_from
from orchestrator.launchers.local.adopted_attempts import AdoptedAttempt
from orchestrator.launchers.local.containment_selection import select_containment
from orchestrator.launchers.local.dead_shims import determine_end
from orchestrator.launchers.local.shim_pool import IDLE_SECONDS, ShimLink, ShimPool
from orchestrator.launchers.local.spawner_client import SpawnerProcess
from orchestrator.launchers.process.channel import Message
from orchestrator.launchers.process.worker_process import start_failure
from orchestrator.security.secrets.masking import Masker

logger = logging.getLogger(__name__)

_THREADS = 2
_RETRY_SECONDS = 0.5


class Inquiries:
    """Finds out how attempts ended, in threads, because an inquiry may scan all processes."""

    def __init__(self, report: Callable[[str, Exit], None]) -> None:
        """``report`` is called with an attempt's id and its end, from any thread."""
        self._report = report
        self._threads = ThreadPoolExecutor(_THREADS, "inquiry")
        # Start the first thread now, because later the system may refuse to create a thread.
        self._threads.submit(int)
        self._closing = threading.Event()

    def begin(self, attempt_id: str, find_end: Callable[[], Exit]) -> None:
        # If no further thread can start, the existing threads still process the queue.
        with suppress(RuntimeError):
            self._threads.submit(self._retry_until_reported, attempt_id, find_end)

    def close(self) -> None:
        """Wait for running inquiries, and discard queued inquiries. Idempotent.

        The next server repeats the discarded inquiries.
        """
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)

    def _retry_until_reported(self, attempt_id: str, find_end: Callable[[], Exit]) -> None:
        # Repeat a failed inquiry, for example after a full disk: the worker's next attempt must not
        # begin before the end of this attempt is known.
        while not self._closing.is_set():
            try:
                self._report(attempt_id, find_end())
                return
            except Exception:
                logger.exception(
                    "cannot report the end of an attempt; retrying", extra={"action": "inquiry"}
                )
            self._closing.wait(_RETRY_SECONDS)


#: Seconds that ``close`` waits for kills and exit records, after the workers' grace time.
_CLOSE_SECONDS = 15.0
_CLOSE_CHECK_SECONDS = 0.5
#: Maximum seconds of one wait, because epoll rejects more than 24 days.
_LONGEST_SECONDS = 3600.0
#: Error of an attempt whose leftover processes were adopted by no process of the product.
_UNSUPERVISED = (
    "all supervising processes were killed; processes of the worker may remain; "
    f"find them: {COMMAND} doctor"
)


class LocalLauncher:
    """The launcher of this machine; implements ``core.ports.launcher.Launcher``.

    Any thread may call the methods, but only one thread may call ``listen``. A call writes to a
    shim's socket without blocking. If data remains unsent, the listening thread sends it. ``_lock``
    guards all attributes, and is not held while events are reported.
    """

    def __init__(
        self,
        requested: ContainmentSettings | None = None,
        lease_file: str = "",
        spawner: SpawnerProcess | None = None,
    ) -> None:
        """``requested``: settings of the workers' containment; ``open`` checks that they work.

        ``lease_file``: the file of this server's lease. After the end of the lease, the shims stop
        all attempts, and the spawner kills this process. ``spawner``: a spawner for which ``begin``
        has not been called; None: ``open`` starts a spawner.
        """
        self._forked = spawner
        self._lease_file = lease_file
        self._requested = requested or ContainmentSettings()
        self._effective: ContainmentSettings | None = None
        self._lock = threading.Lock()
        self._attempts: dict[str, ShimLink | AdoptedAttempt] = {}
        self._adopted: dict[int, AdoptedAttempt] = {}
        self._longest_grace = 0.0
        #: Attempts for which ``_never_began`` was called. They are not started on a further shim.
        self._restarted: set[str] = set()
        #: Attempts whose shim died without a living spawner or keeper.
        self._unsupervised: set[str] = set()
        #: Ends that no shim has reported, and that the listening thread must report.
        self._unreported_ends: deque[tuple[str, Exit]] = deque()
        self._inquiries = Inquiries(self._report_soon)
        #: Shims with preloaded launches that are not sent yet, by serial number.
        self._unsent: dict[int, ShimLink] = {}
        self._is_listening = False
        self._wake_lock = threading.Lock()
        self._is_open = False
        #: Worker limits that are not enforced exactly; "" if there are none, or before ``open``.
        self.limits_notice = ""
        #: True if ``close`` has stopped all attempts.
        self.has_stopped_all = False

    @property
    def containment(self) -> str:
        return self.containment_settings.mode

    @property
    def containment_settings(self) -> ContainmentSettings:
        """The requested containment settings; after ``open``, the effective settings."""
        return self._effective or self._requested

    @property
    def keeper_pid(self) -> int:
        with self._lock:
            return self._pool.spawner.pid

    def open(self, events: LauncherEvents) -> None:
        """Select the containment, and start the spawner. Call this before ``start``.

        Raise ContainmentUnavailable if the requested containment does not work.
        """
        spawner = self._forked
        if spawner is not None and spawner.has_ended:
            spawner.close()
            spawner = None
        spawner = spawner or SpawnerProcess.start()
        try:
            self._effective = select_containment(self._requested, spawner)
        except ContainmentUnavailable:
            spawner.close()
            raise
        self.limits_notice = self._effective.notice()
        for weakness in self._effective.weaknesses():
            logger.warning(weakness, extra={"action": "containment"})
        self._events = events
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._wake_poll = select.poll()
        self._wake_poll.register(self._wake, select.POLLIN)
        self._pool = ShimPool(self._epoll, self._effective, self._lease_file, spawner)
        # Start the spawner now, so that ``open`` fails on an unsuitable machine.
        _ = self._pool.spawner
        self._is_open = True

    def fileno(self) -> int:
        """Return a descriptor that is readable while ``listen`` has work.

        An event loop must also call ``listen`` from time to time, to end surplus idle shims.
        """
        return self._epoll.fileno()

    def start(self, launch: Launch) -> None:
        launch = self._with_lease(launch)
        with self._lock:
            self._longest_grace = max(self._longest_grace, launch.grace)
            self._start_on_shim(launch, lambda link: link.start(launch))

    def _with_lease(self, launch: Launch) -> Launch:
        return replace(launch, lease_file=self._lease_file) if self._lease_file else launch

    def preload(self, launch: Launch) -> bool:
        launch = self._with_lease(launch)
        with self._lock:
            link = self._pool.least_loaded()
            if link is None:
                return False
            self._longest_grace = max(self._longest_grace, launch.grace)
            self._attempts[launch.attempt_id] = link
            link.preload(launch)
            # The listening thread sends the launch, so that launches that are preloaded in a row
            # are sent together.
            self._unsent[link.serial] = link
        if self._is_listening:
            self.wake()
        return True

    def _send_preloads(self) -> None:
        with self._lock:
            links, self._unsent = self._unsent, {}
            for link in links.values():
                if link.is_open:
                    link.flush()
                    self._pool.watch(link)

    def withdraw_launch(self, attempt_id: str) -> None:
        with self._lock:
            holder = self._attempts.get(attempt_id)
            if isinstance(holder, ShimLink):
                holder.withdraw_launch(attempt_id)

    def _start_on_shim(self, launch: Launch, begin: Callable[[ShimLink], None]) -> None:
        try:
            link = self._pool.acquire()
        except OSError as error:
            self._fail(launch, *start_failure(error))
            return
        self._attempts[launch.attempt_id] = link
        begin(link)
        if link.has_unsent:
            self._pool.watch(link)

    def _fail(self, launch: Launch, ended_by: str, cause: ExitCause, error: str) -> None:
        now, error = time.time(), f"cannot start the supervising process: {error}"
        end = Exit(
            ended_by=EndedBy(ended_by), cause=cause, error=error, started_at=now, ended_at=now
        )
        self._report_soon(launch.attempt_id, end)

    def stop(
        self,
        attempt_id: str,
        ended_by: str,
        stopped_by: str,
        cause: ExitCause = ExitCause.NONE,
    ) -> None:
        with self._lock:
            holder = self._attempts.get(attempt_id)
            if holder is not None:
                holder.stop(attempt_id, ended_by, stopped_by, cause)

    def waiting(self, attempt_id: str, waiting: bool) -> None:
        with self._lock:
            holder = self._attempts.get(attempt_id)
            if holder is not None:
                holder.waiting(attempt_id, waiting)

    def adopt(
        self, attempt_id: str, exit_path: str, digest: str = "", *, node: str = "", log: str = ""
    ) -> bool:
        adopted = AdoptedAttempt.adopt(attempt_id, exit_path, digest)
        if adopted is None:
            return False
        with self._lock:
            self._attempts[attempt_id] = adopted
            self._adopted[adopted.fileno()] = adopted
            self._epoll.register(adopted, select.EPOLLIN)
        return True

    @property
    def adopted(self) -> int:
        return len(self._adopted)

    def expect_late(
        self,
        attempt_id: str,
        exit_path: str,
        digest: str,
        *,
        node: str,
        log: str,
        is_replaced: bool,
    ) -> None:
        # Nothing to do: a shim of this machine writes its exit record directly into the workspace.
        ...

    def determine_end(self, attempt_id: str, exit_path: str, digest: str = "") -> Exit:
        return determine_end(attempt_id, exit_path, digest=digest)

    def close(self, stop: bool) -> None:
        if not self._is_open:
            return
        if stop:
            self._stop_all()
            self.has_stopped_all = not self._attempts
        self._inquiries.close()
        with self._lock, self._wake_lock:
            self._is_open = False
            for adopted in self._adopted.values():
                adopted.close()
            self._pool.close()
            os.close(self._wake)
            self._epoll.close()

    def _stop_all(self) -> None:
        # The grace time of an adopted attempt is unknown, so use the longest grace time of all
        # other attempts.
        with self._lock:
            # Stop the latest attempts first. Otherwise, a shim that has stopped its worker would
            # begin its next preloaded launch, which is a later attempt.
            for attempt_id, holder in reversed(self._attempts.items()):
                holder.stop(attempt_id, EndedBy.CANCEL, "shutdown", ExitCause.SHUTDOWN)
            deadline = time.monotonic() + _CLOSE_SECONDS + self._longest_grace
        while self._attempts and time.monotonic() < deadline:
            self.listen(_CLOSE_CHECK_SECONDS)

    def wake(self) -> None:
        # Without the lock, ``close`` could close the descriptor now, and a new file could get the
        # same number.
        with self._wake_lock:
            if self._is_open:
                os.eventfd_write(self._wake, 1)

    def _report_soon(self, attempt_id: str, end: Exit) -> None:
        self._unreported_ends.append((attempt_id, end))
        self.wake()

    # The following methods run in the listening thread.

    def listen(self, seconds: float | None) -> bool:
        if not self._is_open:
            return False
        self._is_listening = True
        if self._unsent:
            self._send_preloads()
        ready_descriptors = self._epoll.poll(self._longest_wait(seconds))
        self._is_listening = False
        for descriptor, events in ready_descriptors:
            self._guarded(self._serve, descriptor, events)
        while self._unreported_ends:
            self._guarded(self._report_end, *self._unreported_ends.popleft())
        return True

    def gather(self, seconds: float) -> None:
        if self._is_open:
            self._send_preloads()
            self._wake_poll.poll(seconds * 1000)

    def _guarded(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception:
            logger.exception("unexpected error in the launcher", extra={"action": "launcher_event"})

    def _longest_wait(self, seconds: float | None) -> float:
        with self._lock:
            if not self._pool.has_surplus:
                return _LONGEST_SECONDS if seconds is None else min(seconds, _LONGEST_SECONDS)
            self._pool.close_surplus()
        return IDLE_SECONDS if seconds is None else min(seconds, IDLE_SECONDS)

    def _serve(self, descriptor: int, events: int) -> None:
        with self._lock:
            link = self._pool.at(descriptor)
            adopted = self._adopted.get(descriptor)
        if link is not None:
            self._serve_shim(link, events)
        elif adopted is not None:
            self._adopted_ended(adopted)
        elif descriptor == self._wake:
            os.eventfd_read(self._wake)
        else:
            self._serve_spawner()

    def _serve_shim(self, link: ShimLink, events: int = select.EPOLLIN) -> None:
        with self._lock:
            if events & select.EPOLLOUT:
                link.flush()
                self._pool.watch(link)
            messages, is_connected = link.receive()
        for message in messages:
            self._handle_message(link, message)
        if not is_connected:
            with self._lock:
                is_alone = self._pool.handle_closed_socket(link)
            if is_alone:
                self._handle_dead_shim(link)

    def _handle_message(self, link: ShimLink, message: Message) -> None:
        launch = link.launch
        if "failed" in message:
            logger.error(
                "a supervising process (shim) failed; the server finds out how its attempt ended",
                extra={"action": "shim_failed", "error": message["failed"]},
            )
        elif launch is not None and "started" in message:
            link.record_start()
            self._events.started(launch.attempt_id, message["started"])
        elif launch is not None and "ended" in message:
            self._handle_end(link, launch, message)
        for attempt_id in message.get("returned", ()):
            self._handle_returned(link, attempt_id)

    def _handle_end(self, link: ShimLink, launch: Launch, message: Message) -> None:
        if message.get("pid"):
            self._events.started(launch.attempt_id, message["pid"])
        record = message["ended"]
        with self._lock:
            link.launch, link.is_leaving = None, not message["clean"]
            if message["clean"] and not link.is_busy:
                self._pool.release(link)
        if record.get("refused"):
            self._inquire(launch)
        else:
            self._report_end(launch.attempt_id, exit_from(record))
        if "next" in message:
            self._handle_start(link, message["next"])
        elif message["clean"] and link.preloaded:
            # The shim reported the end before it had read the preloaded launch. The shim
            # begins this launch as soon as it reads the message.
            self._handle_start(
                link, {"begun": next(iter(link.preloaded)), "at": record["ended_at"]}
            )

    def _handle_start(self, link: ShimLink, message: Message) -> None:
        attempt_id = message["begun"]
        with self._lock:
            link.record_next_launch(attempt_id)
            if message.get("pid"):
                link.record_start()
        if message.get("pid"):
            self._events.started(attempt_id, message["pid"])
        self._events.begun(attempt_id, message["at"])

    def _handle_returned(self, link: ShimLink, attempt_id: str) -> None:
        with self._lock:
            self._attempts.pop(attempt_id, None)
            launch = link.preloaded.pop(attempt_id, None)
            link.is_slow = True
            if launch is not None and not (link.is_busy or link.is_leaving):
                self._pool.release(link)
        self._events.returned(attempt_id)

    def _serve_spawner(self) -> None:
        with self._lock:
            dead_links = self._pool.ended_shims()
        for link in dead_links:
            # Read twice, because two things may be unread: the shim's last message, and the end of
            # its stream.
            for _ in range(2):
                if link.is_open:
                    self._serve_shim(link)
            self._handle_dead_shim(link)

    def _handle_dead_shim(self, link: ShimLink) -> None:
        """Handle the death of a shim during an attempt. Idempotent.

        If the shim's spawner reported the death, the attempt's leftover processes have already been
        killed.
        """
        preloaded, launch = list(link.preloaded.values()), link.launch
        has_begun = link.may_have_begun
        link.preloaded, link.launch = {}, None
        for each in preloaded:
            if link.refused:
                self._handle_returned(link, each.attempt_id)
            else:
                self._inquire(each)
        if launch is None:
            return
        if link.refused:
            self._fail(launch, EndedBy.LOST, ExitCause.NO_ROOM, f"{NO_ROOM}: {link.refused}")
            return
        if not has_begun and self._never_began(launch):
            with self._lock:
                self._start_on_shim(launch, lambda new: new.take_over(link, launch))
            return
        if not link.is_end_reported and self.containment_settings.mode is Mode.SUBREAPER:
            self._unsupervised.add(launch.attempt_id)
        self._inquire(
            launch, link.leftover_processes, has_begun=has_begun, with_server=link.stops_with_server
        )

    def _inquire(
        self,
        launch: Launch,
        leftover_processes: tuple[LeftoverProcess, ...] = (),
        *,
        has_begun: bool = False,
        with_server: bool = False,
    ) -> None:
        """Find out in the background how an attempt ended that no connected shim runs.

        The attempt may still run, in two cases:

        - The latest shim of the attempt has not exited yet.
        - An earlier shim runs the attempt, but a power loss removed the record of its start.

        In both cases, watch the attempt until its shim exits.
        """
        if not self.adopt(launch.attempt_id, launch.exit_path, launch.proof.digest):
            find_end = partial(_find_end, launch, leftover_processes, has_begun, with_server)
            self._inquiries.begin(launch.attempt_id, find_end)

    def _never_began(self, launch: Launch) -> bool:
        """True if the shim was killed before it began the attempt.

        For each attempt, the result is True at most once, so that an attempt that kills every shim
        is not restarted forever.
        """
        if launch.attempt_id in self._restarted:
            return False
        self._restarted.add(launch.attempt_id)
        return attempt_state(launch.exit_path, launch.proof.digest) is Unfinished.NEVER_STARTED

    def _adopted_ended(self, adopted: AdoptedAttempt) -> None:
        with self._lock:
            del self._adopted[adopted.fileno()]
            self._epoll.unregister(adopted)
            adopted.close()
        self._inquiries.begin(adopted.attempt_id, adopted.find_end)

    def _report_end(self, attempt_id: str, end: Exit) -> None:
        with self._lock:
            self._attempts.pop(attempt_id, None)
            self._restarted.discard(attempt_id)
        if attempt_id in self._unsupervised:
            self._unsupervised.discard(attempt_id)
            if end.ended_by is EndedBy.LOST:
                end = replace(end, error=f"{end.error}; {_UNSUPERVISED}")
        self._events.ended(attempt_id, end)


def _find_end(
    launch: Launch,
    leftover_processes: tuple[LeftoverProcess, ...],
    has_begun: bool,
    with_server: bool,
) -> Exit:
    masker = Masker(launch.secrets)
    masked_processes = tuple(
        replace(each, command=masker.text(each.command)) for each in leftover_processes
    )
    digest = launch.proof.digest
    return determine_end(
        launch.attempt_id,
        launch.exit_path,
        masked_processes,
        masker,
        digest=digest,
        has_begun=has_begun,
        with_server=with_server,
    )


class Listener:
    """A context manager that reports the ends of attempts while its block runs.

    Can be entered once.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._begun = threading.Event()
        self._leaving = False
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def start(self) -> None:
        """Start the listening thread. Idempotent.

        Call this early: later, the system may refuse to create a thread.
        """
        if self._thread.ident is None:
            self._thread.start()

    def __enter__(self) -> None:
        self.start()
        self._begun.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving = True
        self._launcher.wake()
        self._thread.join()

    def _listen(self) -> None:
        self._begun.wait()
        while not self._leaving and self._launcher.listen(None):
            pass
