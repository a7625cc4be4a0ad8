"""Truncated or overwritten files are named and rejected or ignored, but never read as empty."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.offline.jobs_on_disk import root_jobs
from tests.faults.site import FaultSite
from tests.faults.zygote import REPOSITORY, Zygote
from tests.integration.site import shell, until
from tests.support.examples import nightly

pytestmark = pytest.mark.slow


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    """A workspace with one ended job, without a server."""
    site = FaultSite(tmp_path / "site", zygote, store="sqlite")
    site.start()
    assert site.run("x", [shell("echo here")])["status"] == "completed"
    site.kill()
    yield site
    site.end()


def refusal(site: FaultSite) -> str:
    """Return the error message of a server that does not start."""
    before = len(site.output())
    process = site.popen("--port", "0")
    process.wait(30)
    return site.output()[before:]


def database(site: FaultSite) -> Path:
    """Return the database with all written data in one file."""
    path = site.workspace / "orchestrator.db"
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM')"
    subprocess.run([sys.executable, "-c", program, path], check=True)
    return path


def damage(path: Path, kind: str) -> bytes:
    content = path.read_bytes()
    damaged = {
        "empty": b"",
        "garbage": b"\xff" * len(content),
        "cut": content[: len(content) // 3],
    }[kind]
    path.write_bytes(damaged)
    return damaged


@pytest.mark.parametrize("kind", ["empty", *nightly("garbage", "cut")])
def test_a_damaged_database_is_refused_and_left_as_it_is(site: FaultSite, kind: str) -> None:
    path = database(site)
    damaged = damage(path, kind)

    message = refusal(site)

    assert f"{path} is " in message and "restore a copy" in message, message
    assert path.read_bytes() == damaged
    assert not site.record.exists() or str(site.process) not in site.record.read_text()


@pytest.mark.parametrize("kind", ["cut", *nightly("empty", "garbage")])
def test_jobs_that_were_lost_with_the_end_of_the_database_are_named(
    site: FaultSite, kind: str
) -> None:
    database(site)
    site.start()
    job = site.submit_once([shell("true")])
    site.wait(job)
    site.kill()
    damage(site.workspace / "orchestrator.db-wal", kind)

    site.start()

    known = {each["job_id"] for each in site.get("/jobs")["jobs"]}
    if job not in known:  # the part before the damage is still readable
        until(lambda: f"job_{job}" in site.output(), "it is named")
    else:
        assert kind == "cut"
    assert len(known) >= 1


@pytest.mark.nightly
def test_an_emptied_database_outside_the_workspace_is_refused(site: FaultSite) -> None:
    path = site.folder / "elsewhere.db"
    with (site.folder / "config.yaml").open("a") as config:
        config.write(f"\nstore: {{url: 'sqlite:///{path}'}}\n")
    path.touch()

    assert f"{path} is empty, but {site.workspace} contains jobs" in refusal(site)


def test_an_empty_database_without_jobs_is_initialized(zygote: Zygote, tmp_path: Path) -> None:
    site = FaultSite(tmp_path / "new", zygote, store="sqlite")
    site.workspace.mkdir()
    (site.workspace / "orchestrator.db").touch()
    site.start()

    assert site.get("/jobs")["total"] == 0
    site.end()


@pytest.mark.parametrize("content", ["{", *nightly("", '{"url": 3')])
def test_a_damaged_server_record_is_reported_and_replaced(site: FaultSite, content: str) -> None:
    site.record.write_text(content)

    site.start()

    assert f"cannot read {site.record}" in site.output()
    assert site.get("/jobs")["total"] == 1


def test_a_damaged_status_file_is_reported_and_the_others_are_listed(
    site: FaultSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.start()
    other = site.submit("y", [shell("true")])
    site.wait(other)
    until(lambda: site.status_file(other)["status"] == "completed", "it is written")
    (damaged,) = [path for path in site.workspace.glob("job_*") if path.name != f"job_{other}"]
    (damaged / "status.json").write_text('{"job_id": "')

    jobs = root_jobs(site.workspace)

    assert [job["job_id"] for job in jobs] == [other]
    assert f"{damaged / 'status.json'} is damaged" in capsys.readouterr().err


def test_a_half_written_lock_file_holds_no_server_up(site: FaultSite) -> None:
    (site.workspace / "server.lock").write_bytes(b"\xff\0\0")

    site.start()

    assert site.get("/jobs")["total"] == 1


def test_a_half_written_configuration_is_refused_with_its_line(tmp_path: Path) -> None:
    # In a separate folder, because servers of tests get an environment that would take precedence.
    (tmp_path / "config.yaml").write_text("workers:\n  max_workers: 4\napi: {port: 80")
    program = (
        "import sys; from pathlib import Path; from orchestrator.config import load; "
        "load(Path(sys.argv[1]), environ={})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, cwd=REPOSITORY
    )

    assert done.returncode != 0
    assert "config.yaml:3" in done.stderr, done.stderr
