"""The files that people follow: logs and status.json."""

import json
import re
import time
from pathlib import Path

from tests.integration.site import InProcess, Watcher, shell, until


def test_a_line_is_in_the_log_soon_after_it_is_printed(site: InProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    loop = f'until [ -e {release} ]; do date "+%s.%N"; sleep 0.05; done'
    job = site.submit("tick", [shell(loop)])
    until(lambda: site.log(job, "worker_1").count("\n") > 3, "it ticks")

    delays = []
    for _ in range(10):
        before = site.log(job, "worker_1").count("\n")
        until(lambda before=before: site.log(job, "worker_1").count("\n") > before, "a line")
        last = site.log(job, "worker_1").splitlines()[before]
        delays.append(time.time() - float(last))
    release.touch()

    # The median, because a busy machine delays both the test and the worker.
    assert sorted(delays)[5] < 0.2
    site.wait(job)


def test_a_workers_key_is_in_no_log(site: InProcess) -> None:
    command = (
        "printenv ORCHESTRATOR_API_KEY > key; cat key; echo mine=$MY_TOKEN; "
        "for n in $(seq 1 200); do printf 'filler %s ' $n; cat key; done"
    )

    ended = site.run("leak", [shell(command, env={"MY_TOKEN": "tell-nobody-of-this"})])

    directory = site.directory(ended["job_id"])
    key = (directory / "depth_0" / "worker_1" / "key").read_text().strip()
    assert "filler 200" in site.log(ended["job_id"], "worker_1")
    for path in [*(directory / "logs").iterdir(), directory / "status.json"]:
        assert key not in path.read_text()
        assert "tell-nobody-of-this" not in path.read_text()
    assert key not in json.dumps(ended)


def test_the_log_of_the_job_manager_has_one_line_for_each_event(site: InProcess) -> None:
    hostile = (
        "x\n2026-01-01T00:00:00Z job_ended job=forged status=completed\r\n\x1b[2J\u2028y\u0085z\x7f"
    )

    answer = site.post(hostile, [shell("echo 'a\nb' >&2; exit 1", title=hostile)])
    assert answer.status_code in (202, 422), answer.text
    job = answer.json()["job_id"]
    site.wait(job)

    stream = site.call("GET", f"/jobs/{job}/events").text
    text = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    lines = text.split("\n")[:-1]
    assert text.splitlines() == lines
    assert "\x1b" not in text and "\r" not in text and "\x7f" not in text
    line = re.compile(r"\d{4}-\d\d-\d\dT\S+ (job|worker)_[a-z_]+ job=" + job)
    assert all(line.match(each) for each in lines), text
    kinds = [each.split()[1] for each in lines]
    assert kinds == ["job_submitted", "job_started", "worker_started", "worker_ended", "job_ended"]
    assert len(re.findall("^id:", stream, re.MULTILINE)) == len(kinds)


def test_the_status_file_is_whole_at_any_moment_and_final_in_the_end(site: InProcess) -> None:
    job = site.submit("busy", [shell("sleep 0.0$((RANDOM % 9))")] * 120)
    path = site.directory(job) / "status.json"
    until(path.exists, "the first one is written")
    seen: set[str] = set()

    def look() -> None:
        seen.add(json.loads(path.read_text())["status"])

    with Watcher(look) as watcher:
        ended = site.wait(job)
        final = site.status_file(job)

    assert watcher.error is None
    assert watcher.looks > 20
    assert seen <= {"pending", "running", "completed"}
    assert final["status"] == ended["status"] == "completed"
    assert final["counts"] == {"success": 120}


def test_the_files_are_final_when_wait_answers(site: InProcess) -> None:
    # A slow observer: stored changes are not published yet.
    site.manager.parts.publisher.add(lambda change: time.sleep(0.1))
    for _ in range(3):
        job = site.submit("quick", [shell("true")] * 3)
        until(lambda job=job: site.status(job)["status"] == "completed", "its end is stored")
        status = site.wait(job)["status"]

        assert site.status_file(job)["status"] == status == "completed"
        log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
        assert log.count(" job_ended ") == 1
        assert (site.directory(job) / "FINAL_RESULT.md").is_file()


def test_child_results_are_nested_in_the_status_file(site: InProcess, spawning: None) -> None:
    job = site.submit("x", [shell("orchestrator spawn 'below' --command 'echo deep' --wait")])
    site.wait(job)

    written = site.status_file(job)

    [row] = written["results"]["tasks"]
    assert (row["status"], row["child_results"][0]["output"]) == ("recursive_success", "deep")
    assert (written["depths"], written["counts"]) == (2, {"recursive_success": 1, "success": 1})
