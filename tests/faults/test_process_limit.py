"""A user at the limit of processes and threads: no worker fails, and all jobs continue later."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.site import Answer, ServerProcess, shell, until
from tests.support.examples import nightly

pytestmark = pytest.mark.slow

#: A user without processes, because the limit does not apply to root. The user may read root's
#: files, because Python may be in root's directory.
OTHER_USER = 47_110
CAPABILITIES = "-all,+dac_override"
AS_ORDINARY_USER = (
    ()
    if os.geteuid()
    else (
        "setpriv",
        f"--reuid={OTHER_USER}",
        f"--regid={OTHER_USER}",
        "--clear-groups",
        f"--inh-caps={CAPABILITIES}",
        f"--ambient-caps={CAPABILITIES}",
        f"--bounding-set={CAPABILITIES}",
    )
)
NEEDED = ("prlimit", *AS_ORDINARY_USER[:1])


class OrdinarySite(ServerProcess):
    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        if AS_ORDINARY_USER:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, OTHER_USER, OTHER_USER, follow_symlinks=False)
        with (self.folder / "server.out").open("ab") as output:
            return subprocess.Popen(
                [*AS_ORDINARY_USER, sys.executable, "-m", "orchestrator", "serve", *arguments],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def bound(self, most: int) -> None:
        """Set the limit on the processes and threads of this user."""
        for pid in self._family():
            limit = ("prlimit", f"--pid={pid}", f"--nproc={most}:")
            subprocess.run([*AS_ORDINARY_USER, *limit], check=True)

    @property
    def is_whole(self) -> bool:
        """True if the keeper has a spawner."""
        return len(self._family()) > 2

    def _family(self) -> list[int]:
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OrdinarySite]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {missing[0]}")
    made = OrdinarySite(tmp_path / "site", {"workers": {"retry_backoff_seconds": 0.5}})
    made.start()
    until(lambda: made.is_whole, "there is a spawner")
    yield made
    made.stop()


def reasons(server: OrdinarySite, job: str) -> list[str]:
    return [row["reason"] for row in server.get(f"/jobs/{job}")["workers"]]


@pytest.mark.parametrize("is_warm", [True, *nightly(False)], ids=["idle shims", "no shims yet"])
def test_workers_wait_for_processes_and_none_fails(server: OrdinarySite, is_warm: bool) -> None:
    tasks: list[Any] = [shell("echo done", retries=0)] * 3
    if is_warm:
        assert server.run("before", tasks)["status"] == "completed"
    server.bound(1)

    job = server.submit("too many", tasks)
    until(
        lambda: all("the machine lacks a resource" in each for each in reasons(server, job)),
        "they wait",
    )
    if not is_warm:  # The first stream starts the thread for streams.
        assert server.call("GET", f"/jobs/{job}/events").status_code == 503
    server.bound(10_000)

    ended: Answer = server.wait(job)
    assert [row["output"] for row in ended["results"]["tasks"]] == ["done"] * 3


def test_a_server_without_a_thread_ends_in_good_order(server: OrdinarySite) -> None:
    job = server.submit("long", [shell("echo begun; sleep 60")])
    until(lambda: server.log(job, "worker_1"), "it runs")
    server.bound(1)

    assert server.terminate() == 0, server.output()

    assert server.output().count("\n") == 1, "the server prints only its address"
    server.start()
    until(lambda: server.status(job)["workers"].get("running"), "it runs again")
    server.call("POST", f"/jobs/{job}/cancel")
