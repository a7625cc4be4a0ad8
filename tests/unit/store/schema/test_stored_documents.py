"""Documents in columns: the stored form of values, and documents of earlier releases."""

from dataclasses import asdict

from orchestrator.core.gates.gate import GateCause, GateResult, GateStatus
from orchestrator.core.model.attempt.attempt_result import LeftoverProcess, Usage
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.job_facts import GateFact, JobFacts
from orchestrator.core.model.worker_result import CandidateRank, Criterion, WorkerResult
from orchestrator.store.schema import stored_documents
from orchestrator.store.schema.column_types import Document

RESULTS, TASKS = Document(stored_documents.read_result), Document(stored_documents.read_task)
RESULT = WorkerResult(
    exit_code=0,
    usage=Usage(steps=3),
    strays=(LeftoverProcess(pid=7, command="sleep 9"),),
    conflicts=("a",),
)


def test_only_fields_that_differ_from_their_defaults_are_stored() -> None:
    assert RESULTS.write(WorkerResult(exit_code=0)) == '{"exit_code":0}'
    assert TASKS.write(TaskSpec(id="t", command=("true",))) == '{"id":"t","command":["true"]}'


def test_results_and_tasks_are_read_back_exactly() -> None:
    for result in (RESULT, WorkerResult()):
        assert RESULTS.read(RESULTS.write(result)) == result
    task = TaskSpec(id="t", env={"A": "b"}, locks=("l",))
    assert TASKS.read(TASKS.write(task)) == task


def test_rows_of_earlier_releases_have_all_fields_and_are_read() -> None:
    assert stored_documents.read_result(asdict(RESULT)) == RESULT
    assert stored_documents.read_task(asdict(TaskSpec(id="t"))) == TaskSpec(id="t")


def test_fields_that_no_longer_exist_are_ignored() -> None:
    gate = GateResult(name="unit", status=GateStatus.PASSED)
    fact = GateFact(name="unit", cause=GateCause.NOTHING_CHANGED)
    result = asdict(WorkerResult(gates=(gate,)))
    facts = asdict(JobFacts(gates=(fact,)))
    result["gates"][0]["failed_tests"] = ""
    facts["gates"][0]["passed"] = False
    assert stored_documents.read_result(result).gates == (gate,)
    assert stored_documents.read_facts(facts).gates == (fact,)


def test_a_stored_rank_has_the_criterion_as_a_member() -> None:
    result = WorkerResult(standing=CandidateRank(place=1, by=Criterion.TESTS, why="more"))
    found = RESULTS.read(RESULTS.write(result)).standing
    assert found == result.standing
    assert found is not None and found.by is Criterion.TESTS
