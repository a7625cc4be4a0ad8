"""A node's connection ends at a message of each kind, before or just after the message is sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from tests.integration.launchers.cluster.conftest import ClusterSite, new_proof
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import NodeProcess
from tests.support.examples import nightly

#: Code for the node. It ends the connection at the first message of a kind, once for all processes
#: of the node, and writes the kind to a file for the test.
CUTTER = """
import os
from orchestrator.launchers.cluster.connection.link import Link
from orchestrator.launchers.cluster.connection.messages import encode
way, kind, moment, mark = {cut!r}
post, receive = Link.post, Link.receive
def is_it(message):
    return kind == (message.get("is") or message.get("do")) and not os.path.exists(mark)
def cut(link):
    open(mark, "w").close()
    link.abort()
def cutting_post(self, message):
    found = way == "up" and is_it(encode(message))
    if found and moment == "before":
        return cut(self)
    post(self, message)
    if found:
        # What is already in the socket's buffer is still sent.
        open(mark, "w").close()
        self.close()
async def cutting_receive(self):
    message = await receive(self)
    if way == "down" and is_it(message):
        cut(self)
        if moment == "before":
            raise ConnectionError("cut by the test")
    return message
Link.post, Link.receive = cutting_post, cutting_receive
"""
#: A lease that does not end during a test.
TERMS = NodeLeaseTerms(beat=0.2, notice=1.5, lease=60.0)
#: Direction and kind of the message, and True if its receiver still gets it.
DAILY = [
    ("up", "started", "before"),
    ("up", "piece", "after"),
    ("up", "ended", "after"),
    ("down", "start", "after"),
    ("down", "stop", "before"),
    ("down", "kept", "before"),
]
OTHERS = [
    ("down", "start", "before"),
    ("up", "ended", "before"),
    ("up", "hello", "before"),
    ("up", "hello", "after"),
    ("up", "beat", "before"),
    ("up", "beat", "after"),
    ("up", "agents", "before"),
    ("up", "agents", "after"),
    ("up", "started", "after"),
    ("up", "piece", "before"),
    ("down", "welcome", "before"),
    ("down", "welcome", "after"),
    ("down", "ok", "before"),
    ("down", "ok", "after"),
    ("down", "stop", "after"),
    ("down", "got", "before"),
    ("down", "got", "after"),
    ("down", "kept", "after"),
    ("down", "waiting", "before"),
    ("down", "waiting", "after"),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ClusterSite]:
    site = ClusterSite(tmp_path, TERMS)
    site.listen()
    yield site
    site.end()


@pytest.mark.parametrize(("way", "kind", "moment"), [*DAILY, *nightly(*OTHERS)])
def test_a_connection_that_ends_at_a_message_loses_and_doubles_nothing(
    site: ClusterSite, way: str, kind: str, moment: str
) -> None:
    mark = site.directory / "cut"
    cutter = CUTTER.format(cut=(way, kind, moment, str(mark)))
    site.cluster.add("n1")
    site.nodes["n1"] = NodeProcess(
        site.directory / "n1.join",
        site.directory / "n1",
        before=f"exec({cutter!r}); ",
    )
    wait_until(lambda: site.state().state == "up" and site.state().agents)

    # A worker that ends, a worker that is stopped, and a worker that waits for a child job.
    site.start("a", "echo a >> runs; for i in $(seq 1 20); do echo $i; done; exit 3", **_proof())
    site.start("b", "echo b >> runs; echo ready; exec sleep 600", **_proof())
    wait_until(lambda: site.log("b") == "ready\n" or _is_over(site, "b"))
    site.launcher.waiting(site.id("b"), True)
    site.launcher.stop(site.id("b"), EndedBy.CANCEL, "user")
    ends = {name: site.reports.exit(name) for name in ("a", "b")}

    wait_until(mark.exists)
    wait_until(lambda: site.state().state == "up" and site.state().agents)
    lines = "".join(f"{n}\n" for n in range(1, 21))
    for name, ended in ends.items():
        if ended.cause is ExitCause.LEASE_ENDED and ended.ended_by is EndedBy.LOST:
            # The start was lost: the worker did not run, and may start elsewhere.
            assert name not in _runs(site)
        elif name == "a":
            assert (ended.ended_by, ended.code, site.log("a")) == (EndedBy.EXIT, 3, lines)
        else:
            assert (ended.ended_by, ended.stopped_by) == (EndedBy.CANCEL, "user")
    assert len(set(_runs(site))) == len(_runs(site)), "nothing ran twice"
    assert site.alive("a") == site.alive("b") == []
    # If the server has not noticed the cut yet, the start of c is lost, and d follows.
    ended = site.run("c", "exit 4")
    if ended.cause is ExitCause.LEASE_ENDED:
        wait_until(lambda: site.state().state == "up")
        ended = site.run("d", "exit 4")
    assert ended.code == 4
    wait_until(lambda: not list((site.directory / "n1" / "attempts").iterdir()))


def _proof() -> dict[str, object]:
    return {"proof": new_proof()}


def _runs(site: ClusterSite) -> list[str]:
    path = site.directory / "runs"
    return path.read_text().split() if path.exists() else []


def _is_over(site: ClusterSite, name: str) -> bool:
    return name in site.reports.exits
