"""Runs one attempt of an agent: from ``spec.json``, the driver's input, to ``agent.json``."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType

from orchestrator.agents.activity.agent_events import AgentOutcome, Reader
from orchestrator.agents.activity.log_writers import PeopleLog, RawStream
from orchestrator.agents.ai_tools.commands import call_for
from orchestrator.agents.ai_tools.invocation.call import (
    AgentCall,
    CallInputs,
    shell_environment,
    shell_files,
)
from orchestrator.agents.driver_process import logins, result_file, session_file, spec_file
from orchestrator.agents.driver_process.mailbox import Mailbox
from orchestrator.agents.driver_process.program_run import Program, RunTimeouts
from orchestrator.agents.driver_process.reports_to_server import (
    CALL_SECONDS,
    ReceiptReporter,
    UsageReporter,
)
from orchestrator.agents.driver_process.spec_file import Spec
from orchestrator.agents.driver_process.usage_watch import EarlyStop, Price, UsageWatch, usage_text
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.model.attempt.agent_session import Session, is_session_id
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Usage
from orchestrator.core.model.attempt.usage_sums import tokens, with_cost
from orchestrator.security.secrets.masking import Masker, secrets_in

#: A shell's exit code for a program that SIGTERM ended.
_STOPPED_EXIT = 143
#: Errors after which the driver starts a new session, if the run resumed a session and the model
#: gave no answer. The session may be the cause, but a failing model service causes the same errors.
_RESUME_ERRORS = frozenset(
    {
        ErrorClass.API,
        ErrorClass.CONFIG,
        ErrorClass.DENIED,
        ErrorClass.EMPTY,
        ErrorClass.INTERNAL,
        ErrorClass.KILLED,
        ErrorClass.LIMIT,
    }
)
#: Errors after which the next attempt begins a new session, if the run resumed a session and the
#: model gave no answer.
_UNUSABLE_SESSION_ERRORS = _RESUME_ERRORS | {ErrorClass.TIMEOUT}
_STOPPED = "stopped by the orchestrator"
#: Maximum seconds of each wait for the server after a SIGTERM, because the driver may be killed
#: soon.
_REPORT_SECONDS = 0.5


def main() -> int:
    """Run one attempt of an agent. Return exit code 0 if the agent succeeded.

    An environment variable names the attempt's control directory.
    """
    control = Path(os.environ.pop(spec_file.VARIABLE))
    os.environ.pop(spec_file.SESSIONS_VARIABLE, None)
    attempt_spec, journal = spec_file.read(control), PeopleLog()
    driver = Driver(control, attempt_spec, journal)
    signal.signal(signal.SIGTERM, driver.on_term)
    try:
        outcome = driver.run()
    except (OSError, ValueError, OrchestratorError) as error:
        outcome = AgentOutcome(error_class=ErrorClass.CONFIG, error=f"cannot start: {error}")
    result_file.write(control, result_file.masked(outcome, Masker(secrets_in(os.environ))))
    if outcome.error:
        journal.say(f"! {outcome.error_class}: {outcome.error}")
    journal.say(f"usage: {usage_text(outcome.usage)}")
    # Send the report only after the outcome is saved, because the server may not answer in time.
    driver.report_total(outcome.usage)
    if driver.got_sigterm and not outcome.succeeded:
        return _STOPPED_EXIT
    return 0 if outcome.succeeded else 1


class Driver:
    """One attempt of an agent. ``run`` may be called only once."""

    def __init__(self, control: Path, attempt_spec: Spec, journal: PeopleLog) -> None:
        self._control = control
        self._spec = attempt_spec
        self._journal = journal
        self._price = price_of(attempt_spec)
        self._reporter = UsageReporter(os.environ, self._stop_at_limit)
        self._watch = UsageWatch(attempt_spec.limits, journal, self._reporter, self._price)
        self._receipts = ReceiptReporter(os.environ)
        self._mailbox = Mailbox(
            control, self._receipts.report, journal.say, resumed=bool(attempt_spec.resume)
        )
        self._stop: Callable[[EarlyStop], None] = lambda why: None
        self.got_sigterm = False

    def on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.got_sigterm = True
        patience = 0.0
        if self._watch.may_be_done and not self._watch.finished:
            # The current step may give the final answer, so wait for this answer for a short time.
            # The wait must end before the driver itself is killed.
            patience = min(self._spec.last_word_seconds, self._spec.stop_seconds / 2)
            self._watch.stop_at_next_step(_STOPPED)
        self._stop(EarlyStop(ErrorClass.KILLED, _STOPPED, patience=patience))

    def _stop_at_limit(self, why: str) -> None:
        # The step that reached the limit may give the final answer, so wait for this answer.
        self._watch.stop_at_next_step(why)
        self._stop(EarlyStop(ErrorClass.LIMIT, why, patience=self._spec.last_word_seconds))

    def run(self) -> AgentOutcome:
        outcome = self._run_program() if self._spec.command else self._run_loop()
        usage = outcome.usage if outcome.usage != Usage() else self._watch.usage
        model = outcome.model or self._spec.model
        outcome = replace(outcome, usage=with_cost(usage, self._price), model=model)
        if self._spec.schema and outcome.error_class is ErrorClass.DENIED:
            # Denied tools are not a failure here, because the server checks the plan or review.
            outcome = replace(outcome, error_class=ErrorClass.NONE, error="")
        self._warn_of_price(outcome.usage)
        return outcome

    def report_total(self, usage: Usage) -> None:
        """Send the last reports and the total usage to the server.

        This method waits for the report of delivered messages, for a running usage report, and for
        the report of the total usage. After a SIGTERM, each wait lasts at most _REPORT_SECONDS.
        """
        seconds = _REPORT_SECONDS if self.got_sigterm else CALL_SECONDS
        self._receipts.close(seconds)
        self._reporter.close(usage, seconds)

    def _warn_of_price(self, usage: Usage) -> None:
        limited = self._spec.command and self._spec.limits.max_cost_usd is not None
        if limited and usage.cost_usd is None and tokens(usage):
            model = self._spec.model or "its model"
            self._journal.say(
                f"! the price of {model} is unknown: max_cost_usd was not enforced; add the price "
                "to workers.prices in config.yaml"
            )

    def _run_loop(self) -> AgentOutcome:
        # Imported here, because most agents run a program instead of a model loop.
        from orchestrator.agents.driver_process import model_loop_runner

        inputs = call_inputs(self._spec, self._control)
        write_files(shell_files(inputs))
        os.environ.update(shell_environment(inputs))
        loop = model_loop_runner.ModelLoop(self._spec, self._watch)
        self._stop = loop.stop
        run = model_loop_runner.load(self._spec, self._mailbox)
        return loop.run(run, model_loop_runner.prompt())

    def _run_program(self) -> AgentOutcome:
        secrets = secrets_in(os.environ)
        stream = RawStream(self._control, self._spec.stream_bytes, Masker(secrets))
        try:
            if not self._spec.resume:
                return self._run_call(self._spec, stream)
            outcome = self._run_call(self._spec, stream)
            if (
                self.got_sigterm
                or self._watch.answered
                or outcome.error_class not in _RESUME_ERRORS
            ):
                return outcome
            self._journal.say(f"! cannot resume the session: {outcome.error}")
            self._journal.say("! starting a new session")
            new_outcome = self._run_call(replace(self._spec, resume=""), stream)
            if not self._watch.answered and new_outcome.error_class is outcome.error_class:
                # The new session failed with the same error, so the earlier session was not the
                # cause. The next attempt can resume the earlier session.
                self._record_session(self._spec.resume, resumed=True)
            return new_outcome
        finally:
            stream.close()

    def _record_session(self, session: str, *, resumed: bool, usable: bool = True) -> None:
        # Save the session now, because the driver may be killed before the attempt ends.
        if not is_session_id(session):
            return
        record = Session(
            id=session,
            agent=self._spec.agent,
            model=self._spec.model,
            resumed=resumed,
            usable=usable,
        )
        try:
            session_file.write(self._control, record)
        except OSError as error:
            self._journal.say(
                f"! cannot save the id of the session; a retry starts a new session: {error}"
            )

    def _run_call(self, attempt_spec: Spec, stream: RawStream) -> AgentOutcome:
        call = call_of(attempt_spec, self._control)
        timeouts = RunTimeouts(
            stall=self._spec.stall_seconds,
            pause=self._spec.pause_seconds,
            finish=self._spec.finish_seconds,
            unheard=self._spec.unheard_seconds,
            stop=self._spec.stop_seconds,
        )
        program = Program(
            load_reader(call.reader, attempt_spec),
            self._watch,
            timeouts,
            self._journal,
            stream,
            on_session=partial(self._note_session, resumed=call.resumes),
            mailbox=self._mailbox,
        )
        self._stop = program.stop
        if self.got_sigterm:
            program.stop(EarlyStop(ErrorClass.KILLED, _STOPPED))
        self._watch.begin()
        logins.recover(call.logins, self._control, earlier_attempts(self._control))
        linked = prepare_files(call)
        earlier_directories = created_directories(call)
        environ = environment(call)
        try:
            if call.home is not None:
                # Imported here, because most agents share no home.
                from orchestrator.agents.driver_process import shared_tool_homes

                shared_tool_homes.set_up(call.home, environ, lambda: self.got_sigterm)
            outcome = program.run(call, environ, on_check=partial(logins.copy_renewed, linked))
        finally:
            for path in created_directories(call) - earlier_directories:
                shutil.rmtree(path, ignore_errors=True)
            logins.finish(linked)
        self._judge_session(program.session or attempt_spec.resume, outcome, resumed=call.resumes)
        return outcome

    def _judge_session(self, session: str, outcome: AgentOutcome, *, resumed: bool) -> None:
        # A session without an answer contains no work, so a later attempt need not resume it.
        useless = not resumed or outcome.error_class in _UNUSABLE_SESSION_ERRORS
        if session and useless and not self._watch.answered:
            self._record_session(session, resumed=resumed, usable=False)

    def _note_session(self, session: str, *, resumed: bool) -> None:
        if resumed:
            self._journal.say(f"resumed session {session}")
        self._record_session(session, resumed=resumed)


def call_of(attempt_spec: Spec, control: Path) -> AgentCall:
    """Return the call of the agent's program.

    Raise OrchestratorError if the program cannot be called.
    """
    inputs = call_inputs(attempt_spec, control)
    call = call_for(attempt_spec.tool)(inputs)
    if not attempt_spec.windows:
        return replace(call, prompt=control / spec_file.RESUME_PROMPT) if call.resumes else call
    # Imported here, because few agents run on the Windows side.
    from orchestrator.agents.ai_tools.invocation.windows_tools import on_windows

    return on_windows(call, inputs, Path.cwd())


def call_inputs(
    attempt_spec: Spec, control: Path, environ: Mapping[str, str] = os.environ
) -> CallInputs:
    return CallInputs(
        command=attempt_spec.command,
        policy=attempt_spec.policy,
        model=attempt_spec.model,
        limits=attempt_spec.limits,
        control=control,
        shared=_shared_directory(attempt_spec, environ) or control,
        directory=Path(environ.get("ORCHESTRATOR_WORKER_DIR") or os.getcwd()),
        sessions=_sessions_directory(attempt_spec),
        resume=attempt_spec.resume,
        home=Path(attempt_spec.home),
        user_project=attempt_spec.user_project,
        recursive=attempt_spec.recursive,
        inherit=attempt_spec.inherit,
        environ=dict(environ),
        root=os.geteuid() == 0,
        windows=attempt_spec.windows,
        # Omit the schema on Windows, because the command line would lose its quotation marks.
        schema={} if attempt_spec.windows else attempt_spec.schema,
        more=attempt_spec.more,
    )


def _shared_directory(attempt_spec: Spec, environ: Mapping[str, str]) -> Path | None:
    """Return the directory that all attempts of the tool on this machine share.

    Return None if there is no usable directory. The directory contains the logins and the database
    of the tool. So each node has its own directory: nodes have different logins, and two machines
    must not use one database at the same time.
    """
    if not attempt_spec.shared:
        return None
    node = Path(environ.get("ORCHESTRATOR_NODE", "")).name
    directory = Path(attempt_spec.shared, *(("nodes", node) if node else ()))
    return directory if _usable(directory) else None


def _sessions_directory(attempt_spec: Spec) -> Path | None:
    usable = (
        attempt_spec.sessions and not attempt_spec.windows and _usable(Path(attempt_spec.sessions))
    )
    return Path(attempt_spec.sessions) if usable else None


def _usable(directory: Path) -> bool:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def prepare_files(call: AgentCall) -> list[logins.LinkedLogin]:
    """Write the files and links that the call needs. Return the linked logins.

    Raise OSError if a file or link cannot be written.
    """
    for link, directory in call.links.items():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An attempt may run the program twice, and the first run has already created the link.
        with contextlib.suppress(FileExistsError):
            link.symlink_to(directory)
    for link, source in call.inherited.items():
        if source.exists():
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(source)
    write_files(call.files)
    return logins.link(call.logins)


def earlier_attempts(control: Path) -> list[Path]:
    worker, _, number = control.name.rpartition(".")
    if not worker or not number.isdecimal():
        return []
    return [control.with_name(f"{worker}.{each}") for each in range(1, int(number))]


def write_files(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)


def created_directories(call: AgentCall) -> set[Path]:
    """Return the existing directories that match ``call.litter``."""
    paths = (path for pattern in call.litter for path in Path.cwd().glob(pattern))
    return {path for path in paths if path.is_dir() and not path.is_symlink()}


def environment(call: AgentCall, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    environ = {
        **inherited,
        **{name: value for name, value in call.env.items() if value is not None},
    }
    for name, value in call.env.items():
        if value is None:
            environ.pop(name, None)
    return environ


def load_reader(name: str, attempt_spec: Spec) -> Reader:
    """Return the reader of the program's output. Raise InvalidRequest for an unknown name."""
    readers = import_module("orchestrator.agents.ai_tools.readers")
    prices = attempt_spec.more.get("prices") or {}
    # A custom program gets no options from policy ``full``, so its permissions are unknown.
    policy = (
        ""
        if (attempt_spec.tool, attempt_spec.policy) == ("custom", "full")
        else attempt_spec.policy
    )
    facts = readers.RunFacts(model=attempt_spec.model, policy=policy, prices=prices)
    reader: Reader = readers.reader(name, facts)
    return reader


def price_of(attempt_spec: Spec) -> Price:
    """Return a function that computes the cost of a usage.

    The first call of the returned function loads the price table.
    """

    def price(usage: Usage) -> float | None:
        if not attempt_spec.model or usage == Usage():
            return None
        module = import_module("orchestrator.agents.prices.price_table")
        cost: float | None = module.cost(
            attempt_spec.model,
            usage,
            attempt_spec.more.get("prices"),
            local=attempt_spec.tool in module.LOCAL_TOOLS,
        )
        return cost

    return price


def run() -> None:
    sys.exit(main())
