"""Gates and their results, as answers."""

from typing import Any, Literal

from pydantic import Field

from orchestrator.core.model.gate import (
    Gate,
    GateCause,
    GateOutcome,
    GateReport,
    GateResult,
    GateSource,
    GateStatus,
)
from orchestrator.schemas.answers.common import Answer


class GateAnswer(Answer):
    """A gate as it can be asked for."""

    name: str
    run: str | None = None
    """The command; null for the built-in scan for secrets."""
    when: list[str]
    timeout: float
    report: GateReport
    required: bool
    baseline: Literal["new-only", "none"]
    tests_may_vanish: bool
    tests_may_change: bool


class JobGateAnswer(GateAnswer):
    """A gate that every result of a job must pass, and where it comes from."""

    source: GateSource
    why: str
    """Why it is there, in words."""
    program: str
    """Needed to run it; a detected gate without its program is left out."""
    configured_by: list[str]
    """Files that say how strict it is: a change of them is told."""


class GateResultAnswer(Answer):
    """What one gate came to."""

    name: str
    outcome: GateOutcome
    """Only "passed" speaks for the change."""
    cause: GateCause | None
    """Why it did not run; the note says it in words."""
    status: GateStatus
    blocks: bool
    """It keeps the attempt from being a success."""
    required: bool
    seconds: float
    failures: list[str]
    """What it found that the base does not have."""
    known: int
    """How much it found that the base has, too."""
    tests: int | None = None
    """How many tests passed."""
    note: str
    judges: list[str]
    """Files by which it judges that the work has altered, as its task may."""
    judges_with_code: bool = False
    """The work changes other code, too."""
    not_imported: list[str] = Field(default_factory=list)
    """Python files of the change that no test imported; of pytest."""
    switched_off: list[str] = Field(default_factory=list)
    """New comments of the change that switch off what it would find, such as "a.py:3"."""
    advice: str
    """What to type if its findings are intended; empty if nothing allows them."""
    output: str
    """The end of what it printed; empty for one that passed."""
    log: str
    """Where all of it is, below the root job's directory."""


def gate_answer(gate: Gate) -> GateAnswer:
    return GateAnswer(**_asked(gate))


def job_gate_answer(gate: Gate) -> JobGateAnswer:
    return JobGateAnswer(
        **_asked(gate),
        source=gate.source,
        why=gate.why,
        program=gate.program,
        configured_by=list(gate.configured_by),
    )


def _asked(gate: Gate) -> dict[str, Any]:
    return {
        "name": gate.name,
        "run": gate.run or None,
        "when": list(gate.when),
        "timeout": gate.timeout,
        "report": gate.report,
        "required": gate.required,
        "baseline": "new-only" if gate.new_only else "none",
        "tests_may_vanish": gate.tests_may_vanish,
        "tests_may_change": gate.tests_may_change,
    }


def gate_result_answer(result: GateResult) -> GateResultAnswer:
    return GateResultAnswer(
        name=result.name,
        outcome=result.outcome,
        cause=result.cause,
        status=result.status,
        blocks=result.blocks,
        required=result.required,
        seconds=result.seconds,
        failures=list(result.failures),
        known=result.known,
        tests=result.tests,
        note=result.note,
        judges=list(result.judges),
        judges_with_code=result.judges_with_code,
        not_imported=list(result.not_imported),
        switched_off=list(result.switched_off),
        advice=result.advice,
        output=result.output,
        log=result.log,
    )
