"""A network link through this process, which can delay or drop packets.

Both ends are TUN devices, because many machines lack the kernel's traffic control.
"""

import fcntl
import heapq
import os
import random
import selectors
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import CalledProcessError

from tests.support.machines import Namespace, run, skip_or_fail

_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_MOST_BYTES = 65536
#: Directions of packets.
TO_NODE, TO_SERVER = "to the node", "to the server"


class WiredNamespace(Namespace):
    """A network namespace whose packets this process forwards."""

    def __init__(self, number: int = 0, seed: int = 1) -> None:
        """Raise CalledProcessError or OSError if this machine has no namespaces or TUN devices."""
        #: Delay of each packet, in seconds.
        self.delay = 0.0
        #: Share of packets that are dropped, from 0 to 1.
        self.loss = 0.0
        #: Directions in which all packets are dropped.
        self.lost: set[str] = set()
        self.packets = dict.fromkeys((TO_NODE, TO_SERVER), 0)
        self._random = random.Random(seed)
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._server_end = self._node_end = -1
        super().__init__(number)
        self._thread = threading.Thread(target=self._pass, daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        self._server_end = _tun(self.link)
        self._node_end = _tun(f"{self.link}n")
        run(f"ip link set {self.link}n netns {self.name} name e0")

    def cut(self) -> None:
        self.lost.update((TO_NODE, TO_SERVER))

    def reconnect(self) -> None:
        self.lost.clear()
        self.delay = self.loss = 0.0

    def close(self) -> None:
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        for descriptor in (self._server_end, self._node_end):
            with suppress(OSError):
                os.close(descriptor)
        super().close()

    def _pass(self) -> None:
        ways = {
            self._server_end: (self._node_end, TO_NODE),
            self._node_end: (self._server_end, TO_SERVER),
        }
        waiting: list[tuple[float, int, int, bytes]] = []
        number = 0
        with selectors.DefaultSelector() as selector:
            for descriptor in ways:
                selector.register(descriptor, selectors.EVENT_READ)
            while not self._ends.is_set():
                for key, _ in selector.select(0.005 if waiting else 0.05):
                    target, way = ways[key.fd]
                    packet = os.read(key.fd, _MOST_BYTES)
                    self.packets[way] += 1
                    if way not in self.lost and self._random.random() >= self.loss:
                        number += 1
                        due = time.monotonic() + self.delay
                        heapq.heappush(waiting, (due, number, target, packet))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, target, packet = heapq.heappop(waiting)
                    # Fails if the other end is down.
                    with suppress(OSError):
                        os.write(target, packet)


def _tun(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def wires(count: int) -> Iterator[list[WiredNamespace]]:
    """Create network namespaces. Skip the test if this machine cannot create them."""
    made: list[WiredNamespace] = []
    try:
        try:
            made += [WiredNamespace(number) for number in range(count)]
        except (CalledProcessError, OSError) as error:
            skip_or_fail("this machine cannot create network namespaces with TUN devices", error)
        yield made
    finally:
        for each in made:
            each.close()
