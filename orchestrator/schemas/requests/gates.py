"""Models of the gates that a request, a plan, or a repository lists."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from orchestrator.core.gates.gate import AUTO, OFF, Gate, GateReport
from orchestrator.schemas.fields.bounded_types import (
    GATE_NAME_PATTERN,
    Seconds,
    StrictModel,
    Text,
    checked_text,
    not_blank,
)

MOST_GATES = 50
GateName = Annotated[
    str,
    BeforeValidator(checked_text),
    StringConstraints(pattern=GATE_NAME_PATTERN),
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


class GateRequest(StrictModel):
    """A gate that a request, a plan, or a repository lists."""

    name: GateName
    """Name, unique among the gates of a worker. For a detected gate, the name alone is enough."""
    run: GateCommand | None = None
    """Command for bash -c in the worktree; it writes its report to $ORCHESTRATOR_GATE_REPORT."""
    when: Patterns = ()
    """Patterns, as in .gitignore; the gate runs only if a changed file matches (default: always).
    """
    timeout: Seconds | None = None
    """Timeout in seconds (default: gates.timeout of the server)."""
    report: Report = "exit"
    """Source of the findings: the exit code, or the format of the report."""
    required: bool = True
    """True: findings fail the attempt. False: findings are only reported."""
    baseline: Literal["new-only", "none"] | None = None
    """new-only: findings of the base commit do not count. none: all findings count."""
    tests_may_vanish: bool = False
    """Allow changes that remove or skip tests of the base."""

    tests_may_change: bool = False
    """Allow changes of tests of the base. The former versions of these tests need not pass."""

    @model_validator(mode="after")
    def is_no_reserved_word(self) -> "GateRequest":
        if self.run in (AUTO, OFF) or self.name in (AUTO, OFF):
            raise ValueError(
                "'auto' and 'off' cannot be a gate's name or command; "
                "write 'gates: auto' or 'gates: off'"
            )
        return self

    def to_gate(self, *, new_only: bool) -> Gate:
        """Return the gate.

        With ``new_only=False``, the default of ``baseline`` is ``none`` for a command whose exit
        code is its report. In all other cases, the default is ``new-only``.
        """
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


def _reject_off(command: str) -> str:
    if command.strip() == OFF:
        raise ValueError(
            "'off' cannot be an entry of a list; to disable all gates, write 'gates: off' in config"
        )
    return command


def gate_of(entry: "str | GateRequest", *, new_only: bool = True) -> Gate:
    """Return the gate for one entry of a list of gates.

    A text is the name of a gate, or a command. The project's files decide later whether the text is
    a name. ``new_only``: see ``GateRequest.to_gate``.
    """
    if isinstance(entry, str):
        return Gate(name="", run=entry.strip(), timeout=0.0, new_only=new_only)
    return entry.to_gate(new_only=new_only)


def _kind_of_gate(value: Any) -> str | None:
    if isinstance(value, str):
        return "[command]"
    return "[object]" if isinstance(value, dict | GateRequest) else None


def _kind_of_gates(value: Any) -> str | None:
    if value in (AUTO, OFF):
        return "[word]"
    return "[list]" if isinstance(value, list | tuple) else None


#: One gate: a command or an object. The tag, such as "[command]", selects how the value is
#: validated, so that an invalid object causes no errors about a command. Errors to the caller omit
#: the tag (``_NO_LOCATIONS``).
GateItem = Annotated[
    Annotated[GateCommand, AfterValidator(_reject_off), Tag("[command]")]
    | Annotated[GateRequest, Tag("[object]")],
    Discriminator(
        _kind_of_gate,
        custom_error_type="gate",
        custom_error_message="must be a command in quotes, or an object",
    ),
]
Gates = Annotated[tuple[GateItem, ...], Field(strict=False, max_length=MOST_GATES)]
#: Gates of a whole job: detected gates, none, or a list.
JobGates = Annotated[
    Annotated[Literal["auto", "off"], Tag("[word]")] | Annotated[Gates, Tag("[list]")],
    Discriminator(
        _kind_of_gates,
        custom_error_type="gates",
        custom_error_message="must be auto, off, or a list such as [pytest]",
    ),
]


class GatesFile(StrictModel):
    """The content of ``.orchestrator/gates.yaml``."""

    gates: Gates
