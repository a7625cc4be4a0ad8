"""Attempts on a node in another mount namespace, which does not see the server's files."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.core.ports.launcher import Launch
from orchestrator.core.ports.worktree_transfer import AttemptFiles
from orchestrator.launchers.cluster.connection.node_lease_terms import NodeLeaseTerms
from orchestrator.launchers.exit_record.exit_record import read_exit
from tests.integration.launchers.cluster.conftest import ClusterSite, Relay, new_proof, relay_for
from tests.integration.launchers.conftest import wait_until
from tests.support.cluster import QUICK, NodeProcess
from tests.support.machines import hiding_prefix

pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0
    and not os.environ.get("CI"),
    reason="this machine cannot create mount namespaces",
)


class OwnFilesSite:
    """A server's directory, and a node that does not see it."""

    def __init__(self, directory: Path, terms: NodeLeaseTerms = QUICK) -> None:
        (directory / "server").mkdir(exist_ok=True)
        self.directory = directory
        self.site = ClusterSite(directory / "server", terms)
        self.site.listen()
        self.relay: Relay | None = None

    def join(self, *, through_relay: bool = False) -> NodeProcess:
        site = self.site
        # The server's directory may be another disk.
        join_file = Path(shutil.move(site.cluster.add("n1"), self.directory / "n1.join"))
        if through_relay:
            self.relay = relay_for(join_file, site.cluster.port)
            site.relays["n1"] = self.relay
        return self.begin_node()

    def begin_node(self) -> NodeProcess:
        """Start the processes of the node, and wait until workers may start on it."""
        site, join_file = self.site, self.directory / "n1.join"
        place, prefix = self.directory / "n1", hiding_prefix(self.directory / "server")
        node = NodeProcess(join_file, place, prefix=prefix, own_files=True)
        site.nodes["n1"] = node
        wait_until(lambda: site.state().state == "up" and site.state().agents)
        return node

    @property
    def worker(self) -> Path:
        return self.site.directory / "job_1" / "depth_0" / "worker_1"

    def start(self, script: str, **changes: object) -> Launch:
        """Start a worker with a prompt and the results of another one."""
        return self.site.start("a", script, **{**self.settings(), **changes})

    def settings(self) -> dict[str, object]:
        other = self.worker.with_name("worker_0")
        for each in (self.worker, other):
            each.mkdir(parents=True, exist_ok=True)
        (other / "result.txt").write_text("of another worker")
        (self.worker / "prompt.md").write_text(f"See {other}/result.txt.")
        files = AttemptFiles(
            directories=(str(self.worker),),
            inputs=(str(other),),
            texts=(str(self.worker / "prompt.md"),),
            left_out=(str(self.worker / "worktree"),),
        )
        return {
            "cwd": str(self.worker),
            "make_cwd": True,
            "env": {"PATH": os.environ["PATH"], "OTHER": str(other), "TOP": str(self.worker)},
            "proof": new_proof(),
            "files": files,
        }


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[OwnFilesSite]:
    own_site = OwnFilesSite(tmp_path)
    yield own_site
    own_site.site.end()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[OwnFilesSite]:
    own_site = OwnFilesSite(tmp_path, NodeLeaseTerms(beat=0.2, notice=1.0, lease=60.0))
    yield own_site
    own_site.site.end()


def test_a_worker_gets_its_files_and_brings_its_results_back(own_site: OwnFilesSite) -> None:
    own_site.join()
    own_site.worker.mkdir(parents=True)
    (own_site.worker / "old").write_text("removed by the worker")
    (own_site.worker / "worktree").mkdir()
    own_site.start(
        f"(cd {own_site.directory}; ls server | wc -l); cat $OTHER/result.txt; echo;"
        "tr ' ' '\\n' < prompt.md;"
        "mkdir -p out/deep; head -c 3000000 /dev/zero > out/deep/big; ln -s deep/big out/link;"
        "ln -s /etc/passwd out/outwards; chmod +x out/deep/big; rm old; mkfifo pipe"
    )
    assert own_site.site.reports.exit("a").code == 0
    first, second, see, path = (
        own_site.site.log("a").split()[0],
        *own_site.site.log("a").split("\n")[1:4],
    )
    assert (first, second, see) == ("0", "of another worker", "See"), (
        "the node must not see the server's files"
    )
    assert path.startswith(str(own_site.directory / "n1" / "files"))
    big = own_site.worker / "out" / "deep" / "big"
    assert (big.stat().st_size, big.stat().st_mode & 0o777) == (3_000_000, 0o700 | 0o44 | 0o11)
    assert os.readlink(own_site.worker / "out" / "link") == "deep/big"
    names = {each.name for each in own_site.worker.iterdir()}
    assert names == {"out", "prompt.md", "worktree"}
    assert not (own_site.worker / "out" / "outwards").is_symlink(), (
        "links to paths outside are not returned"
    )
    assert str(own_site.worker.parent) in (own_site.worker / "prompt.md").read_text()
    left = sorted(
        each.name for each in own_site.site.directory.iterdir() if each.name.startswith("a.")
    )
    assert left == ["a.exit.json", "a.log"]
    wait_until(lambda: not list((own_site.directory / "n1" / "files").iterdir()))


def test_a_link_that_breaks_while_files_come_back_doubles_nothing(patient: OwnFilesSite) -> None:
    own_site = patient
    own_site.join(through_relay=True)
    relay = own_site.relay
    assert relay is not None
    own_site.start("head -c 20000000 /dev/urandom > big; sha256sum < big; touch done")
    arriving = own_site.site.directory / "a.returned"
    for _ in range(2):
        wait_until(lambda: arriving.exists() and arriving.stat().st_size > 0)
        relay.break_all()
    assert own_site.site.reports.exit("a").code == 0
    digest = sha256((own_site.worker / "big").read_bytes()).hexdigest()
    assert own_site.site.log("a").split()[0] == digest


def test_a_link_that_breaks_before_the_start_costs_no_retry(patient: OwnFilesSite) -> None:
    own_site = patient
    own_site.join(through_relay=True)
    assert own_site.relay is not None
    own_site.worker.mkdir(parents=True)
    with (own_site.worker / "input").open("wb") as file:
        file.truncate(50_000_000)
    own_site.start("echo ran")
    state = own_site.directory / "n1" / "files"
    wait_until(lambda: list(state.glob("*/received")))
    own_site.relay.break_all()
    ended = own_site.site.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.LEASE_ENDED)
    assert own_site.site.log("a") == ""
    wait_until(lambda: not list(state.iterdir()))


def test_a_stop_while_files_are_sent_ends_the_attempt(own_site: OwnFilesSite) -> None:
    own_site.join()
    own_site.worker.mkdir(parents=True)
    with (own_site.worker / "input").open("wb") as file:
        file.truncate(100_000_000)
    own_site.start("echo ran")
    wait_until(lambda: list((own_site.directory / "n1" / "files").glob("*/received")))
    own_site.site.launcher.stop(own_site.site.id("a"), "cancel", "a person")
    ended = own_site.site.reports.exit("a")
    assert (ended.ended_by, ended.stopped_by) == (EndedBy.CANCEL, "a person")
    wait_until(lambda: not list((own_site.directory / "n1" / "files").iterdir()))
    (own_site.worker / "input").unlink()
    own_site.site.start("b", "echo again", **own_site.settings())
    assert own_site.site.reports.exit("b").code == 0
    assert own_site.site.log("b") == "again\n"


def test_a_killed_node_process_still_returns_the_files(own_site: OwnFilesSite) -> None:
    node = own_site.join()
    own_site.start("echo ready; until [ -e go ]; do sleep 0.05; done; echo made > result")
    wait_until(lambda: own_site.site.log("a") == "ready\n")
    os.kill(node.daemon, signal.SIGKILL)
    [there] = (own_site.directory / "n1" / "files").glob("*/workspace/job_1/depth_0/worker_1")
    (there / "go").touch()
    assert own_site.site.reports.exit("a").code == 0
    assert (own_site.worker / "result").read_text() == "made\n"


def test_a_new_server_takes_the_files_of_adopted_workers(own_site: OwnFilesSite) -> None:
    own_site.join()
    launch = own_site.start("echo ready; until [ -e go ]; do sleep 0.05; done; echo made > result")
    wait_until(lambda: own_site.site.log("a") == "ready\n")
    own_site.site.close(stop=False)
    [there] = (own_site.directory / "n1" / "files").glob("*/workspace/job_1/depth_0/worker_1")
    (there / "go").touch()
    own_site.site.open()
    assert own_site.site.adopt("a", launch.proof)
    own_site.site.listen()
    assert own_site.site.reports.exit("a").code == 0
    assert (own_site.worker / "result").read_text() == "made\n"


def test_files_that_the_server_cannot_store_are_lost_with_the_reason(
    own_site: OwnFilesSite,
) -> None:
    own_site.join()
    (own_site.site.directory / "a.returned").mkdir()
    launch = own_site.start("echo ready; echo made > result")
    ended = own_site.site.reports.exit("a")
    assert ended.ended_by is EndedBy.LOST
    assert "the server cannot store the files of the attempt: Is a directory" in ended.error
    assert not (own_site.worker / "result").exists()
    found = read_exit(launch.exit_path, launch.proof.digest)
    assert found is not None
    assert found.ended_by is EndedBy.LOST, "the record of the node does not count"


def test_an_attempt_without_a_list_of_its_files_is_rejected(own_site: OwnFilesSite) -> None:
    own_site.join()
    own_site.start("echo ran", files=None)
    ended = own_site.site.reports.exit("a")
    assert (ended.ended_by, ended.error) == (
        EndedBy.SPAWN_FAILED,
        "node n1 does not share the server's files",
    )
