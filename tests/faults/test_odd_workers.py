"""Workers that print unexpected bytes, ask unanswered questions, hang, or are killed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.faults.site import FaultSite
from tests.faults.zygote import Zygote
from tests.integration.site import KEY, shell, until, worker_processes

pytestmark = pytest.mark.slow
MIB = 2**20


@pytest.fixture
def site(zygote: Zygote, tmp_path: Path) -> Iterator[FaultSite]:
    site = FaultSite(tmp_path / "site", zygote, workers={"max_retries": 0, "grace_seconds": 1})
    site.start()
    yield site
    site.end()


def peak_bytes(site: FaultSite) -> int:
    assert site.process is not None
    status = Path(f"/proc/{site.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_a_binary_line_of_100_mb_is_stored_and_shown(site: FaultSite) -> None:
    before = peak_bytes(site)
    odd = r"printf 'a\000b\377\376c\033[31m\033]52;c;aGk=\007\033[2J\n'"
    job = site.submit("x", [shell(f"head -c {100 * MIB} /dev/zero | tr '\\0' x; {odd}; echo end")])

    ended = site.wait(job)

    log = site.directory(job) / "logs" / "depth_0_worker_1.log"
    assert ended["status"] == "completed"
    assert log.stat().st_size > 50 * MIB
    with log.open("rb") as file:
        file.seek(-20, os.SEEK_END)
        assert file.read().endswith(b"ab\xff\xfec\x1b[31m\nend\n")
    raw = log.parent / "raw" / log.name
    assert raw.read_bytes() == b"\0b\xff\xfec\x1b[31m\x1b]52;c;aGk=\x07\x1b[2J\nend\n"
    for path in (f"/jobs/{job}", f"/jobs/{job}/reports/FINAL_RESULT.md"):
        answer = site.call("GET", path)
        assert answer.ok and "\x1b" not in answer.text.replace("\\u001b", "\x1b").split("output")[0]
    tail = requests.get(
        f"{site.url}/api/v1/jobs/{job}/logs/worker_1?tail=2",
        headers={"X-API-Key": KEY},
        timeout=60,
    )
    assert tail.ok and tail.text.endswith("end\n") and not {"\0", "\a"} & {*tail.text}
    assert "\x1b" not in tail.text.replace("\x1b[31m", "")
    assert peak_bytes(site) - before < 60 * MIB


def test_a_program_that_asks_for_input_ends_at_once_and_its_question_is_the_reason(
    site: FaultSite,
) -> None:
    ask = shell("echo 'Continue? [y/N]'; read -r answer || { echo 'nobody answers'; exit 3; }")
    python = shell("python3 -c 'input(\"Your name? \")'")

    ended = site.run("x", [ask, python], default_timeout=60)

    first, second = ended["results"]["tasks"]
    assert (first["status"], second["status"]) == ("failed", "failed")
    assert "exit code 3" in first["reason"] and "nobody answers" in first["output"]
    assert "EOFError" in second["output"]
    seconds = [row["seconds"] for row in site.get(f"/jobs/{ended['job_id']}")["workers"]]
    assert max(seconds) < 30


def test_a_stopped_worker_ends_at_its_timeout(site: FaultSite) -> None:
    stopped = shell("sleep 600 & kill -STOP $!; kill -STOP $$", timeout=2)

    ended = site.run("x", [stopped, shell("echo fine")])

    assert [row["status"] for row in ended["results"]["tasks"]] == ["timeout", "success"]
    assert not worker_processes(ended["job_id"])


def test_the_child_jobs_of_a_parent_that_is_killed_are_cancelled(
    site: FaultSite, tmp_path: Path, spawning: None
) -> None:
    ready = tmp_path / "ready"
    child = tmp_path / "child.json"
    child.write_text(json.dumps([shell(f"touch {ready}; sleep 600")]))
    head = tmp_path / "head"
    spawn = f"echo $$ > {head}; orchestrator spawn child --tasks {child} --wait"
    job = site.submit("x", [shell(spawn, id="parent"), shell("echo fine")])
    until(ready.exists, "the child job's worker runs")

    os.kill(int(head.read_text()), signal.SIGKILL)
    ended = site.wait(job)

    rows = ended["results"]["tasks"]
    assert [row["status"] for row in rows] == ["failed", "success"]
    assert "signal 9" in rows[0]["reason"]
    [below] = site.get(f"/jobs?parent={job}")["jobs"]
    assert below["status"] == "cancelled"
    assert not worker_processes(job)


def test_a_worker_whose_shim_is_killed_twice_in_a_row_is_retried(
    zygote: Zygote, tmp_path: Path
) -> None:
    site = FaultSite(
        tmp_path / "site", zygote, workers={"max_retries": 2, "retry_backoff_seconds": 0.01}
    )
    site.start()
    try:
        last = '[ "${ORCHESTRATOR_WORKER##*/}" = 3 ]'
        job = site.submit("x", [shell(f"{last} || {{ kill -9 $PPID; sleep 60; }}")])
        ended = site.wait(job)
    finally:
        site.end()

    assert (ended["status"], ended["results"]["tasks"][0]["attempts"]) == ("completed", 3), ended
