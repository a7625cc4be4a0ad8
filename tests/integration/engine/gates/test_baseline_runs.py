"""Runs of gates on base commits, with real processes."""

from pathlib import Path
from queue import Queue

from orchestrator.core.gates.findings import FinishedRun
from orchestrator.core.gates.gate import Check, Gate
from orchestrator.core.model.attempt.attempt_result import EndedBy
from tests.integration.engine.gates.conftest import MakeProject
from tests.integration.site import HANG_SECONDS, shell, until


def test_a_request_after_a_cancel_gets_a_new_run(make_project: MakeProject, tmp_path: Path) -> None:
    site, project = make_project({"a.txt": ""})
    job = site.run("x", [shell("true")])["job_id"]
    begun = tmp_path / "begun"
    # The first run keeps running for the grace period after its stop; the second run passes.
    gate = Gate(name="slow", run=f"[ -e {begun} ] || {{ trap '' TERM; touch {begun}; sleep 300; }}")
    check = Check(
        root_id=job,
        job_id=job,
        name="worker_1",
        directory=str(project.path),
        base=project.git("rev-parse", "HEAD"),
        commit="",
        gates=(gate,),
        worktree="",
        permissions=(),
    )
    baselines = site.manager.parts.gate_runner.baselines
    cancelled: Queue[FinishedRun | None] = Queue()
    results: Queue[FinishedRun | None] = Queue()
    baselines.request("first", check, gate, cancelled.put)
    until(begun.exists, "the gate runs on the base commit")

    baselines.cancel("first", (EndedBy.CANCEL, "a test"))
    baselines.request("second", check, gate, results.put)

    ran = results.get(timeout=HANG_SECONDS)
    assert ran is not None and not ran.broken
    assert cancelled.empty()
