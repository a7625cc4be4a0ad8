"""The driver calls, watches, and stops an agent's program."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from orchestrator.agents.activity import log_writers
from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.agents.driver_process import result_file
from orchestrator.agents.driver_process.spec_file import Spec
from orchestrator.core.model.attempt.attempt_result import ErrorClass
from tests.integration.agents.driver_process.rig import Rig, stop
from tests.integration.site import until

#: The final answer may come later than any of these tests wait for an end.
PATIENT = {"last_word_seconds": 300.0, "stop_seconds": 600.0}


@pytest.fixture
def rig(tmp_path: Path, program: Path) -> Rig:
    spec = Spec(agent="claude", tool="claude", command=(str(program),), home="/opt/product")
    return Rig(tmp_path, spec)


def test_the_log_has_the_agents_messages_and_the_record_its_answer(rig: Rig) -> None:
    code, log, outcome = rig.run()

    assert code == 0
    assert outcome.succeeded and outcome.text == "the answer"
    assert "I am at work\n" in log
    assert "> Write" in log
    assert "$0.5000" in log
    assert outcome.usage.cost_usd == 0.5
    assert rig.recorded()["prompt"] == "Build it"


def test_the_raw_stream_is_kept(rig: Rig) -> None:
    rig.run()

    lines = (rig.control / log_writers.STREAM_NAME).read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["assistant", "assistant", "result"]


def test_keys_are_masked_in_the_files_of_an_attempt(rig: Rig) -> None:
    key = "sk-the-secret-of-the-user"

    rig.end(rig.start("prints-key answers-key", {"ANTHROPIC_API_KEY": key}))

    stream = (rig.control / log_writers.STREAM_NAME).read_text()
    assert len(stream.splitlines()) == 2
    for text in (stream, (rig.control / result_file.NAME).read_text()):
        assert key not in text and "***" in text


def test_an_agent_that_does_not_end_after_its_answer_is_stopped_and_has_succeeded(
    rig: Rig,
) -> None:
    code, log, outcome = rig.run("answers hangs", finish_seconds=0.5)

    assert (code, outcome.error_class) == (0, ErrorClass.NONE)
    assert outcome.text == "the answer"
    assert "the agent did not exit after its final result" in log
    assert not rig.agent_runs()


def test_a_silent_agent_counts_as_hung(rig: Rig) -> None:
    code, _, outcome = rig.run("hangs", stall_seconds=0.5)

    assert code == 1
    assert outcome.error_class is ErrorClass.TIMEOUT
    assert "0.5 s" in outcome.error
    assert not rig.agent_runs()


def test_a_program_that_reads_all_of_its_input_first_gets_its_end(rig: Rig) -> None:
    code, _, outcome = rig.run("reads-to-the-end answers", unheard_seconds=0.5)

    assert (code, outcome.text) == (0, "the answer")


def test_an_agent_that_waits_long_for_a_rate_limit_is_stopped(
    rig: Rig,
) -> None:
    code, _, outcome = rig.run("is-limited hangs", pause_seconds=0.5)

    assert (code, outcome.error_class) == (1, ErrorClass.RATE_LIMIT)
    assert not rig.agent_runs()


def test_opencode_reports_a_rate_limit_only_in_its_log(rig: Rig) -> None:
    code, log, outcome = rig.run("logs-a-limit hangs", tool="opencode", pause_seconds=0.5)

    assert (code, outcome.error_class) == (1, ErrorClass.RATE_LIMIT)
    assert "! Rate limit reached\n" in log


@pytest.mark.nightly
def test_an_agent_that_got_over_a_rate_limit_may_think_for_long(rig: Rig) -> None:
    code, _, outcome = rig.run("gets-over-a-limit a-moment answers", pause_seconds=0.1)

    assert (code, outcome.text) == (0, "the answer")


def test_an_agent_with_output_does_not_count_as_hung(rig: Rig) -> None:
    code, _, outcome = rig.run("ten-steps answers", stall_seconds=20)

    assert (code, outcome.error_class) == (0, ErrorClass.NONE)


@pytest.mark.parametrize(
    "limits",
    [CallLimits(max_steps=3), CallLimits(max_tokens=200)],
    ids=["steps", "tokens"],
)
def test_an_agent_that_exceeds_its_limit_is_stopped(rig: Rig, limits: CallLimits) -> None:
    code, _, outcome = rig.run("steps", limits=limits)

    assert code == 1
    assert outcome.error_class is ErrorClass.LIMIT
    assert "max_" in outcome.error
    assert outcome.usage.partial
    assert not rig.agent_runs()


def test_a_step_that_reaches_a_limit_may_be_the_last(rig: Rig) -> None:
    code, _, outcome = rig.run("words result", limits=CallLimits(max_steps=1))

    assert (code, outcome.text) == (0, "the answer")


def test_a_stop_after_the_answer_is_no_failure_of_the_work(rig: Rig) -> None:
    process = rig.start("words result hangs", finish_seconds=60.0)
    until(lambda: "result" in rig.stream(), "it has printed its answer")

    stop(process)
    code, _, outcome = rig.end(process)

    assert (code, outcome.error_class, outcome.text) == (0, ErrorClass.NONE, "the answer")
    assert not rig.agent_runs()


def test_a_stop_after_the_answer_and_the_servers_stop_is_no_failure_of_the_work(
    rig: Rig,
) -> None:
    behaviour = "words waits result hangs"
    with server(b'{"stop": "its job has used its tokens", "capped": true}') as (url, handler):
        process = rig.start(behaviour, environ=with_server(url), finish_seconds=300.0, **PATIENT)
        until(lambda: handler.reported, "its step is reported")
        rig.release_stand_in()
        # One call at a time: the answer to the first call has arrived by then.
        until(
            lambda: len(handler.reported) > 1 and "result" in rig.stream(), "its answer is reported"
        )

        stop(process)
        code, _, outcome = rig.end(process)

    assert (code, outcome.error_class, outcome.text) == (0, ErrorClass.NONE, "the answer")


def test_a_stop_between_the_last_step_and_the_answer_waits_for_the_answer(rig: Rig) -> None:
    process = rig.start("words waits a-moment result", **PATIENT)
    until(lambda: "another step" in rig.stream(), "it has taken its last step")

    stop(process)
    rig.release_stand_in()
    code, _, outcome = rig.end(process)

    assert (code, outcome.error_class, outcome.text) == (0, ErrorClass.NONE, "the answer")


def test_a_stop_while_a_tool_runs_waits_for_nothing(rig: Rig) -> None:
    process = rig.start("uses-tool waits", **PATIENT)
    until(lambda: "tool_use" in rig.stream(), "it uses a tool")

    stop(process)
    code, _, outcome = rig.end(process)

    assert (code, outcome.error_class) == (143, ErrorClass.KILLED)


def test_a_step_after_the_stop_ends_the_agent(rig: Rig) -> None:
    process = rig.start("words waits steps", **PATIENT)
    until(lambda: "another step" in rig.stream(), "it has taken a step")

    stop(process)
    rig.release_stand_in()
    _, _, outcome = rig.end(process)

    assert not outcome.succeeded


def test_under_a_limit_every_step_is_reported_at_once(rig: Rig) -> None:
    with server(b'{"stop": "", "capped": true}') as (url, handler):
        process = rig.start("steps-one-by-one result", environ=with_server(url))
        for number in range(1, 11):
            until(lambda number=number: number in steps(handler), f"step {number} is reported")
            (rig.work / f"reported-{number}").touch()
        code, _, _ = rig.end(process)
    assert code == 0


def test_usage_that_did_not_reach_the_server_is_reported_again(rig: Rig) -> None:
    with server(b"not json") as (url, handler):
        process = rig.start("words hangs", environ=with_server(url), stall_seconds=60.0)
        until(lambda: len(handler.reported) >= 2, "it is reported again")
        stop(process)
        rig.end(process)
    assert steps(handler) == {1}


def test_an_agent_that_ignores_the_polite_stop_is_killed(rig: Rig) -> None:
    code, _, outcome = rig.run("ignores-term hangs", stall_seconds=0.5, stop_seconds=0.5)

    assert (code, outcome.error_class) == (1, ErrorClass.TIMEOUT)
    assert not rig.agent_runs()


@pytest.mark.parametrize("stand_in", ["hangs", "ignores-term hangs"])
def test_a_stop_of_the_driver_stops_the_agent(rig: Rig, stand_in: str) -> None:
    process = rig.start(stand_in, stop_seconds=0.5)
    until(rig.has_begun, "the agent is at work")

    stop(process)
    code, _, outcome = rig.end(process)

    assert code == 143
    assert outcome.error_class is ErrorClass.KILLED
    assert not rig.agent_runs()


def test_exit_code_0_is_no_success_if_the_agent_reports_a_failure(rig: Rig) -> None:
    code, log, outcome = rig.run("error")

    assert code == 1
    assert outcome.error_class is ErrorClass.API
    assert "it broke" in log


def test_an_exit_code_after_a_whole_result_is_a_note(rig: Rig) -> None:
    code, _, outcome = rig.run("answers exit-3")

    assert (code, outcome.text) == (0, "the answer")
    assert outcome.note == "exit code 3, although the agent reported a result"


def test_an_exit_code_without_a_result_is_no_success_in_spite_of_messages(rig: Rig) -> None:
    code, _, outcome = rig.run("words exit-3")

    assert (code, outcome.error_class) == (1, ErrorClass.INTERNAL)


def test_a_program_that_is_being_replaced_did_not_start(rig: Rig, tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with program.open("r+b"):
        code, log, outcome = rig.run(command=(str(program),))
    assert (code, outcome.error_class) == (1, ErrorClass.START)
    assert ": Text file busy" in log


def test_a_program_that_is_missing_did_not_start(rig: Rig) -> None:
    code, log, outcome = rig.run(command=("/nowhere/at/all",))

    assert code == 1
    assert outcome.error_class is ErrorClass.START
    assert "cannot start /nowhere/at/all: No such file or directory" in log


def test_a_flood_of_output_is_read_to_its_end(rig: Rig) -> None:
    code, _, outcome = rig.run("floods answers", stream_bytes=1_000_000)

    assert (code, outcome.text) == (0, "the answer")
    size = (rig.control / log_writers.STREAM_NAME).stat().st_size
    assert 1_000_000 <= size < 1_001_000


def test_a_leftover_process_of_the_agent_does_not_delay_the_end(rig: Rig) -> None:
    code, _, outcome = rig.run("leaves-one answers")
    left = int((rig.work / "left.pid").read_text())
    os.kill(left, 9)  # without a shim, which would do this

    assert (code, outcome.text) == (0, "the answer")


SHELLS = [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("bash", "zsh", "fish")]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_agent_finds_orchestrator_in_a_login_shell(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    bin = tmp_path / "the product" / "bin"
    bin.mkdir(parents=True)
    (bin / "orchestrator").write_text("#!/bin/sh\n")
    (bin / "orchestrator").chmod(0o755)
    monkeypatch.setenv("LOGIN_SHELL", shell)
    # The PATH of every worker.
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")

    _, _, outcome = rig.run("calls-orchestrator", home=str(bin.parent))

    assert outcome.text == str(bin / "orchestrator")


def test_a_broken_spec_is_reported_in_one_line(rig: Rig) -> None:
    process = rig.start(tool="nonsense")
    log, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "unknown tool 'nonsense'" in log
    assert rig.outcome().error_class is ErrorClass.CONFIG


# Reports to the server


class Server(BaseHTTPRequestHandler):
    reported: ClassVar[list[tuple[str, dict[str, Any]]]]
    answer: ClassVar[bytes]
    status: ClassVar[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reported.append((self.path, {"key": self.headers["X-API-Key"], **body}))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def server(answer: bytes, status: int = 200) -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"reported": [], "answer": answer, "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", handler
        finally:
            listening.shutdown()
            thread.join(10)


def steps(handler: type[Server]) -> set[int]:
    return {each["steps"] for _, each in handler.reported}


def with_server(url: str) -> dict[str, str]:
    return {"ORCHESTRATOR_API_URL": url, "ORCHESTRATOR_API_KEY": "the-workers-key"}


def test_the_usage_is_reported_to_the_server(rig: Rig) -> None:
    with server(b'{"stop": ""}') as (url, handler):
        _, _, outcome = rig.run(environ=with_server(url))

    path, last = handler.reported[-1]
    assert (path, last["key"]) == ("/api/v1/usage", "the-workers-key")
    assert last["cost_usd"] == outcome.usage.cost_usd == 0.5
    assert last["input_tokens"] == outcome.usage.input_tokens


def test_the_outcome_is_stored_before_the_total_is_reported(rig: Rig) -> None:
    """A driver may be killed while it waits for the server's answer. The outcome is stored by
    then.
    """
    is_stored: list[bool] = []
    with server(b"{}") as (url, handler):
        do_post = handler.do_POST

        def note(self: Server) -> None:
            is_stored.append((rig.control / result_file.NAME).exists())
            do_post(self)

        handler.do_POST = note  # type: ignore[method-assign]
        rig.run(environ=with_server(url))

    assert is_stored[-1]


def test_the_server_may_stop_an_agent(rig: Rig) -> None:
    with server(b'{"stop": "the root job has used its money"}') as (url, _):
        code, _, outcome = rig.run("steps", environ=with_server(url))

    assert code == 1
    assert outcome.error_class is ErrorClass.LIMIT
    assert outcome.error == "the root job has used its money"
    assert not rig.agent_runs()


def test_an_agent_beyond_its_limit_is_stopped_although_the_server_has_stopped_it(rig: Rig) -> None:
    limits = CallLimits(max_steps=30)
    with server(b'{"stop": "max_steps of the task"}') as (url, _):
        _, _, outcome = rig.run("steps", environ=with_server(url), limits=limits, **PATIENT)

    assert outcome.error_class is ErrorClass.LIMIT


def test_an_agent_that_ends_by_itself_is_not_stopped_by_the_server(rig: Rig) -> None:
    with server(b'{"stop": "that was all"}') as (url, _):
        behaviour = "words a-moment result"
        code, _, outcome = rig.run(behaviour, environ=with_server(url), **PATIENT)

    assert (code, outcome.text) == (0, "the answer")


@pytest.mark.nightly
def test_an_agent_whose_child_jobs_are_at_work_may_be_silent(rig: Rig) -> None:
    with server(b'{"stop": "", "waiting": true}') as (url, handler):
        process = rig.start("hangs", environ=with_server(url), stall_seconds=0.3)
        until(lambda: len(handler.reported) >= 3 or process.poll() is not None, "it is asked often")
        went_on = process.poll() is None
        handler.answer = b'{"stop": "", "waiting": false}'
        _, _, outcome = rig.end(process)

    assert went_on
    assert outcome.error_class is ErrorClass.TIMEOUT


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"not json", 200), (b'{"stop": "no"}', 404), (b'"text"', 200)],
)
def test_a_server_that_knows_no_such_call_does_no_harm(
    rig: Rig, answer: bytes, status: int
) -> None:
    with server(answer, status) as (url, _):
        code, _, outcome = rig.run(environ=with_server(url))

    assert (code, outcome.text) == (0, "the answer")


def test_a_server_that_has_exited_does_no_harm(rig: Rig) -> None:
    code, _, outcome = rig.run(environ=with_server("http://127.0.0.1:9"))

    assert (code, outcome.text) == (0, "the answer")


# Logins of the user


def test_a_login_of_the_user_works_in_the_isolated_configuration(
    rig: Rig, empty_home: Path
) -> None:
    login = empty_home / ".claude" / ".credentials.json"
    login.parent.mkdir()
    login.write_text('{"token": "old"}')

    rig.run("renews-login result")

    own = rig.recorded()["environ"]["CLAUDE_CONFIG_DIR"]
    assert own.startswith(str(rig.control))
    assert (rig.work / "login.seen").read_text() == '{"token": "old"}'
    # The stand-in replaced the link by a new file, as tools do when they renew a token.
    assert login.read_text() == '{"token": "new"}'
    assert login.stat().st_mode & 0o777 == 0o600


def test_a_renewed_login_is_the_users_while_the_agent_still_works(
    rig: Rig, empty_home: Path
) -> None:
    login = empty_home / ".claude" / ".credentials.json"
    login.parent.mkdir()
    login.write_text('{"token": "old"}')

    process = rig.start("renews-login hangs")
    try:
        until(
            lambda: "new" in login.read_text() or process.poll() is not None, "it is brought back"
        )
        assert process.poll() is None
    finally:
        stop(process)
        rig.end(process)
