"""Faults while the files of attempts are sent: nodes that do not share the server's files."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import ExitCause
from orchestrator.launchers.cluster import node_attempts
from tests.integration.launchers.cluster.file_transfer.test_own_files import OwnFilesSite
from tests.integration.launchers.cluster.file_transfer.test_own_files import pytestmark as apart
from tests.integration.launchers.conftest import wait_until
from tests.support.machines import skip_or_fail
from tests.support.soaking.disk import fill, mounted, unmount

pytestmark = apart
MIB = 1024 * 1024
#: Command that writes a result that is slow to transfer, and prints its digest.
LARGE = "head -c 20000000 /dev/urandom > big; sha256sum < big"

#: Creates a site. Its argument is the path of a small disk below the site's directory, or empty.
MakeSite = Callable[[str], OwnFilesSite]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    with ExitStack() as stack:

        def make(small_disk: str = "") -> OwnFilesSite:
            if small_disk:
                if mounted(tmp_path / small_disk) is None:
                    skip_or_fail(
                        "this machine cannot mount a disk", OSError("only root mounts disks")
                    )
                stack.callback(unmount, tmp_path / small_disk)
            own = OwnFilesSite(tmp_path)
            stack.callback(own.site.end)
            return own

        yield make


def _check_result(own: OwnFilesSite, name: str = "a") -> None:
    assert own.site.reports.exit(name).code == 0
    digest = sha256((own.worker / "big").read_bytes()).hexdigest()
    assert own.site.log(name).split()[0] == digest


def _is_arriving(own: OwnFilesSite) -> bool:
    arriving = own.site.directory / "a.returned"
    return arriving.exists() and arriving.stat().st_size > 0


def test_a_killed_node_process_sends_the_rest_of_its_files(make_site: MakeSite) -> None:
    own = make_site("")
    node = own.join()
    own.start(LARGE)
    wait_until(lambda: _is_arriving(own))
    os.kill(node.daemon, signal.SIGKILL)
    _check_result(own)


def test_a_node_that_is_lost_while_it_sends_its_files_changes_none(make_site: MakeSite) -> None:
    own = make_site("")
    node = own.join()
    own.worker.mkdir(parents=True)
    (own.worker / "big").write_text("before")
    own.start(LARGE)
    wait_until(lambda: _is_arriving(own))
    node.kill()
    assert own.site.reports.exit("a").cause is ExitCause.NODE_LOST
    assert (own.worker / "big").read_text() == "before"
    assert not (own.site.directory / "a.returned").exists()
    own.begin_node()
    own.site.start("b", LARGE, **own.settings())
    _check_result(own, "b")


def test_a_full_disk_of_the_server_delays_the_result(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(node_attempts, "_FULL_DISK_SECONDS", 0.5)
    own = make_site("server")
    own.join()
    own.start(f"echo ready >&2; until [ -e go ]; do sleep 0.05; done; {LARGE}")
    wait_until(lambda: "ready" in own.site.log("a"))
    filler = fill(own.site.directory, 4 * MIB)
    [there] = (own.directory / "n1" / "files").glob("*/workspace/job_1/depth_0/worker_1")
    (there / "go").touch()
    wait_until(lambda: "cannot store the files of a worker of node n1" in caplog.text)
    assert "a" not in own.site.reports.exits
    assert not (own.worker / "big").exists()
    filler.unlink()
    assert own.site.reports.exit("a").code == 0
    digest = sha256((own.worker / "big").read_bytes()).hexdigest()
    assert own.site.log("a").split()[1] == digest


def test_a_worker_that_waits_for_a_full_disk_of_the_server_can_be_cancelled(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = make_site("server")
    own.join()
    own.start(f"echo ready >&2; until [ -e go ]; do sleep 0.05; done; {LARGE}")
    wait_until(lambda: "ready" in own.site.log("a"))
    filler = fill(own.site.directory, 4 * MIB)
    [there] = (own.directory / "n1" / "files").glob("*/workspace/job_1/depth_0/worker_1")
    (there / "go").touch()
    wait_until(lambda: "cannot store the files of a worker of node n1" in caplog.text)
    own.site.launcher.stop(own.site.id("a"), "cancel", "user")
    assert "No space left on device" in own.site.reports.exit("a").error
    filler.unlink()


def test_a_start_whose_files_find_no_space_on_the_node_uses_no_retry(make_site: MakeSite) -> None:
    own = make_site("n1")
    own.join()
    own.worker.mkdir(parents=True)
    (own.worker / "input").write_bytes(os.urandom(8 * MIB))
    filler = fill(own.directory / "n1", 2 * MIB)
    own.start("echo ran")
    ended = own.site.reports.exit("a")
    assert (ended.ended_by, ended.cause) == (EndedBy.LOST, ExitCause.NO_ROOM)
    assert "No space left on device" in ended.error
    filler.unlink()
    own.site.start("b", LARGE, **own.settings())
    _check_result(own, "b")


def test_a_full_disk_of_the_node_delays_the_result(make_site: MakeSite) -> None:
    own = make_site("n1")
    own.join()
    own.start(f"{LARGE}; touch made; until [ -e go ]; do sleep 0.05; done")
    found = own.directory / "n1" / "files"
    wait_until(lambda: list(found.glob("*/workspace/job_1/depth_0/worker_1/made")))
    [made] = found.glob("*/workspace/job_1/depth_0/worker_1/made")
    filler = fill(own.directory / "n1", 4 * MIB)
    made.with_name("go").touch()
    wait_until(lambda: not own.site.alive("a"))
    filler.unlink()
    _check_result(own)
