"""The transcript of an attempt: its steps, from the saved output of the agent's program."""

from collections.abc import Iterable, Iterator

from orchestrator.agents.activity.agent_events import (
    Ending,
    Reader,
    RetryEvent,
    TextEvent,
    ToolEvent,
)
from orchestrator.core.ports.read_models import StepKind, TranscriptStep
from orchestrator.core.text.formatting import cut

#: Maximum characters of one step's text.
TEXT_CHARACTERS = 2000


def steps_of(reader: Reader, lines: Iterable[str], *, ended: bool) -> Iterator[TranscriptStep]:
    """Yield the steps: the agent's texts, tool calls, and retries.

    If the attempt has ended (``ended``) with a result, the last step is the result.
    """
    for line in lines:
        for event in reader.line(line):
            if (step := _step(event)) is not None:
                yield step
    output = reader.outcome(Ending(code=0)).text if ended else ""
    if output.strip():
        yield TranscriptStep(kind=StepKind.RESULT, text=_cut(output))


def _step(event: object) -> TranscriptStep | None:
    match event:
        case TextEvent() if event.text.strip():
            return TranscriptStep(kind=StepKind.SAID, text=_cut(event.text))
        case ToolEvent():
            refused = " (denied)" if event.denied else ""
            return TranscriptStep(
                kind=StepKind.TOOL, tool=event.tool, text=_cut(event.summary + refused)
            )
        case RetryEvent():
            return TranscriptStep(kind=StepKind.TROUBLE, text=_cut(event.text))
        case _:
            return None


def _cut(text: str) -> str:
    return cut(text.strip(), TEXT_CHARACTERS)
