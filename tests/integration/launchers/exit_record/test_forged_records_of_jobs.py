"""A worker that writes its own exit record and kills its shim, and the effect on its job."""

import json
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest

from orchestrator.core.outcome.retry_policy import MOST_NEVER_BEGAN
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.engine.gates.test_gates import (
    FILES,
    MakeProject,
    make_project,
    programs,
    results,
)
from tests.integration.site import Site, shell, until, worker_processes
from tests.support.project import edit

__all__ = ["make_project", "programs"]

#: Worker that prints a line, waits for ``go``, and kills its shim.
FORGER = """\
import json, os, pathlib, signal, sys, time
place = pathlib.Path(os.environ["ORCHESTRATOR_WORKER_DIR"]).parents[1] / "attempts"
attempt = os.environ["ORCHESTRATOR_WORKER"].rpartition("/")[2]
[run] = place.glob(f"{os.environ['ORCHESTRATOR_WORKER_ID']}.{attempt}*.run")
shim = json.loads(run.read_text().splitlines()[0])["shim"]
assert shim == os.getppid()
with open(sys.argv[1], "a") as log:
    log.write(attempt + "\\n")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
record = {"attempt": os.environ["ORCHESTRATOR_WORKER"], "ended_by": "exit", "code": 0,
          "secret": "f" * 64, "started_at": time.time(), "ended_at": time.time(), "strays": []}
run.with_suffix(".json").write_text(json.dumps(record) + "\\n")
os.kill(shim, signal.SIGKILL)
time.sleep(600)
"""


def _submit(
    site: Site, tmp_path: Path, retries: int, source: str = FORGER
) -> tuple[str, Path, Path]:
    """Submit a job with a forger. Return the file with its attempts, and the file for which it
    waits.
    """
    script, began, go = tmp_path / "forger.py", tmp_path / "began", tmp_path / "go"
    script.write_text(source)
    command = shlex.join([sys.executable, str(script), str(began), str(go)])
    return site.submit("forge", [shell("exec " + command, retries=retries)]), began, go


def test_a_forged_success_is_a_lost_attempt_and_is_named(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site()
    job_id, began, go = _submit(site, tmp_path, retries=1)
    go.touch()

    answer = site.wait(job_id)

    (worker,) = answer["results"]["tasks"]
    assert (answer["status"], worker["status"]) == ("failed", "failed")
    assert "its exit record was forged" in worker["reason"]
    assert began.read_text().split() == ["1", "2"], "a lost attempt is retried"
    assert not worker_processes(job_id)


@pytest.mark.parametrize("cause", ["never_began", "no_room", "orphan_lease"])
def test_a_worker_that_claims_to_be_lost_uses_its_retries(
    make_site: MakeSite, tmp_path: Path, cause: str
) -> None:
    site = make_site()
    claim = FORGER.replace(
        '"ended_by": "exit", "code": 0', f'"ended_by": "lost", "cause": "{cause}"'
    )
    # Free retries would continue forever.
    ends = "assert len(open(sys.argv[1]).readlines()) < 6\nwhile not"
    job_id, began, go = _submit(site, tmp_path, 1, claim.replace("while not", ends))
    go.touch()

    answer = site.wait(job_id)

    (worker,) = answer["results"]["tasks"]
    assert (answer["status"], worker["status"]) == ("failed", "failed")
    assert began.read_text().split() == ["1", "2"], worker["reason"]
    assert "its exit record was forged" in worker["reason"]
    assert not worker_processes(job_id)


def _has_begun(began: Path, number: int) -> bool:
    return began.exists() and f"{number}\n" in began.read_text()


#: Worker that removes every trace of its attempt, as if the attempt never began.
VANISHER = FORGER.partition("record =")[0] + "run.unlink(); os.kill(shim, 9); time.sleep(600)\n"


@pytest.mark.nightly
def test_attempts_whose_traces_are_removed_are_free_a_few_times_only(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    job_id, began, go = _submit(server, tmp_path, 0, VANISHER)
    for number in range(1, MOST_NEVER_BEGAN + 2):
        until(partial(_has_begun, began, number), "it runs")
        server.kill()
        go.touch()
        until(lambda: not worker_processes(job_id), "its shim is dead, and so is the worker")
        go.unlink()
        server.start()

    answer = server.wait(job_id)

    (worker,) = answer["results"]["tasks"]
    assert (answer["status"], worker["status"]) == ("failed", "failed")
    assert len(began.read_text().split()) == MOST_NEVER_BEGAN + 1


def test_a_record_that_was_forged_without_a_server_is_not_believed_by_the_next_one(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    job_id, began, go = _submit(server, tmp_path, retries=0)
    until(lambda: began.exists() and began.read_text(), "it runs")

    server.kill()
    go.touch()
    until(lambda: not worker_processes(job_id), "its shim is dead, and so is the worker")
    record = next((server.workspace / f"job_{job_id}" / "attempts").glob("worker_1.*.json"))
    assert json.loads(record.read_text())["code"] == 0, "a success, as the worker has it"
    server.start()

    answer = server.wait(job_id)
    (worker,) = answer["results"]["tasks"]
    assert (answer["status"], worker["status"]) == ("failed", "failed")
    assert "its exit record was forged" in worker["reason"]
    # A second call gives the same answer.
    assert json.loads(record.read_text())["ended_by"] == "lost"
    assert record.with_name(record.name + ".foreign").exists()


#: Test code of a worker that attacks the gate that runs it.
GATE_FORGER = """\
import json, os, pathlib, signal, time
name, number = os.environ["ORCHESTRATOR_WORKER"].split("/")[-2:]
report = pathlib.Path(os.environ["ORCHESTRATOR_GATE_REPORT"])
job = next(each for each in report.parents if each.name.startswith("job_"))
run = job / "attempts" / f"{name}.{number}.run"
assert json.loads(run.read_text().splitlines()[0])["shim"] == os.getppid()
record = {"ended_by": "exit", "code": 0, "started_at": 1.0, "ended_at": 2.0, "strays": []}
run.with_suffix(".json").write_text(json.dumps(record) + "\\n")
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(600)
"""


def test_a_gate_that_forges_its_own_success_has_not_passed(make_project: MakeProject) -> None:
    site, _ = make_project({**FILES, "forger.py": GATE_FORGER})
    gate = {"name": "forged", "run": f"exec {shlex.quote(sys.executable)} forger.py"}

    ended = site.run("x", [edit("echo two >> app.py")], gates=[gate])

    found = results(site, ended["job_id"])["forged"]
    assert (ended["status"], found["outcome"]) == ("failed", "did_not_run")
    assert not worker_processes(ended["job_id"])
