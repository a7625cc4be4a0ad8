"""The repository's own gates: ``.orchestrator/gates.yaml`` in the base commit."""

from dataclasses import replace

import yaml
from pydantic import ValidationError

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.gate import Gate, GateFiles, GateSource
from orchestrator.core.text.formatting import one_line
from orchestrator.schemas.fields.validation_errors import faults
from orchestrator.schemas.requests.gates import GatesFile, gate_of
from orchestrator.schemas.requests.plan_file import KIND, loaded_yaml

FILE = ".orchestrator/gates.yaml"


def own_gates(files: GateFiles) -> tuple[Gate, ...] | None:
    """Return the gates in the file, or None if there is no file. Raise InvalidRequest."""
    text = files.read(FILE)
    if not text:
        return None
    try:
        asked = GatesFile.model_validate(loaded_yaml(text)).gates
    except ValidationError as error:
        raise _wrong("; ".join(map(str, faults(error, GatesFile)))) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _wrong(one_line(str(error))) from error
    why = f"named in {FILE}"
    return tuple(replace(gate_of(each), source=GateSource.REPOSITORY, why=why) for each in asked)


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest(f"invalid {FILE} in the base commit: {why[:500]}", kind=KIND)
