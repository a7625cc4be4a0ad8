"""Code that no gate judged."""

from dataclasses import replace

import pytest

from orchestrator.core.gates.gate import GateCause, GateResult
from orchestrator.core.model.job_facts import JobFacts, UnjudgedCause, UnjudgedFile
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.job.gate_facts import gate_facts
from orchestrator.core.outcome.job.unjudged_code import is_unjudged, unjudged_files
from tests.unit.core.factories import a_worker
from tests.unit.core.outcome.job.test_gate_facts import FAILED, PASSED, PASSED_LINT, SECRETS, UNRUN


def test_the_scan_for_secrets_judges_no_code() -> None:
    work = a_worker(result=WorkerResult(files_created=("a.py",)))
    notes = a_worker(result=WorkerResult(files_created=("a.md",)))
    own = a_worker(result=WorkerResult(files_created=("a.py",), gates=(PASSED,)))

    assert is_unjudged(["a.py"], [SECRETS], [work])
    assert is_unjudged(["a.py"], [SECRETS, UNRUN], [work, own])
    assert not is_unjudged(["a.py"], [SECRETS, PASSED], [work])
    assert not is_unjudged(["a.py"], [SECRETS, FAILED], [work])
    assert not is_unjudged(["a.md"], [SECRETS], [work])
    assert not is_unjudged(["a.py"], [SECRETS], [own, notes])


def test_code_of_a_child_job_that_no_gate_judged_is_not_judged_above_either() -> None:
    parent = a_worker(child_job_ids=("child",), result=WorkerResult(files_created=("a.md",)))
    result_gates = replace(parent, result=WorkerResult(gates=(PASSED,)))

    assert is_unjudged(["a.py"], [SECRETS], [parent], ["child"])
    assert not is_unjudged(["a.py"], [SECRETS], [parent], ["another"])
    assert not is_unjudged(["a.py"], [SECRETS, PASSED], [parent], ["child"])
    assert not is_unjudged(["a.py"], [SECRETS], [result_gates], ["child"])
    assert not is_unjudged(["a.md"], [SECRETS], [parent], ["child"])


def test_files_that_a_child_job_changed_are_judged_by_its_gates() -> None:
    python = replace(PASSED, looks_at=("*.py",), not_imported=("b.py",))
    work = a_worker(result=WorkerResult(files_created=("part/b.py", "part/a.js")))
    present = {name: f"part/{name}" for name in ("a.py", "b.py", "a.js", "child.js", "child.c")}
    listed = UnjudgedFile(path="child.c", language="C", cause=UnjudgedCause.NO_GATE)

    def names(*below: JobFacts) -> list[str]:
        return [each.path for each in unjudged_files(present, [python], [work], below)]

    assert names() == ["a.js", "b.py"]
    assert names(JobFacts(unjudged_files=(listed,))) == ["a.js", "b.py", "child.c"]
    assert names(JobFacts(unjudged=True)) == ["a.js", "b.py", "child.c", "child.js"]


@pytest.mark.parametrize(
    ("path", "result", "unjudged"),
    [
        ("a.py", UNRUN, True),
        ("a.md", UNRUN, False),
        ("a.py", replace(UNRUN, required=False), False),
        ("a.py", replace(UNRUN, cause=GateCause.NOTHING_CHANGED), False),
        ("a.py", FAILED, False),
    ],
)
def test_a_required_gate_that_did_not_run_has_not_judged_a_change_of_code(
    path: str, result: GateResult, unjudged: bool
) -> None:
    [fact] = gate_facts([path], [PASSED_LINT, result], [])

    assert fact.unjudged is unjudged
