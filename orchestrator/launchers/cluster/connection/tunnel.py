"""Forwards API calls of a node's workers to the server, through the link."""

import asyncio
from collections.abc import Callable

from orchestrator.launchers.cluster.connection.link import CHUNK, Link
from orchestrator.launchers.cluster.connection.messages import TunnelData

#: Function that returns the address and port of the server's API.
Target = Callable[[], tuple[str, int]]


class Tunnel:
    """One end of a tunnel that transports API connections through a link.

    The server's end connects to the API, at the address that ``target`` returns. At the node's end,
    ``target`` is None.
    """

    def __init__(self, link: Link, target: Target | None = None) -> None:
        self._link, self._target = link, target
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._waiting: dict[int, list[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        self._writers[self._next] = writer
        await self._pump(self._next, reader)

    def handle(self, message: TunnelData) -> None:
        number, data = message.connection, message.data
        writer = self._writers.get(number)
        if number in self._waiting:
            self._waiting[number].append(data)
        elif writer is not None:
            self._forward(number, writer, data)
        elif data is not None and self._target is not None:
            self._waiting[number] = [data]
            task = asyncio.ensure_future(self._connect(number, *self._target()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    async def _connect(self, number: int, host: str, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            del self._waiting[number]
            self._announce_end(number)
            return
        self._writers[number] = writer
        for data in self._waiting.pop(number):
            self._forward(number, writer, data)
        await self._pump(number, reader)

    def _forward(self, number: int, writer: asyncio.StreamWriter, data: bytes | None) -> None:
        if data is None:
            self._writers.pop(number, None)
            writer.close()
        else:
            writer.write(data)

    async def _pump(self, number: int, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(CHUNK):
                self._link.post(TunnelData(number, data))
                await self._link.drained()
        except OSError:
            pass
        self._announce_end(number)
        # Close both directions when one direction has ended, because no API client needs a
        # half-closed connection.
        writer = self._writers.pop(number, None)
        if writer is not None:
            writer.close()

    def _announce_end(self, number: int) -> None:
        self._link.post(TunnelData(number, None))
