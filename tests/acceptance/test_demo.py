"""``orchestrator demo``, as a user runs it, does everything that it promises."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import PRODUCT, wait_until

pytestmark = pytest.mark.slow

Answer = dict[str, Any]


def environment() -> dict[str, str]:
    """Return an environment that names a server and a repository that do not exist."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
    elsewhere = {"ORCHESTRATOR_API_URL": "http://127.0.0.1:9", "GIT_DIR": "/nonexistent"}
    return {**own, **elsewhere, "ORCHESTRATOR_PYTHON": sys.executable}


def users_own() -> Mapping[str, object]:
    """Return the state of the user's files in the product's folder."""
    config = PRODUCT / "config.yaml"
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=PRODUCT, capture_output=True, text=True
    )
    return {
        "config": (config.read_bytes(), config.stat().st_mtime_ns) if config.exists() else None,
        "workspace": sorted(os.listdir(PRODUCT / "workspace")),
        "repository": status.stdout,
    }


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of the demo's processes."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(directory / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        if any(str(folder).encode() in text for text in texts):
            found.append(texts[0].replace(b"\0", b" ").decode())
    return found


@dataclass(frozen=True)
class Demo:
    """A demo that has ended."""

    #: Answer of the command ``demo --json``.
    answer: Answer

    @property
    def directory(self) -> Path:
        return Path(self.answer["folder"], "workspace", f"job_{self.answer['job_id']}")

    def read(self, name: str) -> Answer:
        content: Answer = json.loads((self.directory / name).read_text())
        return content

    @property
    def tasks(self) -> Mapping[str, Answer]:
        rows = self.read("status.json")["results"]["tasks"]
        return {row["worker_id"]: row for row in rows}

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        ran = subprocess.run(
            command, cwd=self.answer["project"], capture_output=True, text=True, check=True
        )
        return ran.stdout.strip()


def check_child_job(demo: Demo) -> None:
    parent = demo.tasks["worker_1"]
    assert parent["status"] == "recursive_success"
    children = {each["worker_id"]: each["status"] for each in parent["child_results"]}
    assert children == {"worker_1_1": "success", "worker_1_2": "success"}
    assert [job["status"] for job in demo.read("status.json")["child_jobs"]] == ["completed"]


def check_gate(demo: Demo) -> None:
    assert (demo.tasks["worker_2"]["status"], demo.tasks["worker_2"]["attempts"]) == ("success", 2)
    workers = demo.read("reports/analytics.json")["workers"]
    rejected = {
        each["worker_id"]: [failure["gates"] for failure in each["failures"]]
        for each in workers
        if each["failures"]
    }
    assert rejected == {"worker_2": [["tests"]]}
    proof = "logs/gate_worker_2.tests.1.log"
    assert "FAIL: test_negative" in (demo.directory / proof).read_text()
    for report, link in {
        "FINAL_RESULT.md": proof,
        "depth_0/LEVEL_0_REPORT.md": f"../{proof}",
    }.items():
        assert f"[tests]({link})" in (demo.directory / report).read_text(), report


def check_conflict(demo: Demo) -> None:
    log = (demo.directory / "logs/orchestrator.log").read_text()
    [line] = [line for line in log.splitlines() if " worker_sent_back " in line]
    assert " worker_4 " in line and "shop/menu.py" in line
    assert (demo.tasks["worker_4"]["status"], demo.tasks["worker_4"]["attempts"]) == ("success", 2)
    assert demo.tasks["worker_4"]["agent"] == "scripted"
    prompt = (demo.directory / "depth_0/worker_4/prompt.md").read_text()
    assert 'PAGES = ("home", "cart")' in prompt
    merge = demo.read(f"reports/merge_{demo.answer['job_id']}.json")
    assert (len(merge["merged"]), merge["left_out"]) == (4, {})


def check_landed(demo: Demo) -> None:
    assert demo.git("rev-parse", "main") == demo.answer["landed"]
    assert (
        demo.git("rev-parse", f"orchestrator/{demo.answer['job_id']}/result")
        == (demo.answer["landed"])
    )
    assert demo.git("status", "--porcelain") == ""
    menu = Path(demo.answer["project"], "shop/menu.py").read_text()
    assert sorted(re.findall(r'"(\w+)"', menu)) == ["cart", "home", "orders"]
    ran = subprocess.run(
        [sys.executable, "-B", "-m", "unittest", "discover"],
        cwd=demo.answer["project"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Ran 7 tests" in ran.stderr


def check_commands(demo: Demo) -> None:
    assert len(demo.answer["commands"]) == 5
    for command in demo.answer["commands"]:
        ran = subprocess.run(
            ["bash", "-c", command], cwd="/", capture_output=True, text=True, timeout=60
        )
        assert (ran.returncode, ran.stderr) == (0, ""), command
        assert ran.stdout, command
        if " logs " in command:
            assert "wrote shop/money.py" in ran.stdout
            assert f"output: {demo.directory}/logs/gate_worker_2.tests.1.log\n" in ran.stdout


def test_the_demo_shows_what_it_promises_and_can_be_removed(tmp_path: Path) -> None:
    before = users_own()
    folder = tmp_path / "it's a demo"

    ran = subprocess.run(
        [str(PRODUCT / "bin/orchestrator"), "demo", "--keep", folder.name, "--json"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert ran.returncode == 0, ran.stderr
    demo = Demo(json.loads(ran.stdout))
    assert (demo.answer["folder"], demo.answer["status"]) == (str(folder), "completed")
    assert demo.read("status.json")["reason"] == ""
    assert len(demo.answer["story"]) == 5 and "4 workers ran in parallel" in demo.answer["story"]
    check_child_job(demo)
    check_gate(demo)
    check_conflict(demo)
    check_landed(demo)
    wait_until(lambda: not processes_of(folder), 30)
    check_commands(demo)
    assert users_own() == before

    subprocess.run(["bash", "-c", demo.answer["remove"]], check=True)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_stops_its_job_and_its_server(tmp_path: Path) -> None:
    folder, progress = tmp_path / "demo", tmp_path / "progress"
    with progress.open("wb") as written:
        process = subprocess.Popen(
            [str(PRODUCT / "bin/orchestrator"), "demo", "--keep", str(folder)],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=written,
            text=True,
        )
    wait_until(lambda: "worker_4 started" in progress.read_text())
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130, progress.read_text()
    assert f"rm -rf {folder}\n" in out
    assert "landed" not in out
    programs = re.findall(r"\S*bin/orchestrator(?= [a-z])", progress.read_text() + out)
    assert len(programs) >= 3 and "retry" in out
    assert {(tmp_path / each).resolve() for each in programs} == {folder / "bin/orchestrator"}
    wait_until(lambda: not processes_of(folder), 30)
    shutil.rmtree(folder)
