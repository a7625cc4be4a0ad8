"""Queries to git about the surveyed project. Without git or a repository, each answer is None."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: Timeout of a git command, in seconds. After a timeout, the survey continues without the answer.
GIT_SECONDS = 60

#: Options that prevent git from running configured programs and from writing.
_OPTIONS = (
    "--no-pager",
    "--no-optional-locks",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "log.showSignature=false",
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}


def ask_git(root: Path, arguments: Sequence[str], paths: Sequence[str] = ()) -> bytes | None:
    """Run git in ``root``, and return its output; None if git fails or times out.

    ``paths``: literal paths for the command, not patterns.
    """
    specs = [f":(literal){path}" if path != "." else "." for path in paths]
    argv = ["git", *_OPTIONS, *arguments, "--", *specs]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        answer = subprocess.run(
            argv,
            cwd=root,
            env=inherited | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
