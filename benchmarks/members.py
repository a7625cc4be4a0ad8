"""Simulates many nodes: connections that send heartbeats, and run nothing.

    python -m benchmarks.members DIRECTORY COUNT SECONDS

Connects one node for each join file ``m<number>.join`` of the directory. Prints "up" when the
server has accepted all nodes. Then sends heartbeats for SECONDS as nodes without workers do, and
for SECONDS as nodes with workers do. Prints the number of answered heartbeats after each phase.
"""

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from orchestrator.launchers.cluster.connection.link import SERVER_NAME, Link, tls
from orchestrator.launchers.cluster.connection.messages import (
    AgentReport,
    AgentsFound,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    Rejection,
    decode_answer_to_hello,
    decode_from_server,
)
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.cluster.connection.server_addresses import host_and_port
from orchestrator.launchers.cluster.node.join_file import JoinFile
from orchestrator.launchers.cluster.node.node_daemon import NodeDaemon
from orchestrator.launchers.cluster.node.node_settings import NodeSettings


class Member:
    def __init__(self, settings: NodeSettings) -> None:
        self.settings = settings
        self.answers = 0
        self.is_idle = True
        self._may_idle = False

    async def connect(self, hello: Hello) -> None:
        settings = self.settings
        context = tls(settings.directory, "node", is_server=False)
        _, self._link = await asyncio.get_running_loop().create_connection(
            Link,
            *host_and_port(settings.addresses[0]),
            ssl=context,
            server_hostname=SERVER_NAME,
        )
        own_hello = replace(hello, name=settings.name, instance=settings.name, time=time.time())
        self._link.post(own_hello)
        welcome = decode_answer_to_hello(await self._link.receive())
        if isinstance(welcome, Rejection):
            raise RuntimeError(f"{settings.name}: {welcome.why}")
        self._terms = welcome.terms
        self._link.post(AgentsFound((AgentReport("shell", "", (), ""),)))

    async def beat(self) -> None:
        """Send heartbeats, as a node does, until the task is cancelled."""
        count = 0
        while True:
            count += 1
            # The free memory differs with each heartbeat, as on a real machine.
            memory = 8 * 1024**3 + count * 7919 % 4096 * 4096
            self._link.post(Heartbeat(count, memory, None))
            is_idle = self.is_idle and self._may_idle
            await asyncio.sleep(self._terms.idle_beat if is_idle else self._terms.beat)

    async def listen(self) -> None:
        with suppress(OSError):
            while True:
                message = decode_from_server(await self._link.receive())
                if isinstance(message, HeartbeatAnswer):
                    self.answers += 1
                    self._may_idle = message.idle


async def run(directory: Path, count: int, seconds: float) -> None:
    members = []
    for number in range(count):
        join_file = JoinFile.read(directory / f"m{number}.join")
        members.append(Member(join_file.unpack(directory / f"m{number}", 4)))
    hello = NodeDaemon(
        members[0].settings, lambda line: None, list, lambda path: (None, None)
    )._hello()
    tasks = []
    for member in members:
        await member.connect(hello)
        # Send heartbeats at once, because the server closes a connection without heartbeats.
        tasks += [asyncio.ensure_future(each) for each in (member.beat(), member.listen())]
    # Wait until the work of connecting has ended.
    await asyncio.sleep(1.0)
    print("up", flush=True)
    for is_idle in (True, False):
        for member in members:
            member.is_idle = is_idle
        if not is_idle:
            # Wait until the pauses between heartbeats of nodes without workers have ended.
            await asyncio.sleep(NodeLeaseTerms().idle_beat)
            print("beating", flush=True)
        answers_before = sum(each.answers for each in members)
        await asyncio.sleep(seconds)
        print(sum(each.answers for each in members) - answers_before, flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
