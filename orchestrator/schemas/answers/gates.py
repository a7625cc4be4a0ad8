"""Gates and their results, as answers."""

from typing import Any, Literal

from pydantic import Field

from orchestrator.core.gates.gate import (
    Gate,
    GateCause,
    GateOutcome,
    GateReport,
    GateResult,
    GateSource,
    GateStatus,
)
from orchestrator.schemas.answers.answer import Answer, no_items


class GateAnswer(Answer):
    """A gate. The fields are those of a gate in a request."""

    name: str
    run: str | None = None
    """The command; the built-in scan for secrets has none."""
    when: list[str]
    timeout: float
    report: GateReport
    required: bool
    baseline: Literal["new-only", "none"]
    tests_may_vanish: bool
    tests_may_change: bool


class JobGateAnswer(GateAnswer):
    """A gate that runs on every result of a job, with the place that declares the gate."""

    source: GateSource
    why: str
    """Reason for the gate, as text."""
    program: str
    """Program without which the gate does not run; empty: unknown."""
    configured_by: list[str]
    """Files that configure the gate; changes of these files are reported."""


class GateResultAnswer(Answer):
    """Result of one gate."""

    name: str
    outcome: GateOutcome
    """Only "passed" confirms the changes."""
    cause: GateCause | None = None
    """Why the gate did not run; `note` has the cause as text. Omitted if the gate ran."""
    status: GateStatus
    blocks: bool
    """True if the result fails the attempt."""
    required: bool
    seconds: float
    failures: list[str]
    """Findings that are not in the baseline."""
    baseline_findings: int
    """Number of findings that are in the baseline."""
    known: int
    """Alias of baseline_findings."""
    tests: int | None = None
    """Number of tests that passed."""
    note: str
    judges: list[str]
    """Files that configure the gate or contain its tests, and that the worker changed with the
    task's permission."""
    judges_with_code: bool = False
    """True if the attempt changed code other than tests and settings."""
    altered_settings: list[str] = Field(default_factory=no_items)
    """Gate settings that the worker changed without the task's permission. Gates of later jobs use
    these settings."""
    not_imported: list[str] = Field(default_factory=no_items)
    """Changed Python files that no test imported (pytest only)."""
    switched_off: list[str] = Field(default_factory=no_items)
    """New comments that suppress findings, such as "a.py:3"."""
    advice: str
    """What to type to allow the findings; empty if they cannot be allowed."""
    output: str
    """Last part of the gate's output; empty if the gate passed."""
    log: str
    """Path of the whole output, in the root job's directory."""


def gate_answer(gate: Gate) -> GateAnswer:
    return GateAnswer(**_request_fields(gate))


def job_gate_answer(gate: Gate) -> JobGateAnswer:
    return JobGateAnswer(
        **_request_fields(gate),
        source=gate.source,
        why=gate.why,
        program=gate.program,
        configured_by=list(gate.configured_by),
    )


def _request_fields(gate: Gate) -> dict[str, Any]:
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
        baseline_findings=result.known,
        known=result.known,
        tests=result.tests,
        note=result.note,
        judges=list(result.judges),
        judges_with_code=result.judges_with_code,
        altered_settings=list(result.altered_settings),
        not_imported=list(result.not_imported),
        switched_off=list(result.switched_off),
        advice=result.advice,
        output=result.output,
        log=result.log,
    )
