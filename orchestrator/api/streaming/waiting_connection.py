"""Connections that wait without a thread: base classes of event streams, followed logs, and waits.

``WaitingResponse`` takes a connection over from waitress: it duplicates the descriptor, and the
duplicate stays open when waitress closes the original. Only this module depends on these internals
of waitress: ``task.channel``, ``chunked_response``, ``wrote_header``, and ``total_outbufs_len``.

On any other server, the request's thread waits instead, up to a maximum number of threads.
"""

import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from orchestrator.api.http_messages.problems import to_response
from orchestrator.api.socket_loop.response_writers import (
    ResponseWriter,
    SocketWriter,
    ThreadWriter,
)
from orchestrator.api.socket_loop.socket_loop import SocketLoop
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event

logger = logging.getLogger(__name__)

#: A reader that receives no data for this number of seconds is dropped.
STALL_SECONDS = 120.0


class WaitingConnection(ABC):
    """A connection that waits without a thread.

    ``park`` is called once, in any thread. ``concerns`` is called in the thread that publishes
    events. All other methods are called in the socket loop's thread.
    """

    def __init__(self, socket_loop: SocketLoop, root_id: str) -> None:
        self._socket_loop = socket_loop
        self._root_id = root_id
        self._open = True
        self._writer: ResponseWriter

    @property
    def root_id(self) -> str:
        return self._root_id

    def park(self, writer: ResponseWriter) -> None:
        self._writer = writer
        self._socket_loop.park(self)

    def opened(self) -> None:
        self._writer.attach(self)
        self._watch_for_stall()
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Begin the work. Every event that is published from now on is passed to ``published``."""

    def concerns(self, events: Sequence[Event]) -> bool:
        """True if the connection must get at least one of ``events``.

        Called in the thread that publishes the events.
        """
        return bool(events)

    @abstractmethod
    def published(self, events: Sequence[Event]) -> None:
        """Receive stored events of the whole job tree, in order."""

    def drained(self) -> None:  # noqa: B027 - only streams override it
        """Called after all written data has been sent."""

    def disconnected(self) -> None:
        self._socket_loop.leave(self)

    def stopped(self) -> None:
        self.drop()

    def drop(self) -> None:
        """End the connection without a last message. The reader can resume later."""
        self._socket_loop.leave(self)

    def closed(self) -> None:
        self._open = False
        self._writer.abort()

    def _watch_for_stall(self) -> None:
        self._socket_loop.call_after(
            self._socket_loop.options.heartbeat_seconds, self._beat, self, align=0.25
        )

    def _beat(self) -> None:
        if not self._open:
            return
        if self._writer.pending and time.monotonic() - self._writer.progress_at > STALL_SECONDS:
            logger.info(
                "closed a stream, because its client reads nothing",
                extra={"root_id": self._root_id},
            )
            self.drop()
            return
        self.beat()
        self._watch_for_stall()

    def beat(self) -> None:  # noqa: B027 - not every connection overrides it
        """Called every ``heartbeat_seconds``."""


#: The answer if the limit on waiting threads is reached.
Refusal = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


class ThreadLimit:
    """Limits the number of request threads that wait.

    Such a thread waits only if the socket loop cannot take over its connection.
    """

    def __init__(self, limit: int) -> None:
        self._semaphore = threading.BoundedSemaphore(limit)

    def acquire(self) -> bool:
        return self._semaphore.acquire(blocking=False)

    def release(self) -> None:
        self._semaphore.release()


class WaitingResponse(Response, ABC):
    """A response that the socket loop sends later. The loop takes over the connection."""

    automatically_set_content_length = False

    def __init__(
        self,
        socket_loop: SocketLoop,
        threads: ThreadLimit,
        connection: WaitingConnection,
        refusal: Refusal,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._socket_loop = socket_loop
        self._threads = threads
        self._connection = connection
        self._refusal = refusal

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            duplicate = _duplicate_socket(environ)
            if duplicate is not None:
                return self._pass_to_loop(environ, start_response, duplicate)
            if self._threads.acquire():
                return self._answer_in_thread(environ, start_response)
        except (OSError, Unavailable):
            pass  # no descriptor is available, or the server is stopping: refuse the request
        return self._refusal(environ, start_response)

    @abstractmethod
    def _pass_to_loop(
        self, environ: WSGIEnvironment, start_response: StartResponse, duplicate: socket.socket
    ) -> Iterable[bytes]:
        """Pass the detached connection ``duplicate`` to the socket loop."""

    @abstractmethod
    def _answer_in_thread(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Return the body of the answer, for which the request's thread waits.

        The thread counts toward the limit of ``ThreadLimit``.
        """

    def _park(self, duplicate: socket.socket, *, chunked: bool) -> None:
        try:
            self._connection.park(SocketWriter(self._socket_loop, duplicate, chunked=chunked))
        except (OSError, Unavailable):
            duplicate.close()  # the server is stopping, and the caller repeats the call

    def _thread_writer(self) -> ThreadWriter:
        writer = ThreadWriter(self._socket_loop, self._threads.release)
        try:
            self._connection.park(writer)
        except Unavailable:
            self._threads.release()
            raise
        return writer


class WaitingStream(WaitingResponse):
    """A response that sends its head at once, and its body in pieces during the wait."""

    def _pass_to_loop(
        self, environ: WSGIEnvironment, start_response: StartResponse, duplicate: socket.socket
    ) -> Iterable[bytes]:
        write = start_response(self.status, self.get_wsgi_headers(environ).to_wsgi_list())
        task = _task(write)
        try:
            write(b"")  # only the head
        except BaseException:
            duplicate.close()
            raise
        if task.channel.total_outbufs_len:
            # Unsent data of an earlier answer is pending. The socket loop would send the stream's
            # data before the head.
            duplicate.close()
            return self._thread_writer() if self._threads.acquire() else []
        chunked = task.chunked_response
        _detach(task)
        self._park(duplicate, chunked=chunked)
        return []

    def _answer_in_thread(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        writer = self._thread_writer()
        start_response(self.status, self.get_wsgi_headers(environ).to_wsgi_list())
        return writer


class WaitingReply(WaitingResponse):
    """A response that is sent as a whole, after the wait."""

    def _pass_to_loop(
        self, environ: WSGIEnvironment, start_response: StartResponse, duplicate: socket.socket
    ) -> Iterable[bytes]:
        # Call start_response only to get access to the task. This head is never written.
        _detach(_task(start_response(self.status, [])))
        self._park(duplicate, chunked=False)
        return []

    def _answer_in_thread(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        reply = self._thread_writer().reply()
        if reply is None:
            return self._refusal(environ, start_response)
        return to_response(reply)(environ, start_response)


def _duplicate_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """Return a duplicate of the connection's socket; None if the request's thread must wait.

    The thread must wait if the server is not waitress, or an earlier answer is not completely sent.
    """
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    if not isinstance(channel, HTTPChannel) or channel.total_outbufs_len:
        return None
    duplicate: socket.socket = channel.socket.dup()
    return duplicate


def _task(write: Any) -> WSGITask:
    task = getattr(write, "__self__", None)
    if not isinstance(task, WSGITask):
        raise RuntimeError("start_response of waitress no longer returns a method of WSGITask")
    return task


def _detach(task: WSGITask) -> None:
    """Make waitress close its descriptor without writing to the connection."""
    task.wrote_header = True
    task.chunked_response = False
    task.close_on_finish = True
