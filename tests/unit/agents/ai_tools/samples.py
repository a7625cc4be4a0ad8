"""The captured runs of ``tests/fixtures/agent_samples``, read by the product's readers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agents.activity.agent_events import AgentEvent, AgentOutcome, Ending, Reader
from orchestrator.agents.ai_tools.readers import RunFacts, reader
from orchestrator.core.model.attempt.attempt_result import ErrorClass

SAMPLES = Path(__file__).parents[3] / "fixtures" / "agent_samples"
#: Reader of a small test agent, whose output has claude's form.
READER_OF = {"pyagent": "claude"}
#: Number of last characters of standard error that a driver stores.
STDERR_CHARS = 8000


@dataclass(frozen=True)
class Run:
    events: tuple[AgentEvent, ...]
    outcome: AgentOutcome


def read_sample(name: str, stopped_for: ErrorClass = ErrorClass.NONE) -> Run:
    """Return the outcome of one captured run.

    ``stopped_for``: reason for which the driver stopped the run.
    """
    meta = json.loads((SAMPLES / name / "meta.json").read_text())
    code, argv = meta["rc"], meta["cmd"]
    ending = Ending(
        code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        stderr=(SAMPLES / name / "stderr").read_text()[-STDERR_CHARS:],
        stopped_for=ErrorClass.TIMEOUT if meta["timed_out"] else stopped_for,
    )
    known = RunFacts(model=argv[argv.index("-m") + 1] if "-m" in argv else "")
    lines = (SAMPLES / name / "stdout").read_text().splitlines()
    return read(READER_OF.get(name.split("_")[0], name.split("_")[0]), lines, ending, known)


def read(agent: str, lines: Iterable[str], ending: Ending, known: RunFacts | None = None) -> Run:
    reading: Reader = reader(agent, known)
    events = [event for line in lines for event in reading.line(line)]
    return Run(tuple(events), reading.outcome(ending))


def events(*of_run: object) -> list[str]:
    return [json.dumps(each) for each in of_run]
