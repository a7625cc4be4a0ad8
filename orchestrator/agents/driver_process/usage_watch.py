"""Logs an agent's events, counts the agent's usage, and decides when to stop the agent."""

from collections.abc import Callable

from orchestrator.agents.activity.agent_events import (
    AgentEvent,
    FinalAnswerEvent,
    InputReadEvent,
    RetryEvent,
    StuckEvent,
    TextEvent,
    ToolEvent,
    ToolRequestEvent,
    UsageEvent,
)
from orchestrator.agents.activity.log_writers import PeopleLog
from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.agents.driver_process.reports_to_server import UsageReporter
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.limits.usage_caps import describe_reached_limit, spent_by
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.attempt.usage_sums import tokens, usage_sum, with_cost


def usage_text(usage: Usage) -> str:
    amounts = [
        ("step" if usage.steps == 1 else "steps", usage.steps),
        ("input tokens", usage.input_tokens),
        ("output tokens", usage.output_tokens),
        ("cache-read tokens", usage.cache_read_tokens),
        ("cache-write tokens", usage.cache_write_tokens),
    ]
    words = [f"{value} {name}" for name, value in amounts if value is not None]
    if usage.cost_usd is not None:
        words.append(f"${usage.cost_usd:.4f}{' (estimated)' if usage.cost_estimated else ''}")
    if usage.partial and words:
        words.append("not complete: the agent did not report all usage")
    return ", ".join(words) or "unknown"


#: Returns the cost of a usage in USD; None if the price is unknown.
Price = Callable[[Usage], float | None]


@dataclass(frozen=True, slots=True)
class EarlyStop:
    reason: ErrorClass
    because: str
    #: Seconds to wait before the agent is stopped. The step that reached a limit may be the last
    #: step, and may still give the final answer.
    patience: float = 0.0


class UsageWatch:
    """Counts the usage in an agent's events, and decides when to stop the agent."""

    def __init__(
        self, limits: CallLimits, journal: PeopleLog, reporter: UsageReporter, price: Price
    ) -> None:
        self._limits = limits
        self._journal = journal
        self._reporter = reporter
        self._price = price
        self._reported = Usage()
        #: Reason that was passed to ``stop_at_next_step``; empty before that call.
        self._why = ""
        #: True if the agent's latest event is its final answer, or reports the usage of this
        #: answer.
        self.finished = False
        #: The account's rate limit, if the latest event reports one; otherwise empty.
        self.rate_limit = ""
        #: True if the model has answered, with text or a tool call.
        self.answered = False
        #: The limit that the agent has used up; empty before the agent has used up a limit.
        self._used_up = ""
        #: True if the latest step may be the last step, because it has used no tool so far.
        self.may_be_done = False
        self._uses_tool = False

    def begin(self) -> None:
        """Reset the facts about the latest event, because another program starts."""
        self.finished, self.rate_limit = False, ""
        self.may_be_done = self._uses_tool = False

    def observe(self, event: AgentEvent) -> EarlyStop | None:
        """Log an event and count its usage. Return a reason to stop the agent; None to continue.

        An agent may finish the step that reaches a limit, and give one final answer.
        """
        self._journal.event(event)
        self.finished = isinstance(event, FinalAnswerEvent) or (
            self.finished and isinstance(event, UsageEvent)
        )
        self.rate_limit = ""
        self.answered |= _is_answer(event)
        if isinstance(event, RetryEvent) and event.error_class is ErrorClass.RATE_LIMIT:
            self.rate_limit = event.text
        beyond = self._used_up and _continues(event)
        self._update_step_state(event)
        if isinstance(event, UsageEvent):
            self._reported = usage_sum(self._reported, event.usage)
            self._reporter.report(self.usage)
            self._used_up = self._why or describe_reached_limit(self._limits, spent_by(self.usage))
        if isinstance(event, StuckEvent):
            return EarlyStop(ErrorClass.API, event.text)
        # A step that used a tool before its usage was reported is not the last step.
        beyond = beyond or (self._used_up and self._uses_tool and isinstance(event, UsageEvent))
        because = self._why or f"used up {self._used_up}"
        return EarlyStop(ErrorClass.LIMIT, because) if beyond else None

    def _update_step_state(self, event: AgentEvent) -> None:
        begins = isinstance(event, UsageEvent) and bool(event.usage.steps)
        if begins or isinstance(event, FinalAnswerEvent):
            self.may_be_done, self._uses_tool = True, False
        elif isinstance(event, ToolEvent | ToolRequestEvent | RetryEvent | StuckEvent):
            self.may_be_done, self._uses_tool = (
                False,
                isinstance(event, ToolEvent | ToolRequestEvent),
            )

    def stop_at_next_step(self, why: str) -> None:
        """Stop the agent at the first event of its next step, for the reason ``why``.

        Any thread may call.
        """
        self._why = self._used_up = why

    def waits(self) -> bool:
        """True if the worker waits for child jobs or a lock, so that its silence is normal."""
        return self._reporter.waits(self.usage)

    @property
    def usage(self) -> Usage:
        """Usage so far. A missing cost is computed from the model's price."""
        return with_cost(self._reported, self._price)


def _is_answer(event: AgentEvent) -> bool:
    if isinstance(event, UsageEvent):
        return bool(tokens(event.usage))
    return isinstance(event, TextEvent | ToolEvent)


def _continues(event: AgentEvent) -> bool:
    # A text, or usage without a step, may be the agent's last event. Every other event begins or
    # continues a step.
    if isinstance(event, UsageEvent):
        return bool(event.usage.steps)
    return not isinstance(event, FinalAnswerEvent | TextEvent | InputReadEvent)
