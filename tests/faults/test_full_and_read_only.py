"""A workspace without space, without inodes, or without write permission."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from orchestrator.cli.offline.jobs_on_disk import root_jobs
from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import shell, until
from tests.support.examples import nightly

pytestmark = pytest.mark.slow
MakeDisk = Callable[..., Path]
MakeSite = Callable[..., tuple[FaultSite, Path]]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Create directories on separate file systems, which only root can mount."""
    with ExitStack() as made:

        def make(*options: str) -> Path:
            directory = tmp_path / "disk"
            directory.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(directory)]
            if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
                pytest.skip("a file system can be mounted by root only")
            # Unmounted lazily, because a process of a failed test may still have an open file.
            made.callback(subprocess.run, ["umount", "-l", str(directory)], check=True)
            return directory

        yield make


def remounted(disk: Path, how: str) -> bool:
    done = subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], capture_output=True)
    return done.returncode == 0


@pytest.fixture
def make_site(make_disk: MakeDisk, tmp_path: Path, zygote: Zygote) -> Iterator[MakeSite]:
    """Create a server with its workspace on a small disk, without a minimum of free space."""
    made: list[FaultSite] = []

    def make(*options: str) -> tuple[FaultSite, Path]:
        disk = make_disk(*options)
        settings = {"workspace_root": str(disk / "workspace")}
        workers = {"max_retries": 0, "min_free_disk_bytes": 0}
        made.append(FaultSite(tmp_path / "site", zygote, orchestrator=settings, workers=workers))
        made[-1].workspace = disk / "workspace"
        made[-1].start()
        return made[-1], disk

    yield make
    for site in made:
        site.end()


def fill(disk: Path, name: str = "filler") -> Path:
    filler = disk / name
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))
    return filler


def test_a_start_on_a_full_disk_reports_it_and_existing_jobs_can_be_read(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, disk = make_site("size=40m")
    job = site.run("x", [shell("echo here")])["job_id"]
    site.kill()
    (site.workspace / ".disk-reserve").unlink(missing_ok=True)
    before = len(site.output())
    filler = fill(disk)

    process = site.popen("--port", "0")
    until(
        lambda: process.poll() is not None or reports_full_disk(site, before),
        "it reports the full disk",
        30,
    )
    process.kill()
    process.wait(10)
    listed = [each["job_id"] for each in root_jobs(site.workspace)]
    filler.unlink()
    site.ensure()

    assert reports_full_disk(site, before), site.output()[before:]
    assert listed == [job]
    assert site.status(job)["status"] == "completed"


@pytest.mark.parametrize("reserve", [*nightly(True), False], ids=["with-reserve", "without"])
def test_a_start_on_a_full_disk_with_its_database_elsewhere_serves(
    make_site: MakeSite, tmp_path: Path, reserve: bool
) -> None:
    site, disk = make_site("size=40m")
    site.kill()
    with (site.folder / "config.yaml").open("a") as config:
        config.write(f"\nstore: {{url: 'sqlite:///{tmp_path}/elsewhere.db'}}\n")
    site.ensure()
    job = site.run("x", [shell("echo here")])["job_id"]
    site.kill()
    if not reserve:
        (site.workspace / ".disk-reserve").unlink()
    filler = fill(disk)

    site.begin()

    if not reserve:
        until(
            lambda: "server.json is not written yet" in site.output(),
            "the server continues without its record",
        )
        filler.unlink()
    assert site.process is not None
    first = site.process
    site.ensure()
    assert site.status(job)["status"] == "completed"
    assert site.process is first and first.poll() is None


def reports_full_disk(site: FaultSite, before: int) -> bool:
    output = site.output()[before:].lower()
    return "space" in output or "disk" in output


def test_without_inodes_a_job_waits_with_a_reason_and_continues(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, disk = make_site("size=40m", "nr_inodes=200")
    assert site.run("x", [shell("echo here")])["status"] == "completed"
    fillers = []
    with suppress(OSError):
        while True:
            fillers.append(disk / f"filler_{len(fillers)}")
            fillers[-1].touch()

    job = site.submit("y", [shell("echo there")])
    waits = until(lambda: _reason_to_wait(site, job), "the worker has a reason to wait")
    for each in fillers:
        each.unlink(missing_ok=True)

    # An attempt that began before the check of the disk reports its own error.
    assert waits.startswith("waiting for disk space: ")
    assert site.wait(job)["status"] == "completed"


def _reason_to_wait(site: FaultSite, job: str) -> str:
    [worker] = site.get(f"/jobs/{job}")["workers"]
    reason = str(worker["reason"])
    return reason if reason.startswith("waiting") else ""


def test_a_start_in_a_read_only_workspace_is_refused_and_status_can_be_read(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, disk = make_site("size=40m")
    job = site.run("x", [shell("echo here")])["job_id"]
    site.terminate()
    before = len(site.output())
    # Idle shims and the spawner end shortly after their server.
    until(lambda: remounted(disk, "ro"), "nothing is open there any more")

    site.popen("--port", "0").wait(30)
    output = site.output()[before:]
    listed = [each["job_id"] for each in root_jobs(site.workspace)]
    assert remounted(disk, "rw")
    site.ensure()

    assert str(disk) in output and "Traceback" not in output, output
    assert listed == [job]
    assert site.run("y", [shell("echo fine")])["status"] == "completed"


def test_a_worker_whose_directory_cannot_be_made_fails_with_the_cause(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, _ = make_site("size=40m")
    gate = tmp_path / "gate"
    wait = f"touch {gate}.ready; until [ -e {gate} ]; do sleep 0.02; done"
    job = site.submit("x", [shell(wait, id="a"), shell("true", depends_on=["a"])])
    until(Path(f"{gate}.ready").exists, "the first runs")
    place = site.directory(job) / "depth_0"
    subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        gate.touch()
        ended = site.wait(job)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)

    first, second = ended["results"]["tasks"]
    assert (first["status"], second["status"]) == ("success", "failed")
    assert "Read-only file system" in second["reason"]
    assert site.run("another", [shell("echo fine")])["status"] == "completed"
