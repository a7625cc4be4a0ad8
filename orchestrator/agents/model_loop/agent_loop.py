"""The loop: call the model, run the requested tools, repeat until a final answer or a limit."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from orchestrator.agents.activity.agent_events import (
    AgentOutcome,
    FinalAnswerEvent,
    RetryEvent,
    TextEvent,
    ToolEvent,
    UsageEvent,
)
from orchestrator.agents.model_loop.loop_usage import LoopUsage
from orchestrator.agents.model_loop.model_calls import Emit, ModelCaller
from orchestrator.agents.model_loop.model_http.call_failure import (
    ModelFailure,
    declined,
    overflow,
)
from orchestrator.agents.model_loop.providers import instructions
from orchestrator.agents.model_loop.providers.dialect import (
    Dialect,
    ModelToolCall,
    StopReason,
    Turn,
)
from orchestrator.agents.model_loop.settings.loop_settings import LoopSettings
from orchestrator.agents.model_loop.tools.tool import Result
from orchestrator.agents.model_loop.tools.toolbox import Toolbox
from orchestrator.core.model.attempt.attempt_result import ErrorClass

#: Maximum number of cut or empty answers in a row before the conversation ends.
_MOST_USELESS_ANSWERS = 2
#: Maximum number of tool calls that are run for one answer.
_MOST_TOOL_CALLS = 64


class Mail(Protocol):
    def fetch_text(self) -> str:
        """Return the new messages as one text; "" if there are none."""
        ...

    def mark_all_read(self) -> None:
        """Mark as read every message that ``fetch_text`` has returned."""


class NoMail:
    def fetch_text(self) -> str:
        return ""

    def mark_all_read(self) -> None:
        pass


class Conversation:
    """One run of a loop: a conversation with a model. ``run`` may be called only once."""

    def __init__(
        self, settings: LoopSettings, dialect: Dialect, emit: Emit, mail: Mail | None
    ) -> None:
        self._mail = mail or NoMail()
        self._settings = settings
        self._dialect = dialect
        self._emit = emit
        self._toolbox = Toolbox(settings)
        self._account = LoopUsage(settings)
        #: Denied tools. A tool that succeeds later is removed.
        self._denied: dict[str, None] = {}
        self._useless_answers = 0
        self._text = ""

    def run(self, prompt: str) -> AgentOutcome:
        """Run the conversation, and return its outcome. Raises only what ``emit`` raises."""
        try:
            tools = tuple(self._toolbox.tools.values())
            full_prompt = "\n\n".join(filter(None, (prompt, self._mail.fetch_text())))
            self._dialect.begin(instructions.system(self._settings), full_prompt, tools)
            caller = ModelCaller(self._settings, self._dialect.headers, self._emit)
            while not self._step(caller):
                pass
        except ModelFailure as failure:
            return replace(
                failed(failure, self._account), text=self._text, denied=tuple(self._denied)
            )
        finally:
            self._toolbox.close()
        self._emit(FinalAnswerEvent())
        return self._outcome()

    def _step(self, caller: ModelCaller) -> bool:
        """Call the model once, and run the tools that the model requests.

        Return True if the answer is final.
        """
        if limit_reached := self._account.limit_reached:
            raise ModelFailure(ErrorClass.LIMIT, limit_reached)
        turn = ask(caller, self._dialect, self._account, self._emit)
        self._mail.mark_all_read()
        self._warn_of_price()
        if turn.text:
            self._text = turn.text
            self._emit(TextEvent(turn.text))
        return self._handle_turn(turn)

    def _handle_turn(self, turn: Turn) -> bool:
        """Reply to the model's answer, by adding a message to the conversation.

        The message has the results of tools, a request for another answer, or texts of people.

        Return True if the answer is final and needs no reply. Raise ModelFailure if the
        conversation cannot continue.
        """
        if turn.stop is StopReason.REFUSED:
            raise declined(turn.text)
        if turn.stop is StopReason.FULL:
            raise overflow("the model stopped because its context window is full")
        if turn.stop is StopReason.CUT:
            self._answer_cut_turn(turn)
        elif turn.tool_calls:
            self._useless_answers = 0
            self._run_tools(turn.tool_calls)
        elif not turn.text.strip():
            self._count_useless_answer(ErrorClass.EMPTY, "the model's last answer is empty")
            self._dialect.add_results([], instructions.EMPTY)
        else:
            # Messages from people that arrived during the last call need another answer.
            words = self._mail.fetch_text()
            if words:
                self._dialect.add_results([], words)
            return not words
        return False

    def _run_tools(self, tool_calls: Sequence[ModelToolCall]) -> None:
        # Calls that are not run get a result, too: an API rejects a tool call without a result.
        results = [(call, self._run_tool(call)) for call in tool_calls[:_MOST_TOOL_CALLS]]
        too_many = Result(
            f"this tool call was not run: the answer has more than {_MOST_TOOL_CALLS} tool calls",
            failed=True,
        )
        unrun = [(call, too_many) for call in tool_calls[_MOST_TOOL_CALLS:]]
        self._dialect.add_results([*results, *unrun], self._mail.fetch_text())

    def _answer_cut_turn(self, turn: Turn) -> None:
        most = self._settings.max_tokens
        self._count_useless_answer(
            ErrorClass.LIMIT, f"the model's answers exceed {most} tokens per call; split the task"
        )
        not_run = Result(instructions.NOT_RUN, failed=True)
        words = instructions.CUT.format(most=most)
        self._dialect.add_results([(call, not_run) for call in turn.tool_calls], words)

    def _count_useless_answer(self, kind: ErrorClass, words: str) -> None:
        self._useless_answers += 1
        if self._useless_answers > _MOST_USELESS_ANSWERS:
            raise ModelFailure(kind, words)

    def _run_tool(self, call: ModelToolCall) -> Result:
        tool_event = ToolEvent(
            call.name[:100],
            self._toolbox.summary(call.name, call.arguments),
            writes=self._toolbox.writes(call.name, call.arguments),
        )
        # Log a slow tool before it runs, so that the log shows the current step. Log other tools
        # afterwards, so that the log also shows a denial.
        is_logged_first = bool(call.problem) or self._toolbox.is_slow(call.name)
        if is_logged_first:
            self._emit(tool_event)
        result = self._tool_result(call)
        if not is_logged_first:
            self._emit(replace(tool_event, denied=result.denied))
        return result

    def _tool_result(self, call: ModelToolCall) -> Result:
        if call.problem:
            return Result(f"{call.name}: {call.problem}", failed=True)
        result = self._toolbox.use(call.name, call.arguments)
        # A later success of the tool cancels its earlier denial.
        if result.denied:
            self._denied[call.name] = None
        elif not result.failed:
            self._denied.pop(call.name, None)
        return result

    def _warn_of_price(self) -> None:
        if self._account.unpriced and self._account.usage.steps == 1:
            words = (
                f"the price of {self._settings.model} is unknown: max_cost_usd cannot be enforced; "
                "add the price to workers.prices in config.yaml"
            )
            self._emit(RetryEvent(words, ErrorClass.CONFIG))

    def _outcome(self) -> AgentOutcome:
        outcome = AgentOutcome(
            text=self._text, usage=self._account.usage, denied=tuple(self._denied)
        )
        if not self._denied:
            return outcome
        names = ", ".join(self._denied)
        return replace(outcome, error_class=ErrorClass.DENIED, error=names)


def converse(
    make: Callable[[], tuple[LoopSettings, Dialect]],
    prompt: str,
    emit: Emit,
    mail: Mail | None,
) -> AgentOutcome:
    """Run a loop, and return its outcome.

    ``make`` creates the settings and an empty conversation. If ``make`` raises ModelFailure, the
    outcome is this failure. ``mail``: messages from people; None for no messages.
    """
    try:
        settings, dialect = make()
    except ModelFailure as failure:
        return failed(failure)
    return Conversation(settings, dialect, emit, mail).run(prompt)


def ask(caller: ModelCaller, dialect: Dialect, account: LoopUsage, emit: Emit) -> Turn:
    """Call the model, and return its answer. Add the usage of the call to ``account``.

    Raise ModelFailure if the call fails.
    """
    request = dialect.request(account.next_answer_tokens)
    while True:
        try:
            answer = caller.call(dialect.path, request)
            break
        except ModelFailure as failure:
            if not dialect.change_format(failure.status, failure.message):
                raise
        finally:
            if caller.has_unreported_usage:
                account.mark_incomplete()
        request = dialect.request(account.next_answer_tokens)
    turn = dialect.add_answer(answer)
    emit(UsageEvent(account.add(turn.usage, len(json.dumps(request)))))
    return turn


def failed(failure: ModelFailure, account: LoopUsage | None = None) -> AgentOutcome:
    outcome = AgentOutcome(
        error_class=failure.kind, error=failure.message, resets_at=failure.resets_at
    )
    return outcome if account is None else replace(outcome, usage=account.usage)
