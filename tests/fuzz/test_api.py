"""Every call with generated data, alone and in sequences, on a real server."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from orchestrator.api.access import rate_limits
from orchestrator.api.openapi.operations import OPERATIONS, Operation
from orchestrator.core.ports import Assignment
from orchestrator.core.ports.launcher import Launch
from orchestrator.engine.attempts.launch_preparation import LaunchPreparation, RunningAttempt
from tests.integration.site import KEY, InProcess

pytestmark = pytest.mark.slow

HEADERS = {"X-API-Key": KEY}
#: Calls whose answers depend on more than their arguments: a stream that ends with the server
#: only, waits for runs that never begin, and pauses, which decide if a later job runs.
UNSTEADY = (
    "streamFeed",
    "waitForJob",
    "pauseEverything",
    "resumeEverything",
    "pauseJob",
    "resumeJob",
)
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
#: Parts of a call with invalid values: bodies by day, bodies and paths at night.
CASES = [
    pytest.param(
        call,
        mode,
        id=f"{call.id}-{mode.value}",
        marks=[pytest.mark.nightly] if mode is NEGATIVE and not call.body else [],
    )
    for call in OPERATIONS
    for mode in (POSITIVE, NEGATIVE)
    if call.id != "streamFeed"
    and (mode is POSITIVE or call.body or ("{" in call.path and call.needs_key))
]
NAMES = {
    "worker_id": "worker_1",
    "name": "FINAL_RESULT.md",
    "task_id": "task_1",
    "task": "6b616765-0000-8000-8000-000000000000",
    "lock": "src",
    "endpoint": "ci",
    "delivery_id": "msg_a_1_ci",
    "trigger_name": "none",
}
CHECKS = {
    # Rules that no schema can express: existing agents, unique names, and a limit.
    "positive_data_acceptance": {
        "expected-statuses": ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
    },
    # A text that is too long may also make the whole body too large.
    "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "413", "415", "422"]},
    # DELETE cancels a job; a cancelled job can still be read.
    "use_after_free": {"enabled": False},
}
BOUNDED = settings(
    max_examples=10,
    stateful_step_count=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A site whose workers print one line instead of running their command."""
    prepare = LaunchPreparation.prepare

    def harmless(
        self: LaunchPreparation, assignment: Assignment, *more: Any
    ) -> tuple[Launch, RunningAttempt]:
        launch, flight = prepare(self, assignment, *more)
        return replace(launch, argv=("/bin/echo", "done")), flight

    quick = {"agents": {"quick": {"command": ["/bin/echo", "done"]}}, "workers": {"agent": "quick"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaunchPreparation, "prepare", harmless)
        # Random keys must not count as an attack.
        patch.setattr(rate_limits, "FAILED_LOGINS_PER_MINUTE", 1_000_000)
        site = InProcess(tmp_path_factory.mktemp("fuzz") / "site", quick)
        try:
            yield site
        finally:
            site.stop()


@pytest.fixture(scope="module")
def api(site: InProcess) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(
        f"{site.url}/openapi.json", config=schemathesis.Config.from_dict({"checks": CHECKS})
    )


@pytest.fixture(scope="module")
def job(site: InProcess) -> str:
    """A job that has ended, for calls that need one."""
    job = site.submit("fuzz")
    site.wait(job)
    return job


@pytest.mark.parametrize(("call", "mode"), CASES)
def test_every_call_answers_as_documented(
    api: schemathesis.BaseSchema, job: str, call: Operation, mode: GenerationMode
) -> None:
    operation = api.find_operation_by_id(call.id)
    names = re.findall(r"{(\w+)}", call.path) if mode is POSITIVE else ()
    known = {name: {"job_id": job, **NAMES}[name] for name in names}

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode, path_parameters=known))
    def check(case: schemathesis.Case) -> None:
        if case.query:
            # A wait for a run that never begins takes longer than a test may take.
            case.query.pop("run", None)
        case.call_and_validate(headers=HEADERS, timeout=30)

    check()


def test_calls_that_follow_each_other_answer_as_documented(
    api: schemathesis.BaseSchema,
) -> None:
    steady = api.exclude(operation_id=list(UNSTEADY))

    class Calls(steady.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, object]:
            return {"headers": HEADERS, "timeout": 30}

    Calls.run(settings=BOUNDED)
