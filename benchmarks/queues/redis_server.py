"""A Redis server with its default settings on a Unix socket."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 30.0


@contextmanager
def redis_server(directory: str) -> Iterator[str]:
    """Run a server, and yield the path of its socket. ``directory``: for the server's data."""
    # A socket's path has at most 107 bytes, so the path is relative to the directory.
    os.chdir(directory)
    socket = Path("redis.sock")
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", directory]
    with open("redis.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis has not started: see redis.log")
            time.sleep(0.02)
        yield str(Path(directory) / socket)
    finally:
        process.terminate()
        process.wait()
