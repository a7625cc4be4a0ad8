"""``orchestrator`` on the PATH of every shell in which a tool runs commands.

Tools run ``bash -lc``, and a login shell takes its PATH from /etc/profile. Bash reads BASH_ENV
after that, in login shells, too.
"""

import shlex
from pathlib import Path

from orchestrator.agents.adapters.invocation.call import Ask


def shell_environment(ask: Ask) -> dict[str, str]:
    return {"BASH_ENV": str(_path(ask))}


def shell_files(ask: Ask) -> dict[Path, str]:
    return {_path(ask): _text(ask)}


def _path(ask: Ask) -> Path:
    return ask.control / "bash_env.sh"


def _text(ask: Ask) -> str:
    own, bin = ask.environ.get("BASH_ENV", ""), shlex.quote(str(ask.home / "bin"))
    lines = [f"[ ! -r {shlex.quote(own)} ] || . {shlex.quote(own)}"] if own else []
    lines.append(f'case ":$PATH:" in *:{bin}:*) ;; *) PATH={bin}:$PATH ;; esac')
    return "\n".join(lines) + "\n"
