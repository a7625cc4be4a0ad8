"""Calls a tool on the Windows side from WSL, with the paths of Windows.

A shell starts the tool, because npm installs tools as scripts. The shell is PowerShell, because
cmd.exe cannot start in a directory of WSL. The command is in base64, because Linux, Windows, and
PowerShell quote differently. The tool uses the configuration and the login of the Windows user.
"""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from orchestrator.agents.ai_tools.invocation.call import AgentCall, CallInputs
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.text.command_name import COMMAND

LAUNCHER, TRANSLATOR = "powershell.exe", "wslpath"
#: Variables without which no Windows program can start from Linux.
INTEROP = ("WSL_INTEROP", "WSL_DISTRO_NAME", "WSLENV")
#: Variables that make sense only in Linux, not for a Windows program.
_LINUX = (
    *("PATH", "HOME", "SHELL", "USER", "LOGNAME", "PWD", "OLDPWD", "SHLVL", "TERM", "HOSTNAME"),
    *("LANG", "LANGUAGE", "LC_*", "TMPDIR", "XDG_*", "WSL*", "SSH_*", "BASH_ENV", "PYTHON*", "_"),
    *("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "SSL_CERT_*"),
)
_SECONDS = 10.0
_HAS_MEANING = re.compile(r"""[\s"&|<>^()%!;,=`]""")
#: Backslashes that must be doubled: before a quotation mark, and at the end of the word. Windows
#: programs read all other backslashes literally.
_BEFORE_MARK, _AT_END = re.compile(r'(\\*)"'), re.compile(r"(\\+)\Z")
_OPTIONS = ("-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass")


def missing_programs(path: str | None = None) -> list[str]:
    """Return the names of required WSL programs that are not on ``path`` (default: PATH)."""
    return [name for name in (LAUNCHER, TRANSLATOR) if shutil.which(name, path=path) is None]


def on_windows(call: AgentCall, inputs: CallInputs, directory: Path) -> AgentCall:
    """Return the call as a PowerShell command that WSL runs.

    Raise OrchestratorError if a program of WSL is missing, or if Windows cannot reach a path.
    """
    missing = missing_programs()
    if missing:
        raise OrchestratorError(
            f"execution_mode 'windows' requires {' and '.join(missing)} on the PATH of WSL; "
            f"check it: {COMMAND} doctor"
        )
    prompt = inputs.directory / "prompt.md" if call.prompt_on_stdin else None
    argv = [windows_path(Path(each)) if each.startswith("/") else each for each in call.argv]
    script = _script(argv, directory, prompt)
    encoded = base64.b64encode(script.encode("utf-16-le")).decode("ascii")
    env = {name: value for name, value in call.env.items() if not _is_path(value)}
    return replace(
        call,
        argv=(LAUNCHER, *_OPTIONS, "-OutputFormat", "Text", "-EncodedCommand", encoded),
        env={**env, "WSLENV": wslenv({**inputs.environ, **env})},
        logins=(),
        home=None,
        session=None,
        prompt_on_stdin=False,
    )


def _script(argv: Iterable[str], directory: Path, prompt: Path | None) -> str:
    command = command_line(argv)
    input_command = f"Get-Content -Raw -Encoding UTF8 -LiteralPath {quoted(windows_path(prompt))}"
    return "\n".join(
        (
            "$ProgressPreference = 'SilentlyContinue'",
            "$OutputEncoding = [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false",
            f"Set-Location -LiteralPath {quoted(windows_path(directory))}",
            f"{input_command if prompt else '$null'} | {command}",
            "exit $LASTEXITCODE",
        )
    )


def command_line(argv: Iterable[str]) -> str:
    program, *words = argv
    return " ".join(("&", quoted(program), *(quoted(_native(each)) for each in words)))


def quoted(text: str) -> str:
    """Return the text as a PowerShell string in which every character is literal."""
    return "'" + text.replace("'", "''") + "'"


def _native(word: str) -> str:
    """Return the word as an argument that Windows PowerShell passes to a program unchanged.

    A word with special characters gets quotation marks. There is one exception: a batch file may
    get a changed word, because cmd.exe replaces ``%NAME%`` even between quotation marks.
    """
    if word and not _HAS_MEANING.search(word):
        return word
    escaped = _BEFORE_MARK.sub(r"\1\1\"", word)
    return '"' + _AT_END.sub(r"\1\1", escaped) + '"'


def windows_path(path: Path | None) -> str:
    """Return the Windows form of a path, which need not exist; "" for None.

    Raise OrchestratorError if Windows cannot reach the path.
    """
    if path is None:
        return ""
    existing = next(each for each in (path, *path.parents) if each.exists())
    missing_parts = path.relative_to(existing).parts
    return "\\".join(
        [
            _translated(existing).rstrip("\\") if missing_parts else _translated(existing),
            *missing_parts,
        ]
    )


def _translated(path: Path) -> str:
    try:
        completed = subprocess.run(
            [TRANSLATOR, "-w", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OrchestratorError(f"{path} has no path on the Windows side: {error}") from error
    return completed.stdout.removesuffix("\n")


def wslenv(environ: Mapping[str, str | None]) -> str:
    """Return the value of WSLENV: the variables that a Windows program gets.

    ``/p`` after a name means that WSL translates the value as a path.
    """
    entries = [each for each in (environ.get("WSLENV") or "").split(":") if each]
    names = [
        name
        for name, value in environ.items()
        if value and not any(fnmatchcase(name, pattern) for pattern in _LINUX)
    ]
    return ":".join([*entries, *(f"{n}/p" if _is_path(environ[n]) else n for n in sorted(names))])


def _is_path(value: str | None) -> bool:
    return bool(value) and str(value).startswith("/")
