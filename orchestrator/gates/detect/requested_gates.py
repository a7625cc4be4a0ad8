"""Resolves requested gates (names and commands) or the default gates to gates that can run."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import yaml
from pydantic import ValidationError

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.gates.gate import (
    AUTO,
    GATES_FILE,
    Gate,
    GateFiles,
    GateReport,
    GateSource,
)
from orchestrator.core.text.formatting import one_line
from orchestrator.gates.detect.always_succeeding import always_succeeds, collecting_option
from orchestrator.gates.detect.called_scripts import ScriptAnalyzer
from orchestrator.gates.detect.detection import NAMES, by_name, detected, secrets
from orchestrator.gates.detect.tool_settings import settings_of
from orchestrator.schemas.fields.validation_errors import faults
from orchestrator.schemas.requests.gates import GatesFile, gate_of
from orchestrator.schemas.requests.plan_text import KIND as INVALID_FILE
from orchestrator.schemas.requests.plan_text import loaded_yaml


def own_gates(files: GateFiles) -> tuple[Gate, ...] | None:
    """Return the gates in the project's own gate file; None if the project has no such file.

    Raise InvalidRequest if the file is not valid.
    """
    text = files.read(GATES_FILE)
    if not text:
        return None
    try:
        requests = GatesFile.model_validate(loaded_yaml(text)).gates
    except ValidationError as error:
        raise _invalid_file("; ".join(map(str, faults(error, GatesFile)))) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _invalid_file(one_line(str(error))) from error
    why = f"named in {GATES_FILE}"
    return tuple(replace(gate_of(each), source=GateSource.REPOSITORY, why=why) for each in requests)


def _invalid_file(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"invalid {GATES_FILE} in the base commit: {why[:500]}; correct and commit the file",
        kind=INVALID_FILE,
    )


KIND = "invalid-gates"
#: Maximum number of gates that check one result, because gates run one after another.
MOST_GATES = 50
LONGEST_NAME = 40
#: Matches a command that the shell runs in the background.
_BACKGROUND = re.compile(r"[^&]&\s*$")


class GateResolver:
    """Finds gates; implements ``core.gates.gate.GateFinder``."""

    def __init__(
        self,
        timeout: float = 600.0,
        *,
        tests_may_change: bool = False,
        tests_may_vanish: bool = False,
    ) -> None:
        """``timeout``: timeout of gates without their own timeout, in seconds.

        ``tests_may_change``, ``tests_may_vanish``: allow changed or removed tests for every gate.
        """
        self._timeout = timeout
        self._tests_may_change = tests_may_change
        self._tests_may_vanish = tests_may_vanish

    def default_gates(self, files: GateFiles) -> Sequence[Gate]:
        project_gates = own_gates(files)
        gates = list(
            detected(files) if project_gates is None else self._resolved(project_gates, files)
        )
        if project_gates and not any(gate.is_secret_scan for gate in gates):
            gates.insert(0, secrets())
        return _without_duplicates(self._with_all_fields(gates, files))

    def requested_gates(self, requests: Sequence[Gate], files: GateFiles) -> Sequence[Gate]:
        return _without_duplicates(self._with_all_fields(self._resolved(requests, files), files))

    def always_succeeds(self, gate: Gate, files: GateFiles) -> bool:
        is_command = bool(gate.run) and gate.report is GateReport.EXIT
        return is_command and ScriptAnalyzer(files).always_succeed(gate.script)

    def _with_all_fields(self, gates: Iterable[Gate], files: GateFiles) -> Iterator[Gate]:
        """Yield the gates. Fields that are not set get their defaults from the settings.

        The gate's list of configuration files also gets the scripts that the gate runs, and the
        settings of its tools.
        """
        for gate in gates:
            patterns = (*gate.configured_by, *settings_of(gate.run, files))
            timeout = gate.timeout or self._timeout
            yield replace(
                gate,
                timeout=timeout,
                configured_by=tuple(dict.fromkeys(patterns)),
                tests_may_change=gate.tests_may_change or self._tests_may_change,
                tests_may_vanish=gate.tests_may_vanish or self._tests_may_vanish,
            )

    def _resolved(self, requests: Sequence[Gate], files: GateFiles) -> Iterator[Gate]:
        for gate in requests:
            if gate.run == AUTO and gate.source is GateSource.REQUESTED:
                yield from (each for each in self.default_gates(files))
            elif gate.run == AUTO:
                yield from detected(files)
            else:
                yield _resolved(gate, files)


def _resolved(request: Gate, files: GateFiles) -> Gate:
    """Return the requested gate with its name and its command.

    The request may have only a name, only a command, or both. Raise InvalidRequest for an unknown
    name, or if the requested command always succeeds.
    """
    name = request.name if not request.run else request.run
    known_gate = None if request.name and request.run else _known_gate(name, files)
    if known_gate is not None:
        return _with_request(known_gate, request)
    if not request.run or name in NAMES:
        raise InvalidRequest(
            f"unknown gate {name!r}; use a command, or one of: "
            f"{', '.join(gate.name for gate in detected(files))}",
            kind=KIND,
        )
    if request.source is GateSource.REQUESTED and (why := _why_constant(request)):
        raise InvalidRequest(
            f"gate {one_line(request.run)!r} {why}; to run no gates, use 'off'", kind=KIND
        )
    return request if request.name else replace(request, name=_name_of(request.run))


def _why_constant(gate: Gate) -> str:
    """Return why the gate's command judges nothing, and the remedy.

    The scripts that the command runs are not read, but assumed to judge something. Return "" if
    the command can judge something.
    """
    if gate.report is not GateReport.EXIT:
        return ""
    if option := collecting_option(gate.run):
        return f"runs no test, so it judges nothing; remove {option!r}"
    if not always_succeeds(gate.script, called=lambda words: False):
        return ""
    if _BACKGROUND.search(gate.run):
        return "runs in the background, so it judges nothing; remove the '&' at its end"
    return "always succeeds, so it judges nothing; use a command that can fail"


def _known_gate(name: str, files: GateFiles) -> Gate | None:
    project_gates = own_gates(files) or ()
    project_gate = next((each for each in project_gates if each.name == name and each.run), None)
    return project_gate or by_name(name, files)


def _with_request(gate: Gate, request: Gate) -> Gate:
    return replace(
        gate,
        when=request.when or gate.when,
        timeout=request.timeout or gate.timeout,
        required=request.required and gate.required,
        new_only=gate.new_only and (request.new_only or not request.name),
        tests_may_change=request.tests_may_change or gate.tests_may_change,
        tests_may_vanish=request.tests_may_vanish or gate.tests_may_vanish,
        source=request.source,
        why=request.why or gate.why,
    )


def _name_of(command: str) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", command).strip("-").lower()
    return words[:LONGEST_NAME].strip("-") or "gate"


def _without_duplicates(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    """Return the gates without duplicates.

    A second gate with the same name gets a number, if its name was made from its command. Raise
    InvalidRequest for any other duplicate name, and for more than MOST_GATES gates.
    """
    unique: list[Gate] = []
    names: Counter[str] = Counter()
    for gate in gates:
        if any(each == gate for each in unique):
            continue
        names[gate.name] += 1
        number = names[gate.name]
        unique.append(gate if number == 1 else _numbered(gate, number))
    if len(unique) > MOST_GATES:
        raise InvalidRequest(
            f"too many gates: {len(unique)}, maximum {MOST_GATES}; request fewer gates", kind=KIND
        )
    return tuple(unique)


def _numbered(gate: Gate, number: int) -> Gate:
    if gate.name != _name_of(gate.run):
        raise InvalidRequest(
            f"duplicate gate name {gate.name!r}; give each gate another name", kind=KIND
        )
    return replace(gate, name=f"{gate.name}-{number}")
