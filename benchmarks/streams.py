"""Measures the delay from an event to the clients that watch the event stream of its job."""

import re
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Findings, quantile
from benchmarks.jobs import body_of
from benchmarks.options import Options
from benchmarks.server import KEY, Server, running_server

P99_MS = 25.0
#: Two slots with workers of 0.4 s, and two events for each worker: ten events a second.
SLOTS = 2
WORKER_SECONDS = 0.4
EVENTS_PER_SECOND = 10
STALL_SECONDS = 60.0
FRAME = re.compile(rb'id: (\d+)\nevent: [a-z_]+\ndata: [^\n]*?"at":"([^"]+)"[^\n]*\n\n')


@dataclass
class Watcher:
    """A client of one event stream. It uses HTTP/1.0, so that the stream has only frames."""

    connection: socket.socket
    #: Received data, each with its time by the server's clock. It is parsed after the measurement,
    #: because parsing for hundreds of watchers takes longer than the measured delays.
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    def read(self) -> bool:
        """Read what has arrived. Return False at the end of the stream."""
        piece = self.connection.recv(1 << 20)
        self.pieces.append((time.time(), piece))
        return bool(piece)

    @property
    def has_begun(self) -> bool:
        return any(b"\nid: " in piece for _, piece in self.pieces)

    def delays_after(self, began: float) -> dict[int, float]:
        """Return the milliseconds from each event since ``began`` to its arrival."""
        delays: dict[int, float] = {}
        unread = b""
        for arrival, piece in self.pieces:
            unread += piece
            end = 0
            for frame in FRAME.finditer(unread):
                end, event_time = frame.end(), moment(frame[2])
                if event_time >= began:
                    delays[int(frame[1])] = (arrival - event_time) * 1000
            unread = unread[end:]
        return delays


@cache
def moment(text: bytes) -> float:
    return datetime.fromisoformat(text.decode()).timestamp()


def measure(options: Options) -> Findings:
    seconds, count = options.pick((30, 200), (2, 4))
    with running_server(SLOTS) as server:
        return findings(delays_at(server, count, seconds))


def delays_at(server: Server, count: int, seconds: float) -> list[dict[int, float]]:
    """Watch a job of ten events a second to its end. Return each watcher's delays in
    milliseconds.
    """
    workers = round(seconds * EVENTS_PER_SECOND / 2)
    client = server.client()
    body = body_of(["/bin/sleep", f"{WORKER_SECONDS}"], workers, SLOTS)
    job_id = client.submit(body)
    client.close()
    with ExitStack() as closing:
        watchers = [watch(server, job_id) for _ in range(count)]
        for watcher in watchers:
            closing.enter_context(watcher.connection)
        began = time.time()
        read_to_end(watchers)
    return [watcher.delays_after(began) for watcher in watchers]


def watch(server: Server, job_id: str) -> Watcher:
    """Open a stream, and read its first event."""
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), STALL_SECONDS)
    request = (
        f"GET /api/v1/jobs/{job_id}/events HTTP/1.0\r\nHost: {address.netloc}\r\n"
        f"X-API-Key: {KEY}\r\nAccept: text/event-stream\r\n\r\n"
    )
    connection.sendall(request.encode())
    watcher = Watcher(connection)
    while not watcher.has_begun:
        if not watcher.read():
            raise RuntimeError(f"no event stream: {watcher.pieces[0][1][:500]!r}")
    return watcher


def read_to_end(watchers: Sequence[Watcher]) -> None:
    """Read all streams until the server has ended them."""
    with selectors.DefaultSelector() as selector:
        for watcher in watchers:
            selector.register(watcher.connection, selectors.EVENT_READ, watcher)
        while selector.get_map():
            ready = selector.select(STALL_SECONDS)
            if not ready:
                raise RuntimeError(f"no event for {STALL_SECONDS:g} s")
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)


def findings(delays: Sequence[dict[int, float]], of: str = "") -> Findings:
    all_delays = [value for watcher_delays in delays for value in watcher_delays.values()]
    events = set().union(*delays)
    missed = sum(len(events - watcher_delays.keys()) for watcher_delays in delays)
    p99 = quantile(all_delays, 0.99)
    return Findings(
        figures=[
            Figure(what=f"event to client{of}, p50", value=quantile(all_delays, 0.5), unit="ms"),
            Figure(what=f"event to client{of}, p99", value=p99, unit="ms", at_most=P99_MS),
            Figure(what=f"events that a watcher missed{of}", value=missed, at_most=0),
        ],
        notes=[f"{len(delays)} watchers of one job; {len(events)} events."],
    )
