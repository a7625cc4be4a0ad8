"""Gates in requests, plans and repositories."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from orchestrator.core.model.gate import AUTO, OFF, Gate, GateReport
from orchestrator.schemas.fields.text import Seconds, Text, checked_text, not_blank
from orchestrator.schemas.fields.wire import Wire

MOST_GATES = 50
GateName = Annotated[
    str,
    BeforeValidator(checked_text),
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$"),
]
GateCommand = Annotated[
    str,
    BeforeValidator(not_blank),
    BeforeValidator(checked_text),
    StringConstraints(min_length=1, max_length=10_000),
]
Patterns = Annotated[
    tuple[Annotated[Text, Field(min_length=1, max_length=1000)], ...],
    Field(strict=False, max_length=100),
]

Report = Literal[
    "exit",
    "junit",
    "sarif",
    "ruff",
    "mypy",
    "go",
    "cargo",
    "jest",
    "pre-commit",
    "bandit",
    "npm-audit",
    "pip-audit",
    "cargo-audit",
    "govulncheck",
]


class GateRequest(Wire):
    """One check of a result."""

    name: GateName
    """Unique among the gates of a worker; a detected gate needs no run."""
    run: GateCommand | None = None
    """The command, for bash -c in the worktree; its report goes to $ORCHESTRATOR_GATE_REPORT."""
    when: Patterns = ()
    """Patterns of paths, as in .gitignore: it runs when a changed file matches; none: always."""
    timeout: Seconds | None = None
    """Seconds it may take; the default is the server's gates.timeout."""
    report: Report = "exit"
    """How it is read what it found: by its exit code, or by the report that it writes."""
    required: bool = True
    """What it finds fails the attempt; false: it is only told."""
    baseline: Literal["new-only", "none"] | None = None
    """new-only: what it finds at the base, too, does not count (see docs/gates.md)."""
    tests_may_vanish: bool = False
    """Tests that passed at the base may be gone, or skipped."""

    tests_may_change: bool = False
    """Tests of the base may be changed: the work need not pass them as they were."""

    @model_validator(mode="after")
    def is_no_word_of_ours(self) -> "GateRequest":
        if self.run in (AUTO, OFF) or self.name in (AUTO, OFF):
            raise ValueError("auto and off are no gates of their own: write them without name")
        return self

    def to_gate(self, *, new_only: bool = True) -> Gate:
        """``new_only``: for one that goes by its exit code and does not say."""
        default = new_only or self.report != "exit" or self.run is None
        return Gate(
            name=self.name,
            run=self.run or "",
            when=self.when,
            timeout=self.timeout or 0.0,
            report=GateReport(self.report),
            required=self.required,
            new_only=default if self.baseline is None else self.baseline == "new-only",
            tests_may_vanish=self.tests_may_vanish,
            tests_may_change=self.tests_may_change,
        )


def gate_of(asked: "str | GateRequest", *, new_only: bool = True) -> Gate:
    """Names and commands are distinguished once the project is known."""
    if isinstance(asked, str):
        return Gate(name="", run=asked.strip(), timeout=0.0, new_only=new_only)
    return asked.to_gate(new_only=new_only)


def _kind_of_gate(value: Any) -> str | None:
    if isinstance(value, str):
        return "[command]"
    return "[object]" if isinstance(value, dict | GateRequest) else None


def _kind_of_gates(value: Any) -> str | None:
    if isinstance(value, str):
        return "[word]"
    return "[list]" if isinstance(value, list | tuple) else None


#: Which of two forms is meant is decided first, so that only what is wrong with that one is told.
#: In brackets: no part of the value's place.
GateItem = Annotated[
    Annotated[GateCommand, Tag("[command]")] | Annotated[GateRequest, Tag("[object]")],
    Discriminator(
        _kind_of_gate,
        custom_error_type="gate",
        custom_error_message="must be a command in quotes, or an object",
    ),
]
Gates = Annotated[tuple[GateItem, ...], Field(strict=False, max_length=MOST_GATES)]
#: Of a whole job: those that were found out, none, or a list.
JobGates = Annotated[
    Annotated[Literal["auto", "off"], Tag("[word]")] | Annotated[Gates, Tag("[list]")],
    Discriminator(
        _kind_of_gates,
        custom_error_type="gates",
        custom_error_message="must be 'auto', 'off' or a list",
    ),
]


class GatesFile(Wire):
    """``.orchestrator/gates.yaml``."""

    gates: Gates
