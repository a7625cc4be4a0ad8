"""The call of an agent's program (arguments, files, environment), in one form for all tools."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from orchestrator.agents.activity.session_follower import SessionFile
from orchestrator.core.lazy_dataclass import dataclass

#: Identity of an agent's git commits; without a name, git refuses to commit.
GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "orchestrator",
    "GIT_AUTHOR_EMAIL": "orchestrator@localhost",
    "GIT_COMMITTER_NAME": "orchestrator",
    "GIT_COMMITTER_EMAIL": "orchestrator@localhost",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLimits:
    """Limits of one attempt; None: no limit."""

    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallInputs:
    """Input of a tool's function ``call``: the facts of one attempt. All paths are absolute."""

    #: The program with its first arguments.
    command: tuple[str, ...]
    policy: str = "full"
    model: str = ""
    limits: CallLimits = field(default_factory=CallLimits)
    #: Directory for the tool's own configuration, outside the tool's working directory.
    control: Path
    #: A directory that attempts of the same tool share.
    shared: Path
    #: The worker's directory, which has ``prompt.md``.
    directory: Path
    #: Directory of the tool's sessions, for all attempts of the worker; None: sessions are not
    #: stored.
    sessions: Path | None = None
    #: The session to resume; empty: begin a new session.
    resume: str = ""
    #: True if a person resumes the session in a terminal, and the tool asks the person before each
    #: action.
    in_terminal: bool = False
    #: The directory with ``bin/orchestrator`` (``ORCHESTRATOR_HOME``).
    home: Path
    #: The user's project, also if the worker has a worktree; empty: unknown.
    user_project: str = ""
    #: True if the attempt can start child jobs.
    recursive: bool = False
    #: Parts of the user's configuration of the tool that the attempt inherits: mcp, skills, hooks,
    #: memory.
    inherit: tuple[str, ...] = ()
    #: The environment that the tool inherits.
    environ: Mapping[str, str] = field(default_factory=dict)
    #: True if the tool runs as root.
    root: bool = False
    #: True if the tool runs on the Windows side of WSL.
    windows: bool = False
    #: The JSON schema of the answer; empty: the answer is text.
    schema: Mapping[str, Any] = field(default_factory=dict)
    #: Options of a custom agent; see the module ``custom``.
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str:
        """Path of the project in the worker's worktree; without a worktree, the user's project.

        Empty if unknown. May differ from the working directory.
        """
        return self.environ.get("ORCHESTRATOR_PROJECT_ROOT", "")

    @property
    def user_home(self) -> Path:
        return Path(self.environ.get("HOME") or "/nonexistent")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentLogin:
    """A user's login file (``source``), and the path where the tool reads it (``target``)."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentHome:
    """A directory that attempts share, and the command that sets it up."""

    directory: Path
    argv: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentCall:
    """The call of a program: files to write first, the command, and the reader of its output."""

    argv: tuple[str, ...]
    reader: str
    #: Variables that replace inherited variables; None removes a variable.
    env: Mapping[str, str | None] = field(default_factory=dict)
    #: Files to write before the start; only the user can read them.
    files: Mapping[Path, str] = field(default_factory=dict)
    logins: tuple[AgentLogin, ...] = ()
    #: Links to create, as {link: directory}. The directories are also created.
    links: Mapping[Path, Path] = field(default_factory=dict)
    #: Links to create, as {link: file}. Each file belongs to the user, and the tool inherits it.
    #: Missing files are skipped. Directories count as files.
    inherited: Mapping[Path, Path] = field(default_factory=dict)
    #: The tool's home directory, which must be set up once, before the first attempt uses it.
    home: AgentHome | None = None
    #: Session files that the reader needs in addition to the output, for example because the output
    #: reports usage only at the end. None: the output is enough.
    session: SessionFile | None = None
    #: True if ``argv`` resumes a session. The session's files then contain usage of earlier runs.
    resumes: bool = False
    #: The file with the prompt; None: the driver reads the prompt from its own standard input.
    prompt: Path | None = None
    #: Patterns of directories that the tool creates in its working directory. The driver removes
    #: these directories after the run.
    litter: tuple[str, ...] = ()
    #: True if the prompt is on standard input; otherwise standard input is empty.
    prompt_on_stdin: bool = True
    #: Converts a text (the prompt or a message) and an id to one line for standard input, which
    #: stays open. The program prints the id after it has read the line. None: the program reads no
    #: messages.
    input_line: Callable[[str, str], str] | None = None


def session_links(inputs: CallInputs, directory: Path, name: str) -> dict[Path, Path]:
    """Return {``directory``: target}, the link to create for the tool's sessions.

    The target is the directory ``name`` in the worker's stored sessions, so later attempts find the
    sessions. The result is empty if sessions are not stored.
    """
    return {directory: inputs.sessions / name} if inputs.sessions is not None else {}


def shell_environment(inputs: CallInputs) -> dict[str, str]:
    """Return the variable BASH_ENV: bash runs the script of ``shell_files`` at its start."""
    return {"BASH_ENV": str(_startup_file(inputs))}


def shell_files(inputs: CallInputs) -> dict[Path, str]:
    """Return {path: text} of the script that adds orchestrator's commands to PATH.

    The script first runs the script in the user's BASH_ENV.
    """
    user_script, bin = inputs.environ.get("BASH_ENV", ""), shlex.quote(str(inputs.home / "bin"))
    lines = (
        [f"[ ! -r {shlex.quote(user_script)} ] || . {shlex.quote(user_script)}"]
        if user_script
        else []
    )
    lines.append(f'case ":$PATH:" in *:{bin}:*) ;; *) PATH={bin}:$PATH ;; esac')
    return {_startup_file(inputs): "\n".join(lines) + "\n"}


def _startup_file(inputs: CallInputs) -> Path:
    return inputs.control / "bash_env.sh"
