"""Lets a person resume the session of an attempt in a terminal."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.agents.ai_tools.commands import call_for
from orchestrator.agents.ai_tools.invocation.call import CallLimits
from orchestrator.agents.driver_process import logins, session_file, spec_file
from orchestrator.agents.driver_process.main import call_inputs, environment, prepare_files
from orchestrator.agents.driver_process.spec_file import Spec
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.known_agents import known
from orchestrator.security.files.untrusted_files import read_regular

_LIMIT_BYTES = 1024 * 1024
#: Variables that mean "no person uses this terminal". A session that a person resumes does not get
#: these variables.
_HEADLESS_VARIABLES = ("CI", "NO_COLOR")


@dataclass(frozen=True, slots=True)
class Resumable:
    session: Session
    attempt_spec: Spec
    control: Path


def resumable(attempts: Path, worker_id: str) -> Resumable | None:
    """Return the latest session of the worker that a person can resume; None if there is none.

    ``attempts``: the directory with the control directories of the job's attempts.
    """
    for control in _latest_first(attempts, worker_id):
        content = read_regular(control / session_file.NAME, _LIMIT_BYTES, within=attempts.parent)
        session = session_file.from_json(content) if content else None
        if session is None or not session.usable:
            continue
        try:
            attempt_spec = spec_file.read(control)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        tool = known(attempt_spec.tool)
        if tool is not None and tool.resumes and not attempt_spec.windows:
            return Resumable(session, attempt_spec, control)
    return None


def _latest_first(attempts: Path, worker_id: str) -> Iterator[Path]:
    pattern = re.compile(rf"{re.escape(worker_id)}\.([0-9]+)")
    matches = [(pattern.fullmatch(each.name), each) for each in attempts.glob(f"{worker_id}.*")]
    numbered = [(int(match[1]), path) for match, path in matches if match]
    yield from (path for _, path in sorted(numbered, reverse=True))


@contextmanager
def in_terminal(
    target: Resumable,
    terminal_environ: Mapping[str, str],
    agent_environ: Mapping[str, str],
) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
    """Yield the command line and the environment that resume the session in a terminal.

    ``terminal_environ``: the terminal's environment variables. ``agent_environ``: the agent's
    variables, which have priority. After the ``with`` block, a login that the tool has renewed is
    copied to the user's login file. Raise OSError if the tool's files cannot be written.
    """
    variables = {
        name: value for name, value in agent_environ.items() if name not in _HEADLESS_VARIABLES
    }
    attempt_spec = replace(
        target.attempt_spec,
        resume=target.session.id,
        limits=CallLimits(),
        recursive=False,
        schema={},
    )
    inputs = replace(
        call_inputs(attempt_spec, target.control, {**terminal_environ, **variables}),
        in_terminal=True,
    )
    call = call_for(attempt_spec.tool)(inputs)
    linked = prepare_files(call)
    try:
        yield call.argv, environment(call, inputs.environ)
    finally:
        logins.finish(linked)
