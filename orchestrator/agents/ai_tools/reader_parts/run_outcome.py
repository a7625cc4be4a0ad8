"""The outcome of a program's run, from its messages and its exit.

The rules in ``_ROWS`` are tried in order; the first rule that matches decides.
"""

from collections.abc import Callable
from dataclasses import field, replace

from orchestrator.agents.activity.agent_events import AgentOutcome, Ending
from orchestrator.agents.ai_tools.reader_parts.error_classification import classify, is_internal
from orchestrator.agents.ai_tools.reader_parts.rate_limit_reset import resets_at
from orchestrator.agents.ai_tools.reader_parts.tool_calls import log_line
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage

ERROR_CHARS = 500
MODEL_CHARS = 100
#: Maximum characters of the error output of a program that rejects its arguments. Longer error
#: output means an internal error.
REFUSAL_CHARS = 2000

Fault = tuple[ErrorClass, str]
FINE: Fault = (ErrorClass.NONE, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    text: str = ""
    fault: Fault = FINE
    usage: Usage = field(default_factory=Usage)
    #: The model that the program reported; empty: none.
    model: str = ""
    session: str = ""
    denied: tuple[str, ...] = ()
    resets_at: float | None = None
    #: True if the program wrote something that the reader understood.
    began: bool = False
    #: True if the program reported a successful end.
    finished: bool = False
    #: True if ``usage`` counts all model calls.
    usage_is_complete: bool = False
    #: The last part of standard output, if the program writes its errors there; otherwise empty.
    trace: str = ""
    #: True if an exit code of 128 or more does not mean a signal.
    has_own_exit_codes: bool = False
    #: True if the program prints no final event. Only the exit code then shows success.
    lacks_final_event: bool = False

    @property
    def complete(self) -> bool:
        """True if the program has returned its whole result, and reported success."""
        return self.finished and not self.lacks_final_event and bool(self.text.strip())


def outcome_of_run(report: RunReport, ending: Ending, now: float) -> AgentOutcome:
    """Return the outcome of a program's run.

    ``now``: the current Unix time, for texts such as "try again in 20s".
    """
    kind, words = next(filter(None, (row(report, ending) for row in _ROWS)), FINE)
    usage = _without_zero_counts(report.usage)
    usage_is_complete = report.usage_is_complete and usage is report.usage
    return AgentOutcome(
        text=report.text,
        error_class=kind,
        error=log_line(words, ERROR_CHARS),
        # A program with a configuration error called no model, so its usage is complete.
        usage=replace(usage, partial=not usage_is_complete and kind is not ErrorClass.CONFIG),
        model=report.model[:MODEL_CHARS],
        session=report.session,
        denied=report.denied,
        resets_at=_reset_time(report, ending, now) if kind is ErrorClass.RATE_LIMIT else None,
        note=""
        if kind or not ending.code
        else f"exit code {ending.code}, although the agent reported a result",
    )


def _without_zero_counts(usage: Usage) -> Usage:
    # Every model call uses tokens, so 0 tokens means that the number is unknown.
    if not usage.steps or usage.input_tokens is None:
        return usage
    counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens)
    if any(counts) or usage.cache_write_tokens or usage.cost_usd:
        return usage
    return Usage(steps=usage.steps)


def _reset_time(report: RunReport, ending: Ending, now: float) -> float | None:
    texts = (report.fault[1], ending.stopped_because, ending.stderr, report.trace)
    times = (resets_at(text, now) for text in texts)
    return report.resets_at or next((each for each in times if each is not None), None)


def _stopped_by_us(_: RunReport, ending: Ending) -> Fault | None:
    # After the driver's SIGTERM, some programs end with code 0 and report success.
    because = ending.stopped_because or "stopped"
    return (ending.stopped_for, because) if ending.stopped_for else None


def _reported_fault(report: RunReport, _: Ending) -> Fault | None:
    return report.fault if report.fault[0] else None


def _signalled(report: RunReport, ending: Ending) -> Fault | None:
    number = ending.signal
    if number is None and not report.has_own_exit_codes and 128 < (ending.code or 0) < 160:
        number = (ending.code or 0) - 128
    return (ErrorClass.KILLED, f"killed by signal {number}") if number else None


def _bad_code(report: RunReport, ending: Ending) -> Fault | None:
    if not ending.code or report.complete:
        return None
    traces = f"{ending.stderr.strip()}\n{report.trace.strip()}".strip()
    last = traces.rpartition("\n")[2]
    words = f"exit code {ending.code}" + (f": {last}" if last else "")
    kind = classify(traces, otherwise=_class_without_message(report, traces))
    return (ErrorClass.INTERNAL if kind is ErrorClass.API and is_internal(traces) else kind), words


def _class_without_message(report: RunReport, traces: str) -> ErrorClass:
    refused = not report.began and len(traces) <= REFUSAL_CHARS
    return ErrorClass.CONFIG if refused and not is_internal(traces) else ErrorClass.INTERNAL


def _refused_tools(report: RunReport, _: Ending) -> Fault | None:
    return (ErrorClass.DENIED, ", ".join(report.denied)) if report.denied else None


def _cut_off(report: RunReport, _: Ending) -> Fault | None:
    early = report.began and not report.finished
    return (ErrorClass.KILLED, "the agent ended before its final result") if early else None


def _empty(report: RunReport, _: Ending) -> Fault | None:
    return None if report.text.strip() else (ErrorClass.EMPTY, "the agent's answer has no text")


_ROWS: tuple[Callable[[RunReport, Ending], Fault | None], ...] = (
    _stopped_by_us,
    _reported_fault,
    _signalled,
    _bad_code,
    _refused_tools,
    _cut_off,
    _empty,
)
