"""Takes a connection over from waitress, so that it holds no thread.

The only module that depends on waitress internals (``task.channel``, ``chunked_response``,
``wrote_header``, ``total_outbufs_len``): waitress closes its own descriptor without a shutdown, so
a duplicate stays open. On any other server the request's thread waits instead, up to a maximum
number of threads.
"""

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from orchestrator.api.http.problems import plain
from orchestrator.api.sockets.hub import Hub
from orchestrator.api.sockets.response_sinks import SocketSink, ThreadSink
from orchestrator.api.streaming.parked_connection import ParkedConnection
from orchestrator.core.errors import Unavailable

#: The answer if the limit on waiting threads is reached.
Refusal = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


class Threads:
    """The number of server threads that may wait on behalf of a connection."""

    def __init__(self, limit: int) -> None:
        self._free = threading.BoundedSemaphore(limit)

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()


class ParkedResponse(Response, ABC):
    """An answer that the hub gives over time."""

    automatically_set_content_length = False

    def __init__(
        self,
        hub: Hub,
        threads: Threads,
        connection: ParkedConnection,
        refusal: Refusal,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._hub = hub
        self._threads = threads
        self._connection = connection
        self._refusal = refusal

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            taken = _take_socket(environ)
            if taken is not None:
                return self._parked(environ, start_response, taken)
            if self._threads.take():
                return self._threaded(environ, start_response)
        except (OSError, Unavailable):
            pass  # no descriptor is available, or the server stops
        return self._refusal(environ, start_response)

    @abstractmethod
    def _parked(
        self, environ: WSGIEnvironment, start_response: StartResponse, taken: socket.socket
    ) -> Iterable[bytes]:
        """Pass ``taken`` to the hub."""

    @abstractmethod
    def _threaded(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Wait in this thread, which is included in the count."""

    def _hand_over(self, taken: socket.socket, *, chunked: bool) -> None:
        try:
            self._connection.park(SocketSink(self._hub, taken, chunked=chunked))
        except (OSError, Unavailable):
            taken.close()  # the server stops: the caller repeats the call

    def _thread_sink(self) -> ThreadSink:
        sink = ThreadSink(self._hub, self._threads.give_back)
        try:
            self._connection.park(sink)
        except Unavailable:
            self._threads.give_back()
            raise
        return sink


class ParkedStream(ParkedResponse):
    """The head is sent at once, the body piece by piece."""

    def _parked(
        self, environ: WSGIEnvironment, start_response: StartResponse, taken: socket.socket
    ) -> Iterable[bytes]:
        write = start_response(self.status, self.get_wsgi_headers(environ).to_wsgi_list())
        task = _task(write)
        try:
            write(b"")  # only the head
        except BaseException:
            taken.close()
            raise
        if task.channel.total_outbufs_len:
            # Unread data of an earlier answer is pending: the hub would send its data before the
            # head.
            taken.close()
            return self._thread_sink() if self._threads.take() else []
        chunked = task.chunked_response
        _let_go(task)
        self._hand_over(taken, chunked=chunked)
        return []

    def _threaded(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sink = self._thread_sink()
        start_response(self.status, self.get_wsgi_headers(environ).to_wsgi_list())
        return sink


class ParkedReply(ParkedResponse):
    """Nothing is sent before the whole answer is known."""

    def _parked(
        self, environ: WSGIEnvironment, start_response: StartResponse, taken: socket.socket
    ) -> Iterable[bytes]:
        # Only start_response gives access to the task; this head is never written.
        _let_go(_task(start_response(self.status, [])))
        self._hand_over(taken, chunked=False)
        return []

    def _threaded(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reply = self._thread_sink().reply()
        if reply is None:
            return self._refusal(environ, start_response)
        return plain(reply)(environ, start_response)


def _take_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """Return a duplicate of the connection; None if the server is not waitress.

    Also None if a part of an earlier answer on the connection has not been sent yet.
    """
    channel = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    if not isinstance(channel, HTTPChannel) or channel.total_outbufs_len:
        return None
    taken: socket.socket = channel.socket.dup()
    return taken


def _task(write: Any) -> WSGITask:
    task = getattr(write, "__self__", None)
    if not isinstance(task, WSGITask):
        raise RuntimeError("start_response of waitress no longer answers a method of its task")
    return task


def _let_go(task: WSGITask) -> None:
    """Make waitress write nothing more and close its descriptor."""
    task.wrote_header = True
    task.chunked_response = False
    task.close_on_finish = True
